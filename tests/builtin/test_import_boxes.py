"""Boxes that importers check."""

from __future__ import annotations

import pytest

from pipekit.builtin.importers.boxes import checked_box
from pipekit.contract import Box


@pytest.mark.parametrize(("left", "kept"), [(99.4, True), (99.6, False)])
def test_a_box_of_which_half_a_pixel_is_inside_is_kept(left: float, kept: bool) -> None:
    found = checked_box((left, 10, 120, 40), "cat", (80, 100))
    assert (found == Box(left, 10, 100, 40, "cat")) if kept else ("lies outside the image" in str(found))
