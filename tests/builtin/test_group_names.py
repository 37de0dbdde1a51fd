"""The finding of ``inspect`` about names that look like groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipekit.builtin.inspect.checks.group_names import GroupNamesParams, group_names
from pipekit.images.near_duplicates import fingerprint


def rows(stem: str) -> list[dict[str, Any]]:
    return [
        {"id": f"{label}/{stem.format(number // 8)}_{number % 8}.jpg", "label": label, "split": ""}
        for number in range(160)
        for label in [("well", "sick")[number // 8 % 2]]
    ]


def test_patients_are_a_warning_that_names_the_pattern() -> None:
    (found,) = group_names(rows("patient_{:03}"), None, GroupNamesParams())  # type: ignore[arg-type]
    assert (found.severity, found.values["groups"], found.values["images"]) == ("warning", 20, 160)
    assert found.values["pattern"] in found.message


def test_patients_with_both_classes_are_noticed_by_what_their_images_look_like() -> None:
    rng = np.random.default_rng(0)
    looks = [rng.integers(0, 256, (32, 32, 1)).astype(np.uint8) for _ in range(20)]
    chance = rng.integers(0, 2, 160).tolist()
    some = [
        {
            "id": f"{('well', 'sick')[chance[number]]}/patient_{number // 8:03}_{number % 8}.jpg",
            "label": ("well", "sick")[chance[number]],
            "split": "",
            "print": fingerprint(np.clip(looks[number // 8] + rng.normal(0, 30, (32, 32, 1)), 0, 255).astype(np.uint8)),
        }
        for number in range(160)
    ]
    (found,) = group_names(some, None, GroupNamesParams())  # type: ignore[arg-type]
    assert "images of one stem look more alike" in found.message


def test_images_without_groups_have_no_finding() -> None:
    assert list(group_names(rows("photo"), None, GroupNamesParams())) == []  # type: ignore[arg-type]


def test_images_without_a_class_are_no_failure() -> None:
    gray = fingerprint(np.full((32, 32, 1), 128, np.uint8))
    unlabelled = [row | {"label": None, "print": gray} for row in rows("patient_{:03}")]
    assert list(group_names(unlabelled, None, GroupNamesParams())) == []  # type: ignore[arg-type]
