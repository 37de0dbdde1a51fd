"""Views: results as files that people open. Datasets become class folders with tables, other files copies.

No view has a hard link to a file that pipekit did not make: editing a view must not edit a photograph.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from pipekit.contract import Dataset, Sample
from pipekit.engine import view_tables
from pipekit.engine.contact_sheets import SHEET, DrawSheet, SheetImage, images_for_sheet
from pipekit.engine.view_parts import PartToShow, Survey, ViewPart
from pipekit.engine.view_rows import Layout, Names, ViewRow, names_in_order
from pipekit.errors import DamagedError, StageError, UserError
from pipekit.files import PlainTable, split_packed
from pipekit.store.copying import can_share_blocks, copy_file
from pipekit.store.rows import digest
from pipekit.store.store import Store
from pipekit.store.wholeness import guard

COPIED_BYTES = 8 * 2**20
"""Files that pipekit made are copied up to this size; larger ones are read-only hard links."""

MAX_VIEW = 100_000
"""Datasets with more samples are listed in ``metadata.csv`` and not shown as folders."""

FAILED_TABLE = "failed.csv"

SHARDS = "shards"
"""The folder of a store whose folders are shards."""


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


@dataclass(frozen=True)
class Shown:
    """What a view shows: all that the next run needs to bring it up to date.

    Attributes:
        is_unique: whether the preferred names of all files are unique.
        parts: of the dataset.
        sheet: the images of its contact sheet; empty if it has none.
        tables: the pieces of each table, by its path below the view; none if they can't be spliced.
        names: the hash of the file of names; "" if there is none, or not yet.
    """

    layout: Layout
    is_unique: bool
    parts: tuple[ViewPart, ...]
    sheet: tuple[SheetImage, ...] = ()
    tables: Mapping[str, view_tables.Chunks] = field(default_factory=dict)
    names: str = ""


@dataclass
class Views:
    """Shows datasets as class folders with a ``metadata.csv`` for each split.

    Attributes:
        how: ``copies``; ``links``: symbolic links to images that pipekit did not make; ``none``: tables only.
        most_bytes: maximum size of copies of images that pipekit did not make, for each dataset; None: no limit.
        store: its files, which pipekit made, may become read-only hard links; None: everything is copied.
        began: when the run began, in seconds since 1970: older files are compared with their hashes before they are linked.
        draw: draws contact sheets; None: there are none.
        on_shown: called with the number of further images that are shown.
    """

    how: str
    most_bytes: int | None
    store: Path | None
    began: float = 0.0
    draw: DrawSheet | None = None
    on_shown: Callable[[int], None] = lambda number: None
    notes: list[str] = field(default_factory=list)

    def show(self, folder: Path, dataset: Dataset, is_import: bool, parts: Sequence[PartToShow] = ()) -> Shown:
        """Write the view. An import's images are in a folder already, so it gets only a table.

        Args:
            parts: the parts of the dataset; none: it is shown as one part.
        """
        folder.mkdir(parents=True)
        write_failed(folder, dataset)
        groups = parts or [PartToShow("", len(dataset), lambda: iter(dataset))]
        names = None if is_import or self.how == "none" or len(dataset) > MAX_VIEW else Names()
        surveys = [self.survey(group.samples(), is_import, names) for group in groups]
        layout = self.layout(folder, dataset, surveys, is_import)
        is_unique = names is None or names.are_unique
        if layout.as_folders and not is_unique:
            layout = replace(layout, names=names_in_order(iter(dataset), layout))
        if len(dataset) > MAX_VIEW:
            large, tables = view_tables.build(self, folder, groups, surveys, layout)
            shown = Shown(layout, is_unique, large, tables=tables)
        else:
            there: dict[str, bytes] = {}
            pairs = zip(groups, surveys, strict=True)
            made = [ViewPart(g.name, g.count, found, list(self.put_all(folder, g, layout, there))) for g, found in pairs]
            tables = view_tables.write_all(folder, [row for part in made for row in part.rows], layout)
            shown = Shown(layout, is_unique, tuple(made), tables=tables)
        shown = replace(shown, sheet=self.sheet(folder, shown, parts))
        self.note(folder.name, dataset, shown)
        return shown

    def put_all(self, folder: Path, group: PartToShow, layout: Layout, there: dict[str, bytes]) -> Iterator[ViewRow]:
        """Show the images of a part, and yield their rows.

        Args:
            there: files that are in the view already, and what they are copies of, see :class:`ViewRow`.
        """
        for sample in group.samples():
            yield self._put_row(folder, sample, layout, there)
            self.on_shown(1)

    def _put_row(self, folder: Path, sample: Sample, layout: Layout, there: dict[str, bytes]) -> ViewRow:
        packed = split_packed(sample.image)
        tar = _tar_name(packed[0]) if packed and not layout.is_import else ""
        row = layout.row(sample, self._is_made(sample.image), tar)
        if row.file and there.get(path := row.path) != row.source:
            if tar:
                there[path] = row.source
            self._put(packed[0] if packed else sample.image, folder / path)
        return row

    def survey(self, samples: Iterable[Sample], is_import: bool, names: Names | None) -> Survey:
        """What the layout depends on. The preferred names of the samples' files are added to ``names``."""
        extra, num_images, size_bytes = set[str](), 0, 0
        counts = not is_import and self.how == "copies" and self.most_bytes is not None
        for sample in samples:
            extra.update(sample.extra)
            if names is not None:
                names.add(sample)
            if counts and not self._is_made(sample.image) and split_packed(sample.image) is None:
                num_images += 1
                size_bytes += os.stat(sample.image).st_size  # noqa: PTH116 (done for every image)
        return Survey(tuple(sorted(extra)), num_images, size_bytes)

    def layout(self, folder: Path, dataset: Dataset, surveys: Iterable[Survey], is_import: bool) -> Layout:
        """How a dataset is shown, as far as all its parts decide it; ``folder`` is any on the disk of the view."""
        total = Survey.total(surveys)
        as_folders = not is_import and len(dataset) <= MAX_VIEW and self.how != "none" and self._is_room(folder, total)
        return Layout(is_import, as_folders, total.extra)

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

    def _is_room(self, folder: Path, total: Survey) -> bool:
        """Whether the images to copy fit into ``most_bytes``, or copies take no disk space."""
        return self.most_bytes is None or total.size_bytes <= self.most_bytes or can_share_blocks(folder)

    # --- datasets that are not shown as folders ---

    def sheet(
        self, folder: Path, shown: Shown, parts: Sequence[PartToShow], before: tuple[SheetImage, ...] = ()
    ) -> tuple[SheetImage, ...]:
        """Draw the contact sheet of a dataset that is too large for folders; returns the images on it.

        Args:
            before: the images on the sheet that is there already.
        """
        if self.draw is None or shown.layout.as_folders or shown.layout.is_import or self.how == "none":
            return ()
        images = images_for_sheet(parts)
        return images if images and (images == before or self.draw(folder / SHEET, images)) else ()

    def note(self, name: str, dataset: Dataset, shown: Shown) -> None:
        """Note why a dataset is not shown as folders, and how to see it."""
        if shown.layout.as_folders or shown.layout.is_import or self.how == "none" or len(dataset) > MAX_VIEW:
            return
        total = Survey.total(part.survey for part in shown.parts)
        sheet = f"; {SHEET} shows {len(shown.sheet)} of them" if shown.sheet else ""
        self.notes.append(
            f"{name}: its {total.num_images:,} images take {total.size_bytes / 1e6:,.0f} MB, so they are listed in "
            f"metadata.csv and not copied{sheet}. To see them in class folders: --set views=links (editing one edits your "
            f"image), or --set views_mb={-(-total.size_bytes // 10**6)}"
        )


def write_failed(folder: Path, dataset: Dataset) -> bool:
    """Write ``failed.csv``; returns False if no sample failed."""
    if not (dataset.meta["num_failed"] or dataset.meta.get("num_failed_annotations")):
        return False
    with (folder / FAILED_TABLE).open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = PlainTable(file)
        writer.writerow(["id", "reason", "image"])
        writer.writerows((f.id, f.reason, f.image) for f in dataset.failed())
    return True


@lru_cache(maxsize=16)
def _tar_name(tar: str) -> str:
    """A tar is named by its shard, so that its name does not depend on the other shards."""
    steps = Path(tar).parts
    return f"{(steps[-2] if len(steps) > 3 and steps[-4] == SHARDS else digest(tar))[:16]}.tar"
