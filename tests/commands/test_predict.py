"""``pipekit.predict`` against the command of that name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pipekit as package
from pipekit.errors import UserError
from pipekit.learning import predictions as ways

PLUGIN = ["by_colour.py"]


def test_the_stream_has_what_the_command_prints(pipekit, colours: Any) -> None:
    found = package.predict("model", "images/val", plugins=PLUGIN, batch_size=5)
    assert found.classes == ("blue", "green", "red")
    streamed = [ways.to_plain(prediction, 2) for prediction in found]
    result = pipekit("predict", "model", "images/val", "--plugin", "by_colour.py", "-f", "jsonl", "-k", "2")
    assert [json.loads(line) for line in result.out.splitlines()] == streamed
    assert len(streamed) == 18


def test_images_are_read_as_they_are_asked_for(colours: Any) -> None:
    asked: list[str] = []

    def listed() -> Iterator[str]:
        for number in range(1000):
            asked.append(f"images/val/red/red_{number % 6}.png")
            yield asked[-1]

    found = package.predict("model", "-", listed=listed(), plugins=PLUGIN, batch_size=2, workers=1)
    assert next(found).predicted == "red"
    assert len(asked) < 1000


def test_an_image_that_cant_be_read_is_a_prediction_with_its_reason(colours: Any) -> None:
    Path("bad.jpg").write_bytes(b"\xff\xd8\xff")
    (bad, good) = package.predict("model", [Path("bad.jpg"), Path("images/val/red/red_0.png")], plugins=PLUGIN)
    assert (bad.predicted, bool(bad.error)) == ("", True)
    assert (good.predicted, good.error) == ("red", "")


def test_videos_and_unreadable_formats_of_a_folder_are_counted(pipekit, colours: Any) -> None:
    for name in ("clip.mp4", "IMG_1.heic", "notes.txt"):
        Path("images/val/red", name).touch()
    said = "passed over 2 files that are not images pipekit reads: 1 .heic, 1 .mp4 (e.g. IMG_1.heic)."
    found = package.predict("model", "images/val/red", plugins=PLUGIN)
    assert found.passed_over == f"{said} Videos are predicted where they are named: folder/clip.mp4."
    assert len(list(found)) == 6
    assert said in " ".join(pipekit("predict", "model", "images/val/red", "--plugin", "by_colour.py").err.split())


def test_images_are_sorted_into_folders(colours: Any) -> None:
    assert len(list(package.predict("model", "images/val/red", sort="sorted", plugins=PLUGIN))) == 6
    assert len(list(Path("sorted/red").iterdir())) == 6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"images": "nowhere"}, "no such file or folder: nowhere"),
        ({"model": "images"}, "no trained model in images"),
        ({"batch_size": 0}, "batch_size must be at least 1 and at most 4096, got 0"),
    ],
)
def test_mistakes_are_raised_before_the_first_image(colours: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        package.predict(**{"model": "model", "images": "images", "plugins": PLUGIN, **given})


def test_no_image_is_an_error_and_not_an_empty_stream(colours: Any) -> None:
    with pytest.raises(UserError, match="no images"):
        list(package.predict("model", "model", plugins=PLUGIN))
