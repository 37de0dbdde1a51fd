"""Images and masks in two folders, under the same names: ``images/train/a.jpg`` and ``masks/train/a.png``."""

from __future__ import annotations

import csv
from pathlib import Path

from pipekit.builtin.exporters.common import ImagesParams, Names, place
from pipekit.contract import Dataset
from pipekit.files import read_bytes

CARRIES = {"mask", "mask_names"}
"""What the format holds of a sample besides its image and its split."""

CLASSES = "classes.csv"


def write(artifact: Dataset, out_dir: Path, params: ImagesParams) -> None:
    """Masks are copied unchanged. Images without a mask are in ``images`` too and listed in ``without_mask.txt``; the names of
    their values, if known, in ``classes.csv``.
    """
    names = Names()
    stems: set[str] = set()
    without: list[str] = []
    for sample in artifact:
        name = names.of(sample, sample.split)
        while (stem := name.rpartition(".")[0]).lower() in stems:
            name = names.of(sample, sample.split)
        stems.add(stem.lower())
        place(sample, out_dir / "images" / name, params.images)
        if not sample.targets.mask:
            without.append(name)
            continue
        mask = out_dir / "masks" / f"{stem}.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        mask.write_bytes(read_bytes(sample.targets.mask))
    if without:
        (out_dir / "without_mask.txt").write_text("".join(f"{name}\n" for name in without), "utf-8")
    if listed := artifact.categories("masks"):
        with (out_dir / CLASSES).open("w", encoding="utf-8", errors="replace", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["value", "name"])
            table.writerows((entry.number, entry.name) for entry in listed if entry.number is not None)
