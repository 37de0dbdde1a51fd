"""The finding of ``inspect`` about names that look like groups."""

from __future__ import annotations

from typing import Any

from pipekit.builtin.inspect.checks.group_names import GroupNamesParams, group_names


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


def test_images_without_groups_have_no_finding() -> None:
    assert list(group_names(rows("photo"), None, GroupNamesParams())) == []  # type: ignore[arg-type]
