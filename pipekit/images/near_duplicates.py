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
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipekit.columnar import distinct
from pipekit.images.arrays import Image

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
    import cv2  # a split by exact duplicates needs none of its 22 MB

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


class Miniatures:
    """The miniatures in rows of :func:`packed`, copied when they are asked for: a million take 256 MB.

    Args:
        numbers: the rows; all of them by default.
    """

    def __init__(self, rows: NDArray[np.uint8], numbers: Indices | None = None) -> None:
        self._rows, self._numbers = rows, numbers

    def __len__(self) -> int:
        return len(self._rows if self._numbers is None else self._numbers)

    def __getitem__(self, some: int | slice | Sequence[int] | Indices) -> NDArray[np.uint8]:
        """``(N, 256) uint8``; ``(256,)`` for a number."""
        rows = some if self._numbers is None else self._numbers[some]
        return np.asarray(self._rows[rows, 8:-16])


@dataclass(frozen=True, eq=False)
class Prints:
    """Fingerprints as arrays.

    Attributes:
        hashes: ``(N,) uint64``.
        pixels: the miniatures.
        names: ``(N, 2) uint64``, the first 128 bits of the SHA-256 of each fingerprint.
    """

    hashes: NDArray[np.uint64]
    pixels: Miniatures
    names: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.hashes)


PACKED_BYTES = 8 + MINIATURE_PX**2 + 16


def packed(fingerprints: Sequence[str]) -> NDArray[np.uint8]:
    """Fingerprints as ``(N, PACKED_BYTES) uint8``: a column that can be kept."""
    data = b"".join(
        bytes.fromhex(text[:16]) + base64.b64decode(text[16:]) + hashlib.sha256(text.encode("ascii")).digest()[:16]
        for text in fingerprints
    )
    return np.frombuffer(data, np.uint8).reshape(len(fingerprints), PACKED_BYTES)


def fingerprint_of(row: NDArray[np.uint8]) -> str:
    """A fingerprint from its row of :func:`packed`."""
    return row[:8].tobytes().hex() + base64.b64encode(row[8:-16].tobytes()).decode("ascii")


def unpacked(rows: NDArray[np.uint8], numbers: Indices | None = None) -> Prints:
    """What :func:`packed` was given, as arrays.

    Args:
        numbers: the rows, in this order; all of them by default.
    """
    chosen: Any = slice(None) if numbers is None else numbers
    hashes = np.ascontiguousarray(rows[chosen, :8]).view(">u8")[:, 0].astype(np.uint64)
    return Prints(hashes, Miniatures(rows, numbers), np.ascontiguousarray(rows[chosen, -16:]).view("<u8"))


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
    return near_pairs_since(unpacked(packed(fingerprints)), max_distance_bits, None)[0]


def near_pairs_since(prints: Prints, max_distance_bits: int, notes: bytes | None) -> tuple[Indices, bytes]:
    """:func:`near_pairs`, with notes for the next time: then only new images are compared with all others.

    Args:
        notes: what an earlier call returned, for any other images; None compares all. They save time and change nothing.

    Returns:
        the pairs, and the notes.
    """
    miniatures = _Compared(prints.pixels)
    leaders, found = _same_hash(prints.hashes, miniatures)
    names = prints.names[leaders]
    order = np.argsort(names[:, 0])
    leaders, names = leaders[order], names[order]
    hashes = prints.hashes[leaders]
    known = Known.read(notes, max_distance_bits)
    places = known.places_of(names)
    new = np.flatnonzero(places < 0)
    if len(new) * 20 > len(names):
        near, checked = _candidates(hashes, max_distance_bits), []
    else:
        near, checked = iter([_with_all(hashes, new, max_distance_bits)]), [known.pairs_among(places)]
    checked += [pairs[miniatures.agree(leaders[pairs[:, 0]], leaders[pairs[:, 1]])] for pairs in near]
    between = _unique_pairs(checked)
    kept = Known(names, between).to_bytes(max_distance_bits)
    return _unique_pairs([*found, leaders[between]]), kept


def _unique_pairs(pairs: Sequence[Indices]) -> Indices:
    every = np.sort(np.concatenate([np.empty((0, 2), np.int64), *pairs]), axis=1)
    every = every[np.lexsort((every[:, 1], every[:, 0]))]
    return every[np.diff(every, axis=0, prepend=-1).any(1)]


