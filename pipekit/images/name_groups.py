"""Names that look like groups: ``patient_012_3.jpg``, ``frame_0001.jpg``, ``IMG_20260101_120000.jpg``.

Images of one patient, video or burst are alike. If they lie in train and in test, the test says how well the model remembers,
not how well it works on others. A name alone proves nothing (``cat.1.jpg`` is no group): most images must share their stem
with others, the stems must be more numerous than the classes, and images of one stem must have more in common than chance.
Only the word *frame* speaks for itself: such images are grouped by their stem, by their folder, or by blocks of their numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipekit.rng import rng_for

_NUMBERED = re.compile(
    r"(?:.*/)?(?P<stem>[^/]*[^/\d._ -][^/]*|(?:19|20)\d{6})(?P<separator>[._ -])"
    r"(?P<word>BURST|burst|frame|slice|img|image|view|shot)?\(?\d+\)?(?:_COVER)?\.\w+"
)
_FRAME = re.compile(r"(?:^|[/._ -])frames?[._ -]?\(?\d+\)?\.\w+$", re.IGNORECASE)
PATTERNS = {mark: rf"([^/]+){re.escape(mark)}\(?\d+\)?\.\w+$" for mark in ("_", "-", ".", " ")}
"""For each separator, the regular expression that finds the stem, as ``group_pattern`` takes it."""
FOLDER = r"^(.+)/[^/]+$"
BLOCKS = {
    "lie in {} folders": FOLDER,
    "are numbered in {} blocks of up to 100": r"^(.+?)\d{1,2}\.\w+$",
    "are numbered in {} blocks of up to 10": r"^(.+?)\d\.\w+$",
}
"""How frames of one stem belong together, with the pattern: by their folder, or by blocks of their numbers."""
STEMS = "share {} stems"

LEAST_REPEATED = 0.6
"""Share of the images that must have a name with a number, and share their stem with another."""
LEAST_STEMS, STEMS_PER_CLASS = 6, 2
"""There must be at least so many stems, and more than so many for each class: else the stem is the class."""
LARGEST_SHARE = 0.3
"""Maximum share of the images with one stem."""
CLEAR = 4.0
"""Standard deviations from chance that count as evidence."""
SHUFFLES, PAIRS = 60, 400
MOST, BLOCK = 20_000, 500
"""Of more names, so many are read, in blocks."""

Distances = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""From pairs of images, ``(M, 2)``, to how different they look, ``(M,)``."""


@dataclass(frozen=True)
class NameGroups:
    """What the names suggest.

    Attributes:
        pattern: a regular expression that finds the group in an image's id.
        stem: an example.
        num_groups: number of stems that several images share.
        num_images: number of images that share their stem.
        why: what images of one stem have in common.
        how: how the images belong together, with a place for the number of groups.
    """

    pattern: str
    stem: str
    num_groups: int
    num_images: int
    why: str
    how: str = STEMS

    @property
    def option(self) -> str:
        """The option of ``pipekit split`` and ``pipekit train`` that keeps each group in one split."""
        return f"--group-pattern '{self.pattern}'"

    def __str__(self) -> str:
        return (
            f"the names look like groups: {self.num_images:,} images {self.how.format(f'{self.num_groups:,}')}, such as "
            f"{self.stem!r}, and {self.why}"
        )


def name_groups(ids: Sequence[str], labels: Sequence[str], distances: Distances | None = None) -> NameGroups | None:
    """The groups that the names suggest; None if there is no evidence.

    Args:
        ids, labels: of the images, in the order of their ids; "" for no label.
        distances: how different pairs of images look; None if that isn't known.
    """
    chosen = _blocks(len(ids))
    if sum(map(len, chosen)) < len(ids):
        ids, labels = _some(ids, chosen), _some(labels, chosen)
    places = np.fromiter(chain.from_iterable(chosen), np.int64)
    found = _matches(tuple(ids))
    marks = Counter((one.separator, one.word) for one in found if one is not None)
    frames = _are_frames(ids, labels)
    if marks.total() < LEAST_REPEATED * len(ids) or not marks:
        return _frames(ids, labels) if frames else None
    mark, word = max(sorted(marks), key=marks.__getitem__)
    stems = [one.stem if one is not None and (one.separator, one.word) == (mark, word) else "" for one in found]
    pattern = _pattern(mark, word)
    shared = _Shared.of(stems)
    if not shared.enough(labels):
        return _frames(ids, labels) if frames else None
    kept = np.flatnonzero(shared.is_shared[shared.numbers])
    why = FRAMES if frames else ""
    why = why or _purer(shared.numbers[kept], [labels[i] for i in kept.tolist()], [stems[i] for i in kept.tolist()])
    if not why and distances is not None:
        codes = np.unique(labels, return_inverse=True)[1]
        why = _alike(kept, shared.numbers[kept], codes, lambda pairs: distances(places[pairs]))
    return shared.named(pattern, why) if why else None


class _Numbered(NamedTuple):
    """What a name with a number is made of."""

    stem: str
    separator: str
    word: str


@lru_cache(maxsize=1)
def _matches(ids: tuple[str, ...]) -> list[_Numbered | None]:
    """The names with a number. `split` and `inspect` ask for the same ones."""
    found = map(_NUMBERED.fullmatch, ids)
    return [match and _Numbered(match["stem"], match["separator"], match["word"] or "") for match in found]


