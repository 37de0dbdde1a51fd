"""Which images were made from one original: augmented copies must not lie in train and in test.

A copy is recognised by its row (``extra.augmented`` of the stage ``augment``, ``extra.tile`` of ``tile``, ``extra.clip`` of a
video's frame; ``metadata.csv`` keeps them), or by what programs leave in file names:

* ours: ``cat.aug2.jpg`` of ``cat.jpg``;
* Roboflow: ``cat_jpg.rf.8d3a….jpg``, several of them with different hashes;
* ``save_to_dir`` of Keras: ``prefix_0_7341.png``, by default ``_0_7341.png``, with the index of the image and a random
  number below ten million;
* Augmentor: ``class_original_cat.jpg_<uuid>.jpg``.

A name counts only if the original, or another copy of it, is there too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any, Protocol

import numpy as np

from pipekit.columnar import Column, Few
from pipekit.images.near_duplicates import Indices, clusters

_OURS = re.compile(r"(?P<stem>.+)\.(?P<suffix>[A-Za-z_-]+)\d+")
_ROBOFLOW = re.compile(r"(?P<stem>.+?)(?:[._](?P<end>jpe?g|png|bmp|webp|tiff?|gif))?\.rf\.[0-9A-Za-z_-]{8,}", re.IGNORECASE)
_KERAS = re.compile(r"(?P<stem>.*)_(?P<index>0|[1-9]\d{0,6})_(?P<number>0|[1-9]\d{0,6})")
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


def origins_of(samples: Iterable[Named]) -> list[int]:
    """For each sample, the index of the first sample with the same original; its own index if it has no other copies.

    >>> from pipekit.contract import Sample
    >>> origins_of([Sample(name, "") for name in ("cat.aug1.jpg", "dog.jpg", "cat.jpg", "dog.aug1.jpg", "fox.aug1.jpg")])
    [0, 1, 0, 1, 4]
    """
    listed = list(samples)
    ids, order = [one.id for one in listed], np.arange(len(listed))
    columns = origin_columns(listed)
    pairs = origin_pairs(columns, order, ids, lambda number: listed[number].label, lambda: [one.sha256 for one in listed])
    return clusters(len(listed), pairs)


def origin_columns(samples: Sequence[Named]) -> dict[str, Column]:
    """What :func:`origin_pairs` needs to know of samples besides their ids, classes and hashes."""
    stems = [_folder_and_stem(sample.id, sample.label) for sample in samples]
    return {
        "stem": np.array([_number_of(stem) for stem in stems], np.uint64),
        "marked": np.array([bool(_MARK.search(stem)) for _, stem in stems], np.bool_),
        "row": Few.of(_of_row(sample.extra) for sample in samples),
    }


def origin_pairs(
    columns: Mapping[str, Any],
    order: Indices,
    ids: Sequence[str],
    label_of: Callable[[int], str | None],
    hashes: Callable[[], Sequence[str]],
) -> list[tuple[int, int]]:
    """Pairs of samples with the same original; they connect all samples that have it.

    Args:
        columns: those of :func:`origin_columns`.
        order: the samples in question, as indices into the columns.
        ids: of these samples.
        label_of: the label of one of them; None or "" for none.
        hashes: the SHA-256 of each of them.
    """
    pairs: list[tuple[int, int]] = []
    said = {code: json.loads(text) for code, text in enumerate(columns["row"].names) if text}
    if any(copy_of or copy_of_sha256 for copy_of, copy_of_sha256, _, _ in said.values()):
        rows = [said.get(code, ((), (), "", "")) for code in columns["row"].codes[order].tolist()]
        by_row: dict[Key, list[int]] = defaultdict(list)
        for place, kind in enumerate(("of", "sha256")):
            for number, row in enumerate(rows):
                for value in row[place]:
                    by_row[kind, value].append(number)
        own = [(name, row[2], sha256, row[3]) for name, sha256, row in zip(ids, hashes(), rows, strict=True)]
        pairs += _pairs_by_row(by_row, own)
    marked = np.flatnonzero(columns["marked"][order]).tolist()
    if marked:
        stems = columns["stem"][order]
        ordering = np.argsort(stems, kind="stable")
        ordered = stems[ordering]

        def original(stem: tuple[Key, str]) -> int | None:
            """The first sample with this folder and stem."""
            wanted = np.uint64(_number_of(stem))
            place = int(np.searchsorted(ordered, wanted))
            number = int(ordering[place]) if place < len(ordered) and ordered[place] == wanted else None
            return number if number is not None and _folder_and_stem(ids[number], label_of(number)) == stem else None

        pairs += _pairs_by_name({number: _folder_and_stem(ids[number], label_of(number)) for number in marked}, original)
    return pairs


def _number_of(stem: tuple[Key, str]) -> int:
    """The first 64 bits of a name's hash. The hash is that of ``json.dumps(stem)``, which takes five times as long."""
    folders, name = stem
    text = f"[[{', '.join(map(encode_basestring_ascii, folders))}], {encode_basestring_ascii(name)}]"
    return int.from_bytes(hashlib.sha256(text.encode("ascii")).digest()[:8], "little")


def _of_row(extra: Mapping[str, Any]) -> str:
    """What a row says of an image's original and of its former name, as JSON; "" for nothing."""
    if not extra:
        return ""
    records = list(_records(extra))
    originals = [[str(made[kind]) for made in records if made.get(kind)] for kind in ("of", "sha256")]
    said = [*originals, str(extra.get("id", "")), str(extra.get("sha256", ""))]
    return json.dumps(said) if any(said) else ""


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


def _folder_and_stem(identity: str, label: str | None) -> tuple[Key, str]:
    """(the class and the folders except those of splits, the name without its suffix)."""
    *folders, name = identity.split("/")
    kept = [folder for folder in folders if not _SPLIT.fullmatch(folder)]
    return ("" if label is None else label, *kept), _SUFFIX.sub("", name)


def _pairs_by_name(
    marked: Mapping[int, tuple[Key, str]], original_of: Callable[[tuple[Key, str]], int | None]
) -> Iterator[tuple[int, int]]:
    """Pairs among the samples whose names look like those of copies, and with their originals."""
    copies: dict[tuple[str, Key, str], list[int]] = defaultdict(list)
    keras: dict[tuple[Key, str, str], list[tuple[int, int]]] = defaultdict(list)
    for number, (folder, stem) in marked.items():
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
        first = original_of((folder, original))
        if first is None:
            first = original_of((folder, _SUFFIX.sub("", original)))
        if first is not None and first != number:
            yield first, number
    for members in copies.values():
        yield from ((members[0], other) for other in members[1:])
    for group in keras.values():
        drawn = sorted(group)
        if len(drawn) > 1 and drawn[-1][0] - drawn[0][0] >= LEAST_SPREAD * (len(drawn) - 1):
            yield from ((drawn[0][1], other) for _, other in drawn[1:])
