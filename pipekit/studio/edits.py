"""The only writer of what a person decides about images: ``corrections.csv`` and ``quarantine.csv``, with undo and redo.

A click is on the disk before it is answered: as a line of ``clicks.jsonl``, then in the file itself. The log serves undo alone.
The files have a line for each image, sorted by id and without times: the same decisions in any order are the same bytes.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipekit.commands.inspect import COLUMNS, write_quarantine
from pipekit.corrected import REMOVE, Correction, read_corrections, write_corrections
from pipekit.errors import PipekitError, UserError
from pipekit.files import plain_rows

CORRECTIONS = "corrections.csv"
QUARANTINE = "quarantine.csv"

LABEL, LEAVE_OUT = "label", "leave out"


class ConflictError(PipekitError):
    """A file is no longer what the page showed: another tab, an editor or the command line has changed it."""


@dataclass(frozen=True)
class Change:
    """What one click does to one image.

    Attributes:
        what: :data:`LABEL` or :data:`LEAVE_OUT`.
        old: the label in the source.
        before, after: the correction's label or the reason to leave the image out; "" for none.
    """

    what: str
    id: str
    sha256: str
    old: str
    before: str
    after: str
    check: str = ""

    @property
    def reverse(self) -> Change:
        return Change(self.what, self.id, self.sha256, self.old, self.after, self.before, self.check)


class Edits:
    """The decisions in a folder of work."""

    def __init__(self, base: Path, state: Path) -> None:
        self.corrections, self.quarantine = base / CORRECTIONS, base / QUARANTINE
        state.mkdir(parents=True, exist_ok=True)
        self._log = state / "clicks.jsonl"
        self._lock = threading.Lock()

    @property
    def revision(self) -> str:
        """Changes with the content of either file."""
        return hashlib.sha256(b"\0".join(_content(path) for path in (self.corrections, self.quarantine))).hexdigest()[:16]

    def labels(self) -> Mapping[tuple[str, str], Correction]:
        """(id, SHA-256) -> correction.

        Raises:
            UserError: the file can't be read.
        """
        found = read_corrections(self.corrections) if self.corrections.exists() else ()
        return {(one.id, one.sha256): one for one in found}

    def left_out(self) -> Mapping[tuple[str, str], Mapping[str, str]]:
        """(id, SHA-256) -> line of the quarantine file."""
        if not self.quarantine.exists():
            return {}
        try:
            with self.quarantine.open(encoding="utf-8", errors="surrogatepass", newline="") as file:
                rows = [{name: row.get(name) or "" for name in COLUMNS} for row in plain_rows(csv.DictReader(file))]
        except (OSError, UnicodeError, csv.Error) as error:
            raise UserError(f"can't read {self.quarantine}: {error}", "It must be a CSV file with a column 'id'.") from error
        return {(row["id"], row["sha256"]): row for row in rows}

    def apply(self, changes: Sequence[Change]) -> None:
        """Make changes, as one step of undo.

        Raises:
            ConflictError: an image is no longer as its change says.
            UserError: a label that a corrections file can't have, or a file that can't be read or written.
        """
        for change in changes:
            if change.what == LABEL and change.after == REMOVE:
                raise UserError(f"a class can't be called {REMOVE!r} in a corrections file", "Leave the image out instead.")
        with self._alone():
            self._check(changes)
            self._append({"do": [asdict(change) for change in changes]})
            self._write(changes)

    def undo(self) -> Sequence[Change]:
        """Take the last step back; empty if there is none."""
        return self._step("undo")

    def redo(self) -> Sequence[Change]:
        """Make the step again that was undone last; empty if there is none."""
        return self._step("redo")

    def _step(self, name: str) -> Sequence[Change]:
        with self._alone():
            done, undone = self._stacks()
            stack = done if name == "undo" else undone
            if not stack:
                return ()
            changes = [change.reverse for change in stack[-1]] if name == "undo" else stack[-1]
            self._check(changes)
            self._append({name: True})
            self._write(changes)
            return changes

    def _stacks(self) -> tuple[list[list[Change]], list[list[Change]]]:
        """The steps that are done, and those that are undone, the next one last."""
        done: list[list[Change]] = []
        undone: list[list[Change]] = []
        for line in _content(self._log).decode("utf-8", "surrogatepass").splitlines():
            with contextlib.suppress(ValueError, TypeError, IndexError):  # a line that a kill cut short
                step = json.loads(line)
                if "do" in step:
                    done.append([Change(**change) for change in step["do"]])
                    undone.clear()
                elif "undo" in step:
                    undone.append(done.pop())
                else:
                    done.append(undone.pop())
        return done, undone

    def _check(self, changes: Iterable[Change]) -> None:
        labels, left_out = self.labels(), self.left_out()
        for change in changes:
            place = (change.id, change.sha256)
            if change.what == LABEL:
                now = labels[place].new if place in labels else ""
            else:
                now = left_out[place]["reason"] if place in left_out else ""
            if now != change.before:
                was = f"it is {now!r} now" if now else "it has no entry any longer"
                raise ConflictError(f"{change.id} was changed elsewhere: {was}", "The page shows the file as it is now.")

    def _write(self, changes: Sequence[Change]) -> None:
        if any(change.what == LABEL for change in changes):
            labels = dict(self.labels())
            for change in changes:
                labels.pop((change.id, change.sha256), None)
                if change.after and change.after != change.old:
                    labels[change.id, change.sha256] = Correction(change.id, change.sha256, change.old, change.after)
            write_corrections(self.corrections, labels.values())
        if any(change.what == LEAVE_OUT for change in changes):
            rows = dict(self.left_out())
            for change in changes:
                rows.pop((change.id, change.sha256), None)
                if change.after:
                    values = (change.id, change.sha256, "id", change.check or "studio", change.after)
                    rows[change.id, change.sha256] = dict(zip(COLUMNS, values, strict=True))
            write_quarantine(self.quarantine, [rows[place] for place in sorted(rows)])

    def _append(self, step: Mapping[str, Any]) -> None:
        with self._log.open("ab") as file:
            if file.tell() and not _content(self._log).endswith(b"\n"):
                file.write(b"\n")  # after a line that a kill cut short
            file.write(json.dumps(step).encode("utf-8", "surrogatepass") + b"\n")
            file.flush()
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time, of all servers of this folder."""
        with self._lock, self._log.open("ab") as file:
            with contextlib.suppress(ImportError):  # Windows: run one server for a folder there
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
