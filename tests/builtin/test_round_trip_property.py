"""For any dataset x, ``export(import(export(x)))`` has the files of ``export(x)``, and ``import(export(x))`` is x: classes with
their numbers and order, unused ones too; boxes, polygons, keypoints, flags and ids.

``test_round_trips.py`` compares with independent readers; here hypothesis looks for the values that nobody thought of.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipekit.artifacts import joined_categories
from pipekit.contract import Box, Categories, Category, Dataset, Failure, Keypoint, Sample, Targets, params_type_of
from pipekit.registry.registry import load_registry
from tests.builtin.annotated import picture

HEIGHT, WIDTH = 40, 60
EXAMPLES = int(os.environ.get("PIPEKIT_ROUND_TRIPS", "10"))
REGISTRY = load_registry(installed=False)

LETTERS = st.characters(exclude_categories=["C", "Zl", "Zp"])
NAMES = st.text(LETTERS, min_size=1, max_size=6).map(str.strip).filter(bool)
FLAGS = {"coco": ("iscrowd", "occluded", "truncated"), "voc": ("difficult", "truncated", "occluded"), "yolo": ()}


@st.composite
def datasets(draw: st.DrawFn, format: str) -> tuple[list[Category], list[tuple[str, tuple[Box, ...], tuple[Keypoint, ...]]]]:
    """Classes, and for each image its split, boxes and keypoints."""
    own = NAMES.filter(lambda name: name == " ".join(name.replace(":", "_").split())) if format == "voc" else NAMES
    names = draw(st.lists(own, min_size=1, max_size=4, unique=True))
    numbers: Iterable[int] = range(len(names))
    if format == "coco":
        numbers = draw(st.lists(st.integers(0, 10**6), min_size=len(names), max_size=len(names), unique=True))
    parts = ("nose", "left eye", "right eye") if format == "coco" and draw(st.booleans()) else ()
    classes = [Category(name, number) for name, number in zip(names, numbers, strict=True)]
    classes[0] = replace(classes[0], keypoints=parts, skeleton=((0, 1), (2, 0)) if parts else ())
    polygons = format == "coco" or (format == "yolo" and draw(st.booleans()))
    ids = iter(draw(st.permutations(range(1, 13))))
    found = []
    for _ in range(draw(st.integers(1, 3))):
        split, boxes, points = draw(st.sampled_from(["train", "val"])), [], []
        for at in range(draw(st.integers(0, 3))):
            of = draw(st.sampled_from(classes))
            outline = polygons and (format == "yolo" or draw(st.booleans()))
            boxes.append(draw(objects(format, of.name, outline, next(ids))))
            places = [st.integers(0, side - 1).map(float) for side in (WIDTH, HEIGHT)]
            points += [Keypoint(*map(draw, places), name, draw(st.booleans()), at) for name in of.keypoints]
        found.append((split, tuple(boxes), tuple(points)))
    return classes, found


@st.composite
def objects(draw: st.DrawFn, format: str, label: str, outlined: bool, number: int) -> Box:
    half = 1 if format == "voc" else 2
    edges = []
    for side in (WIDTH, HEIGHT):
        low = draw(st.integers(0, (side - 4) * half))
        edges.append((low / half, draw(st.integers(low + 3 * half, side * half)) / half))
    (left, right), (top, bottom) = edges
    middle = (left + right) / 2
    facts: dict[str, Any] = {flag: True for flag in FLAGS[format] if draw(st.booleans())}
    if format == "coco":
        facts["id"] = number
    corners = (left, top, middle, bottom, right, top) if draw(st.booleans()) else (left, bottom, middle, top, right, top)
    return Box(left, top, right, bottom, label, (corners,) if outlined else (), facts)


def dataset_of(samples: Iterable[Sample], classes: Iterable[Category]) -> Dataset:
    rows = sorted(samples, key=lambda sample: sample.id)
    meta = {"num_samples": len(rows), "classes": [], "categories": {"boxes": [entry.to_plain() for entry in classes]}}
    return Dataset(Path(), "", meta, lambda _: iter(rows), lambda _: iter(()))


def exported(format: str, dataset: Dataset, out_dir: Path) -> dict[str, str]:
    """The files with annotations."""
    out_dir.mkdir()
    write = REGISTRY.get("exporter", format).load().write
    write(dataset, out_dir, params_type_of(write)())
    files = sorted(file for file in out_dir.rglob("*") if file.is_file() and file.suffix != ".png")
    texts = {file.relative_to(out_dir).as_posix(): file.read_text("utf-8") for file in files}
    return {name: re.sub(r"(\.\d{6})\d+", r"\1", text) for name, text in texts.items()}  # YOLO's fractions have 8 digits


def imported(format: str, path: Path) -> tuple[list[Sample], list[Category]]:
    importer = REGISTRY.get("importer", format)
    params = importer.params_type()(**({"crowds": True} if format == "coco" else {}))
    more = (path / "written",) if format == "coco" else ()
    rows = list(importer.load().read(path, params, *more))
    assert not [row for row in rows if isinstance(row, Failure)]
    lists = [{row.of: [entry.to_plain() for entry in row.entries]} for row in rows if isinstance(row, Categories)]
    classes = [Category.from_plain(entry) for entry in joined_categories(lists).get("boxes", ())]
    return [row for row in rows if isinstance(row, Sample)], classes


def known(samples: Iterable[Sample]) -> dict[str, Any]:
    """By the name of its image, what must be equal: the split, the objects with flags and ids, keypoints."""
    return {
        Path(sample.image).name: (
            sample.split,
            [(box.label, box.facts) for box in sample.targets.boxes],
            sample.targets.keypoints,
            sample.extra,
        )
        for sample in samples
    }


def numbers(samples: Iterable[Sample]) -> list[float]:
    """Edges and corners of all boxes, by the names of the images."""
    found: list[float] = []
    for sample in sorted(samples, key=lambda sample: Path(sample.image).name):
        for box in sample.targets.boxes:
            found += [box.x_min, box.y_min, box.x_max, box.y_max, *(value for part in box.outline for value in part)]
    return found


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return picture(tmp_path_factory.mktemp("image") / "a.png", (HEIGHT, WIDTH))


@pytest.mark.parametrize("format", ["coco", "yolo", "voc"])
def test_nothing_is_lost(format: str, image: Path) -> None:
    @settings(max_examples=EXAMPLES)
    @given(datasets(format))
    def compare(made: Any) -> None:
        classes, content = made
        samples = []
        for at, (split, boxes, points) in enumerate(content):
            extra = {"image_id": 7 - at} if format == "coco" else {}
            samples.append(Sample(f"{at}.png", str(image), None, None, split, Targets("", "", boxes, points), extra))
        with tempfile.TemporaryDirectory() as folder:
            first, second = Path(folder, "first"), Path(folder, "second")
            files = exported(format, dataset_of(samples, classes), first)
            found, listed = imported(format, first)
            named = [replace(sample, image=str(first / sample.id)) for sample in samples]
            assert known(found) == known(named)
            assert numbers(found) == pytest.approx(numbers(named), abs=1e-3)
            without = {"number": None} if format == "voc" else {}
            assert listed == [replace(entry, **without) for entry in classes]
            assert exported(format, dataset_of(found, listed), second) == files

    compare()
