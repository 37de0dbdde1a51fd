"""Digests of what cheap components of the box make of the tiny dataset: importers, exporters, checks, report sections, splits.

Like :mod:`tests.contract.outputs`, for outputs of names and texts: what a library's release could change (pixels, compressed
files) is left out. After a version was raised, write ``tests/frozen/digests.json`` anew::

    python -m tests.contract.digests
"""

from __future__ import annotations

import hashlib
import inspect as inspection
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

import pipekit
from pipekit import images
from pipekit.contract import Context, Dataset, Files
from pipekit.engine.run import run_plan, silent
from pipekit.pipeline.plan import load_plan
from pipekit.registry.component import Component
from pipekit.registry.registry import Registry, load_registry
from pipekit.testing.checks import make_tiny_evaluation, required_parameters, write_tiny_dataset
from pipekit.testing.checks.core import register_under_test
from tests.contract.examples import EXAMPLES

FILE = Path(__file__).parent.parent / "frozen" / "digests.json"

HEAVY = {"exporter tfrecord", "importer tfrecord", "importer videos"}
"""Not tried: they load TensorFlow, or depend on a decoder of videos."""

TEXTS = (".json", ".jsonl", ".csv", ".txt", ".xml", ".yaml", ".yml")

NOT_HERE = {
    *("classes", "confusion", "curves", "label_errors", "near_copies", "next_steps", "probabilities", "slices", "summary"),
    "data",
}
"""Sections that show more metrics than an evaluation in a test has, and one that names the installed libraries."""


