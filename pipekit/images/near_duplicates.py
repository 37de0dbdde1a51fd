"""Find near duplicates: images that were saved again, resized, recompressed or turned grey.

An image's *fingerprint* consists of its perceptual hash (Zauner 2010, "Implementation and benchmarking of perceptual image hash
functions": the signs of the low frequencies of a 32 x 32 cosine transform relative to their median, 64 bits) and a grey
miniature of 16 x 16. Two images are near duplicates if their hashes differ in few bits *and* their miniatures agree. The hash
finds the candidates without comparing all pairs; the miniature separates images that only share a rough layout.

On 2,000 photographs of cats and dogs and 400 copies of them (resized to 0.4 to 1.3, or JPEG quality 20 to 80), the hashes of
copies differed in at most 4 bits, the miniatures by at most 0.083 of the contrast. Among all other pairs, 9 were within 12
bits: one is a photograph that is in the set twice, the miniatures of the others differ by 0.63 and more. The limits are
stricter than photographs require because of small plain images: among 30,000 of Fashion-MNIST, 786 are in groups, the largest
of 73; with twice the difference and 10 bits, a quarter of them would be connected.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.images.warping import Image

Indices: TypeAlias = NDArray[np.int64]

MAX_DISTANCE_BITS = 6
"""Default largest distance of two hashes. Distances are even: each hash has about as many ones as zeros."""

MAX_DIFFERENCE = 0.07
"""Largest mean difference of two miniatures, as a fraction of their contrast (standard deviation, plus 16 levels so that one
level more or less in a plain image makes no difference)."""

MINIATURE_PX = 16
_BLOCK = 300_000
_CHUNKS = 4


def fingerprint(gray: Image) -> str:
    """The fingerprint of an ``(H, W, 1) uint8`` image as text: 16 hex digits of hash, then the miniature in base64.

    >>> import numpy as np
    >>> from pipekit import images
    >>> gray = np.random.default_rng(0).integers(0, 256, (8, 8, 1)).astype(np.uint8)
    >>> large, small = images.resize(gray, (256, 256)), images.resize(gray, (200, 200))
    >>> distance_bits(fingerprint(large), fingerprint(small)) <= MAX_DISTANCE_BITS
    True
    """
    pixels = np.ascontiguousarray(gray[..., 0])
    height, width = pixels.shape
    if height % 2 == width % 2 == 0 and min(height, width) >= 4 * 32:  # averaging 2 x 2 first takes half the time
        pixels = np.asarray(cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)
    small = cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    frequencies = cv2.dct(small)
    low = frequencies[:8, :8].ravel()
    frequencies[0, 0] = 0  # leaves the image without its mean: the transform preserves lengths
    if cv2.norm(frequencies, cv2.NORM_L2SQR) > small.size:
        ordered = np.sort(low)
        hashed = np.packbits(low > (ordered[31] + ordered[32]) / 2).tobytes().hex()
    else:  # a plain image has only rounding noise in its frequencies; the miniature decides
        hashed = "0" * 16
    miniature = cv2.resize(small, (MINIATURE_PX, MINIATURE_PX), interpolation=cv2.INTER_AREA).round().astype(np.uint8)
    return hashed + base64.b64encode(miniature.tobytes()).decode("ascii")


def distance_bits(first: str, second: str) -> int:
    """Hamming distance of two fingerprints' hashes, in bits of 64."""
    return (int(first[:16], 16) ^ int(second[:16], 16)).bit_count()


def near_pairs(fingerprints: Sequence[str], max_distance_bits: int = MAX_DISTANCE_BITS) -> Indices:
    """Pairs of indices of near duplicates.

    Args:
        prints: results of :func:`fingerprint`.
        max_distance_bits: 0 to 15.

    Returns:
        ``(M, 2) int64``, first < second, sorted. Among many images with one hash, each is paired with the first that it
        agrees with, so the pairs connect all members of a group without listing every pair.

    >>> import numpy as np
    >>> from pipekit import images
    >>> noise = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1)).astype(np.uint8)
    >>> first, other = (images.resize(gray, (128, 128)) for gray in noise)
    >>> copy = images.resize(first, (64, 64))
    >>> near_pairs([fingerprint(first), fingerprint(other), fingerprint(copy)]).tolist()
    [[0, 2]]
    """
    if len(fingerprints) < 2:
        return np.empty((0, 2), np.int64)
    hashes = np.array([int(text[:16], 16) for text in fingerprints], dtype=np.uint64)
    pixels = np.frombuffer(b"".join(base64.b64decode(text[16:]) for text in fingerprints), np.uint8).reshape(
        len(fingerprints), -1
    )
    contrast = np.concatenate([pixels[at : at + 65536].astype(np.float32).std(1) for at in range(0, len(pixels), 65536)])
    leaders, found = _same_hash(hashes, pixels, contrast)
    for candidates in _candidates(hashes[leaders], max_distance_bits):
        pairs = leaders[candidates]
        found.append(pairs[_agree(pixels, contrast, pairs[:, 0], pairs[:, 1])])
    every = np.sort(np.concatenate(found), axis=1) if found else np.empty((0, 2), np.int64)
    return np.unique(every, axis=0)


