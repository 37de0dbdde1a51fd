"""Accuracy and processor time of ``pipekit train FOLDER``, that is of ``model = "auto"``, with few and with many images.

    python benchmarks/sight_auto.py PHOTOS                        # ten draws of ten images a class, 400 others for the test
    python benchmarks/sight_auto.py PHOTOS --images 700 --draws 1
    python benchmarks/sight_auto.py sample_data/textures/images --draws 3 --test 60
    python benchmarks/sight_auto.py PHOTOS --timed 0 --record benchmarks/cats_and_dogs.csv   # what the gallery's picture shows

PHOTOS is a folder with a folder for each class; with folders train, val and test below it, those are joined. The accuracies of
the draws are measured in one process, without explanations; the processor time is that of the whole command, report included,
in its own process with an empty store (``--timed``, default 1). Then the command runs where no network can be reached.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipekit.engine.adhoc import AdhocPipeline
from pipekit.files import image_suffixes

SPLITS = ("train", "val", "test")


def images_of(folder: Path) -> dict[str, list[Path]]:
    """The images of each class."""
    places = [folder / split for split in SPLITS if (folder / split).is_dir()] or [folder]
    found: dict[str, list[Path]] = {}
    for place in places:
        for one in sorted(place.iterdir()):
            if one.is_dir():
                found.setdefault(one.name, []).extend(
                    path for path in sorted(one.rglob("*")) if path.suffix.lower() in image_suffixes()
                )
    return found


def draw(every: dict[str, list[Path]], out: Path, images: int, test: int, seed: int) -> None:
    """Copy some images of each class into ``train``, and others into ``test``; pipekit takes val from ``train``."""
    for label, paths in every.items():
        chosen = random.Random(f"{seed} {label}").sample(paths, min(len(paths), images + test // len(every)))
        for split, part in (("train", chosen[:images]), ("test", chosen[images:])):
            (out / split / label).mkdir(parents=True)
            for number, path in enumerate(part):
                shutil.copyfile(path, out / split / label / f"{number:04}{path.suffix.lower()}")


def evaluated(folder: Path, budget: str) -> tuple[dict[str, Any], str]:
    """The metrics of the test images, and the chosen template."""
    pipeline = AdhocPipeline(settings={"name": folder.name, "seed": 0})
    data = pipeline.add("data", "import.folders", path=str(folder))
    divided = pipeline.add("split", "split", dataset=data)
    trained = pipeline.add("train", "train", dataset=divided, model={"template": "auto", "budget": budget})
    pipeline.add("report", "evaluate", dataset=divided, model=trained, explain=0, pictures=0)
    outcome = pipeline.run()
    metrics = json.loads((outcome.artifact("report").path / "metrics.json").read_text("utf-8"))
    info = json.loads((outcome.artifact("train").path / "model.json").read_text("utf-8"))
    return metrics, str(info["template"])


def recorded(draw: int, metrics: dict[str, Any]) -> list[list[Any]]:
    """Rows of the record: the draw, the class, its test images, and how many of them are right."""
    classes, matrix = metrics["classes"], metrics["confusion_matrix"]
    return [[draw, label, sum(row), row[number]] for number, (label, row) in enumerate(zip(classes, matrix, strict=True))]


def timed(folder: Path, place: Path, budget: str, offline: bool) -> tuple[float, int]:
    """Processor seconds of the whole command in its own process, and its exit code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "pipekit", "train", str(folder), "--budget", budget, "--quiet"]
    alone = ["unshare", "--map-root-user", "--net"] if offline else []
    environment = {**os.environ, "PIPEKIT_STORE": str(place / "store")}
    done = subprocess.run([*alone, *command], cwd=place, env=environment, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=10, help="training and validation images of each class")
    parser.add_argument("--test", type=int, default=400, help="test images of all classes")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--timed", type=int, default=1, help="draws whose whole command is timed")
    parser.add_argument("--record", type=Path, help="a CSV file for the right answers of each draw and class")
    chosen = parser.parse_args()
    record = chosen.record and chosen.record.resolve()
    every = images_of(chosen.photos.resolve())
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["PIPEKIT_STORE"] = str(Path(temporary) / "store")
        found, rows = [], []
        for seed in range(chosen.draws):
            folder = Path(temporary) / f"draw{seed}"
            draw(every, folder, chosen.images, chosen.test, seed)
            os.chdir(temporary)
            metrics, template = evaluated(folder, chosen.budget)
            found.append((float(metrics["accuracy"]["value"]), template))
            rows += recorded(seed, metrics)
            print(f"draw {seed}: accuracy {found[-1][0]:.3f}, {found[-1][1]}", flush=True)
        values = [value for value, _ in found]
        print(f"mean {statistics.mean(values):.3f}, {min(values):.3f} to {max(values):.3f}, {len(values)} draws")
        if record:
            with record.open("w", encoding="utf-8", newline="") as out:
                csv.writer(out, lineterminator="\n").writerows([["draw", "class", "tested", "right"], *rows])
        for seed in range(min(chosen.timed, chosen.draws)):
            place = Path(temporary) / f"timed{seed}"
            place.mkdir()
            offline = shutil.which("unshare") is not None
            seconds, code = timed(Path(temporary) / f"draw{seed}", place, chosen.budget, offline)
            print(f"whole command: {seconds:.0f} s of processor time, exit code {code}, network {'off' if offline else 'on'}")


if __name__ == "__main__":
    main()
