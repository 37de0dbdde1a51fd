"""Each model template on one small dataset: parameters, time and test accuracy, as a table for ``docs/models.md``.

    python benchmarks/templates.py [--work FOLDER]

The dataset is scikit-learn's digits (1,797 images of 8 x 8 pixels), which needs no download: 20 % train, 10 % val, 70 % test.
All templates have their defaults, ``epochs`` too, and the same split. Times are processor seconds of the training.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _common import cpu_seconds
from sklearn.datasets import load_digits

from pipekit import images

INPUTS = {
    "simple_cnn": (32, 32),
    "mlp": (32, 32),
    "hog_svm": (32, 32),
    "row_lstm": (32, 32),
    "logistic_regression": None,
    "alexnet": (67, 67),
    "auto": None,
}
"""Height and width of the input; None takes the template's own. ``pretrained`` needs weights that are not in the box, and an
autoencoder has no accuracy."""

PIPELINE = """
name = "{name}"
seed = 7

[stages.data]
use = "import.folders"
path = "../digits"

[stages.split]
use = "split"
dataset = "data"
fractions = {{ train = 0.2, val = 0.1, test = 0.7 }}

[stages.train]
use = "train"
dataset = "split"
model = {{ template = "{name}" }}
{input}

[stages.report]
use = "evaluate"
dataset = "split"
explain = 0
"""


def write_digits(folder: Path) -> None:
    """Class folders of 8-bit PNG files."""
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        grey = np.clip(pixels * 16, 0, 255).astype(np.uint8)
        path = folder / str(label) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, np.repeat(grey[..., None], 3, axis=2))


def run(work: Path, name: str, *more: str) -> float:
    """Processor seconds of a run of a template's pipeline."""
    size = INPUTS[name]
    text = PIPELINE.format(name=name, input=f"input_hw = [{size[0]}, {size[1]}]" if size else "")
    own = work / name  # with a separate store: features that another template has computed would be free
    own.mkdir(exist_ok=True)
    (own / "pipeline.toml").write_text(text, "utf-8")
    before = cpu_seconds()
    subprocess.run([sys.executable, "-m", "pipekit", "run", *more], cwd=own, check=True, stdout=subprocess.DEVNULL)
    return cpu_seconds() - before


def row(work: Path, name: str, train_s: float) -> str:
    """A line of the table."""
    folder = work / name / "runs" / name
    model: dict[str, Any] = json.loads((folder / "model.json").read_text("utf-8"))
    accuracy = json.loads((folder / "metrics.json").read_text("utf-8"))["accuracy"]
    height, width, _ = model["input_shape_hwc"]
    made = f" (chose `{model['template']}`)" if name == "auto" else ""
    interval = f"{accuracy['value']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f})"
    return f"| `{name}`{made} | {height} x {width} | {model['parameters']:,} | {train_s:.0f} s | {interval} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="an empty folder; a temporary one by default")
    parser.add_argument("--templates", nargs="+", choices=sorted(INPUTS), default=list(INPUTS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        write_digits(work / "digits")
        print("| template | input | parameters | processor time | test accuracy (95 % interval) |")
        print("|---|---|---|---|---|", flush=True)
        for name in arguments.templates:
            run(work, name, "--until", "split")
            train_s = run(work, name, "--until", "train")
            run(work, name)
            print(row(work, name, train_s), flush=True)


if __name__ == "__main__":
    main()
