"""Create a project: the folders, the images in them, a pipeline file that runs.

:func:`plan` plans the work and touches nothing outside a scratch folder; :func:`carry_out` does it. Existing files are never
overwritten, an image that is there already is not imported again, and added images never move others, so you can repeat the
command whenever you have more images.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pipekit.commands.scaffold.archive import unpack
from pipekit.commands.scaffold.texts import pipeline_text, readme_text
from pipekit.errors import ReadingsError, UserError
from pipekit.files import expanded, hash_file, is_archive, walk
from pipekit.files.urls import located
from pipekit.owners import owned_prefix
from pipekit.registry.format_choice import parse_format
from pipekit.registry.registry import Registry, load_registry
from pipekit.registry.sniffing import Verdict, find_importer

How = Literal["copy", "hardlink", "symlink", "move"]
Layout = Literal["val", "valid", "validation", "flat"]

MEMORY = "scaffold.csv"
"""The split of each image; the file is beside the pipeline file, so that a second scaffold moves none."""

FRACTIONS: Mapping[str, float] = {"train": 0.7, "val": 0.15, "test": 0.15}


def scaffold(
    root: str | Path,
    *,
    classes: Sequence[str] = (),
    source: str | Path | None = None,
    layout: Layout = "val",
    how: How = "copy",
    rename: bool = False,
    format: str = "",
    splits: str = "",
    pattern: str = "",
    fractions: Mapping[str, float] | None = None,
    seed: int = 7,
    dry_run: bool = False,
    listener: Callable[..., None] = lambda *_, **__: None,
) -> Project:
    """Create a project: image folders, a pipeline file that runs, a README; with a source, import its images.

    Existing files are never overwritten. Call it again with more images to add them; no image that is there is moved.

    Args:
        root: the project's folder.
        classes: names of the classes; with a source, the classes to import (empty: all).
        source: a folder, a table or an archive to import images from.
        layout: the name of the val folder: ``val``, ``valid`` or ``validation``; ``flat``: class folders only, split when
            the pipeline runs.
        how: how images are transferred: ``copy``, ``hardlink``, ``symlink`` or ``move``.
        rename: rename images to ``<class>_<number>``.
        format: the importer to read the source with; default: detected.
        splits: whether the top folders are splits ("yes") or classes ("no"), for the importer ``folders``; default: by their
            names.
        pattern: for classes in file names: a regular expression whose first group is the class.
        fractions: the fractions of train, val and test, which sum to 1; default: 0.7, 0.15 and 0.15.
        seed: random seed of the split.
        dry_run: plan only; nothing is written.
        listener: receives the engine's events while the source is read.

    Returns:
        What was done (or would be): folders, transfers, counts {split: {class: images}}, what was left out, warnings.

    Raises:
        UserError: a class name that can't be a folder, a source that can't be read or has no image, fractions that do not sum
            to 1, or a folder that can't be written.

    Example:
        >>> import pipekit
        >>> project = pipekit.scaffold("pets", source="photos", dry_run=True)  # doctest: +SKIP
        >>> project.counts["train"]["cat"]  # doctest: +SKIP
        280
    """
    _check_choices(layout, how, fractions or FRACTIONS)
    request = Request(
        root=expanded(root),
        classes=tuple(classes),
        source=None if source is None else Path(source),
        layout=layout,
        how=how,
        rename=rename,
        importer=format,
        splits=splits,
        pattern=pattern,
        fractions=dict(FRACTIONS if fractions is None else fractions),
        seed=seed,
    )
    project = plan(request, listener)
    try:
        if not dry_run:
            carry_out(project)
    finally:
        project.close()
    return project


@dataclass(frozen=True)
class Request:
    """The requested project.

    Attributes:
        root: the project's folder.
        classes: names of the classes; with a source, the classes to import (empty: all).
        source: a folder, a table or an archive to import images from.
        layout: the name of the val folder, or ``flat``: one folder per class, split when the pipeline runs.
        how: how images are transferred.
        rename: rename them to ``<class>_<number>``.
        importer: the importer for the source; default: detected.
        splits: its parameter of that name.
        pattern: for classes in file names: a regular expression whose first group is the class.
    """

    root: Path
    classes: tuple[str, ...] = ()
    source: Path | None = None
    layout: Layout = "val"
    how: How = "copy"
    rename: bool = False
    importer: str = ""
    splits: str = ""
    pattern: str = ""
    fractions: Mapping[str, float] = field(default_factory=lambda: dict(FRACTIONS))
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Transfer:
    source: Path
    target: Path


@dataclass
class Project:
    """The plan that :func:`carry_out` executes.

    Attributes:
        folders: folders to create.
        transfers: images to transfer.
        texts: files with their content; existing files are left as they are.
        counts: {split: {class: images}}, including images that are there already; the split is "" for ``flat``.
        present: number of the source's images that are there already.
        left_out: (name, reason) of each file that can't be used.
        memory: the content of :data:`MEMORY`, or None.
        found: how the source was read.
    """

    request: Request
    how: How
    folders: list[Path] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    texts: dict[Path, str] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    present: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    memory: bytes | None = None
    found: Verdict | None = None
    stack: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        """Remove the scratch folder that an archive was unpacked into."""
        self.stack.close()


def plan(request: Request, listener: Callable[..., None] = lambda *_, **__: None) -> Project:
    """Read the source and decide where each image goes. Nothing in the project's folder is touched.

    Raises:
        UserError: a class name that can't be a folder, a source that can't be read or has no image.
    """
    project = Project(request, request.how)
    try:
        _check(request)
        images = request.root / "images"
        present = _Present(images, request.layout)
        classes = list(dict.fromkeys(request.classes))
        if request.source is not None:
            rows = _rows(project, request, listener)
            if not classes:
                classes = sorted({row.label for row in rows if row.label is not None} | present.classes)
            _place(project, rows, set(classes), present)
        classes = classes or sorted(present.classes)
        if not classes:
            if request.source is not None:
                importer = project.found.importer if project.found else "FORMAT"
                raise UserError(f"the images in {request.source} have no class", _way_to_classes(rows, importer))
            raise UserError("a project needs classes", "Name them (--classes dog,cat) or give a source (--from FOLDER).")
        splits = [""] if request.layout == "flat" else ["train", request.layout, "test"]
        project.folders = [images / split / name if split else images / name for split in splits for name in classes]
        for split in splits:
            counts = project.counts.setdefault(split, Counter())
            counts.update(dict.fromkeys(classes, 0) | present.counts.get(split, {}))
        flat = request.layout == "flat"
        project.texts = {
            request.root / "pipeline.toml": pipeline_text(request.root.name, dict(request.fractions), flat),
            request.root / "README.md": readme_text(request.root.name, classes, request.layout, flat),
        }
    except BaseException:
        project.close()
        raise
    return project


def carry_out(project: Project) -> None:
    """Create the folders, transfer the images, write the files. Each file appears complete or not at all.

    Raises:
        UserError: a folder can't be written, or a link can't be made. Finished work stays; the same command resumes.
    """
    request = project.request
    with project.stack:
        try:
            for folder in project.folders:
                folder.mkdir(parents=True, exist_ok=True)
            if project.memory is not None:
                _write(request.root / MEMORY, project.memory, over=True)
            for transfer in project.transfers:
                _bring(transfer, project.how)
            for path, text in project.texts.items():
                _write(path, text.encode())
        except NotImplementedError as error:
            raise UserError(f"this system makes no links ({error})", "Copy instead: --how copy") from error
        except OSError as error:
            hint = ""
            if project.how == "hardlink":
                hint = "Hard links work within one disk only. Copy instead (--how copy); the same command continues."
            elif project.how == "symlink":
                hint = "Not every disk has symbolic links. Copy instead (--how copy); the same command continues."
            raise UserError(f"can't write {error.filename or request.root}: {error.strerror or error}", hint) from error


# --- the source ----------------------------------------------------------------------------------------------------------


def _check_choices(layout: str, how: str, fractions: Mapping[str, float]) -> None:
    for name, chosen, known in (("layout", layout, get_args(Layout)), ("how", how, get_args(How))):
        if chosen not in known:
            raise UserError(f"{name}: expected {', '.join(known)}, got {chosen!r}")
    if not set(fractions) <= set(FRACTIONS) or min(fractions.values()) < 0 or not 0.999 < sum(fractions.values()) < 1.001:
        raise UserError(f"fractions: expected fractions of train, val and test that sum to 1, got {dict(fractions)}")


def _check(request: Request) -> None:
    if request.root.exists() and not request.root.is_dir():
        raise UserError(f"{request.root} is a file", "Choose another name for the project.")
    for name in request.classes:
        if not name or name in (".", "..") or re.search(r'[\\/:*?"<>|\x00-\x1f]', name) or name != name.strip(" ."):
            raise UserError(
                f"{name!r} can't be the name of a folder on every system",
                'Leave out \\ / : * ? " < > | and dots or spaces at the ends.',
            )
    if request.source is not None:
        source, root = request.source.resolve(), request.root.resolve()
        if source == root or root in source.parents:
            raise UserError(
                f"the source {request.source} lies in the project itself", "Give the folder that the images come from."
            )


def _rows(project: Project, request: Request, listener: Callable[..., None]) -> list[Any]:
    """The source's usable images with their classes and, unless the layout is flat, their splits.

    The import and split stages do the work, in a scratch folder: every image is verified, duplicates and near duplicates go to
    one split, and splits that the source has are kept.
    """
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    registry = load_registry()
    scratch = Path(project.stack.enter_context(tempfile.TemporaryDirectory(prefix=owned_prefix())))
    assert request.source is not None
    source = Path(os.path.abspath(located(request.source)))
    if is_archive(source):
        project.how = "copy"  # the unpacked files are removed again
        into = scratch / "archive"
        into.mkdir()
        project.left_out += unpack(source, into)
        source = _only_folder(into)
    importer, chosen = parse_format(request.importer)
    importer = importer or ("names" if request.pattern else "")
    project.found = _importer_of(request, registry, importer, source)
    stage = {"use": f"import.{project.found.importer}", "path": str(source), "max_failed": 1.0, **chosen}
    if request.splits:
        stage["splits"] = request.splits
    if request.pattern:
        stage["pattern"] = request.pattern
    stages: dict[str, Any] = {"data": stage}
    if request.layout != "flat":
        stages["split"] = {"use": "split", "fractions": dict(request.fractions), "file": MEMORY, "max_failed": 1.0}
        known = request.root / MEMORY
        if known.is_file():
            shutil.copyfile(known, scratch / MEMORY)
    plan = load_plan(table={"name": "scaffold", "seed": request.seed, "stages": stages}, base_dir=scratch, registry=registry)
    try:
        made = run_plan(plan, listener, publish=False)
    except UserError as error:
        if error.where != "in stage 'split'":
            raise
        hint = "Give more images, other --fractions (0.8,0.2,0 makes no test), or --layout flat and divide them later."
        raise UserError(error.message, hint) from error
    dataset: Any = made.stages[-1].artifact
    project.left_out += [(failure.id, failure.reason) for failure in dataset.failed()]
    project.warnings += [warning for stage_made in made.stages for warning in stage_made.warnings]
    if (scratch / MEMORY).is_file():
        project.memory = (scratch / MEMORY).read_bytes()
    return list(dataset)


def _way_to_classes(rows: Sequence[Any], importer: str) -> str:
    """What to do about images without a class."""
    if any(row.targets.boxes for row in rows):
        return f"They have boxes; to give an image the class that all its boxes share: --format {importer}:label=single"
    return "Sort them into a folder per class, or say where the class stands in the names: --pattern '(.+)_'"


def _importer_of(request: Request, registry: Registry, importer: str, source: Path) -> Verdict:
    """The importer that was asked for, else the detected one. ``source`` is the source, or where its archive was unpacked."""
    if importer:
        return Verdict(importer, True, "as asked for")
    try:
        return find_importer(registry, source, settled=bool(request.splits))
    except ReadingsError as error:
        if request.source is None or not is_archive(request.source):
            raise
        more = "Unpack the archive to choose a folder or a file in it."
        readings = [reading for reading in error.readings if not reading.path]
        raise ReadingsError(error.message.replace(str(source), str(request.source)), readings, more) from None


def _only_folder(folder: Path) -> Path:
    """Skip the single top folder that many archives have."""
    inside = [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


# --- where each image goes -----------------------------------------------------------------------------------------------


class _Present:
    """The present contents of the project's folder."""

    def __init__(self, images: Path, layout: str) -> None:
        self.names: set[Path] = set()
        self.hashes: set[str] = set()
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.numbers: Counter[str] = Counter()
        self.classes: set[str] = set()
        if not images.is_dir():
            return
        for folder, names in walk(images):
            parts = Path(folder).relative_to(images).parts
            split, rest = (parts[:1], parts[1:]) if layout != "flat" else ((), parts)
            if rest:
                self.classes.add(rest[0])
            for name in names:
                path = Path(folder, name)
                self.names.add(path)
                self.hashes.add(hash_file(path))
                if rest:
                    self.counts["".join(split)][rest[0]] += 1
                    if match := re.fullmatch(rf"{re.escape(rest[0])}_(\d+)\.\w+", name):
                        self.numbers[rest[0]] = max(self.numbers[rest[0]], int(match.group(1)))


