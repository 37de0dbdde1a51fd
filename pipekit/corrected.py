"""Corrections files: labels that a person has changed and images that a person has removed, read by ``import.*`` and ``split``.

The source is never changed: a dataset is imported with its corrections, and a line that is taken out of the file is undone.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipekit.errors import UserError
from pipekit.files import PlainTable, plain_rows, write_text
from pipekit.quarantine import Exclusions
from pipekit.tasks import CLASSES, canonical, classes_in

COLUMNS = ("id", "sha256", "old", "new", "why", "who")
NEEDED = COLUMNS[:4]

REMOVE = "remove"
"""In the column ``new``: the image is left out."""

MAX_SAID = 3
"""Maximum number of stale corrections that a warning lists."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person decided about one image.

    Attributes:
        id, sha256: the image. Another file under the same id is another image.
        old: its label in the source; "" if it had none. Several labels are sorted, with ``|`` between them, ``[]`` for none; a
            number is its shortest text.
        new: its label, or :data:`REMOVE`.
        why, who: for people.
        line: its line in the file, from 1; 0 if it is not from a file.
    """

    id: str
    sha256: str
    old: str
    new: str
    why: str = ""
    who: str = ""
    line: int = field(default=0, compare=False)

    @property
    def removes(self) -> bool:
        return self.new == REMOVE

    @property
    def said(self) -> str:
        """``dog to cat``"""
        return f"{self.old or 'no class'} to {self.new}" if not self.removes else f"{self.old or 'no class'}, {REMOVE}"


def read_corrections(path: Path) -> tuple[Correction, ...]:
    """Read a corrections file: a CSV with the columns ``id``, ``sha256``, ``old``, ``new``, and optionally ``why``, ``who``.

    Raises:
        UserError: it can't be read, a line is not complete, or two lines contradict each other.
    """
    hint = f"It must be a CSV file with the columns {', '.join(COLUMNS)}, separated by commas."
    try:
        with path.open(encoding="utf-8-sig", errors="surrogatepass", newline="") as file:
            table = csv.DictReader(file)
            names = list(table.fieldnames or ())
            if missing := [name for name in NEEDED if name not in names]:
                raise UserError(f"{path} has no column {missing[0]!r}", hint)
            if unknown := [name for name in names if name not in COLUMNS]:
                raise UserError(f"{path} has the column {unknown[0]!r}, which is none of a corrections file", hint)
            found = [_read(path, table.line_num, row) for row in plain_rows(table)]
    except FileNotFoundError:
        raise UserError(
            f"there is no corrections file {path}", "`pipekit corrections add` and `pipekit corrections accept` write one."
        ) from None
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"can't read {path}: {error}", hint) from error
    return agreeing(path, found)


def _read(path: Path, line: int, row: Mapping[str, str]) -> Correction:
    values = {name: row.get(name) or "" for name in COLUMNS}
    where, hint = f"{path}, line {line}", "`pipekit corrections add` writes whole lines."
    if None in row:
        raise UserError(f"{where}: more cells than columns", "Put a cell that contains a comma into quotes.")
    if not values["id"]:
        raise UserError(f"{where}: no id", hint)
    if not _SHA256.fullmatch(values["sha256"]):
        got = f"{values['sha256']!r} is" if values["sha256"] else "an empty cell is"
        raise UserError(f"{where}: {got} no sha256 of an image, 64 digits of 0-9 and a-f", hint)
    if not values["new"]:
        raise UserError(f"{where}: the column 'new' is empty", f"Expected a class, or {REMOVE!r} to leave the image out.")
    if values["new"] == values["old"]:
        raise UserError(f"{where}: old and new are both {values['new']!r}", "Take the line out: it changes nothing.")
    return Correction(**values, line=line)


def agreeing(path: Path, found: Iterable[Correction]) -> tuple[Correction, ...]:
    """The corrections without repeated lines.

    Raises:
        UserError: two lines contradict each other.
    """
    kept: dict[tuple[str, str], Correction] = {}
    for one in found:
        before = kept.setdefault((one.id, one.sha256), one)
        if (before.old, before.new) != (one.old, one.new):
            raise UserError(
                f"{path} says two things of {one.id}: {before.said} in line {before.line}, {one.said} in line {one.line}",
                "Take one of the two lines out.",
            )
    return tuple(kept.values())


def write_corrections(path: Path, corrections: Iterable[Correction]) -> None:
    """Write a corrections file, sorted by id, whole or not at all."""
    text = io.StringIO()
    table = PlainTable(text)
    table.writerow(COLUMNS)
    ordered = sorted(corrections, key=lambda one: (one.id, one.sha256))
    table.writerows([getattr(one, name) for name in COLUMNS] for one in ordered)
    write_text(path, text.getvalue())


@dataclass(frozen=True, slots=True)
class State:
    """What became of one correction.

    Attributes:
        state: ``applied``, ``removed``, ``already`` (the image has the new label), ``excluded`` (the quarantine file leaves
            it out as well) or ``stale``.
        reason: why a stale one is not applied.
    """

    correction: Correction
    state: str
    reason: str = ""


class Ledger:
    """Applies corrections to the images of a dataset, and counts.

    A correction is applied only to the very image that it was made for, with the label that it had then; else it is stale.
    """

    def __init__(self, corrections: Sequence[Correction], excluded: Exclusions | None = None) -> None:
        self._by_id: dict[str, list[Correction]] = {}
        for one in corrections:
            self._by_id.setdefault(one.id, []).append(one)
        self._corrections = corrections
        self._excluded = excluded or Exclusions()
        self._states: dict[Correction, State] = {}
        self._labels: set[str] = set()
        self._task = CLASSES

    def __bool__(self) -> bool:
        return bool(self._corrections)

    @property
    def ids(self) -> set[str]:
        return set(self._by_id)

    def labels_one_without(self, identity: str) -> bool:
        """Whether a correction gives an image of this id its first label."""
        return any(not one.old and not one.removes for one in self._by_id.get(identity, ()))

    def settle(
        self, identity: str, label: str | None, sha256: Callable[[], str], task: str = CLASSES
    ) -> tuple[bool, str | None]:
        """Whether an image is kept, and its label.

        Args:
            label: as :func:`pipekit.tasks.written` has it; so is the one that is returned, if it is another one.
            sha256: asked only for an image with a correction.
            task: of the dataset.

        Raises:
            UserError: a correction's label is none of the task.
        """
        self._task = task
        self._labels |= {*classes_in(label or "", task)}
        if identity not in self._by_id:
            return True, label
        try:
            content = sha256()
        except OSError as error:
            reason = f"the file can't be read: {error.strerror}"
            self._states |= {one: State(one, "stale", reason) for one in self._by_id[identity]}
            return True, label
        found = [_settled(one, content, label or "", task) for one in self._by_id[identity]]
        self._states |= {state.correction: state for state in found}
        for state in found:
            if state.state in ("applied", "removed"):
                kept = state.state == "applied"
                return kept, _canonical(state.correction, state.correction.new, task) if kept else label
        return True, label

    def states(self) -> Iterator[State]:
        """What became of each correction, after all images were shown, in the order of the file."""
        for one in self._corrections:
            if self._excluded.leaves_out(one.id, one.sha256):
                yield State(one, "excluded")
            else:
                yield self._states.get(one) or State(one, "stale", "no image has this id")

    def facts(self) -> dict[str, str]:
        """``{"corrected": "3 labels, 1 removed"}`` for the run's table; empty without corrections."""
        return {"corrected": sentence(list(self.states()))} if self else {}

    def warnings(self, name: str) -> Iterator[str]:
        """What a person should know: stale corrections, and new classes that no other image has."""
        stale = [state for state in self.states() if state.state == "stale"]
        if stale:
            examples = "; ".join(
                f"{one.correction.id}: {one.reason}" + (f" (line {one.correction.line})" if one.correction.line else "")
                for one in stale[:MAX_SAID]
            )
            more = f"; and {len(stale) - MAX_SAID:,} more" if len(stale) > MAX_SAID else ""
            many = f"{len(stale):,} corrections" if len(stale) > 1 else "1 correction"
            yield (
                f"{many} of {name} {'are' if len(stale) > 1 else 'is'} stale and not applied: {examples}{more}. "
                "`pipekit corrections check` lists all"
            )
        applied = (state.correction.new for state in self.states() if state.state == "applied")
        made = Counter(label for new in applied for label in classes_in(new, self._task))
        for label, count in sorted(made.items()):
            if label not in self._labels:
                gives = f"{count:,} corrections of {name} give" if count > 1 else f"1 correction of {name} gives"
                yield f"{gives} the class {label!r}, which no other image has. Is it spelled correctly?"


def _canonical(one: Correction, label: str, task: str) -> str:
    try:
        return canonical(label, task)
    except ValueError as error:
        where = f"line {one.line} of the corrections" if one.line else f"the correction of {one.id}"
        raise UserError(f"{where}: {error}", f"It corrects {one.id}, from {one.old!r} to {one.new!r}.") from error


def _settled(one: Correction, sha256: str, label: str, task: str) -> State:
    if one.sha256 != sha256:
        return State(one, "stale", "the file is not the one that was corrected: its sha256 differs")
    if label != _canonical(one, one.old, task):
        if not one.removes and label == _canonical(one, one.new, task):
            return State(one, "already")
        return State(one, "stale", f"its label is {label!r} now, not {one.old!r}")
    return State(one, "removed" if one.removes else "applied")


def sentence(states: Sequence[State]) -> str:
    """``3 labels, 1 removed, 2 stale``"""
    counts = Counter(state.state for state in states)
    labels = counts["applied"]
    parts = [f"{labels:,} label{'s' if labels != 1 else ''}"]
    words = {"removed": "removed", "already": "were right already", "excluded": "excluded as well", "stale": "stale"}
    parts += [f"{counts[name]:,} {said}" for name, said in words.items() if counts[name]]
    return ", ".join(parts)
