"""Boxes that importers check, and label files that they look for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipekit.builtin.importers import yolo
from pipekit.builtin.importers.boxes import checked_box
from pipekit.contract import Box


@pytest.mark.parametrize(("left", "kept"), [(99.4, True), (99.6, False)])
def test_a_box_of_which_half_a_pixel_is_inside_is_kept(left: float, kept: bool) -> None:
    found = checked_box((left, 10, 120, 40), "cat", (80, 100))
    assert (found == Box(left, 10, 100, 40, "cat")) if kept else ("lies outside the image" in str(found))


@pytest.mark.parametrize(("place", "found"), [(9, True), (10, False)])
def test_yolo_labels_are_expected_beside_one_of_the_first_ten_images(tmp_path: Path, place: int, found: bool) -> None:
    """The first ones in the order of the file system; an empty text has no box."""
    for number in range(11):
        (tmp_path / f"{number}.png").touch()
        (tmp_path / f"{number}.txt").touch()
    image = [path for path in tmp_path.iterdir() if path.suffix == ".png"][place]
    image.with_suffix(".txt").write_text("0 0.5 0.5 0.5 0.5\n")
    assert (yolo.sniff(tmp_path) == "labels beside the images") == found