@dataclass(frozen=True, eq=False)
class _Shared:
    """Stems that several images share.

    Attributes:
        names, counts: the stems, and how many images have each.
        numbers: ``(N,)``, the place of each image's stem in ``names``.
        is_shared: whether several images have a stem.
    """

    names: NDArray[np.str_]
    counts: NDArray[np.int64]
    numbers: NDArray[np.int64]
    is_shared: NDArray[np.bool_]

    @classmethod
    def of(cls, stems: Sequence[str]) -> _Shared:
        names, numbers, counts = np.unique(stems, return_inverse=True, return_counts=True)
        return cls(names, counts, numbers, (counts > 1) & (names != ""))

    def enough(self, labels: Sequence[str]) -> bool:
        """Whether most images share their stem, and the stems are many, also beside the classes, and none prevails."""
        num_images, num_groups = int(self.counts[self.is_shared].sum()), int(self.is_shared.sum())
        return (
            num_images >= LEAST_REPEATED * len(labels)
            and num_groups >= LEAST_STEMS
            and num_groups > STEMS_PER_CLASS * len(set(labels))
            and int(self.counts[self.is_shared].max()) <= LARGEST_SHARE * len(labels)
        )

    def named(self, pattern: str, why: str) -> NameGroups:
        example = str(self.names[np.flatnonzero(self.is_shared)[0]])
        return NameGroups(pattern, example, int(self.is_shared.sum()), int(self.counts[self.is_shared].sum()), why)


FRAMES = "the names say that they are frames of videos"


def _pattern(mark: str, word: str) -> str:
    if not word:
        return PATTERNS[mark]
    cover = "(?:_COVER)?" if word.lower() == "burst" else ""
    return rf"([^/]+){re.escape(mark)}{word}\(?\d+\)?{cover}\.\w+$"


def _are_frames(ids: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether most images are called frames, and that is not the name of their class."""
    if "frame" not in "\n".join(ids).lower():
        return False
    called = sum(bool(_FRAME.search(name)) and "frame" not in label.lower() for name, label in zip(ids, labels, strict=True))
    return called >= LEAST_REPEATED * max(1, len(ids))


def _frames(ids: Sequence[str], labels: Sequence[str]) -> NameGroups | None:
    """Frames that all have one stem: grouped by their folder, or where that is their class, by blocks of their numbers."""
    for how, pattern in BLOCKS.items():
        compiled = re.compile(pattern)
        shared = _Shared.of([match.group(1) if (match := compiled.search(name)) else "" for name in ids])
        if shared.enough(labels):
            return replace(shared.named(pattern, FRAMES), how=how)
    return None


def _blocks(number: int) -> list[range]:
    """All images, or of many, blocks of names that follow one another: stems stay whole in them."""
    if number <= MOST:
        return [range(number)]
    starts = np.linspace(0, number - BLOCK, MOST // BLOCK).astype(int).tolist()
    return [range(start, start + BLOCK) for start in starts]


def _some(texts: Sequence[str], chosen: Iterable[range]) -> list[str]:
    return [text for block in chosen for text in texts[block.start : block.stop]]


def _purer(numbers: NDArray[np.int64], labels: Sequence[str], stems: Sequence[str]) -> str:
    """Whether images of one stem have one class more often than by chance; no evidence if the names hold the classes."""
    named = [bool(label) and label.lower() in stem.lower() for label, stem in zip(labels, stems, strict=True)]
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2 or np.mean(named) > 0.5:
        return ""
    cells = numbers.max() + 1

    def agreeing(order: NDArray[np.int64]) -> float:
        return float((np.bincount(order * cells + numbers, minlength=len(classes) * cells).astype(float) ** 2).sum())

    rng = rng_for(0, "name groups")
    chance = [agreeing(rng.permutation(codes)) for _ in range(SHUFFLES)]
    clear = agreeing(codes) > np.mean(chance) + CLEAR * max(float(np.std(chance)), 1.0)
    return "images of one stem have the same class far more often than by chance" if clear else ""


def _alike(kept: NDArray[np.int64], numbers: NDArray[np.int64], codes: NDArray[np.int64], distances: Distances) -> str:
    """Whether images of one stem look more alike than others of the same class."""
    rng = rng_for(0, "name pairs")
    order = np.lexsort((kept, numbers))
    inside = np.stack([kept[order[:-1]], kept[order[1:]]], axis=1)[numbers[order[:-1]] == numbers[order[1:]]]
    inside = inside[rng.permutation(len(inside))[:PAIRS]]
    firsts = rng.permutation(len(kept))
    by_class = firsts[np.argsort(codes[kept[firsts]], kind="stable")]
    outside = np.stack([by_class[:-1], by_class[1:]], axis=1)
    usable = (numbers[outside[:, 0]] != numbers[outside[:, 1]]) & (codes[kept[outside[:, 0]]] == codes[kept[outside[:, 1]]])
    outside = kept[outside[usable]][rng.permutation(int(usable.sum()))[:PAIRS]]
    if len(inside) < 10 or len(outside) < 10:
        return ""
    near, far = distances(inside), distances(outside)
    error = float(np.sqrt(near.var() / len(near) + far.var() / len(far)))
    clear = far.mean() - near.mean() > CLEAR * max(error, 1e-9)
    return "images of one stem look more alike than others of their class" if clear else ""
