"""Exporters, precisions and templates: every model that a precision trains is exported to every format and compared.

Rerun::

    python -m tests.builtin.export_grid

Each template is trained by the command `train` on 36 textures, in a process of its own, with each precision; each model is
exported to each format, and the table has the largest difference of a probability, or the error. ``test_mixed_precision.py``
exports a part of the grid.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipekit.contract import Model
from pipekit.errors import PipekitError
from pipekit.registry.registry import load_registry

TEXTURES = Path(__file__).parents[2] / "sample_data" / "textures" / "images" / "train"
REGISTRY = load_registry(installed=False)
EXPORTERS = ("savedmodel", "tflite", "tflite-int8", "onnx")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
TEMPLATES: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "hog_svm": {},
    "mlp": {"units": [8]},
    "simple_cnn": {},
    "row_lstm": {"units": 8},
    "alexnet": {"input_hw": [67, 67]},
    "pretrained": {"backbone": "MobileNet", "weights": "random"},
    "autoencoder": {"filters": [4], "code": 3},
}
"""Each template of the box, small. ``input_hw`` is a parameter of the stage."""


def export(to: str, model: Path, out: Path, pictures: Path) -> Mapping[str, Any]:
    """Export the model in a folder, with the images of another for calibration and check; returns ``check.json``.

    A model of random weights answers nearly alike for all images, so 8-bit integers may change its classes.
    """
    exporter = REGISTRY.get("exporter", to)
    found: Any = exporter.load()
    out.mkdir()
    more = {"least_agreement": 0.0} if to == "tflite-int8" else {}
    params = REGISTRY.check_params(exporter.params_type(), {"images": str(pictures), **more})
    getattr(found, "write", found)(Model(model, "digest", {}), out, params, report=None)
    checked: Mapping[str, Any] = json.loads((out / "check.json").read_text("utf-8"))
    return checked


def taken_apart(template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of a template, and those of the stage."""
    table = dict(TEMPLATES[template])
    more = {name: table.pop(name) for name in ("input_hw",) if name in table}
    return table, more


def cells(template: str, precisions: Sequence[str], place: Path) -> Iterator[tuple[str, str, str]]:
    """Precision, exporter and outcome of every cell of a template."""
    import pipekit

    images = place / "images"
    for folder in sorted(TEXTURES.iterdir()):
        (images / folder.name).mkdir(parents=True)
        for file in sorted(folder.iterdir())[:12]:
            shutil.copy(file, images / folder.name)
    table, more = taken_apart(template)
    if template not in ("logistic_regression", "hog_svm"):
        more["epochs"] = 1
    if template == "autoencoder":
        more["label_mode"] = "input"
    for precision in precisions:
        named = {"model": {"template": template, **table}, "precision": precision, **more}
        try:
            model = pipekit.train(images, name=precision, report=False, **named).artifact("train").path
        except PipekitError as error:
            yield precision, "not trained", str(error).splitlines()[0]
            continue
        for to in EXPORTERS:
            try:
                found = export(to, model, place / f"{precision} {to}", images)
            except PipekitError as error:
                yield precision, to, f"{type(error).__name__}: {error}"
            else:
                yield precision, to, f"{found['largest_difference']:.1e}, {found['same_class']} of {found['count']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", default=",".join(TEMPLATES))
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--here", action="store_true", help="train in this process")
    chosen = parser.parse_args()
    for template in chosen.templates.split(","):
        if not chosen.here:
            words = ["-m", "tests.builtin.export_grid", "--here", "--templates", template, "--precisions", chosen.precisions]
            made = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, text=True)
            lines = [line for line in made.stdout.splitlines() if line.startswith("| ")]
            print("\n".join(lines or [f"| {template} | ended with {made.returncode} |"]), flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.environ["PIPEKIT_STORE"] = str(Path(folder, "store"))
            here = Path.cwd()
            os.chdir(folder)
            for precision, to, said in cells(template, chosen.precisions.split(","), Path(folder)):
                print(f"| {template} | {precision} | {to} | {said} |", flush=True)
            os.chdir(here)


if __name__ == "__main__":
    main()
