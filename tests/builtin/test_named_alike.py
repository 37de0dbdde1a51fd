"""What a report says of names that look like groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipekit.builtin.evaluate import named_alike
from pipekit.builtin.evaluate.grouping import groups_of
from pipekit.contract import Sample
from pipekit.learning.known_groups import COLUMN, COPIES

SICK = np.random.default_rng(0).integers(0, 2, 40).tolist()


def patients(split_of: Any) -> list[Sample]:
    """40 patients with 6 images each."""
    found = []
    for number in range(240):
        label = ("well", "sick")[SICK[number // 6]]
        name = f"{label}/patient_{number // 6:03}_{number % 6}.jpg"
        found.append(Sample(name, "", label=label, split=split_of(number)))
    return found


def find(samples: list[Sample], split: str = "test") -> Any:
    return named_alike.find(samples, [one for one in samples if one.split == split], split, {})  # type: ignore[arg-type]


def test_evaluated_images_of_patients_in_train_are_counted() -> None:
    found = find(patients(lambda number: "test" if number % 6 == 0 else "train"))
    assert (found["in_train"], found["num_groups"]) == (40, 40)
    assert "--group-pattern" in found["option"]


def test_patients_in_several_folds_are_counted() -> None:
    samples = patients(lambda number: "out-of-fold")
    for folds, count in (([number % 6 + 1 for number in range(240)], 240), ([number // 60 + 1 for number in range(240)], 0)):
        found = named_alike.find(samples, samples, "out-of-fold", {}, folds)  # type: ignore[arg-type]
        assert found is not None
        assert found["in_train"] == count


def test_patients_of_one_split_share_their_stems_with_one_another_only() -> None:
    samples = patients(lambda number: "test" if number < 120 else "train")
    assert find(samples)["in_train"] == 0
    assert find(samples, "train")["in_train"] == 0


def test_names_without_groups_say_nothing() -> None:
    samples = [Sample(f"cat/cat.{number}.jpg", "", label="cat", split="test") for number in range(200)]
    assert find(samples) is None


def test_copies_and_names_make_groups_of_two_kinds() -> None:
    plain = [Sample(f"{number}.jpg", "") for number in range(6)]
    alone = list(range(6))
    assert groups_of(plain, alone).groups is None
    near = groups_of(plain, alone, copies=[(0, 1)])
    assert (near.kind, near.groups.tolist()) == ("copies", [0, 0, 1, 2, 3, 4])
    kept = [Sample(f"{number}.jpg", "", extra={COPIES: number // 2}) for number in range(6)]
    assert groups_of(kept, alone).kind == "copies"
    assert groups_of(kept, alone, copies=[(1, 2)]).groups.tolist() == [0, 0, 0, 0, 1, 1]
    named = [Sample(f"{number}.jpg", "", extra={COLUMN: number // 3}) for number in range(6)]
    assert (groups_of(named, alone).kind, groups_of(named, alone).groups.tolist()) == ("named", [0, 0, 0, 1, 1, 1])
    clips = [Sample(f"{number}.jpg", "", extra={"clip": f"{number // 3}.mp4", "frame": number}) for number in range(6)]
    assert groups_of(clips, [0, 0, 0, 3, 3, 3]).kind == "named"
