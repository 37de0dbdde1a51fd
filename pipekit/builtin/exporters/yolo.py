"""YOLO detection: ``images/<split>``, ``labels/<split>``, ``data.yaml``. https://docs.ultralytics.com/datasets/detect/"""

from __future__ import annotations

from pathlib import Path

from pipekit.builtin.exporters.common import NO_SPLIT, ImagesParams, Names, box_classes, place, size_of
from pipekit.contract import Box, Dataset

CARRIES = {"boxes", "outlines"}
"""What the format holds of a sample besides its image and its split."""


def write(artifact: Dataset, out_dir: Path, params: ImagesParams) -> None:
    """One text file per image, with a line ``class x y width height`` per box, as fractions of the image's size.

    If a box has an outline, all lines of the file are polygons, ``class x y x y …``: readers accept no mixture. An object in
    several parts becomes one polygon, joined by lines without area.
    """
    import yaml

    classes = box_classes(artifact)
    numbers = {name: number for number, name in enumerate(classes)}
    names = Names()
    splits: set[str] = set()
    stems: set[str] = set()
    for sample in artifact:
        split = sample.split or NO_SPLIT
        splits.add(split)
        name = names.of(sample, split)
        while (stem := name.rpartition(".")[0].lower()) in stems:  # a.jpg and a.png would share a.txt
            name = names.of(sample, split)
        stems.add(stem)
        place(sample, out_dir / "images" / name, params.images)
        lines = []
        height, width = size_of(sample) if sample.targets.boxes else (1, 1)
        as_polygons = any(box.outline for box in sample.targets.boxes)
        for box in sample.targets.boxes:
            if as_polygons:
                shares = " ".join(f"{value:.8f}" for value in _polygon(box, width, height))
                lines.append(f"{numbers[box.label]} {shares}\n")
                continue
            x, y = (box.x_min + box.x_max) / 2 / width, (box.y_min + box.y_max) / 2 / height
            share = (box.x_max - box.x_min) / width, (box.y_max - box.y_min) / height
            lines.append(f"{numbers[box.label]} {x:.8f} {y:.8f} {share[0]:.8f} {share[1]:.8f}\n")
        labels = (out_dir / "labels" / name).with_suffix(".txt")
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("".join(lines), "utf-8")
    described = {"path": ".", **{split: f"images/{split}" for split in sorted(splits)}, "names": dict(enumerate(classes))}
    (out_dir / "data.yaml").write_text(yaml.safe_dump(described, sort_keys=False, allow_unicode=True), "utf-8")


def _polygon(box: Box, width: int, height: int) -> list[float]:
    """The corners of an object's outline, or of its box, as fractions of the image's size."""
    from pipekit.images.polygons import joined, polygons_of

    corners = (box.x_min, box.y_min, box.x_max, box.y_min, box.x_max, box.y_max, box.x_min, box.y_max)
    found: list[float] = (joined(polygons_of(box.outline or (corners,))) / (width, height)).ravel().tolist()
    return found
