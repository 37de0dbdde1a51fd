"""Prints of pictures, near pairs and clusters."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipekit import images
from pipekit.contract import Sample
from pipekit.images import near_duplicates, statistics
from pipekit.images.measuring import SIDE_PX, measure_image


def picture(seed: int, size_hw: tuple[int, int] = (120, 160)) -> images.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (14, 14, 3), np.uint8)
    return images.resize(coarse, size_hw)


def fingerprint_of(image: images.Image, quality: int = 95) -> str:
    data = images.encode(image, quality=quality)
    return near_duplicates.fingerprint(images.decode(data, at_least_hw=(SIDE_PX, SIDE_PX), gray=True))


def made_print(hashed: int, value: int = 128) -> str:
    return f"{hashed:016x}" + base64.b64encode(bytes([value] * 256)).decode()


def test_copies_are_near_and_others_are_not() -> None:
    originals = [picture(seed) for seed in range(30)]
    fingerprints = [fingerprint_of(image) for image in originals]
    fingerprints += [fingerprint_of(images.resize(image, (75, 100))) for image in originals]
    fingerprints += [fingerprint_of(image, quality=30) for image in originals]
    roots = near_duplicates.clusters(90, near_duplicates.near_pairs(fingerprints))
    assert roots == [*range(30)] * 3


def test_a_fingerprint_is_64_bits_and_16_by_16_pixels() -> None:
    """Each pixel of the miniature is the mean of 20 x 30 pixels of the image."""
    shades = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = near_duplicates.fingerprint(shades.repeat(20, axis=0).repeat(30, axis=1)[..., None])
    miniature = np.frombuffer(base64.b64decode(found[16:]), np.uint8)
    np.testing.assert_allclose(miniature.astype(int), shades.ravel(), atol=2)
    assert near_duplicates.distance_bits("0" * 16 + found[16:], "f" * 16 + found[16:]) == 64


def test_the_cosine_transform_is_the_textbook_one() -> None:
    # A single vertical wave has one strong frequency; the hash has its bit set and follows the sign.
    x = np.cos(np.pi * (2 * np.arange(32) + 1) * 3 / 64)
    gray = np.repeat((128 + 100 * x)[None], 32, axis=0).round().astype(np.uint8)[..., None]
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(near_duplicates.fingerprint(gray)[:16]), np.uint8)).reshape(8, 8)
    assert bits[0, 3] == 1
    inverse = np.unpackbits(np.frombuffer(bytes.fromhex(near_duplicates.fingerprint(255 - gray)[:16]), np.uint8)).reshape(8, 8)
    assert inverse[0, 3] == 0


def test_plain_pictures_of_one_shade_are_the_same_and_of_two_are_not() -> None:
    fingerprints = [near_duplicates.fingerprint(np.full((50, 40, 1), shade, np.uint8)) for shade in (10, 10, 200, 10, 200)]
    assert near_duplicates.clusters(5, near_duplicates.near_pairs(fingerprints)) == [0, 0, 2, 0, 2]


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=30), st.integers(0, 15), st.data())
def test_the_index_finds_what_comparing_all_pairs_finds(hashes: list[int], limit: int, data: st.DataObject) -> None:
    flips = data.draw(
        st.lists(st.tuples(st.integers(0, len(hashes) - 1), st.sets(st.integers(0, 63), max_size=17)), max_size=20)
    )
    hashes = list(dict.fromkeys(hashes + [hashes[n] ^ sum(1 << bit for bit in bits) for n, bits in flips]))
    expected = [
        (a, b) for a in range(len(hashes)) for b in range(a + 1, len(hashes)) if (hashes[a] ^ hashes[b]).bit_count() <= limit
    ]
    found = near_duplicates.near_pairs([made_print(hashed) for hashed in hashes], limit)
    assert [tuple(pair) for pair in found.tolist()] == expected


def test_a_near_hash_with_another_miniature_is_no_pair() -> None:
    assert len(near_duplicates.near_pairs([made_print(5, 20), made_print(5, 200), made_print(5, 21)])) == 1


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_for_a_pair(count: int) -> None:
    assert near_duplicates.near_pairs([made_print(1)] * count).shape == (0, 2)


def test_clusters_follow_chains() -> None:
    assert near_duplicates.clusters(6, [(4, 5), (1, 4), (2, 3)]) == [0, 1, 2, 2, 1, 1]


def test_distance_counts_bits() -> None:
    assert near_duplicates.distance_bits(made_print(0b1011), made_print(0b0001)) == 2


@settings(deadline=None)
@given(st.integers(1, 40), st.data())
def test_clusters_are_the_connected_components(count: int, data: st.DataObject) -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    place = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(place, place), max_size=60))
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs)), (first, second)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    smallest = [int(np.flatnonzero(component == label)[0]) for label in component]
    assert near_duplicates.clusters(count, pairs) == smallest


def test_by_default_six_bits_may_differ_and_eight_may_not() -> None:
    assert len(near_duplicates.near_pairs([made_print(0xFF00), made_print(0xFF00 ^ 0x3F)])) == 1
    assert len(near_duplicates.near_pairs([made_print(0xFF00), made_print(0xFF00 ^ 0xFF)])) == 0


@pytest.mark.parametrize(("contrast", "levels", "near"), [(0, 1, True), (0, 2, False), (40, 3, True), (40, 5, False)])
def test_miniatures_may_differ_by_seven_hundredths_of_their_contrast(contrast: int, levels: int, near: bool) -> None:
    """0.07 of the contrast and 16 levels: 1.1 levels in a plain picture, 3.9 at a contrast of 40."""
    shades = np.where(np.arange(256) % 2, 100 + contrast, 100 - contrast)
    fingerprints = [f"{5:016x}" + base64.b64encode(bytes((shades + more).tolist())).decode() for more in (0, levels)]
    assert len(near_duplicates.near_pairs(fingerprints)) == near


@pytest.mark.parametrize(("side_px", "decoded_px"), [(1024, 128), (1008, 252)])
def test_a_photograph_is_decoded_at_128_px_or_more_to_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side_px: int, decoded_px: int
) -> None:
    """JPEG decodes at an eighth, a quarter or a half: an eighth of 1,008 px is too small, 126 px."""
    shapes: list[tuple[int, ...]] = []
    whole = statistics.reduced
    monkeypatch.setattr(statistics, "reduced", lambda gray, side_px: (shapes.append(gray.shape), whole(gray, side_px))[1])
    images.write(tmp_path / "a.jpg", picture(1, (side_px, side_px)))
    assert list(measure_image(Sample("a.jpg", str(tmp_path / "a.jpg")), None, ctx=None))  # type: ignore[arg-type]
    assert shapes == [(decoded_px, decoded_px)]
