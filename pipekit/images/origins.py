"""Which images were made from one original: augmented copies must not lie in train and in test.

A copy is recognised by its row (``extra.augmented`` of the stage ``augment``, ``extra.tile`` of ``tile``, ``extra.clip`` of a
video's frame; ``metadata.csv`` keeps them), or by what programs leave in file names:

* ours: ``cat.aug2.jpg`` of ``cat.jpg``;
* Roboflow: ``cat_jpg.rf.8d3a….jpg``, several of them with different hashes;
* ``save_to_dir`` of Keras: ``prefix_0_7341.png``, with the index of the image and a random number below ten million;
* Augmentor: ``class_original_cat.jpg_<uuid>.jpg``.

A name counts only if the original, or another copy of it, is there too.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from pipekit.images.near_duplicates import clusters

_OURS = re.compile(r"(?P<stem>.+)\.(?P<suffix>[A-Za-z_-]+)\d+")
_ROBOFLOW = re.compile(r"(?P<stem>.+?)(?:[._](?P<end>jpe?g|png|bmp|webp|tiff?|gif))?\.rf\.[0-9A-Za-z_-]{8,}", re.IGNORECASE)
_KERAS = re.compile(r"(?P<stem>.+)_(?P<index>0|[1-9]\d{0,6})_(?P<number>0|[1-9]\d{0,6})")
_AUGMENTOR = re.compile(r".*?_original_(?P<stem>.+)_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SUFFIX = re.compile(r"\.(?:jpe?g|jpe|jfif|png|gif|bmp|webp|tiff?|avif|jp2|hei[cf])$", re.IGNORECASE)
_MARK = re.compile(r"\.rf\.|_original_|\.[A-Za-z_-]+\d+$|_\d{1,7}_\d{1,7}$", re.IGNORECASE)
_SPLIT = re.compile(r"(?:train|val|valid|validation|dev|test|eval)(?:ing)?(?:[-_ ]?(?:set|images|data|\d+))?", re.IGNORECASE)

OUR_SUFFIX = "aug"

LEAST_SPREAD = 100
"""Numbers of copies are random: on average at least this far apart. Numbers of frames follow one another."""

Key = tuple[str, ...]


class Named(Protocol):
    """A sample."""

    @property
    def id(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def label(self) -> str | None: ...
    @property
    def extra(self) -> Mapping[str, Any]: ...


N = TypeVar("N", bound=Named)


def origins_of(samples: Iterable[Named]) -> list[int]:
    """For each sample, the index of the first sample with the same original; its own index if it has no other copies.

    >>> from pipekit.contract import Sample
    >>> origins_of([Sample(name, "") for name in ("cat.aug1.jpg", "dog.jpg", "cat.jpg", "dog.aug1.jpg", "fox.aug1.jpg")])
    [0, 1, 0, 1, 4]
    """
    origins = Origins()
    for _ in origins.watched(samples):
        pass
    return origins.found()


class Origins:
    """Finds the originals of samples that pass by, so that nobody reads the rows once more."""

    def __init__(self) -> None:
        self._names: list[tuple[Key, str]] = []
        self._own: list[tuple[str, ...]] = []
        self._by_row: dict[Key, list[int]] = defaultdict(list)

    def watched(self, samples: Iterable[N]) -> Iterator[N]:
        """Yield the samples as they are."""
        for sample in samples:
            number, extra = len(self._names), sample.extra
            self._names.append(_folder_and_stem(sample))
            self._own.append((sample.id, str(extra.get("id", "")), sample.sha256, str(extra.get("sha256", ""))))
            for made in _records(extra):
                for kind in ("of", "sha256"):
                    if made.get(kind):
                        self._by_row[kind, str(made[kind])].append(number)
            yield sample

    def found(self) -> list[int]:
        """As :func:`origins_of`, for the samples that passed by."""
        pairs = list(_pairs_by_row(self._by_row, self._own)) if self._by_row else []
        return clusters(len(self._names), [*pairs, *_pairs_by_name(self._names)])


RECORDS = ("augmented", "tile")
"""Columns that say which image a sample was made from: those of ``augment`` and ``tile``."""


def _records(extra: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What a sample was made from; from ``metadata.csv`` records come as text. The origin of a video's frames is the clip."""
    for name in RECORDS:
        made = extra.get(name, extra.get(f"extra_{name}"))
        if isinstance(made, str) and made.startswith("{"):
            try:
                made = json.loads(made)
            except ValueError:
                continue
        if isinstance(made, Mapping):
            yield made
    if extra.get("clip") and "frame" in extra:
        yield {"of": f"clip:{extra['clip']}"}


def _pairs_by_row(by_row: Mapping[Key, Sequence[int]], own: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, int]]:
    for copies in by_row.values():
        yield from ((copies[0], other) for other in copies[1:])
    for number, (*ids, one, other) in enumerate(own):
        for key in (*(("of", name) for name in ids), ("sha256", one), ("sha256", other)):
            if key[1] and key in by_row:
                yield by_row[key][0], number


def _folder_and_stem(sample: Named) -> tuple[Key, str]:
    """(the class and the folders except those of splits, the name without its suffix)."""
    *folders, name = sample.id.split("/")
    kept = [folder for folder in folders if not _SPLIT.fullmatch(folder)]
    return ("" if sample.label is None else sample.label, *kept), _SUFFIX.sub("", name)


def _pairs_by_name(names: Sequence[tuple[Key, str]]) -> Iterator[tuple[int, int]]:
    marked = [number for number, (_, stem) in enumerate(names) if _MARK.search(stem)]
    if not marked:
        return
    originals: dict[tuple[Key, str], int] = {}
    for number, (folder, stem) in enumerate(names):
        originals.setdefault((folder, stem), number)
    copies: dict[tuple[str, Key, str], list[int]] = defaultdict(list)
    keras: dict[tuple[Key, str, str], list[tuple[int, int]]] = defaultdict(list)
    for number in marked:
        folder, stem = names[number]
        if found := _AUGMENTOR.fullmatch(stem) or _ROBOFLOW.fullmatch(stem):
            original = _SUFFIX.sub("", found["stem"])
            copies["named", folder, original].append(number)
        elif found := _OURS.fullmatch(stem):
            original = found["stem"]
            if found["suffix"] == OUR_SUFFIX:
                copies["named", folder, _SUFFIX.sub("", original)].append(number)
        elif found := _KERAS.fullmatch(stem):
            original = found["stem"]
            keras[folder, original, found["index"]].append((int(found["number"]), number))
        else:
            continue
        first = originals.get((folder, original), originals.get((folder, _SUFFIX.sub("", original))))
        if first is not None and first != number:
            yield first, number
    for members in copies.values():
        yield from ((members[0], other) for other in members[1:])
    for group in keras.values():
        drawn = sorted(group)
        if len(drawn) > 1 and drawn[-1][0] - drawn[0][0] >= LEAST_SPREAD * (len(drawn) - 1):
            yield from ((drawn[0][1], other) for _, other in drawn[1:])
