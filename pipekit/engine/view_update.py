"""Bring a view up to date: only what changed parts of the dataset show is removed and added.

The view's record ``.view.json`` says what the view shows, and further hidden files have its rows and names. New files are made
beside the view first. Then the view moves out of the folder of the last run, loses its record, and gets the changes by renames;
the new record is the last of them. So a view with a record is complete, and one without is built again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipekit import __version__
from pipekit.contract import Dataset
from pipekit.engine import view_tables
from pipekit.engine.contact_sheets import SHEET, SheetImage
from pipekit.engine.view_parts import PartToShow, Survey, ViewPart
from pipekit.engine.view_rows import MORE_ROWS, NAMES, TABLE, Layout, Names, ViewRow, below, text
from pipekit.engine.views import FAILED_TABLE, MAX_VIEW, Shown, Views, write_failed
from pipekit.files import hash_file
from pipekit.store.durability import is_off, sync_file, syncs_whole_disks
from pipekit.store.locations import Locations
from pipekit.store.parts import FAILED
from pipekit.store.rows import decode, encode

RECORD = ".view.json"

FORMAT = 4

MAX_CHANGED = 100_000
"""Maximum number of rows of changed parts of a large dataset: they are in memory. With more its view is built again."""


def settings_of(views: Views, is_import: bool, locations: Locations) -> dict[str, Any]:
    """What a view depends on besides the parts of its dataset. A view with other settings is rebuilt."""
    return {
        "format": FORMAT,
        "version": __version__,
        "how": views.how,
        "most_bytes": views.most_bytes,
        "draws": views.draw is not None,
        "is_import": is_import,
        "places": [str(locations.store), str(locations.project), dict(locations.moved)],
    }


# --- the record ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """What a view shows, as its record says.

    Attributes:
        data: the record's bytes.
        failed: the hash of the dataset's list of failed samples.
        shown: without rows, see :meth:`with_rows`.
    """

    folder: Path
    data: bytes
    settings: dict[str, Any]
    failed: str
    shown: Shown

    def with_rows(self) -> list[ViewPart] | None:
        """The parts with their rows; None if the file of rows is not what was written."""
        parts = self.shown.parts
        try:
            return [replace(part, rows=list(view_tables.rows_of_parts(self.folder, parts, (part.name,)))) for part in parts]
        except (view_tables.SpliceError, OSError):
            return None


def write_record(folder: Path, shown: Shown, settings: dict[str, Any], dataset: Dataset) -> None:
    """State what a finished view shows."""
    is_written = bool(shown.parts) and all(part.sha256 for part in shown.parts)
    parts, names = shown.parts, shown.names
    if not is_written:
        parts = view_tables.write_parts(folder, shown.parts)
        names = view_tables.write_names(folder, shown.parts) if shown.layout.as_folders else ""
    plain = {
        "settings": settings,
        "failed": hash_file(dataset.path / FAILED),
        "as_folders": shown.layout.as_folders,
        "is_unique": shown.is_unique,
        "sheet": shown.sheet,
        "tables": dict(shown.tables),
        "file_names": names,
        "parts": [part.to_plain() for part in parts],
    }
    (folder / RECORD).write_bytes(encode(plain))


def read_record(folder: Path) -> Record | None:
    """The record of a view; None if it has none, or not a whole one."""
    try:
        data = (folder / RECORD).read_bytes()
        plain = decode(data)
        parts = tuple(ViewPart.from_plain(part) for part in plain["parts"])
        extra = Survey.total(part.survey for part in parts).extra
        layout = Layout(plain["settings"]["is_import"], plain["as_folders"], extra)
        sheet = tuple(SheetImage(*image) for image in plain["sheet"])
        tables = {name: [(size, sha256) for size, sha256 in chunks] for name, chunks in plain["tables"].items()}
        shown = Shown(layout, plain["is_unique"], parts, sheet, tables, plain["file_names"])
        return Record(folder, data, plain["settings"], plain["failed"], shown)
    except (OSError, ValueError, KeyError, TypeError):
        return None


# --- updates -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Update:
    """A view that takes over the one of the last run.

    Attributes:
        now: the view of the last run.
        record: its record when the update was planned.
        staged: the new files; None if nothing has changed.
        gone: files to remove, as paths below the view.
    """

    now: Path
    record: bytes
    staged: Path | None = None
    gone: tuple[str, ...] = ()

    def apply(self, place: Path) -> bool:
        """Move the view to ``place``, and change it; returns False if another process has replaced it meanwhile."""
        try:
            self.now.rename(place)
            if (place / RECORD).read_bytes() != self.record:
                raise FileNotFoundError
        except OSError:
            shutil.rmtree(place, ignore_errors=True)
            return False
        if self.staged is not None:
            (place / RECORD).unlink()
            self._change(place, self.staged)
        return True

    def _change(self, place: Path, staged: Path) -> None:
        folders = set[Path]()
        for name in self.gone:
            with contextlib.suppress(FileNotFoundError):  # somebody has removed it
                (place / name).unlink()
            folders.update(_folders_of(place, name))
        for name in sorted(_files(staged), key=lambda name: name == RECORD):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            move(staged / name, place / name)
            folders.update(_folders_of(place, name))
        for folder in sorted(folders, reverse=True):  # those inside others first
            with contextlib.suppress(OSError):
                folder.rmdir()
        if not is_off() and not syncs_whole_disks():
            for folder in folders | {place}:
                sync_file(folder)


def move(source: Path, place: Path) -> None:
    source.replace(place)


def _folders_of(place: Path, name: str) -> Iterator[Path]:
    """The folders of a file, below the view."""
    yield from (place / folder for folder in list(Path(name).parents)[:-1])


def _files(folder: Path) -> list[str]:
    return [os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names]  # noqa: PTH118


def plan_update(
    views: Views, now: Path, staged: Path, dataset: Dataset, parts: Sequence[PartToShow], settings: dict[str, Any]
) -> Update | None:
    """Plan how the view of the last run becomes that of the dataset, and make the new files; the view stays as it is.

    Args:
        now: the view of the last run.
        staged: a folder for the new files, which does not exist yet.

    Returns:
        None if the whole view must be built.
    """
    record = read_record(now)
    if record is None or record.settings != settings:
        return None
    was, failed = record.shown, hash_file(dataset.path / FAILED)
    if {part.name for part in parts} == {part.name for part in was.parts} and failed == record.failed:
        views.note(now.name, dataset, was)
        views.on_shown(len(dataset))
        return Update(now, record.data)
    before = sum(part.count for part in was.parts)
    if not was.is_unique or (len(dataset) > MAX_VIEW) != (before > MAX_VIEW):
        return None
    staged.mkdir(parents=True)
    made = _Splice(views, record, parts, dataset).stage(staged) if was.tables else None
    if made is None and before <= MAX_VIEW:
        shutil.rmtree(staged)
        staged.mkdir()
        former = record.with_rows()
        if former is not None:
            made = _Change(views, record, {part.name: part for part in former}, parts, dataset).stage(staged)
    if made is None:
        return None
    shown, gone = made
    if any(folder.is_symlink() for name in (*gone, *_files(staged)) for folder in {now, *_folders_of(now, name)}):
        return None  # somebody has put a link there: what it leads to is not the view's
    write_record(staged, shown, settings, dataset)
    gone.update(name for name in (MORE_ROWS, NAMES) if (now / name).exists())  # unless they are replaced
    views.note(now.name, dataset, shown)
    return Update(now, record.data, staged, tuple(sorted(gone)))


@dataclass(frozen=True)
class _Change:
    """The difference between what a view shows and what it is to show. ``former`` are the parts that it shows, by name."""

    views: Views
    record: Record
    former: dict[str, ViewPart]
    parts: Sequence[PartToShow]
    dataset: Dataset

    def stage(self, staged: Path) -> tuple[Shown, set[str]] | None:
        """Make the new files.

        Returns:
            what the view will show, and the files to remove; None if the whole view must be rebuilt.
        """
        views, was, parts = self.views, self.record.shown, self.parts
        kept = [self.former[part.name] for part in parts if part.name in self.former]
        new = [part for part in parts if part.name not in self.former]
        kept_rows = [row for part in kept for row in part.rows]
        names = Names(kept_rows) if was.layout.as_folders else None
        surveys = {part.name: views.survey(part.samples(), was.layout.is_import, names) for part in new}
        layout = views.layout(staged, self.dataset, [*(part.survey for part in kept), *surveys.values()], was.layout.is_import)
        if layout != was.layout or not (names is None or names.are_unique):
            return None
        views.on_shown(len(kept_rows))
        gone, there = self._gone({part.name for part in kept}, kept_rows)
        found = {part.name: part for part in kept}
        for part in new:
            rows = list(views.put_all(staged, part, layout, there))
            gone.difference_update(row.path for row in rows if row.source and there.get(row.path) == row.source)
            found[part.name] = ViewPart(part.name, part.count, surveys[part.name], rows)
        shown = Shown(layout, True, tuple(found[part.name] for part in parts))
        rows = [row for part in shown.parts for row in part.rows]
        shown = replace(shown, tables=view_tables.write_all(staged, rows, layout))
        tables = {below(text(table), TABLE) for table in {row.table for row in rows}}
        gone |= {below(text(table), TABLE) for table in {row.table for p in self.former.values() for row in p.rows}} - tables
        if not write_failed(staged, self.dataset):
            gone.add(FAILED_TABLE)
        shown = replace(shown, sheet=views.sheet(staged, shown, parts, was.sheet))
        if not shown.sheet:
            gone.add(SHEET)
        return shown, gone

    def _gone(self, kept: set[str], kept_rows: Sequence[ViewRow]) -> tuple[set[str], dict[str, bytes]]:
        """The files that no kept part shows, and the files that new parts can take over, see :meth:`Views.put_all`."""
        others = [row for name, part in self.former.items() if name not in kept for row in part.rows if row.file]
        tars = {row.path: row.source for row in kept_rows if row.file and not row.source}
        copies = {row.path: row.source for row in others if row.source and os.path.lexists(self.record.folder / row.path)}
        return {row.path for row in others} - tars.keys(), copies | tars


@dataclass(frozen=True)
class _Splice:
    """Like :class:`_Change`, if tables can be spliced: no row of an unchanged part is parsed."""

    views: Views
    record: Record
    parts: Sequence[PartToShow]
    dataset: Dataset

    def stage(self, staged: Path) -> tuple[Shown, set[str]] | None:
        """Make the new files, as :meth:`_Change.stage` does."""
        views, was, now = self.views, self.record.shown, self.record.folder
        names = {part.name for part in self.parts}
        kept = {part.name: part for part in was.parts if part.name in names}
        new = [part for part in self.parts if part.name not in kept]
        others = {part.name for part in was.parts if part.name not in kept}
        if sum(part.count for part in new) + sum(part.count for part in was.parts if part.name in others) > MAX_CHANGED:
            return None
        surveys = {part.name: views.survey(part.samples(), was.layout.is_import, None) for part in new}
        every = [*(part.survey for part in kept.values()), *surveys.values()]
        layout = views.layout(staged, self.dataset, every, was.layout.is_import)
        if layout != was.layout:
            return None
        try:
            former = list(view_tables.rows_of_parts(now, was.parts, others))
            tars = {tar for part in kept.values() for tar in part.tars}
            gone, there = self._gone(former, tars)
            made = dict(kept)
            for part in new:
                rows = list(views.put_all(staged, part, layout, there))
                made[part.name] = ViewPart(part.name, part.count, surveys[part.name], rows)
            rows = [row for part in new for row in made[part.name].rows]
            listed, unique = [made[part.name] for part in self.parts], ""
            if layout.as_folders:
                unique = view_tables.change_names(now, staged, was.names, was.parts, listed, former)
            if (layout.as_folders and not unique) or not view_tables.are_plain(rows):
                return None
            tables = view_tables.splice_all(now, staged, was.tables, former, rows, layout.header())
            found = view_tables.write_rows(now, staged, listed)
        except (view_tables.SpliceError, OSError):
            return None
        views.on_shown(sum(part.count for part in kept.values()))
        gone.difference_update(row.path for row in rows if row.source and there.get(row.path) == row.source)
        if len(self.dataset) <= MAX_VIEW:  # a table without a row is none
            gone |= self._without_rows(staged, tables, len(layout.header()))
        if not write_failed(staged, self.dataset):
            gone.add(FAILED_TABLE)
        shown = Shown(layout, True, found, (), tables, unique)
        shown = replace(shown, sheet=views.sheet(staged, shown, self.parts, was.sheet))
        if not shown.sheet:
            gone.add(SHEET)
        return shown, gone

    def _gone(self, former: Sequence[ViewRow], tars: set[str]) -> tuple[set[str], dict[str, bytes]]:
        """The files that no kept part shows, and the files that new parts can take over, see :meth:`Views.put_all`."""
        others = [row for row in former if row.file]
        copies = {row.path: row.source for row in others if row.source and os.path.lexists(self.record.folder / row.path)}
        return {row.path for row in others} - tars, copies | dict.fromkeys(tars, b"")

    @staticmethod
    def _without_rows(staged: Path, tables: dict[str, view_tables.Chunks], header_bytes: int) -> set[str]:
        """The tables that have lost their last row."""
        empty = {name for name in tables if (staged / name).exists() and (staged / name).stat().st_size == header_bytes}
        for name in empty:
            (staged / name).unlink()
            del tables[name]
        return empty
