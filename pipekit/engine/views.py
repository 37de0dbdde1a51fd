"""Views: results as files that people open. Datasets become class folders with tables, other files copies.

No view has a hard link to a file that pipekit did not make: editing a view must not edit a photograph.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipekit.contract import Dataset, Sample
from pipekit.errors import DamagedError, StageError, UserError
from pipekit.files import PlainTable, split_packed
from pipekit.store.copying import can_share_blocks, copy_file
from pipekit.store.rows import digest
from pipekit.store.store import Store
from pipekit.store.wholeness import guard

COPIED_BYTES = 8 * 2**20
"""Files that pipekit made are copied up to this size; larger ones are read-only hard links."""

MAX_NAME_BYTES = 255
"""Maximum length of a file name on most file systems."""

MAX_VIEW = 100_000
"""Datasets with more samples are listed in ``metadata.csv`` and not shown as folders."""


@contextlib.contextmanager
def damage_moved_aside() -> Iterator[None]:
    """Move a folder that turns out to be damaged aside, so that the next run recomputes it.

    Raises:
        StageError: a folder was damaged.
    """
    try:
        yield
    except DamagedError as error:
        guard.take_noted()
        place = guard.place_of(error.path)
        if place is None:
            raise
        Store(place.parents[2]).set_aside(place, error.problem)
        raise StageError(
            f"{error.path} was damaged ({error.problem}) and was moved aside", "Run the same command again: it is recomputed."
        ) from error


def copy_out(source: str | Path, place: Path) -> None:
    """Copy a file, and create its folder if it is missing.

    Raises:
        DamagedError: the source is a file of a store, and its bytes have changed.
    """
    guard.check_file(os.fspath(source))
    try:
        copy_file(source, place)
    except FileNotFoundError:
        place.parent.mkdir(parents=True, exist_ok=True)
        copy_file(source, place)


def put_made(source: Path, place: Path, began: float = 0.0) -> None:
    """Show a file that pipekit made: as a copy or, if it is large, as a read-only hard link."""
    if source.stat().st_size > COPIED_BYTES:
        place.parent.mkdir(parents=True, exist_ok=True)
        if _link(source, place, began):
            return
    copy_out(source, place)


def _link(source: str | Path, place: Path, began: float = 0.0) -> bool:
    """Hard-link a file of the store, which becomes read-only; False if that is not possible.

    Raises:
        DamagedError: the file is not what was put into the store. One that is younger than ``began`` (seconds since 1970) was
            made in this run, and is not read again.
    """
    if os.stat(source).st_mtime < began:  # noqa: PTH116 (done for every image)
        guard.check_file(os.fspath(source))
    try:
        os.chmod(source, 0o444)
        os.link(source, place)
    except FileExistsError:
        raise
    except OSError:  # another disk, one without links, or a store that this user may only read
        return False
    return True


def _symlink(source: str, place: Path) -> None:
    try:
        place.symlink_to(source)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "Show copies: --set views=copies, or tables only: --set views=none. (Windows makes links in its developer mode.)"
        raise UserError(f"no symbolic link can be made in {place.parent}: {reason}", hint) from error


@dataclass
class Views:
    """Shows datasets as class folders with a ``metadata.csv`` for each split.

    Attributes:
        how: ``copies``; ``links``: symbolic links to images that pipekit did not make; ``none``: tables only.
        most_bytes: maximum size of copies of images that pipekit did not make, for each dataset; None: no limit.
        store: its files, which pipekit made, may become read-only hard links; None: everything is copied.
        began: when the run began, in seconds since 1970: older files are compared with their hashes before they are linked.
    """

    how: str
    most_bytes: int | None
    store: Path | None
    began: float = 0.0
    notes: list[str] = field(default_factory=list)

    def show(self, folder: Path, dataset: Dataset, is_import: bool) -> None:
        """Write the view. An import's images are in a folder already, so it gets only a table."""
        folder.mkdir(parents=True)
        if dataset.meta["num_failed"]:
            with (folder / "failed.csv").open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
                writer = PlainTable(file)
                writer.writerow(["id", "reason", "image"])
                writer.writerows((f.id, f.reason, f.image) for f in dataset.failed())
        as_folders = not is_import and len(dataset) <= MAX_VIEW and self.how != "none" and self._is_room(folder, dataset)
        tars: dict[str, str] = {}
        with contextlib.ExitStack() as stack:
            writers: dict[str, Any] = {}
            taken: set[str] = set()
            extra = sorted({name for sample in dataset for name in sample.extra})
            for sample in dataset:
                packed = split_packed(sample.image)
                below = sample.split if as_folders and not packed else ""
                if below not in writers:
                    (folder / below).mkdir(exist_ok=True)
                    file = stack.enter_context(
                        (folder / below / "metadata.csv").open("w", newline="", encoding="utf-8", errors="backslashreplace")
                    )
                    writers[below] = csv.writer(file)
                    writers[below].writerow(
                        ["file_name", "label", "split", "id", "sha256", *(f"extra_{name}" for name in extra)]
                    )
                name = sample.image
                if packed and not is_import:
                    if packed[0] not in tars:
                        tars[packed[0]] = f"{len(tars):05d}.tar"
                        self._put(packed[0], folder / tars[packed[0]])
                    name = tars[packed[0]] + sample.image[len(packed[0]) :]
                elif as_folders:
                    name = _view_name(sample, below, taken)
                    self._put(sample.image, folder / below / name)
                values = [sample.extra.get(key, "") for key in extra]
                plain = [value if isinstance(value, (str, int, float)) else json.dumps(value) for value in values]
                writers[below].writerow([name, sample.label or "", sample.split, sample.id, sample.sha256, *plain])

    def _put(self, source: str, place: Path) -> None:
        if self.store is not None and self._is_made(source):
            place.parent.mkdir(parents=True, exist_ok=True)
            if _link(source, place, self.began):
                return
        elif self.store is not None and self.how == "links":
            place.parent.mkdir(parents=True, exist_ok=True)
            _symlink(source, place)
            return
        copy_out(source, place)

    def _is_made(self, path: str) -> bool:
        return self.store is not None and path.startswith(f"{self.store}{os.sep}")

    def _is_room(self, folder: Path, dataset: Dataset) -> bool:
        """Whether the images to copy fit into ``most_bytes``, or copies take no disk space."""
        if self.most_bytes is None or self.how == "links":
            return True
        num_images = size_bytes = 0
        for sample in dataset:
            if not self._is_made(sample.image) and split_packed(sample.image) is None:
                num_images += 1
                size_bytes += os.stat(sample.image).st_size  # noqa: PTH116 (done for every image)
        if size_bytes <= self.most_bytes or can_share_blocks(folder):
            return True
        self.notes.append(
            f"{folder.name}: its {num_images:,} images take {size_bytes / 1e6:,.0f} MB, so they are listed in metadata.csv "
            f"and not copied. To see them in class folders: --set views=links (editing one edits your image), or "
            f"--set views_mb={-(-size_bytes // 10**6)}"
        )
        return False


def _view_name(sample: Sample, split: str, taken: set[str]) -> str:
    """``cat/cat_1.jpg``; more of the id if two files of a class have the same name.

    Names that differ only in case or Unicode composition count as equal: some file systems keep them apart, others don't.
    """
    suffix = Path(sample.image).suffix
    folder = _folder_name(sample.label) if sample.label is not None else "_unlabelled"
    last = sample.id.rsplit("/", 1)[-1].removesuffix(suffix)
    whole = sample.id.replace("/", "__").removesuffix(suffix)
    for stem in (last, whole, f"{whole[:40]}-{digest(sample.id)[:16]}"):
        name = f"{folder}/{stem}{suffix}"
        mark = unicodedata.normalize("NFC", f"{split}/{name}").casefold()
        if mark not in taken and len(os.fsencode(stem + suffix)) <= MAX_NAME_BYTES:
            break
    taken.add(mark)
    return name


def _folder_name(label: str) -> str:
    """A class name as the name of one folder."""
    name = "".join("_" if letter in "/\\\0" else letter for letter in label).strip(". ")
    return os.fsdecode(os.fsencode(name)[:MAX_NAME_BYTES]) or "_"
