"""Copies that are mirrored, cropped, turned or recoloured: what pixels and fingerprints confirm, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipekit import images
from pipekit.images import near_duplicates, symmetric_copies
from pipekit.images.differences import in_words
from pipekit.images.landmarks import Landmarks, align, landmarks, read_landmarks
from pipekit.images.symmetric_copies import in_words as symmetric_words
from pipekit.images.symmetric_copies import symmetric_pairs_since

PHOTOS = Path(__file__).resolve().parents[2] / "sample_data" / "photos"


@pytest.fixture(scope="module")
def cat() -> Any:
    return images.thumbnail(images.read(PHOTOS / "cat.jpg"), 400)


def found(image: Any) -> Landmarks:
    read = read_landmarks(landmarks(np.ascontiguousarray(image)))
    assert read is not None
    return read


def brighter(image: Any, factor: Any) -> Any:
    return np.clip(image * factor, 0, 255).astype(np.uint8)


def turned(image: Any) -> Any:
    height, width = image.shape[:2]
    return cv2.warpAffine(image, cv2.getRotationMatrix2D((width / 2, height / 2), 8, 1), (width, height))


CHANGES = {
    "mirrored": lambda image: image[:, ::-1],
    "cropped to about 80 % of the width and height": lambda image: image[20:-33, 30:-50],
    "turned by about 8 degrees": turned,
    "brighter by a factor of 1.3": lambda image: brighter(image * 0.7, 1.3),
    "with a colour cast (more red, less blue)": lambda image: brighter(image, np.array([1.1, 1.0, 0.8])),
    "with a border": lambda image: np.pad(image, ((30, 30), (30, 30), (0, 0)), constant_values=255),
    "resized or saved again": lambda image: images.resize(image, (200, 300)),
}


@pytest.mark.parametrize("words", CHANGES)
def test_a_copy_is_confirmed_and_the_difference_is_said(cat: Any, words: str) -> None:
    original = brighter(cat, 0.7) if "brighter" in words else cat
    changed = brighter(original, 1.3) if "brighter" in words else CHANGES[words](cat)
    first, second = found(original), found(changed)
    alignment = align(first, second)
    assert alignment is not None
    assert in_words(first, second, alignment) == words


def test_several_differences_are_said_together(cat: Any) -> None:
    first, second = found(cat), found(brighter(cat[20:-33, 30:-50][:, ::-1], 0.6))
    alignment = align(first, second)
    assert alignment is not None
    said = in_words(first, second, alignment)
    assert said.startswith("mirrored, cropped to about 80 % of the width and height, darker by a factor of 1.")


def test_different_pictures_are_no_copies(cat: Any) -> None:
    coffee = images.thumbnail(images.read(PHOTOS / "coffee.jpg"), 400)
    assert align(found(cat), found(coffee)) is None
    assert align(found(cat[:150]), found(cat[150:])) is None, "two parts of one picture"


def test_a_small_or_plain_picture_has_no_landmarks(cat: Any) -> None:
    assert read_landmarks(landmarks(cat[:40, :40])) is None
    plain = found(np.full((100, 100, 3), 90, np.uint8))
    assert align(plain, plain) is None


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("mirrored", lambda gray: gray[:, ::-1]),
        ("mirrored top to bottom", lambda gray: gray[::-1]),
        ("turned by 180 degrees", lambda gray: gray[::-1, ::-1]),
        ("turned by 90 degrees", lambda gray: np.rot90(gray, -1)),
        ("turned by 270 degrees", np.rot90),
        ("brighter by a factor of 1.3", lambda gray: brighter(gray, 1.3)),
        ("mirrored, darker by a factor of 1.4", lambda gray: brighter(gray[:, ::-1], 0.7)),
    ],
)
def test_hashes_find_the_eight_symmetries_and_other_brightness(cat: Any, words: str, change: Any) -> None:
    gray = images.to_gray(brighter(cat, 0.75))[..., 0]
    other = images.to_gray(images.read(PHOTOS / "coffee.jpg"))[..., 0]
    pictures = [other, gray, np.ascontiguousarray(change(gray))]
    prints = near_duplicates.unpacked(
        near_duplicates.packed([near_duplicates.fingerprint(np.ascontiguousarray(one)[..., None]) for one in pictures])
    )
    pairs, notes = symmetric_pairs_since(prints, 6, None)
    assert pairs.tolist() == [[1, 2]]
    assert symmetric_words(prints, 1, 2) == words
    again, same = symmetric_pairs_since(prints, 6, notes)
    assert again.tolist() == [[1, 2]]
    assert same == notes


def test_notes_change_no_pair_and_save_hashing(cat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gray = images.to_gray(cat)[..., 0]
    rng = np.random.default_rng(3)
    pictures = [gray[y : y + 120, x : x + 120] for y, x in rng.integers(0, 120, (24, 2))]
    pictures += [picture[:, ::-1] for picture in pictures]
    made = near_duplicates.packed([near_duplicates.fingerprint(np.ascontiguousarray(one)[..., None]) for one in pictures])
    whole, everything = symmetric_pairs_since(near_duplicates.unpacked(made), 6, None)
    assert {(number, number + 24) for number in range(24)} <= {tuple(pair) for pair in whole.tolist()}
    _, notes = symmetric_pairs_since(near_duplicates.unpacked(made[:-1]), 6, None)
    hashed, hashes = list[int](), symmetric_copies._hashes
    monkeypatch.setattr(symmetric_copies, "_hashes", lambda pixels, order: hashed.append(len(order)) or hashes(pixels, order))
    pairs, after = symmetric_pairs_since(near_duplicates.unpacked(made), 6, notes)
    assert pairs.tolist() == whole.tolist()
    assert after == everything, "the notes do not depend on the history"
    assert hashed == [1], "only the new image is hashed"
