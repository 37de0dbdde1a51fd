"""Count the files that an import skips, by suffix, and the empty folders; say how to convert the files.

A photograph in a format that pipekit can't read must not be dropped silently, nor a class whose folder is empty.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pipekit.files import OUTPUT_MARK, image_suffixes, walk

F = TypeVar("F", bound=Callable[..., Any])

META = "passed_over"
"""The entry in a dataset's ``meta``, if any file was skipped: ``counts`` and ``examples`` by suffix, ``folders`` without an
image (a few of ``num_folders``); if there are any, ``empty`` folders (a few of ``num_empty``). It enters no digest, and only
the keys of stages marked with :func:`in_key`."""

HEIC = (".heic", ".heif", ".hif")
DICOM = (".dcm", ".dicom")
CONVERTED = (".avif", ".jxl", ".jp2", ".j2k", ".jpx", ".psd")
RAW = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf")
VIDEO = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
PICTURES = (*HEIC, *DICOM, *CONVERTED, *RAW, *VIDEO)
"""Certainly images or videos. If an importer does not declare what else it reads (``READS``), only these are counted."""

HINTS = (
    (
        HEIC,
        "install the plugin that reads HEIC, in a checkout of pipekit: `pip install ./plugins/pipekit-heif`, "
        "or convert HEIC to JPEG: `heif-convert IMG.heic IMG.jpg`",
    ),
    (DICOM, "install the plugin that reads DICOM, in a checkout of pipekit: `pip install ./plugins/pipekit-dicom`"),
    (CONVERTED, "convert {found} to JPEG or PNG"),
    (RAW, "export raw photographs ({found}) as JPEG or TIFF"),
    (VIDEO, 'read the videos as a dataset of frames: use = "import.videos" with rate_hz, or `--format videos`'),
)

SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
"""Files that file managers leave behind, in lower case; hidden files are skipped anyway."""

OUTPUT_FILES = frozenset({"metadata.csv", "augmented.csv", "recipe.json", "failed.csv", "classes.csv"})
"""Files that pipekit writes beside the images of a folder with its own mark."""

MAX_EXAMPLES, MAX_FOLDERS = 3, 3

MAX_SUFFIXES = 50
"""Maximum number of suffixes counted separately; the rest are counted together, so that odd names can't exhaust memory."""

MAX_SAID = 6

NO_SUFFIX, OTHER = "without a suffix", "of other kinds"

_SUFFIX = re.compile(r"\.(?=[a-z0-9_+~-]{1,12}$)[^.]*[a-z]")


@dataclass
class _Folder:
    """A folder that is not yet fully scanned.

    Attributes:
        images, others, known: whether it or a folder below it contains an image, a skipped file, and a file that is read
            or known to be something else.
        barren: the topmost folders below it with skipped files and no image (a few of ``num_barren``).
        empty: the topmost folders below it without a file (a few of ``num_empty``).
    """

    path: str
    images: bool = False
    others: bool = False
    known: bool = False
    barren: list[str] = field(default_factory=list)
    num_barren: int = 0
    empty: list[str] = field(default_factory=list)
    num_empty: int = 0

    def add(self, inner: _Folder, root: Path) -> None:
        self.images |= inner.images
        self.others |= inner.others
        self.known |= inner.known
        if inner.images:
            self.num_barren += inner.num_barren
            self.barren = [*self.barren, *inner.barren][:MAX_FOLDERS]
        elif inner.others:
            self.num_barren += 1
            self.barren = [*self.barren, inner.path][:MAX_FOLDERS]
            return
        if inner.images or inner.known:
            self.num_empty += inner.num_empty
            self.empty = [*self.empty, *inner.empty][:MAX_FOLDERS]
        elif _is_empty(root / inner.path):
            self.num_empty += 1
            self.empty = [*self.empty, inner.path][:MAX_FOLDERS]


def in_key(stage: F) -> F:
    """Mark a stage whose output lists what the imports of its inputs passed over: it becomes part of the stage's key."""
    stage.__pipekit_passed_over__ = True  # type: ignore[attr-defined]
    return stage


def passed_over(root: Path, reads: Iterable[str] | None = (), not_counted: Collection[Path] = ()) -> dict[str, Any]:
    """Count the files below a folder that are not images by their suffix, and the folders without a file; ``{}`` if there are
    none. Uses constant memory.

    Args:
        reads: suffixes of files (in lower case) that are read besides images; None: count only :data:`PICTURES`, and no folder.
        not_counted: files that are known to be something else, such as the pipeline file.
    """
    images = image_suffixes()
    known = tuple(reads or ())
    others = {os.fspath(path) for path in not_counted}
    counts = Counter[str]()
    examples: dict[str, list[str]] = {}
    top = _Folder("")
    stack = [top]
    own = OUTPUT_FILES if (Path(root) / OUTPUT_MARK).exists() else frozenset[str]()
    for folder, names in walk(root):
        below = "" if (relative := os.path.relpath(folder, root)) == "." else relative.replace(os.sep, "/") + "/"
        while not below.startswith(stack[-1].path):
            inner = stack.pop()
            stack[-1].add(inner, root)
        here = stack[-1] if not below else _Folder(below)
        if below:
            stack.append(here)
        for name in names:
            lower = name.lower()
            if lower.endswith(images):
                here.images = True
                continue
            if (
                lower.endswith(known)
                or (reads is None and not lower.endswith(PICTURES))
                or lower in SYSTEM_FILES
                or name in own
                or (others and os.path.join(folder, name) in others)  # noqa: PTH118
            ):
                here.known = here.known or lower not in SYSTEM_FILES
                continue
            here.others = True
            suffix = _suffix_of(lower)
            suffix = suffix if suffix in counts or len(counts) < MAX_SUFFIXES else OTHER
            counts[suffix] += 1
            if len(paths := examples.setdefault(suffix, [])) < MAX_EXAMPLES:
                paths.append(below + name)
    while len(stack) > 1:
        inner = stack.pop()
        stack[-1].add(inner, root)
    empty, num_empty = ([], 0) if reads is None else (top.empty, top.num_empty)
    return _described(counts, examples, top.barren, top.num_barren, empty, num_empty)


