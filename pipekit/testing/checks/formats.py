"""Promises of importers."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path

from pipekit.contract import Adjusted, Categories, Failure, Rejected, Sample
from pipekit.files import on_disk
from pipekit.testing.checks.core import Subject, promise


@promise("importer")
def _sniffs(subject: Subject) -> str:
    """sniff() gives a reason for its own format; for an empty folder Rejected with a reason, or \"\""""
    with tempfile.TemporaryDirectory() as folder:
        answer = subject.found.sniff(Path(folder))
    if answer != "" and not (isinstance(answer, Rejected) and answer.reason):
        return f'sniff() of an empty folder must be Rejected("why"), or "", got {answer!r}'
    if "path" not in subject.samples:
        return ""
    answer = subject.found.sniff(Path(subject.samples["path"]))
    return "" if isinstance(answer, str) and answer else f"sniff() of {subject.samples['path']} gave {answer!r}, no reason"


@promise("importer")
def _reads(subject: Subject) -> str:
    """read() gives samples with unique ids and existing images, twice the same, and changes no file"""
    if "path" not in subject.samples:
        return ""
    path = Path(subject.samples["path"])
    before = _tree(path)
    with tempfile.TemporaryDirectory() as folder:
        # The third argument is a folder to which an importer writes images that are stored inside other files.
        more = (Path(folder),) if "out_dir" in inspect.signature(subject.found.read).parameters else ()
        found, again = (list(subject.found.read(path, subject.params, *more)) for _ in range(2))
        wrong = [item for item in found if not isinstance(item, (Sample, Failure, Adjusted, Categories))]
        if wrong:
            return f"expected samples, got {wrong[0]!r}"
        rows = [item for item in found if isinstance(item, Sample)]
        missing = [row.image for row in rows if not Path(on_disk(row.image)).is_file()]
    if not rows:
        return "it yields no samples"
    ids = [row.id for row in rows]
    if len(set(ids)) != len(ids):
        return f"ids are not unique: {next(one for one in ids if ids.count(one) > 1)!r}"
    if missing:
        return f"image {missing[0]!r} does not exist"
    if any(str(path) in row.id for row in rows):
        return "an id contains the path of the folder; ids must not change when the folder moves"
    if found != again:
        return "reading twice gives different samples"
    return "" if _tree(path) == before else "reading changed the folder"


def _tree(path: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder."""
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in path.rglob("*") if file.is_file()}
