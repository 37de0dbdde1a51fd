"""Copies of one original are recognised by their rows and by the names that programs give them; nothing else is."""

from __future__ import annotations

import hashlib
import json

import pytest

from pipekit.contract import Sample
from pipekit.images.origins import origin_columns, origins_of

UUID = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"


def groups(*names: str, label: str | None = None) -> list[list[str]]:
    """The groups of two or more."""
    found: dict[int, list[str]] = {}
    for name, origin in zip(names, origins_of([Sample(name, "", label=label) for name in names]), strict=True):
        found.setdefault(origin, []).append(name)
    return [group for group in found.values() if len(group) > 1]


@pytest.mark.parametrize(
    "names",
    [
        "cat.jpg cat.aug1.jpg cat.aug12.jpg",
        "cat.aug1.jpg cat.aug2.jpg",
        "cat.png cat.png.aug1.jpg cat.png.aug2.jpg",
        "cat.jpg cat.flip1.jpg",
        "cat.jpg cat.aug1.jpg cat.aug1.aug2.jpg",
        "a/train/cat.jpg a/test/cat.aug1.jpg a/val/cat.aug2.jpg",
        "training_set/a/cat.jpg test_set/a/cat.aug1.jpg",
        f"cat_jpg.rf.{'0a1b' * 8}.jpg cat_jpg.rf.{'1b0a' * 8}.jpg",
        f"train/images/cat.jpg valid/images/cat_jpg.rf.{'0a1b' * 8}.jpg",
        f"cat_01_jpeg.rf.{'0a1b' * 8}.jpg cat_01.jpeg",
        "cat.jpg cat_0_1234.png cat_1_77.png",
        "aug_0_1234.png aug_0_5678.png",
        "_0_1234.png _0_5678.png",
        "aug_3_9412345.png aug_3_812345.png aug_3_5412345.png",
        f"cat.jpg x_original_cat.jpg_{UUID}.jpg",
        f"x_original_cat.jpg_{UUID}.jpg x_original_cat.jpg_{UUID[::-1].replace('-', '0')[:8]}{UUID[8:]}.jpg",
    ],
)
def test_copies_by_their_names(names: str) -> None:
    assert groups(*names.split()) == [names.split()]


@pytest.mark.parametrize(
    "names",
    [
        "cat.1.jpg cat.2.jpg",
        "cat_1.jpg cat_2.jpg",
        "a/cat.jpg b/cat.aug1.jpg",
        "cat.flip1.jpg cat.flip2.jpg",
        "cat.aug1.jpg dog.aug1.jpg",
        "clip_0_1001.jpg clip_0_1002.jpg clip_0_1003.jpg",
        "img_2019_1200.jpg img_2019_1260.jpg",
        "aug_0_1234.png aug_1_5678.png",
        "Black_Footed_Albatross_0001_796111.jpg Black_Footed_Albatross_0001_296222.jpg",
        "25_0_1_20170116174525125.jpg 25_0_1_20170104201645417.jpg",
        f"cat_jpg.rf.{'0a1b' * 8}.jpg dog_jpg.rf.{'0a1b' * 8}.jpg",
    ],
)
def test_names_that_say_nothing(names: str) -> None:
    assert groups(*names.split()) == []


def test_the_same_name_in_two_classes_is_two_images() -> None:
    samples = [Sample("1.aug1.jpg", "", label="cat"), Sample("1.aug2.jpg", "", label="dog")]
    assert origins_of(samples) == [0, 1]


def test_copies_by_their_rows() -> None:
    made = {"of": "cat/1.jpg", "sha256": "ab" * 32, "copy": 1}
    samples = [
        Sample("x1.jpg", "", extra={"augmented": made}),
        Sample("other.jpg", "", "cd" * 32),
        Sample("x2.jpg", "", extra={"augmented": {"of": "x1.jpg", "sha256": "ef" * 32}}),
        Sample("elsewhere.jpg", "", "ab" * 32),
        Sample("x3.jpg", "", extra={"extra_augmented": json.dumps(made)}),
        Sample("train/cat/1.jpg", "", extra={"id": "cat/1.jpg"}),
        Sample("odd.jpg", "", extra={"augmented": "{not JSON"}),
    ]
    assert origins_of(samples) == [0, 1, 0, 0, 0, 0, 6]


@pytest.mark.parametrize("name", ["cat.png", "a/b/cat.aug1.png", 'quo"ted\\.png', "größe/\x01\u2028.jpg", "\ud800.png", "é"])
def test_columns_of_names_stay_as_they_are_kept(name: str) -> None:
    """The hash of the class, the folders and the stem as JSON: columns of earlier versions hold it."""
    sample = Sample(name, "", label="c")
    *folders, last = name.split("/")
    stem = (("c", *folders), last.rsplit(".", 1)[0])
    expected = hashlib.sha256(json.dumps(stem).encode("ascii")).digest()[:8]
    assert origin_columns([sample])["stem"].tolist() == [int.from_bytes(expected, "little")]  # type: ignore[union-attr]
