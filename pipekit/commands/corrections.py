"""Corrections of a dataset: change labels and leave images out by a file, compare it with the images, undo it."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipekit.corrected import (
    COLUMNS,
    REMOVE,
    Correction,
    Ledger,
    State,
    agreeing,
    read_corrections,
    sentence,
    write_corrections,
)
from pipekit.errors import UserError, did_you_mean
from pipekit.files import PlainTable, expanded, hash_file, plain_rows, write_text
from pipekit.tasks import CLASSES, TASKS, canonical, written

FILE = "corrections.csv"

SUSPECTS = "suspects.csv"

SUGGESTED = "suggested"
"""The column of a list of suspects with the label that the model suggests."""

THUMBNAIL_PX = 200


@dataclass(frozen=True)
class Corrections:
    """A corrections file, compared with a dataset if one was given.

    Attributes:
        path: the file.
        corrections: its lines, sorted by id.
        states: what becomes of each of them in the dataset; empty without a dataset.
        headline: ``3 labels, 1 removed, 2 stale``; "" without a dataset.
    """

    path: Path
    corrections: tuple[Correction, ...]
    states: tuple[State, ...] = ()
    headline: str = ""

    @property
    def stale(self) -> tuple[State, ...]:
        return tuple(state for state in self.states if state.state == "stale")


@dataclass(frozen=True)
class Suspects:
    """Images whose label a person should check.

    Attributes:
        path: the CSV file to edit; :func:`add_corrections` takes it.
        page: the same images with pictures.
        rows: the lines of the file.
        decided: number of suspects that the corrections file names already; they are left out.
    """

    path: Path
    page: Path
    rows: tuple[Mapping[str, str], ...]
    decided: int


def corrections(
    source: str | Path | None = None, *, file: str | Path = FILE, format: str = "", splits: str = ""
) -> Corrections:
    """List the corrections of a dataset, and compare them with its images.

    Args:
        source: a folder of images, a file in a dataset's format, or a run's dataset; None lists the file alone.
        file: the corrections file.
        format: the importer to read ``source`` with; default: detected.
        splits: whether the top folders are splits ("yes") or classes ("no"), for the importer ``folders``.

    Raises:
        UserError: the file can't be read, or two of its lines contradict each other.
        ReadingsError: ``source`` can be read in several ways; the error has the values that choose each.

    Example:
        >>> import pipekit
        >>> pipekit.corrections("photos").headline  # doctest: +SKIP
        '3 labels, 1 removed, 1 stale'
    """
    path = expanded(file)
    found = tuple(sorted(read_corrections(path), key=lambda one: (one.id, one.sha256)))
    if source is None:
        return Corrections(path, found)
    ledger = Ledger(found)
    task, images = _images(source, format, splits, ledger.ids)
    for name, label, sha256 in images:
        ledger.settle(name, label, lambda: sha256, task)  # noqa: B023
    states = tuple(ledger.states())
    return Corrections(path, found, states, sentence(states))


def correct(
    source: str | Path,
    ids: Sequence[str],
    label: str = "",
    *,
    remove: bool = False,
    why: str = "",
    who: str = "",
    file: str | Path = FILE,
    format: str = "",
    splits: str = "",
) -> Corrections:
    """Add lines to a corrections file: a label for images, or their removal. The source stays as it is.

    A line of the same image is replaced; its ``old`` stays that of the source.

    Args:
        source: a folder of images, a file in a dataset's format, or a run's dataset, without these corrections.
        ids: the images.
        label: their class; several labels with ``|`` between them (``[]``: none); a number.
        remove: leave the images out, instead of a label.
        why, who: noted in the file.
        file: the corrections file; it is created if it does not exist.
        format: the importer to read ``source`` with; default: detected.
        splits: whether the top folders are splits ("yes") or classes ("no"), for the importer ``folders``.

    Returns:
        The file's lines; ``states`` is empty.

    Raises:
        UserError: there is no such image, it has the label already, or the file can't be read or written.
        ReadingsError: ``source`` can be read in several ways; the error has the values that choose each.

    Example:
        >>> import pipekit
        >>> pipekit.correct("photos", ["dog/17.jpg"], "cat", why="a cat")  # doctest: +SKIP
    """
    if remove == bool(label):
        raise UserError("a correction gives a label or removes the image", "Give a label, or remove, not both.")
    if label == REMOVE:
        raise UserError(f"a class can't be called {REMOVE!r} in a corrections file", "To leave the image out, remove it.")
    path = expanded(file)
    wanted = dict.fromkeys(ids)
    task, images = _images(source, format, splits, wanted)
    try:
        label = canonical(label, task)
    except ValueError as error:
        raise UserError(f"the label is none of a dataset with {TASKS[task]}: {error}") from error
    there = {one[0]: one for one in images}
    made = []
    for name in wanted:
        if not there.get(name, ("", None, ""))[2]:
            hint = (
                did_you_mean(name, list(there)) or "The id is the path below the folder, with /; `pipekit inspect` lists ids."
            )
            raise UserError(f"no image has the id {name!r}", hint)
        _, old, sha256 = there[name]
        if old == label:
            raise UserError(f"{name} has the label {label!r} already", "To undo a correction: pipekit corrections undo ID")
        made.append(Correction(name, sha256, old or "", REMOVE if remove else label, why, who))
    return _added(path, made)


def add_corrections(suspects: str | Path, *, who: str = "", file: str | Path = FILE) -> Corrections:
    """Add the decided lines of a list of suspects, which :func:`suggest_corrections` wrote and a person edited.

    A line with a ``new`` label (or ``remove``) is decided. One with the old label again says that the label is right, and one
    without ``new`` is not decided; neither is a correction.

    Args:
        suspects: the edited list.
        who: for lines that name nobody.
        file: the corrections file; it is created if it does not exist.

    Raises:
        UserError: a file can't be read or written, or two lines contradict each other.

    Example:
        >>> import pipekit
        >>> pipekit.add_corrections("suspects.csv", who="reviewer")  # doctest: +SKIP
    """
    listed = expanded(suspects)
    try:
        with listed.open(encoding="utf-8-sig", errors="surrogatepass", newline="") as handle:
            table = csv.DictReader(handle)
            if missing := [name for name in COLUMNS[:4] if name not in (table.fieldnames or ())]:
                raise UserError(f"{listed} has no column {missing[0]!r}", "`pipekit corrections from RUN` writes such a list.")
            rows = [{name: row.get(name) or "" for name in COLUMNS} | {"line": table.line_num} for row in plain_rows(table)]
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"can't read {listed}: {error}", "`pipekit corrections from RUN` writes such a list.") from error
    decided: list[Any] = [row for row in rows if row["new"] and row["new"] != row["old"]]
    made = agreeing(listed, [Correction(**{**row, "who": row["who"] or who}) for row in decided])
    return _added(expanded(file), [replace(one, line=0) for one in made])


def undo_corrections(ids: Sequence[str], *, file: str | Path = FILE) -> Corrections:
    """Take the lines of images out of a corrections file. The next run has their labels of the source.

    Args:
        ids: the images.
        file: the corrections file.

    Raises:
        UserError: the file has no line of an image.

    Example:
        >>> import pipekit
        >>> pipekit.undo_corrections(["dog/17.jpg"])  # doctest: +SKIP
    """
    path = expanded(file)
    found = read_corrections(path)
    known = {one.id for one in found}
    for name in ids:
        if name not in known:
            raise UserError(
                f"{path} has no correction of {name!r}",
                did_you_mean(name, sorted(known)) or "`pipekit corrections` lists the ids that it has.",
            )
    kept = tuple(one for one in found if one.id not in set(ids))
    write_corrections(path, kept)
    return Corrections(path, kept)


def suggest_corrections(
    run: str | Path, *, out: str | Path = SUSPECTS, file: str | Path = FILE, max_shown: int = 100
) -> Suspects:
    """List suspected label errors for a person to decide: a CSV file to edit, and a page with the pictures.

    A report suspects images of its test split, by a model; an inspection suspects images of all splits, by the features of a
    pretrained network.

    Write a class or ``remove`` into the column ``new`` of a line, or its old label if that is right;
    :func:`add_corrections` takes the file then.

    Args:
        run: a run with a report (``runs/pets``), else with an inspection; a stage of a run (``runs/pets:inspect``); a folder
            or file that :func:`inspect` wrote (``inspect.json``); or a folder of images, which is inspected for suspects.
        out: the CSV file; the page lies beside it.
        file: the corrections file: what it names already is left out.
        max_shown: maximum number of pictures on the page.

    Raises:
        UserError: there is neither, the inspection had no features to suspect labels by, or ``out`` exists.

    Example:
        >>> import pipekit
        >>> pipekit.suggest_corrections("runs/pets").rows[0]["suggested"]  # doctest: +SKIP
        'cat'
    """
    from pipekit.commands.suspects import suspects_of
    from pipekit.commands.working import refuse_existing

    path = expanded(out)
    page = path.with_suffix(".html")
    refuse_existing(path, page)
    known = {(one.id, one.sha256) for one in read_corrections(expanded(file))} if expanded(file).exists() else set()
    listed, paths = suspects_of(str(run))
    rows: list[dict[str, str]] = [
        {
            "id": one["id"],
            "sha256": one["sha256"],
            "old": one["label"],
            "new": "",
            "why": one.get("why")
            or f"p({one['label']}) = {one['p_label']:.3f}, p({one['suggested']}) = {one['p_suggested']:.3f}",
            "who": "",
            SUGGESTED: one["suggested"],
        }
        for one in listed
    ]
    left = [row for row in rows if (row["id"], row["sha256"]) not in known]
    text = io.StringIO()
    table = PlainTable(text)
    table.writerow((*COLUMNS, SUGGESTED))
    table.writerows(list(row.values()) for row in left)
    write_text(path, text.getvalue())
    write_text(page, _page(left, paths([row["id"] for row in left[:max_shown]]), path.name))
    return Suspects(path, page, tuple(left), len(rows) - len(left))


def _images(
    source: str | Path, format: str, splits: str, wanted: Collection[str]
) -> tuple[str, Iterator[tuple[str, str | None, str]]]:
    """The task of a source; and (id, label, sha256) of each image, as it is before corrections; also of ``wanted`` ones
    without a class.
    """
    from pipekit.commands.working import new_pipeline

    pipeline = new_pipeline(name="corrections")
    name = pipeline.dataset(source, format=format, splits=splits, verify="none", max_failed=1.0)
    dataset: Any = pipeline.given.get(name) or pipeline.run().artifact(name)
    return str(dataset.meta.get("task") or CLASSES), _rows_of(dataset, wanted)


def _rows_of(dataset: Any, wanted: Collection[str]) -> Iterator[tuple[str, str | None, str]]:
    for sample in dataset:
        yield sample.id, written(sample), sample.sha256
    for failure in dataset.failed():
        if failure.id in wanted and failure.image and not failure.part_of:
            with contextlib.suppress(OSError):
                yield failure.id, None, hash_file(failure.image)


def _added(path: Path, made: Iterable[Correction]) -> Corrections:
    """Write the file with further lines; they replace those of the same images.

    Where a line begins with what an earlier one made of an image, both are joined; back to the first label is no correction.
    """
    lines = {(one.id, one.sha256): one for one in (read_corrections(path) if path.exists() else ())}
    for one in made:
        before = lines.pop((one.id, one.sha256), None)
        if before is not None and not before.removes and one.old == before.new:
            one = replace(one, old=before.old)
        if one.new != one.old:
            lines[one.id, one.sha256] = one
    kept = tuple(sorted(lines.values(), key=lambda one: (one.id, one.sha256)))
    write_corrections(path, kept)
    return Corrections(path, kept)


def _page(rows: Sequence[Mapping[str, str]], paths: Mapping[str, str], name: str) -> str:
    """The suspects with their pictures."""
    from pipekit import images
    from pipekit.contract import Picture, Section
    from pipekit.errors import ImageError
    from pipekit.page import render

    pictures = []
    for row in rows:
        try:
            pixels = images.read(paths[row["id"]], at_least_hw=(THUMBNAIL_PX, THUMBNAIL_PX))
        except (KeyError, OSError, ImageError):
            continue
        said = f"labelled {row['old']}, suggested {row[SUGGESTED]}"
        data = images.encode(images.thumbnail(pixels, THUMBNAIL_PX), "jpg", quality=82)
        tags = {"label": row["old"], SUGGESTED: row[SUGGESTED]}
        pictures.append(Picture(data, alt=f"{row['id']}: {said}", caption=f"{said}\n{row['id']}\n{row['why']}", tags=tags))
    words = (
        f"Which labels are wrong? Write the right class, or `{REMOVE}`, into the column `new` of {name}; the old label again "
        f"says that it is right. Then: `pipekit corrections accept {name}`"
    )
    shown = "" if len(pictures) == len(rows) else f" {len(rows) - len(pictures):,} more are in the file."
    section = Section("Suspected label errors", words + shown, pictures=tuple(pictures))
    return render("Suspected label errors", [("suspects", section)], lead=f"{len(rows):,} images for a person to decide.")