def clusters(count: int, pairs: Sequence[tuple[int, int]] | Indices) -> list[int]:
    """For each of ``count`` items, the smallest index in its connected component (union-find).

    >>> clusters(5, [(0, 3), (3, 4)])
    [0, 1, 2, 0, 0]
    """
    # SciPy's connected_components finds the same groups, a test checks. It isn't used because its import takes a third of a
    # second or more, which `inspect` and `split` avoid otherwise; here 30,000 images and 1,000 pairs take a hundredth.
    parent = list(range(count))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for first, second in pairs:
        low, high = sorted((root(int(first)), root(int(second))))
        parent[high] = low
    return [root(item) for item in range(count)]


def _agree(pixels: NDArray[np.uint8], contrast: NDArray[np.float32], first: Indices, second: Indices) -> NDArray[np.bool_]:
    """Whether the miniatures of each pair agree."""
    parts = []
    for at in range(0, len(first), 65536):
        a, b = first[at : at + 65536], second[at : at + 65536]
        difference = np.abs(pixels[a].astype(np.int16) - pixels[b]).mean(1)
        parts.append(difference <= MAX_DIFFERENCE * ((contrast[a] + contrast[b]) / 2 + 16))
    return np.concatenate(parts) if parts else np.empty(0, np.bool_)


def _same_hash(
    hashes: NDArray[np.uint64], pixels: NDArray[np.uint8], contrast: NDArray[np.float32]
) -> tuple[Indices, list[Indices]]:
    """Group images with equal hashes by miniature: the first of each group, and the pairs of the others with it."""
    order = np.argsort(hashes, kind="stable")
    borders = np.flatnonzero(np.diff(hashes[order])) + 1
    leaders: list[int] = []
    found: list[Indices] = []
    for group in np.split(order, borders):
        while len(group) > 1:
            first = np.full(len(group) - 1, group[0])
            same = _agree(pixels, contrast, first, group[1:])
            found.append(np.stack([first[same], group[1:][same]], axis=1))
            leaders.append(int(group[0]))
            group = group[1:][~same]
        leaders += [int(item) for item in group]
    return np.array(sorted(leaders), dtype=np.int64), found


def _candidates(hashes: NDArray[np.uint64], max_distance_bits: int) -> Iterator[Indices]:
    """All pairs of indices whose hashes differ in at most this many bits, without comparing all with all.

    Multi-index hashing (Norouzi, Punjani and Fleet 2012): cut the 64 bits into 4 chunks. If two hashes differ in d bits, some
    chunk differs in at most d // 4, so looking up all chunks with up to that many flipped bits finds the pair.
    """
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    flips = max_distance_bits // _CHUNKS
    masks = [sum(1 << bit for bit in chosen) for n in range(flips + 1) for chosen in combinations(range(16), n)]
    for number in range(_CHUNKS):
        # Take every fourth bit, so that each chunk has high and low frequencies and the chunks are evenly spread.
        chunk = np.packbits(bits[:, number::_CHUNKS], axis=1).view(">u2")[:, 0].astype(np.uint16)
        order = np.argsort(chunk, kind="stable")
        ordered = chunk[order]
        starts = np.searchsorted(ordered, np.arange(65537))
        for mask in masks:
            key = (chunk ^ np.uint16(mask)).astype(np.int64)
            first, ends = starts[key], starts[key + 1]
            yield from _within(hashes, order, first, ends - first, max_distance_bits)


def _within(
    hashes: NDArray[np.uint64], order: Indices, first: Indices, counts: Indices, max_distance_bits: int
) -> Iterator[Indices]:
    """Pairs of each index with the ``counts`` indices from ``order[first]`` on, kept if their hashes are near."""
    totals = np.cumsum(counts)
    begin = 0
    while begin < len(counts):
        base = totals[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(totals, base + _BLOCK, side="right")))
        size = counts[begin:end]
        left = np.repeat(np.arange(begin, end), size)
        offset = np.arange(len(left)) - np.repeat(np.cumsum(size) - size, size)
        right = order[np.repeat(first[begin:end], size) + offset]
        near = left < right
        left, right = left[near], right[near]
        near = np.bitwise_count(hashes[left] ^ hashes[right]) <= max_distance_bits
        if near.any():
            yield np.stack([left[near], right[near]], axis=1)
        begin = end
