"""Find copies by fingerprints that are mirrored, turned by quarter turns, or brighter: eight symmetries, normalised miniatures.

The signs of a miniature's low frequencies do not change with the brightness, as long as few values are cut off, and change
in a known way under the eight symmetries of the square. So the hashes of all eight follow from one cosine transform of the
miniature, and no image is read again. Candidates are confirmed on their miniatures, the darker one times a factor.

Of 60 photographs each mirrored, given a colour cast, and made brighter by 1.3, this finds 60, 60 and 56, and no pair of
different ones among 1,000.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.images.near_duplicates import MAX_DIFFERENCE, MINIATURE_PX, Indices, Known, Miniatures, Prints

SYMMETRIES = (
    "",
    "mirrored",
    "mirrored top to bottom",
    "turned by 180 degrees",
    "mirrored along the diagonal",
    "turned by 90 degrees",
    "turned by 270 degrees",
    "mirrored along the other diagonal",
)
"""What the second image is, to the first. The bits of a number: columns reversed, rows reversed, both swapped before."""

LEAST_CONTRAST = 12.0
"""Standard deviation of a miniature, in levels: plainer images have too little to compare."""

LEAST_CORRELATION = 0.9
MAX_BITS = 7
_DARKEST, _BRIGHTEST = 4, 235
"""Levels between which brightness is compared: beyond them, values may be cut off."""

_BLOCK = 300_000

Codes = NDArray[np.uint64]


def symmetric_pairs_since(prints: Prints, max_distance_bits: int, notes: bytes | None) -> tuple[Indices, bytes]:
    """Pairs of indices, first < second, and the notes for the next time: see ``near_duplicates.near_pairs_since``."""
    max_distance_bits = min(max_distance_bits, MAX_BITS)
    _, order = np.unique(prints.names[:, 0], return_index=True)  # equal fingerprints are known to be copies
    names = prints.names[order]
    known, hashed = _read(notes, max_distance_bits)
    places = known.places_of(names)
    new = np.flatnonzero(places < 0)
    found = []
    if len(new) * 20 > len(names):
        codes, kept = _hashes(prints.pixels, order)
        plain = np.where(kept, codes[0], PLAIN)
        candidates = _candidates(codes, kept, max_distance_bits)
    else:
        found.append(known.pairs_among(places))
        codes, kept = _hashes(prints.pixels, order[new])
        plain = hashed[places] if len(hashed) else np.empty(0, np.uint64)
        plain[new] = np.where(kept, codes[0], PLAIN)
        candidates = _with_all(plain, new, codes, max_distance_bits)
    found += [pairs[_agree(prints.pixels, order[pairs], view)] for pairs, view in candidates]
    pairs = np.unique(np.sort(np.concatenate([np.empty((0, 2), np.int64), *found]), axis=1), axis=0)
    remembered = plain.astype("<u8").tobytes() + Known(names, pairs).to_bytes(max_distance_bits)
    pairs = np.sort(order[pairs], axis=1)
    return pairs[np.lexsort(pairs.T[::-1])], len(plain).to_bytes(8, "little") + remembered


PLAIN = np.uint64(2**63)
"""In place of the hash of an image that has too little contrast: no hash has this bit."""


def _read(notes: bytes | None, max_distance_bits: int) -> tuple[Known, Codes]:
    """The images that were compared, and their hashes."""
    count = int.from_bytes((notes or b"")[:8], "little")
    known = Known.read(notes[8 + 8 * count :] if notes else None, max_distance_bits)
    return known, np.frombuffer(notes or b"", "<u8", len(known.names), 8 if len(known.names) else 0)


def in_words(prints: Prints, first: int, second: int) -> str:
    """How the second image differs from the first: "mirrored, brighter by a factor of 1.3"; "" if it is a plain copy."""
    one, other = (prints.pixels[[number]].astype(np.float32) for number in (first, second))
    square = _square(one)
    views = np.concatenate([_view(square, at) for at in range(len(SYMMETRIES))])
    differences = _difference(views, other)
    at = int(np.argmin(differences))
    if differences[at] > MAX_DIFFERENCE:
        return ""
    words = [SYMMETRIES[at]] if at else []
    before, after = (prints.pixels[number].astype(np.float64) for number in (first, second))
    gain = (after.mean() + 1) / (before.mean() + 1)
    if max(gain, 1 / gain) > 1.1:
        words.append(f"{'brighter' if gain > 1 else 'darker'} by a factor of {max(gain, 1 / gain):.1f}")
    return ", ".join(words)


def _centred(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``(N, 256)``, each with mean 0; 0 for a plain image."""
    values = pixels.astype(np.float32)
    values -= values.mean(1, keepdims=True)
    return np.where(values.std(1, keepdims=True) < LEAST_CONTRAST, 0, values)


