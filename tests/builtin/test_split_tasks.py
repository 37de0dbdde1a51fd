"""The split of images with several labels (iterative stratification) and with numbers (by quantiles)."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.split.allocate import Unit
from pipekit.builtin.split.groups import intervals
from pipekit.builtin.split.iterative import iterative
from pipekit.columnar import Few
from tests.conftest import Trial

FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}
HALVES = {"train": 0.5, "test": 0.5}


def units_of(table: Any, sizes: Any = None) -> list[Unit]:
    sizes = np.ones(len(table), int) if sizes is None else sizes
    return [
        Unit(str(at), tuple((str(label), int(row[label])) for label in np.flatnonzero(row)), "", int(size))
        for at, (row, size) in enumerate(zip(table, sizes, strict=True))
    ]


@pytest.mark.parametrize(("seed", "count", "labels"), [(0, 60, 4), (1, 300, 6), (2, 500, 15)])
def test_each_label_is_within_one_image_of_its_share(seed: int, count: int, labels: int) -> None:
    chance = np.random.default_rng(seed)
    table = (chance.random((count, labels)) < chance.beta(0.6, 3, labels)).astype(int)
    places = np.array(iterative(units_of(table), FRACTIONS, seed=3))
    for name, share in FRACTIONS.items():
        chosen = places == name
        assert abs(table[chosen].sum(axis=0) - share * table.sum(axis=0)).max() < 1
        assert abs(chosen.sum() - share * count) <= 1


def test_it_keeps_places_and_does_not_depend_on_the_order() -> None:
    chance = np.random.default_rng(5)
    units = units_of((chance.random((80, 5)) < 0.3).astype(int))
    units[:10] = [Unit("", unit.classes, "test", 1) for unit in units[:10]]
    found = iterative(units, FRACTIONS, 1)
    assert found[:10] == ["test"] * 10
    assert iterative(units[::-1], FRACTIONS, 1)[::-1] == found


def test_images_without_labels_are_divided_too() -> None:
    assert sorted(iterative(units_of(np.zeros((20, 3), int)), {"train": 0.5, "val": 0.5}, 0)).count("val") == 10


def test_numbers_are_stratified_by_quantiles() -> None:
    values = np.random.default_rng(0).lognormal(size=200)
    strata = intervals(Few.of([repr(float(value)) for value in values] + [""]))
    assert strata[-1] == ("",)
    of_each = np.unique([name for (name,) in strata[:-1]], return_counts=True)[1]
    assert len(of_each) == 20
    assert of_each.min() >= 9
    assert of_each.max() <= 11
    assert intervals(Few.of(["1.0", "1.0", "2.0"])) == [("00",), ("00",)]


def write_table(folder: Path, header: str, cells: list[str]) -> None:
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", header])
        for number, cell in enumerate(cells):
            images.write(folder / f"{number:02}.png", np.full((8, 8, 3), (number, 40, 9 * (number % 20)), np.uint8))
            table.writerow([f"{number:02}.png", cell])


def test_groups_and_the_split_file_hold_for_several_labels(trial: Trial) -> None:
    chance = np.random.default_rng(3)
    cells = ["|".join(label for label in "abcd" if chance.random() < 0.4) or "[]" for _ in range(40)]
    write_table(trial.path, "label", cells)
    photos = {"use": "import.csv", "path": "labels.csv", "task": "multilabel"}
    cut = {"use": "split", "dataset": "photos", "duplicates": "off", "group_pattern": r"(.)\.png"}
    made = trial.run({"photos": photos, "split": cut}).artifact("split")
    of_group: dict[str, set[str]] = {}
    for sample in made:
        of_group.setdefault(sample.id[1], set()).add(sample.split)
    assert all(len(splits) == 1 for splits in of_group.values())
    before = {sample.id: sample.split for sample in made}
    write_table(trial.path, "label", [*cells, "a|d"])
    again = trial.run({"photos": photos, "split": cut}).artifact("split")
    assert {sample.id: sample.split for sample in again if sample.id in before} == before


def test_numbers_get_the_shares_in_every_part_of_their_range(trial: Trial) -> None:
    write_table(trial.path, "angle", [f"{number / 7:.2f}" for number in range(60)])
    photos = {"use": "import.csv", "path": "labels.csv", "task": "number"}
    cut = {
        "use": "split",
        "dataset": "photos",
        "duplicates": "off",
        "fractions": {"train": 0.5, "test": 0.5},
        "remember": False,
    }
    made = trial.run({"photos": photos, "split": cut}).artifact("split")
    low = [sample.split for sample in made if sample.value < 30 / 7]
    assert (len(low), low.count("test")) == (30, 15)