def _place(project: Project, rows: Sequence[Any], classes: set[str], present: _Present) -> None:
    """Give each row a target, or say why it has none."""
    request = project.request
    for row in rows:
        if row.label is None or row.label not in classes:
            said = "no class" if row.label is None else f"its class {row.label!r} is not asked for"
            project.left_out.append((row.id, said))
        elif row.sha256 in present.hashes:
            project.present += 1
        else:
            _check(Request(request.root, (row.label,)))
            split = {"": "", "val": request.layout}.get(row.split, row.split) if request.layout != "flat" else ""
            folder = request.root / "images" / split / row.label
            target = _free_name(folder, Path(row.image), row.label, request.rename, present)
            present.names.add(target)
            present.hashes.add(row.sha256)
            present.counts[split][row.label] += 1
            project.transfers.append(Transfer(Path(row.image), target))


def _free_name(folder: Path, image: Path, label: str, rename: bool, present: _Present) -> Path:
    if rename:
        present.numbers[label] += 1
        return folder / f"{label}_{present.numbers[label]}{image.suffix.lower()}"
    return next(path for path in _candidates(folder, image) if path not in present.names)


def _candidates(folder: Path, image: Path) -> Iterator[Path]:
    yield folder / image.name
    number = 2
    while True:
        yield folder / f"{image.stem}-{number}{image.suffix}"
        number += 1


# --- bringing in ---------------------------------------------------------------------------------------------------------


def _bring(transfer: Transfer, how: How) -> None:
    target = transfer.target
    if target.exists():
        raise UserError(f"{target} has appeared meanwhile; it is left as it is", "Run the same command again.")
    if how == "symlink":
        target.symlink_to(transfer.source.resolve())
    elif how == "hardlink":
        target.hardlink_to(transfer.source)
    else:
        scratch = target.with_name(f".{target.name}.part")
        shutil.copy2(transfer.source, scratch)
        scratch.rename(target)
        if how == "move":
            transfer.source.unlink()


def _write(path: Path, data: bytes, over: bool = False) -> None:
    if over or not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.part")
        scratch.write_bytes(data)
        scratch.replace(path)