def _square(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels.reshape(-1, MINIATURE_PX, MINIATURE_PX)


def _view(square: NDArray[Any], number: int) -> NDArray[Any]:
    """One of the symmetries of ``(N, S, S)``, see :data:`SYMMETRIES`, flat."""
    turned = square.transpose(0, 2, 1) if number & 4 else square
    turned = turned[:, :, ::-1] if number & 1 else turned
    return (turned[:, ::-1] if number & 2 else turned).reshape(len(square), -1)


def _hashes(pixels: Miniatures, order: Indices) -> tuple[list[Codes], NDArray[np.bool_]]:
    """63 signs of low frequencies, for each symmetry; and which images have enough contrast.

    Args:
        pixels: all miniatures.
        order: the images, as indices into ``pixels``.
    """
    kept = np.zeros(len(order), np.bool_)
    codes = [np.empty(len(order), np.uint64) for _ in SYMMETRIES]
    at = np.arange(MINIATURE_PX)
    wave = np.cos(np.pi * (2 * at + 1) * np.arange(8)[:, None] / (2 * MINIATURE_PX)).astype(np.float32)
    sign = np.where(np.arange(8) % 2, -1, 1).astype(np.float32)
    for start in range(0, len(order), 8192):  # in memory, a block's frequencies are twice as large as its miniatures
        block = slice(start, start + 8192)
        values = _centred(pixels[order[block]])
        kept[block] = values.any(1)
        low = wave @ values.reshape(-1, MINIATURE_PX, MINIATURE_PX) @ wave.T
        number = 0
        for turned in (low, low.transpose(0, 2, 1)):
            for across, down in ((1, 1), (sign, 1), (1, sign), (sign, sign)):
                moved = turned * across * (down if isinstance(down, int) else down[:, None])
                bits = np.packbits(moved.reshape(len(low), 64) > 0, axis=1)
                codes[number][block] = bits.view(">u8")[:, 0].astype(np.uint64) & np.uint64(2**63 - 1)  # the mean is 0
                number += 1
    return codes, kept


def _candidates(codes: list[Codes], kept: NDArray[np.bool_], max_distance_bits: int) -> Iterator[tuple[Indices, int]]:
    """Pairs whose hashes differ in few bits under some symmetry, by multi-index hashing."""
    numbers = np.flatnonzero(kept)
    chosen = [code[numbers] for code in codes]
    flips = max_distance_bits // 4
    masks = [sum(1 << bit for bit in some) for n in range(flips + 1) for some in combinations(range(16), n)]
    for shift in range(0, 64, 16):
        chunk = (chosen[0] >> np.uint64(shift)).astype(np.uint16)
        order = np.argsort(chunk, kind="stable")
        starts = np.searchsorted(chunk[order], np.arange(65537))
        for number, view in enumerate(chosen):
            asked = (view >> np.uint64(shift)).astype(np.uint16)
            for mask in masks:
                key = (asked ^ np.uint16(mask)).astype(np.int64)
                for left, places in _expanded(starts[key], starts[key + 1]):
                    right = order[places]
                    near = (left < right) & (np.bitwise_count(view[left] ^ chosen[0][right]) <= max_distance_bits)
                    if near.any():
                        yield np.stack([numbers[left[near]], numbers[right[near]]], 1), number


def _expanded(first: Indices, ends: Indices) -> Iterator[tuple[Indices, Indices]]:
    """(query, place) for each place from ``first`` to ``ends`` of each query, a block at a time."""
    counts = ends - first
    totals, begin = np.cumsum(counts), 0
    while begin < len(counts):
        base = totals[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(totals, base + _BLOCK, side="right")))
        size = counts[begin:end]
        left = np.repeat(np.arange(begin, end), size)
        yield left, np.repeat(first[begin:end], size) + np.arange(len(left)) - np.repeat(np.cumsum(size) - size, size)
        begin = end


def _with_all(plain: Codes, new: Indices, codes: list[Codes], max_distance_bits: int) -> Iterator[tuple[Indices, int]]:
    """Pairs of the new images with all.

    Args:
        plain: the hashes of all, without a symmetry.
        codes: those of the new ones, for each symmetry.
    """
    for place, number in enumerate(new.tolist()):
        if plain[number] == PLAIN:
            continue
        for at, view in enumerate(codes):
            near = np.flatnonzero((np.bitwise_count(plain ^ view[place]) <= max_distance_bits) & (plain != PLAIN))
            near = near[near != number]
            if len(near):
                yield np.stack([np.full(len(near), number), near], 1), at


def _agree(pixels: Miniatures, pairs: Indices, view: int) -> NDArray[np.bool_]:
    """Whether the second miniature of each pair agrees with one view of the first."""
    found = np.zeros(len(pairs), np.bool_)
    for start in range(0, len(pairs), 4096):
        first, second = (pixels[pairs[start : start + 4096, side]] for side in (0, 1))
        first = _view(_square(first), view)
        one, other = _centred(first), _centred(second)  # most pairs are excluded by their correlation, which costs little
        product = np.sqrt(np.square(one).sum(1) * np.square(other).sum(1))
        alike = np.flatnonzero((one * other).sum(1) > LEAST_CORRELATION * np.maximum(product, 1e-6))
        some = _difference(first[alike].astype(np.float32), second[alike].astype(np.float32))
        found[start + alike] = some <= MAX_DIFFERENCE
    return found


def _difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean difference of the brighter miniatures and the darker ones, times a factor and cut off at 255, over contrast."""
    swap = (first.mean(1) > second.mean(1))[:, None]
    dark, bright = np.where(swap, second, first), np.where(swap, first, second)
    usable = (bright < _BRIGHTEST) & (dark > _DARKEST)
    ratios = np.sort(np.where(usable, bright / np.maximum(dark, 1), np.inf), axis=1)
    counts, rows = usable.sum(1), np.arange(len(usable))
    factors = (ratios[rows, np.maximum(counts - 1, 0) // 2] + ratios[rows, counts // 2]) / 2  # a median, as numpy.nanmedian's
    factors[counts < 40] = 1.0
    made = np.minimum(dark * factors[:, None], 255)
    contrast = (made.std(1) + bright.std(1)) / 2 + 16
    return np.asarray(np.abs(made - bright).mean(1) / contrast, np.float32)