def digest_of(value: Any) -> str:
    """A digest of plain values, dataclasses and containers; floats count to three decimals."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:12]


def plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(one) for name, one in asdict(value).items() if one not in (None, "", (), {}, [])}  # fields to come
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return round(value, 3)
    return value if isinstance(value, (str, int, type(None))) else str(type(value).__name__)


def without(value: Any, *places: Path) -> Any:
    """Plain values in which no text names a folder of this machine."""
    text = json.dumps(plain(value), ensure_ascii=False)
    for number, place in enumerate(places):
        text = text.replace(str(place), f"<{number}>")
    return json.loads(text)


# --- importers and exporters -------------------------------------------------------------------------------------------------


def rows_of(component: Component, path: Path, out_dir: Path) -> Any:
    """What an importer yields."""
    found = component.load()
    more = (out_dir,) if "out_dir" in inspection.signature(found.read).parameters else ()
    return without(list(found.read(path, component.params_type()(), *more)), path, path.parent, out_dir)


def files_of(component: Component, dataset: Dataset, out_dir: Path) -> Any:
    """The names of the files that an exporter writes, and the content of those that hold text."""
    out_dir.mkdir(parents=True)
    write: Any = getattr(component.load(), "write", component.load())
    write(dataset, out_dir, component.params_type()())
    files = sorted(path for path in out_dir.rglob("*") if path.is_file())
    found = {path.relative_to(out_dir).as_posix(): path.read_text("utf-8") if path.suffix in TEXTS else "" for path in files}
    return without(found, out_dir, *Path(next(iter(dataset)).image).parents[:3])


def takes_datasets(component: Component) -> bool:
    write: Any = getattr(component.load(), "write", component.load())
    kind = inspection.get_annotations(write, eval_str=True).get("artifact", Dataset)
    return isinstance(kind, type) and issubclass(Dataset, kind)


def write_faulty(folder: Path) -> None:
    """The tiny dataset with images in which checks find something."""
    write_tiny_dataset(folder)
    data = (folder / "discs" / "discs_0.png").read_bytes()
    (folder / "discs" / "broken.png").write_bytes(b"no image")
    (folder / "squares" / "again.png").write_bytes(data)
    (folder / "squares" / "named.jpg").write_bytes((folder / "squares" / "squares_1.png").read_bytes())
    shapes = {"black": np.zeros((32, 32, 3)), "white": np.full((32, 32, 3), 255), "long": np.full((8, 400, 3), 90)}
    shapes["grey"] = np.tile(np.arange(0, 128, 4, np.uint8)[:, None], (1, 32))[..., None]
    for name, pixels in shapes.items():
        images.write(folder / "stripes" / f"{name}.png", pixels.astype(np.uint8))


# --- what runs in a pipeline --------------------------------------------------------------------------------------------------


def in_a_pipeline(registry: Registry, folder: Path) -> Iterator[tuple[str, int, Any]]:
    """The split, the findings of each check, the sections and the exporters, from one run."""
    write_faulty(folder / "images")
    made: list[tuple[str, int, Any]] = []
    checks = [one for one in registry.components("check") if is_ours(one)]

    @pipekit.stage
    def called(ctx: Context, dataset: Dataset) -> Files:
        """Call sections and exporters."""
        evaluation = make_tiny_evaluation(write_tiny_dataset(ctx.out_dir / "tiny", 2))
        for one in registry.components("report_section"):
            if is_ours(one) and one.name not in NOT_HERE and not required_parameters(one):
                more = (
                    [registry.check_params(one.params_type(), {})]
                    if "params" in inspection.signature(one.load()).parameters
                    else []
                )
                section = one.load()(ctx, evaluation, *more)
                if section is not None:
                    words = (section.title, section.markdown, section.tables, len(section.pictures))
                    made.append((f"report_section {one.name}", one.version, without(words, ctx.out_dir, folder)))
        for one in registry.components("exporter"):
            if is_ours(one) and f"exporter {one.name}" not in HEAVY and takes_datasets(one):
                made.append((f"exporter {one.name}", one.version, files_of(one, dataset, ctx.out_dir / "exports" / one.name)))
        return ctx.artifact(Files)

    name = register_under_test(registry, "stage", called)
    stages = {
        "data": {"use": "import.folders", "path": "images"},
        "split": {"use": "split"},
        "inspected": {
            "use": "inspect",
            "dataset": "split",
            "checks": [one.name for one in checks if not required_parameters(one)],
        },
        "called": {"use": name, "dataset": "split"},
    }
    table = {"name": "digests", "seed": 3, "max_failed": 0.5, "executor": "serial", "workers": 1, "stages": stages}
    outcome = run_plan(load_plan(table=table, base_dir=folder, registry=registry), silent, publish=False)
    split = {sample.id: sample.split for sample in outcome.artifact("split")}  # type: ignore[attr-defined]
    yield "stage split", registry.get("stage", "split").version, split
    findings = json.loads((outcome.artifact("inspected").path / "inspect.json").read_text("utf-8"))["findings"]
    for one in checks:
        told = sorted([found["severity"], *sorted(found["samples"])] for found in findings if found["check"] == one.name)
        yield f"check {one.name}", one.version, told
    yield from made


def is_ours(component: Component) -> bool:
    return component.plugin == "builtin" and not component.name.endswith(".*")


def digests(registry: Registry, folder: Path, example: Callable[[str], Path] | None = None) -> dict[str, dict[str, Any]]:
    """The version and the digest of each component.

    Args:
        example: a folder in the format of an importer; by default it is made.
    """
    found = {}
    for component in registry.components("importer"):
        if component.name in EXAMPLES and f"importer {component.name}" not in HEAVY:
            path = example(component.name) if example else EXAMPLES[component.name](folder / "examples" / component.name)
            (folder / "out" / component.name).mkdir(parents=True)
            rows = rows_of(component, path, folder / "out" / component.name)
            found[f"importer {component.name}"] = {"version": component.version, "output": digest_of(rows)}
    for name, version, value in in_a_pipeline(registry, folder / "project"):
        found[name] = {"version": version, "output": digest_of(value)}
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        every = digests(load_registry(installed=False), Path(place))
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in sorted(every.items()))
    FILE.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
