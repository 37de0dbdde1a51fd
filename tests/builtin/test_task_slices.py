"""Slices of several labels and of numbers: where the model is worse, and what is no evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipekit.builtin.evaluate import slices, task_slices
from pipekit.contract import Sample
from pipekit.errors import UserError


def of(count: int, column: str = "place") -> tuple[Sample, ...]:
    return tuple(Sample(f"{at:03}", "", extra={column: "indoor" if at % 3 == 0 else "outdoor"}) for at in range(count))


def rows_of(worse: float, count: int = 90, groups: Any = None) -> Any:
    """Rows of images whose errors are larger indoors."""
    chance = np.random.default_rng(0)
    true = chance.uniform(0, 10, count)
    errors = chance.normal(size=count) * np.where(np.arange(count) % 3 == 0, worse, 1.0)
    parts = slices.parts_of(of(count), {}, ())
    return task_slices.by_number(parts, true, true + errors, groups, 100, lambda: np.random.default_rng(1)), errors


def test_a_slice_with_larger_errors_is_found() -> None:
    (indoor, outdoor), errors = rows_of(4.0)
    assert (indoor["by"], indoor["slice"], indoor["count"], indoor["weaker"]) == ("place", "indoor", 30, True)
    assert indoor["mae"]["value"] == pytest.approx(np.abs(errors[::3]).mean())
    assert indoor["mae"]["low"] < indoor["mae"]["value"] < indoor["mae"]["high"]
    assert not outdoor["weaker"], "its errors are smaller"
    section = task_slices.section([indoor, outdoor], " deg")
    assert section is not None
    assert f"Worse than the other images: place indoor: {indoor['mae']['value']:.4g} deg." in section.markdown
    assert section.tables[0].columns[3:5] == ("MAE deg", "bias deg")


def test_equal_errors_few_images_and_few_groups_are_no_evidence() -> None:
    assert not any(row["weaker"] for row in rows_of(1.0)[0])
    (indoor, _), _ = rows_of(4.0, 57)
    assert (indoor["count"], indoor["p_holm"], indoor["weaker"]) == (19, None, False)
    (indoor, _), _ = rows_of(4.0, groups=np.arange(90) // 30)
    assert not indoor["weaker"], "three groups"


def test_a_column_that_no_image_has_is_refused() -> None:
    with pytest.raises(UserError, match="no evaluated image has a column 'camera'") as refused:
        slices.parts_of(of(9), {}, ("camera",))
    assert refused.value.hint == "Columns: place."


def test_no_slices_make_no_section() -> None:
    assert task_slices.section([]) is None