def _with_all(hashes: NDArray[np.uint64], some: Indices, max_distance_bits: int) -> Indices:
    """Pairs of ``some`` indices with any, if their hashes are near."""
    found = [np.empty((0, 2), np.int64)]
    for number in some.tolist():
        near = np.flatnonzero(np.bitwise_count(hashes ^ hashes[number]) <= max_distance_bits)
        near = near[near != number]
        found.append(np.stack([np.full(len(near), number), near], axis=1))
    return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class Known:
    """Images that were compared with one another, by the names of their fingerprints, in their order; and the near pairs."""

    names: NDArray[np.uint64]
    pairs: Indices

    @classmethod
    def read(cls, notes: bytes | None, max_distance_bits: int) -> Known:
        if not notes or np.frombuffer(notes, "<i8", 1)[0] != max_distance_bits:
            return cls(np.empty((0, 2), np.uint64), np.empty((0, 2), np.int64))
        count = int(np.frombuffer(notes, "<i8", 2)[1])
        names = np.frombuffer(notes, "<u8", 2 * count, 16).reshape(-1, 2)
        return cls(names, np.frombuffer(notes, "<i8", offset=16 + 16 * count).reshape(-1, 2))

    def to_bytes(self, max_distance_bits: int) -> bytes:
        head = np.array([max_distance_bits, len(self.names)], "<i8")
        return head.tobytes() + self.names.astype("<u8").tobytes() + self.pairs.astype("<i8").tobytes()

    def places_of(self, names: NDArray[np.uint64]) -> Indices:
        """The index of each name here; -1 for a new one."""
        if not len(self.names):
            return np.full(len(names), -1, np.int64)
        places = np.minimum(np.searchsorted(self.names[:, 0], names[:, 0]), len(self.names) - 1)
        same = (self.names[places] == names).all(1)
        return np.where(same, places, -1)

    def pairs_among(self, places: Indices) -> Indices:
        """The pairs whose images are both among those at ``places``, as indices into ``places``."""
        numbers = np.full(len(self.names), -1, np.int64)
        numbers[places[places >= 0]] = np.flatnonzero(places >= 0)
        pairs = numbers[self.pairs]
        return pairs[(pairs >= 0).all(1)]


def components(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The connected components of several items, each in ascending order, by their first items.

    >>> components([(3, 4), (0, 3), (7, 8)])
    [[0, 3, 4], [7, 8]]
    """
    listed = list(pairs)
    items = sorted({item for pair in listed for item in pair})
    numbers = {item: number for number, item in enumerate(items)}
    found: dict[int, list[int]] = {}
    for item, root in zip(items, clusters(len(items), [(numbers[a], numbers[b]) for a, b in listed]), strict=True):
        found.setdefault(root, []).append(item)
    return [group for group in found.values() if len(group) > 1]


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

    listed = pairs.tolist() if isinstance(pairs, np.ndarray) else pairs
    for first, second in listed:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    for item in sorted({item for pair in listed for item in pair}):
        parent[item] = root(item)
    return parent


class _Compared:
    """Compares miniatures. The contrast of one is computed when it is first needed."""

    def __init__(self, pixels: Miniatures) -> None:
        self._pixels = pixels
        self._contrast = np.full(len(pixels), np.nan, np.float32)

    def agree(self, first: Indices, second: Indices) -> NDArray[np.bool_]:
        """Whether the miniatures of each pair agree."""
        parts = [np.empty(0, np.bool_)]
        for at in range(0, len(first), 65536):
            a, b = first[at : at + 65536], second[at : at + 65536]
            contrast = self._contrast_of(a) + self._contrast_of(b)
            difference = np.abs(self._pixels[a].astype(np.int16) - self._pixels[b]).mean(1)
            parts.append(difference <= MAX_DIFFERENCE * (contrast / 2 + 16))
        return np.concatenate(parts)

    def _contrast_of(self, some: Indices) -> NDArray[np.float32]:
        new = distinct(some[np.isnan(self._contrast[some])])[0]
        self._contrast[new] = self._pixels[new].astype(np.float32).std(1)
        return self._contrast[some]


def _same_hash(hashes: NDArray[np.uint64], miniatures: _Compared) -> tuple[Indices, list[Indices]]:
    """Group images with equal hashes by miniature: the first of each group, and the pairs of the others with it."""
    order = np.argsort(hashes, kind="stable")
    starts = np.diff(hashes[order], prepend=hashes[order[:1]] + np.uint64(1)) != 0
    leaders: list[Indices] = []
    found: list[Indices] = []
    group = np.cumsum(starts)
    while len(order):  # each round takes the first image of every group, and those that agree with it
        starts = np.diff(group, prepend=-1) != 0
        first = order[starts][np.cumsum(starts) - 1]
        leaders.append(order[starts])
        rest, first, group = order[~starts], first[~starts], group[~starts]
        same = miniatures.agree(first, rest)
        found.append(np.stack([first[same], rest[same]], axis=1))
        order, group = rest[~same], group[~same]
    return np.sort(np.concatenate(leaders)) if leaders else order, found


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
