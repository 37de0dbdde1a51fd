"""Names that look like groups, and names that only look like it."""

from __future__ import annotations

import numpy as np
import pytest

from pipekit.images.name_groups import PATTERNS, name_groups

SICK = np.random.default_rng(0).integers(0, 2, 40).tolist()


def patients(labelled_by_patient: bool) -> tuple[list[str], list[str]]:
    """40 patients with 6 images each, whose class belongs to the patient or to the image."""
    ids, labels = [], []
    chance = np.random.default_rng(1)
    for patient in range(40):
        for number in range(6):
            label = ("well", "sick")[SICK[patient] if labelled_by_patient else int(chance.integers(2))]
            ids.append(f"{label}/patient_{patient:03}_{number}.jpg")
            labels.append(label)
    return ids, labels


def test_patients_are_noticed_by_their_purer_classes() -> None:
    found = name_groups(*patients(True))
    assert found is not None
    assert (found.pattern, found.stem, found.num_groups, found.num_images) == (PATTERNS["_"], "patient_000", 40, 240)
    assert "240 images share 40 stems, such as 'patient_000'" in str(found)


def test_patients_with_both_classes_are_noticed_by_what_they_look_like() -> None:
    ids, labels = patients(False)
    look = np.random.default_rng(2).normal(size=40).repeat(6)
    assert name_groups(ids, labels) is None
    assert name_groups(ids, labels, lambda pairs: np.abs(look[pairs[:, 0]] - look[pairs[:, 1]])) is not None
    noise = np.random.default_rng(3).normal(size=240)
    assert name_groups(ids, labels, lambda pairs: np.abs(noise[pairs[:, 0]] - noise[pairs[:, 1]])) is None


def test_the_pattern_finds_the_stem_of_an_id() -> None:
    import re

    for mark in PATTERNS:
        match = re.search(PATTERNS[mark], f"train/sick/patient_012{mark}3.jpg")
        assert match is not None
        assert match.group(1) == "patient_012"


@pytest.mark.parametrize(
    "names",
    [
        [f"{kind}/{kind}.{n}.jpg" for kind in ("cat", "dog") for n in range(100)],
        [f"{kind}/IMG_{n:04}.jpg" for kind in ("cat", "dog") for n in range(100)],
        [f"{kind}/{n:06}.png" for kind in ("cat", "dog") for n in range(100)],
        [f"{kind}/{n:02}_{m}.png" for kind in ("cat", "dog") for n in range(20) for m in range(5)],
        [f"n{kind}/n{kind}_{n}.JPEG" for kind in range(20) for n in range(10)],
        [f"{kind}/photo of {kind} {n}.jpg" for kind in ("cat", "dog") for n in range(100)],
        ["a.jpg"],
        [],
    ],
)
def test_numbered_names_are_no_groups(names: list[str]) -> None:
    assert name_groups(names, [name.split("/")[0] for name in names]) is None


def test_days_of_a_camera_are_groups_if_each_has_one_class() -> None:
    names = [f"{'ab'[day % 2]}/IMG_202601{day:02}_{100000 + 37 * n}.jpg" for day in range(1, 29) for n in range(6)]
    found = name_groups(sorted(names), [name[0] for name in sorted(names)])
    assert found is not None
    assert found.stem == "IMG_20260101"


@pytest.mark.parametrize(
    ("names", "stem", "num_groups"),
    [
        ([f"{kind}/frame_{n:04}.jpg" for kind in ("cat", "dog") for n in range(500)], "cat/frame_00", 10),
        ([f"{kind}/frame{n}.jpg" for kind in ("cat", "dog") for n in range(500)], "cat/frame", 10),
        ([f"{kind}/frame_{n:03}.jpg" for kind in ("cat", "dog") for n in range(45)], "cat/frame_00", 10),
        ([f"{kind}/clip{k}/frame_{n:04}.jpg" for kind in ("cat", "dog") for k in range(9) for n in range(45)], "cat/clip0", 18),
        ([f"{kind}/clip{k}_frame_{n}.jpg" for kind in ("cat", "dog") for k in range(9) for n in range(45)], "clip0_frame", 9),
        ([f"{'ab'[k % 2]}/clip{k}_frame{n:04}.jpg" for k in range(9) for n in range(45)], "clip0", 9),
    ],
)
def test_frames_are_groups_by_stem_folder_or_blocks_of_their_numbers(names: list[str], stem: str, num_groups: int) -> None:
    """Neighbouring frames of a video are nearly one picture; the word says so without a look at the pixels."""
    import re

    names = sorted(names)
    found = name_groups(names, [name.split("/")[0] for name in names])
    assert found is not None
    assert (found.stem, found.num_groups, found.num_images) == (stem, num_groups, len(names))
    groups = {match.group(1) for name in names if (match := re.search(found.pattern, name))}
    assert len(groups) == num_groups
    assert found.pattern in found.option


def test_photographs_of_frames_are_no_frames_of_a_video() -> None:
    names = sorted([f"{kind}/{kind}_{n}.jpg" for kind in ("frame", "door") for n in range(500)])
    assert name_groups(names, [name.split("/")[0] for name in names]) is None


def test_bursts_of_a_camera_are_groups() -> None:
    burst = [f"{'ab'[k % 2]}/IMG_20260101_1200{k:02}_BURST{n:03}{'_COVER' * (n == 1)}.jpg" for k in range(20) for n in range(8)]
    days = [f"{'ab'[day % 2]}/202601{day:02}_{100000 + 37 * n}.jpg" for day in range(1, 29) for n in range(6)]
    for names, stem in ((sorted(burst), "IMG_20260101_120000"), (sorted(days), "20260101")):
        found = name_groups(names, [name[0] for name in names])
        assert found is not None
        assert (found.stem, found.num_images) == (stem, len(names))