def _is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but hidden files and empty folders. Not empty are folders that :func:`~pipekit.files.walk`
    skips for another reason: links, hidden folders, folders that pipekit wrote or that can't be read."""
    try:
        with os.scandir(folder) as entries:
            return all(_is_nothing(entry) for entry in entries)
    except OSError:
        return False


def _is_nothing(entry: os.DirEntry[str]) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return entry.name[0] != "." and _is_empty(Path(entry.path))
    return entry.name != OUTPUT_MARK and (entry.name[0] == "." or entry.name.lower() in SYSTEM_FILES)


def joined(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the counts of several datasets."""
    counts = Counter[str]()
    examples: dict[str, list[str]] = {}
    folders: list[str] = []
    empty: list[str] = []
    num_folders = num_empty = 0
    for one in filter(None, found):
        counts.update(one["counts"])
        for suffix, names in one["examples"].items():
            examples[suffix] = [*examples.get(suffix, ()), *names][:MAX_EXAMPLES]
        folders = [*folders, *one["folders"]][:MAX_FOLDERS]
        num_folders += one["num_folders"]
        empty = [*empty, *one.get("empty", ())][:MAX_FOLDERS]
        num_empty += one.get("num_empty", 0)
    return _described(counts, examples, folders, num_folders, empty, num_empty)


def sentence(found: Mapping[str, Any]) -> str:
    """``passed over 12 files that are not images pipekit reads: 9 .heic, 2 .mp4, 1 .txt (e.g. cats/IMG_1.heic)``, the folders
    without any image, ``found 1 empty folder: owls/``, and how to convert the files; "" if there is nothing to say.
    """
    if not found:
        return ""
    counts: Mapping[str, int] = found["counts"]
    bare = _empty_folders(found)
    if not counts:
        return bare
    total = sum(counts.values())
    suffixes = [f"{count:,} {suffix}" for suffix, count in list(counts.items())[:MAX_SAID]]
    if rest := sum(list(counts.values())[MAX_SAID:]):
        suffixes.append(f"{rest:,} of other suffixes")
    what = "file that is not an image" if total == 1 else "files that are not images"
    example = next(iter(found["examples"].values()))[0]
    text = f"passed over {total:,} {what} pipekit reads: {', '.join(suffixes)} (e.g. {example})"
    if found["folders"]:
        text += f"; no image can be read in {_first_of(found['folders'], found['num_folders'])}"
    text += f", and {bare}" if bare else ""
    advice = [
        hint.format(found=" and ".join(there))
        for ends, hint in HINTS
        if (there := [suffix for suffix in counts if suffix in ends])
    ]
    return text + (f". To use them: {'; '.join(advice)}" if advice else "")


def _empty_folders(found: Mapping[str, Any]) -> str:
    """``found 2 empty folders: owls/, hawks/``."""
    if not (count := found.get("num_empty", 0)):
        return ""
    return f"found {count:,} empty folder{'' if count == 1 else 's'}: {_first_of(found['empty'], count)}"


def _first_of(folders: Iterable[str], count: int) -> str:
    """``owls/, hawks/ and 3 more``."""
    shown = list(folders)
    more = count - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _suffix_of(lower: str) -> str:
    """``.heic``; :data:`NO_SUFFIX` for a name like ``IMG.0001``, whose ending is no file type."""
    end = os.path.splitext(lower)[1]  # noqa: PTH122
    return end if _SUFFIX.match(end) else NO_SUFFIX


def _described(
    counts: Mapping[str, int],
    examples: Mapping[str, list[str]],
    folders: list[str],
    num_folders: int,
    empty: list[str],
    num_empty: int,
) -> dict[str, Any]:
    """The entry for ``meta``, the most frequent suffix first."""
    if not counts and not num_empty:
        return {}
    order = sorted(counts, key=lambda suffix: (-counts[suffix], suffix))
    return {
        "counts": {suffix: counts[suffix] for suffix in order},
        "examples": {suffix: examples[suffix] for suffix in order},
        "folders": folders,
        "num_folders": num_folders,
        **({"empty": empty, "num_empty": num_empty} if num_empty else {}),
    }
