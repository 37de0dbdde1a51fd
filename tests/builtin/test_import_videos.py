"""The importer ``videos``: which frames, their columns, one origin for a clip, and videos among images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipekit import images
from pipekit.contract import Dataset
from pipekit.errors import UserError
from pipekit.images.origins import origins_of
from pipekit.registry.registry import load_registry
from pipekit.registry.sniffing import find_importer
from tests.conftest import Trial


def film(path: Path, shades: Sequence[int], rate_hz: float = 10) -> Path:
    """A film of frames in one shade each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate_hz, (32, 24))
    for shade in shades:
        writer.write(np.full((24, 32, 3), shade, np.uint8))
    writer.release()
    return path


@pytest.fixture
def clips(trial: Trial) -> Trial:
    film(trial.path / "images/run/1.avi", range(0, 250, 10))
    film(trial.path / "images/run/2.avi", range(5, 255, 10))
    film(trial.path / "images/walk/3.avi", range(100, 150, 2))
    film(trial.path / "images/walk/4.avi", range(150, 200, 2))
    return trial


def frames(trial: Trial, **values: Any) -> Dataset:
    found: Dataset = trial.run({"data": {"use": "import.videos", "path": "images", **values}}).artifact("data")
    return found


@pytest.mark.parametrize(("rate_hz", "expected"), [(1, [0, 10, 20]), (4, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23]), (0, range(25))])
def test_frames_are_taken_at_the_stated_rate(clips: Trial, rate_hz: float, expected: Sequence[int]) -> None:
    found = [one for one in frames(clips, rate_hz=rate_hz, format="png") if one.extra["clip"] == "run/1.avi"]
    assert [one.extra["frame"] for one in found] == list(expected)
    assert [one.extra["time_s"] for one in found] == [number / 10 for number in expected]
    assert found[0].id == "run/1.avi.frame_000000.png"
    assert {one.label for one in found} == {"run"}
    for one in found:
        assert abs(int(images.read(one.image)[0, 0, 0]) - 10 * one.extra["frame"]) <= 4


def test_the_same_frames_come_again(clips: Trial) -> None:
    first = {one.id: one.sha256 for one in frames(clips, rate_hz=3)}
    (clips.path / "images/run/5.avi").write_bytes((clips.path / "images/run/1.avi").read_bytes())
    second = {one.id: one.sha256 for one in frames(clips, rate_hz=3)}
    assert first.items() < second.items()


def test_a_maximum_of_frames_and_no_classes(clips: Trial) -> None:
    found = list(frames(clips, rate_hz=0, max_frames=2, label="none"))
    assert [one.extra["frame"] for one in found] == [0, 1] * 4
    assert {one.label for one in found} == {None}


def test_a_clip_stays_in_one_split(clips: Trial) -> None:
    split = {"use": "split", "duplicates": "off", "fractions": {"train": 0.5, "test": 0.5}}
    stages: dict[str, dict[str, Any]] = {"data": {"use": "import.videos", "path": "images", "rate_hz": 5}, "split": split}
    made = clips.run(stages).artifact("split")
    where: dict[str, set[str]] = {}
    for one in made:
        where.setdefault(one.extra["clip"], set()).add(one.split)
    assert len(where) == 4
    assert all(len(splits) == 1 for splits in where.values())
    assert set().union(*where.values()) == {"train", "test"}
    assert len(set(origins_of(made))) == 4


def test_folders_of_splits_and_one_file(trial: Trial) -> None:
    film(trial.path / "images/train/run/1.avi", [10, 20])
    film(trial.path / "images/test/run/2.avi", [30, 40])
    assert [(one.split, one.label) for one in frames(trial, rate_hz=1)] == [("test", "run"), ("train", "run")]
    one_file = trial.run({"data": {"use": "import.videos", "path": "images/train/run/1.avi", "rate_hz": 0}}).artifact("data")
    assert [one.id for one in one_file] == ["1.avi.frame_000000.jpg", "1.avi.frame_000001.jpg"]


def test_a_damaged_video_is_listed_and_none_is_an_error(clips: Trial) -> None:
    (clips.path / "images/walk/broken.mp4").write_bytes(b"no video")
    stages = {"data": {"use": "import.videos", "path": "images", "rate_hz": 1}}
    made = clips.run(stages, max_failed=0.5).artifact("data")
    assert [(one.id, one.reason) for one in made.failed()] == [("walk/broken.mp4", "no frame of it can be read")]
    (clips.path / "empty").mkdir()
    with pytest.raises(UserError, match="no video in"):
        clips.run({"data": {"use": "import.videos", "path": "empty"}})


def test_videos_among_images_are_passed_over_and_the_importer_is_named(clips: Trial) -> None:
    registry = load_registry(installed=False)
    assert find_importer(registry, clips.path / "images").importer == "videos"
    images.write(clips.path / "images/run/a.png", np.zeros((8, 8, 3), np.uint8))
    assert find_importer(registry, clips.path / "images").importer == "folders"
    clips.run({"data": {"use": "import.folders", "path": "images"}})
    (said,) = [one["message"] for one in clips.told("warning") if "passed over" in one["message"]]
    assert "4 .avi" in said
    assert 'use = "import.videos" with rate_hz' in said


def test_predict_takes_the_same_frames_at_a_rate(tmp_path: Path) -> None:
    from pipekit.commands.predict import predict
    from pipekit.learning.predictions import Frame, with_frames

    clip = str(film(tmp_path / "1.avi", range(0, 250, 10)))
    found = list(with_frames([clip, "a.jpg"], rate_hz=4))
    assert [(one.number, round(one.time_s, 3)) for one in found if isinstance(one, Frame)] == [
        (number, number / 10) for number in (0, 3, 5, 8, 10, 13, 15, 18, 20, 23)
    ]
    assert found[-1] == "a.jpg"
    assert [one.number for one in with_frames([clip], every=10) if isinstance(one, Frame)] == [0, 10, 20]
    with pytest.raises(UserError, match="rate_hz = 2, every = 3"):
        predict("runs/none", clip, every=3, rate_hz=2)
