"""Near duplicates among files, for Python code: groups of images that show the same, and how each differs from the first."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.brief import Brief
from pipekit.errors import ImageError, UserError

if TYPE_CHECKING:
    from pipekit.engine.outcome import Listener
    from pipekit.images.landmarks import Landmarks

SHOWN_GROUPS = 12
SHOWN_IN_GROUP = 6
SAME_FILE = "the same file"
AGAIN = "resized or saved again"


@dataclass(frozen=True)
class DuplicatePair:
    """Two images that show the same.

    Attributes:
        first, second: their paths.
        words: how the second differs from the first: "the same file", "mirrored", "cropped to about 80 % …".
    """

    first: str
    second: str
    words: str


@dataclass(frozen=True)
class NearDuplicates(Brief):
    """Groups of images that show the same; iterating yields the groups.

    Attributes:
        groups: paths, those of a group in the order of the files; the largest group first.
        pairs: pairs that connect each group, with how the second image differs from the first.
        num_images: number of images that were compared.
        failed: path and reason of each file that can't be read.
    """

    groups: tuple[tuple[str, ...], ...]
    pairs: tuple[DuplicatePair, ...]
    num_images: int
    failed: tuple[tuple[str, str], ...] = field(default=())

    def __iter__(self) -> Any:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def to_remove(self) -> tuple[str, ...]:
        """All but the first image of each group."""
        return tuple(path for group in self.groups for path in group[1:])

    def _repr_html_(self) -> str:
        from pipekit.page import notebook

        words = {pair.second: pair.words for pair in self.pairs}
        rows = []
        for group in self.groups[:SHOWN_GROUPS]:
            shown = "".join(notebook.file_thumbnail(path) for path in group[:SHOWN_IN_GROUP])
            more = [f"and {len(group) - SHOWN_IN_GROUP} more"] if len(group) > SHOWN_IN_GROUP else []
            names = [
                f"{Path(path).name}: {words[path]}" if path in words else Path(path).name for path in group[:SHOWN_IN_GROUP]
            ]
            rows.append((notebook.Html(shown), "; ".join([*names, *more])))
        more_groups = len(self.groups) - SHOWN_GROUPS
        return notebook.whole(
            notebook.table(["", "files"], rows) if rows else "",
            notebook.note(f"and {more_groups:,} more groups") if more_groups > 0 else "",
            notebook.note(f"can't be read: {_named([path for path, _ in self.failed])}") if self.failed else "",
            title=f"{len(self.groups):,} groups of near duplicates among {self.num_images:,} images",
        )


def near_duplicates(
    files: str | Path | Iterable[str | Path],
    *,
    features: bool = False,
    distance_bits: int = 6,
    workers: int | None = None,
    plugins: Sequence[str] = (),
    disable: Sequence[str] = (),
    listener: Listener | None = None,
) -> NearDuplicates:
    """Find images that show the same, and say how they differ.

    Perceptual hashes find copies that were resized, saved again, turned grey, mirrored, turned by quarter turns or made
    brighter. With features also crops, colour casts, borders, small turns, and neighbours in a burst.

    Args:
        files: images, folders (searched to any depth), patterns (``photos/**/*.jpg``); one or several. With ``features`` one
            folder, or a dataset of a run.
        features: also compare the features of a pretrained network, which are kept for later commands.
        distance_bits: largest distance of two hashes, in bits of 64, 0 to 15; raise it to find more.
        workers: number of threads; default: one per core.
        plugins, disable, listener: as for ``pipekit.inspect``, with ``features``.

    Returns:
        ``groups``, ``pairs`` with how the second image differs, ``failed``.

    Raises:
        UserError: there is no such file, there are no images, or ``features`` with several files.

    Example:
        >>> import pipekit
        >>> found = pipekit.near_duplicates("photos")  # doctest: +SKIP
        >>> [(pair.first, pair.second, pair.words) for pair in found.pairs]  # doctest: +SKIP
        [('photos/1.jpg', 'photos/1 copy.jpg', 'the same file'), ('photos/2.jpg', 'photos/7.jpg', 'mirrored')]
    """
    if not 0 <= distance_bits <= 15:
        raise UserError(f"distance_bits must lie within 0 and 15, got {distance_bits}")
    if features:
        return _by_features(files, distance_bits, workers, plugins, disable, listener)
    from pipekit.learning.predictions import find_images

    named = [files] if isinstance(files, (str, os.PathLike)) else list(files)
    paths = list(dict.fromkeys(find_images([os.fspath(one) for one in named])))
    if not paths:
        raise UserError("there are no images in what was given", "Images end in .jpg, .png, .webp, .gif, .bmp or .tif.")
    return _by_hashes(paths, distance_bits, workers or os.cpu_count() or 1)


def _named(paths: Sequence[str], most: int = 5) -> str:
    more = f" and {len(paths) - most:,} more" if len(paths) > most else ""
    return ", ".join(Path(path).name for path in paths[:most]) + more


# --- by hashes --------------------------------------------------------------------------------------------------------------


def _by_hashes(paths: Sequence[str], distance_bits: int, workers: int) -> NearDuplicates:
    import numpy as np

    from pipekit.images.near_duplicates import clusters, near_pairs_since, packed, unpacked
    from pipekit.images.symmetric_copies import in_words, symmetric_pairs_since

    with ThreadPoolExecutor(workers) as pool:
        measured = list(pool.map(_measured, paths))
        read = [(path, found) for path, found in zip(paths, measured, strict=True) if not isinstance(found, str)]
        failed = [(path, found) for path, found in zip(paths, measured, strict=True) if isinstance(found, str)]
        names, hashes = [path for path, _ in read], [found[0] for _, found in read]
        prints = unpacked(packed([found[1] for _, found in read]))
        same = _same_bytes(hashes)
        searches = (near_pairs_since, symmetric_pairs_since)
        pairs = np.concatenate([search(prints, distance_bits, None)[0] for search in searches])
        joined = sorted({*same, *((int(a), int(b)) for a, b in pairs)})
        roots = clusters(len(names), joined)
        members: dict[int, list[int]] = {}
        for number, root in enumerate(roots):
            members.setdefault(root, []).append(number)
        groups = sorted((group for group in members.values() if len(group) > 1), key=lambda group: (-len(group), group[0]))
        chosen = _spanning(joined, groups)
        wanted = {number for pair in chosen for number in pair if hashes[pair[0]] != hashes[pair[1]]}
        ordered = sorted(wanted)
        found_in = pool.map(_landmarks, [names[number] for number in ordered])
        landmarks = dict(zip(ordered, found_in, strict=True))
    told = [
        DuplicatePair(
            names[a],
            names[b],
            SAME_FILE if hashes[a] == hashes[b] else _words(landmarks[a], landmarks[b]) or in_words(prints, a, b) or AGAIN,
        )
        for a, b in chosen
    ]
    return NearDuplicates(
        tuple(tuple(names[number] for number in group) for group in groups), tuple(told), len(names), tuple(failed)
    )


def _measured(path: str) -> tuple[str, str] | str:
    """The hash of the file's bytes and the fingerprint of its image; or the reason why it can't be read."""
    import hashlib

    from pipekit import images
    from pipekit.images import statistics
    from pipekit.images.measuring import SIDE_PX
    from pipekit.images.near_duplicates import fingerprint

    try:
        data = images.read_bytes(path)
        gray = images.decode(data, at_least_hw=(SIDE_PX, SIDE_PX), gray=True)
        small, _ = statistics.reduced(gray[..., 0], SIDE_PX)  # as the stage inspect does: both find the same
        return hashlib.sha256(data).hexdigest(), fingerprint(small[..., None])
    except ImageError as error:
        return error.message


def _same_bytes(hashes: Sequence[str]) -> set[tuple[int, int]]:
    """Each file with the first of the same bytes."""
    first: dict[str, int] = {}
    return {(first[text], number) for number, text in enumerate(hashes) if first.setdefault(text, number) != number}


def _spanning(pairs: Sequence[tuple[int, int]], groups: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """A pair for each image but the first of its group, with the image through which it was reached from the first.

    >>> _spanning([(0, 2), (1, 2)], [[0, 1, 2]])
    [(0, 2), (2, 1)]
    """
    near: dict[int, list[int]] = {}
    for first, second in pairs:
        near.setdefault(first, []).append(second)
        near.setdefault(second, []).append(first)
    found: list[tuple[int, int]] = []
    for group in groups:
        seen, waiting = {group[0]}, deque([group[0]])
        while waiting:
            one = waiting.popleft()
            for other in sorted(set(near.get(one, ())) - seen):
                seen.add(other)
                waiting.append(other)
                found.append((one, other))
    return found


def _landmarks(path: str) -> Landmarks | None:
    from pipekit import images
    from pipekit.images.landmarks import SIDE_PX, landmarks, read_landmarks

    return read_landmarks(landmarks(images.read(path, at_least_hw=(SIDE_PX, SIDE_PX))))


def _words(first: Landmarks | None, second: Landmarks | None) -> str:
    from pipekit.images.differences import in_words
    from pipekit.images.landmarks import align

    if first is None or second is None:
        return ""
    found = align(first, second)
    return "" if found is None else in_words(first, second, found)


# --- by features ------------------------------------------------------------------------------------------------------------


def _by_features(
    files: Any,
    distance_bits: int,
    workers: int | None,
    plugins: Sequence[str],
    disable: Sequence[str],
    listener: Listener | None,
) -> NearDuplicates:
    """What the stage ``inspect`` finds with features."""
    from pipekit.commands.inspect import inspect

    if not isinstance(files, (str, os.PathLike)):
        raise UserError(
            "features are computed for one folder or one dataset, got several files",
            "Give the folder that they are in, or leave features out.",
        )
    checks = ("exact_duplicates", "near_duplicates")
    looked = inspect(
        os.fspath(files),
        only=checks,
        features=True,
        distance_bits=distance_bits,
        workers=workers,
        plugins=plugins,
        disable=disable,
        listener=listener,
    )
    dataset: Any = next((stage.artifact for stage in looked.outcome.stages if stage.use.startswith("import.")), None)
    findings = [one for one in looked.found["findings"] if one["check"] in checks]
    if dataset is None:
        from pipekit.contract import Dataset
        from pipekit.engine.adhoc import find_artifact

        dataset = find_artifact(os.fspath(files), Dataset, Path.cwd())
    paths = {sample.id: sample.image for sample in dataset}
    return _of_findings(findings, paths, int(looked.found["num_images"]))


def _of_findings(findings: Sequence[Any], paths: Any, num_images: int) -> NearDuplicates:
    from pipekit.images.near_duplicates import components

    words: dict[tuple[str, str], str] = {}
    for finding in findings:
        first, *others = finding["samples"]
        told = {(a, b): text for a, b, text in finding["values"].get("pairs", ())}
        words |= told
        known = {second for _, second in told}
        same = finding["check"] == "exact_duplicates"
        words |= {(first, other): SAME_FILE if same else AGAIN for other in others if other not in known}
    names = sorted({name for pair in words for name in pair})
    place = {name: number for number, name in enumerate(names)}
    groups = [[names[number] for number in group] for group in components((place[a], place[b]) for a, b in words)]
    groups.sort(key=lambda group: (-len(group), group[0]))
    return NearDuplicates(
        tuple(tuple(paths[name] for name in group) for group in groups),
        tuple(DuplicatePair(paths[a], paths[b], text) for (a, b), text in sorted(words.items())),
        num_images,
    )
