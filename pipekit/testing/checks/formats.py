"""Promises of importers and exporters."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import Any, get_type_hints

from pipekit.contract import Adjusted, Categories, Dataset, Failure, Rejected, Sample
from pipekit.files import on_disk
from pipekit.testing.checks.core import Skipped, Subject, promise
from pipekit.testing.checks.stages import DATA, run_stages
from pipekit.testing.checks.watched import outside, written

NO_PATH = "give a folder or file of its format: --path, or check_importer(importer, path)"


@promise("importer")
def _sniffs(subject: Subject) -> str:
    """sniff() gives a reason for its own format; for an empty folder Rejected with a reason, or \"\""""
    with tempfile.TemporaryDirectory() as folder:
        answer = subject.found.sniff(Path(folder))
    if answer != "" and not (isinstance(answer, Rejected) and answer.reason):
        return f'sniff() of an empty folder must be Rejected("why"), or "", got {answer!r}'
    if "path" not in subject.samples:
        raise Skipped(NO_PATH)
    answer = subject.found.sniff(Path(subject.samples["path"]))
    return "" if isinstance(answer, str) and answer else f"sniff() of {subject.samples['path']} gave {answer!r}, no reason"


@promise("importer")
def _reads(subject: Subject) -> str:
    """read() gives samples with unique ids and existing images, twice the same, and changes no file"""
    if "path" not in subject.samples:
        raise Skipped(NO_PATH)
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


@promise("exporter")
def _writes_into_its_folder(subject: Subject) -> str:
    """it writes into the folder that it is given, and nowhere else"""
    write: Any = getattr(subject.found, "write", subject.found)
    kind = get_type_hints(write).get("artifact", Dataset)
    if not (isinstance(kind, type) and issubclass(Dataset, kind)):
        raise Skipped("it does not export datasets; try it in a test of your own, with check_exporter(..., before={...})")
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        project, out = Path(folder, "project"), Path(folder, "given", "out")
        project.mkdir()
        out.mkdir(parents=True)
        dataset = run_stages(subject, DATA, project, executor="serial", workers=1).artifact("data")
        was = _tree(project / "images")
        with written() as paths:
            write(dataset, out, subject.params)
        if _tree(project / "images") != was:
            return "it changes the source images"
        stray = [path for path in outside(paths, str(out), str(project / ".pipekit")) if _is_ours(path, here, Path(folder))]
        stray += outside(map(str, out.parent.rglob("*")), str(out))
        if stray:
            return f"it writes {Path(stray[0]).name} outside of the folder that it is given, in {Path(stray[0]).parent}"
        return "" if any(out.iterdir()) else "it writes nothing"


def _is_ours(path: str, *folders: Path) -> bool:
    """Whether a path lies where only the component writes: in the working folder, or in a folder of the test."""
    return any(Path(path).is_relative_to(folder) for folder in folders)


def _tree(path: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder."""
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in path.rglob("*") if file.is_file()}
