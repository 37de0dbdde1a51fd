"""The example of a dataset check: a small dataset with a planted fault, inspected by that check alone."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.contract import Dataset, Sample

if TYPE_CHECKING:
    from pipekit.images import Image
    from pipekit.registry.component import Component
    from pipekit.registry.registry import Registry

CLASS_FOLDERS: Mapping[str, Any] = {"use": "import.folders", "path": "images"}
"""The import of an example that names none."""


@dataclass(frozen=True)
class Example:
    """What a check found in its example.

    Attributes:
        findings: the content of ``findings`` in ``inspect.json``.
        samples: the images that can be read, or are said to be.
        unusable: the others: they have ids and nothing else.
        warnings: of the stage ``inspect``.
    """

    findings: tuple[Mapping[str, Any], ...]
    samples: tuple[Sample, ...]
    unusable: tuple[Sample, ...]
    warnings: tuple[str, ...]


def run_example(registry: Registry, check: Component, image: Image, folder: Path) -> Example | None:
    """Write a check's example into an empty folder and inspect it; None without an example.

    Args:
        image: ``(H, W, 3) uint8`` RGB; the example is made of parts of it.

    Raises:
        PipekitError: the example can't be imported.
    """
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    function = check.load()
    plant = getattr(function, "example", None)
    if plant is None:
        return None
    stages: dict[str, Mapping[str, Any]] = {"data": plant(folder, image) or CLASS_FOLDERS}
    more = {}
    if "features" in inspect.signature(function).parameters:
        stages["embed"] = {"use": "embed"}
        more["embeddings"] = "embed"
    stages["inspect"] = {"use": "inspect", "dataset": "data", "checks": [{"use": check.reference}], **more}
    table = {"name": "example", "seed": 1, "max_failed": 1, "executor": "serial", "workers": 1, "stages": stages}
    outcome = run_plan(load_plan(table=table, base_dir=folder, registry=registry, store=folder / ".store"))
    found = json.loads((outcome.artifact("inspect").path / "inspect.json").read_text("utf-8"))["findings"]
    (made,) = (stage for stage in outcome.stages if stage.name == "inspect")
    dataset = outcome.artifact("data")
    assert isinstance(dataset, Dataset)
    samples, broken = list(dataset), {name for one in found if one["check"] == "corrupt" for name in one["samples"]}
    broken |= {failure.id for failure in dataset.failed() if not failure.part_of}
    good = tuple(sample for sample in samples if sample.id not in broken)
    return Example(tuple(found), good, tuple(Sample(name, "") for name in sorted(broken)), tuple(made.warnings))
