"""The folder ``runs/<name>/`` with the results for people, and the records of earlier runs.

A run's folder is built aside and put in its place by renames, so no half-written file ever appears under ``runs/``. Files at
its top are the main results (report, model). Each stage has a folder below; datasets are class folders with a ``metadata.csv``
that Keras, torchvision, fastai and Hugging Face ``datasets`` read as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from glob import escape
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from pipekit.contract import Artifact, Dataset
from pipekit.engine.contact_sheets import DrawSheet
from pipekit.engine.outcome import Listener
from pipekit.engine.run_place import cannot_write, check_place, keep, prepare
from pipekit.engine.shards import PROGRESS_EVERY_S
from pipekit.engine.view_building import DatasetView, build_all
from pipekit.engine.view_update import Update
from pipekit.engine.views import Views, copy_out, damage_moved_aside, put_made
from pipekit.errors import UserError, did_you_mean
from pipekit.files import OUTPUT_MARK, expanded
from pipekit.files.urls import text_without_secrets
from pipekit.owners import new_owner, remove_abandoned
from pipekit.pipeline.plan import Plan
from pipekit.pipeline.recorded import used_plugins
from pipekit.store.durability import is_off, settle, sync_folder, syncs_whole_disks
from pipekit.store.locations import Locations
from pipekit.store.store import Store, shared_store, store_of
from pipekit.store.wholeness import CONTENTS

# --- records -------------------------------------------------------------------------------------------------------------


def record(
    plan: Plan,
    status: str,
    began: datetime,
    seconds: float,
    stages: list[dict[str, Any]],
    headline: str,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """A run as JSON: ``run.json``."""
    import platform

    return {
        "name": plan.name,
        "id": f"{began:%Y%m%dT%H%M%S}{began.microsecond // 1000:03d}-{uuid.uuid4().hex[:6]}",
        "status": status,
        "started": began.isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "seed": plan.seed,
        "file": plan.file.name if plan.file else "",
        "overrides": [text_without_secrets(override) for override in plan.overrides],
        "executor": plan.executor.to_plain(),
        "workers": plan.workers,
        "stages": stages,
        "headline": headline,
        "views": [plan.views, plan.views_mb],
        "versions": {"python": platform.python_version(), **versions},
        "plugins": used_plugins(plan),
        **_home(plan),
    }


def _home(plan: Plan) -> dict[str, str]:
    """The location of the run's artifacts, so that they are found even after the folder has become a project.

    A store inside the project is recorded relative to it, so that the project can be moved. A store that several folders
    use tells their runs apart by ``folder``.
    """
    root, base = Path(os.path.abspath(plan.store_root)), Path(os.path.abspath(plan.base_dir))
    if root == base / ".pipekit":
        return {"store": ".pipekit"}
    store = root.relative_to(base).as_posix() if root.is_relative_to(base) else str(root)
    return {"store": store, "folder": os.path.realpath(base)}


def remember(store: Store, found: Mapping[str, Any]) -> None:
    """Write a run's record into the store."""
    folder = store.root / "runs" / str(found["name"])
    with store.scratch() as scratch:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(found, indent=1, ensure_ascii=False)
        (scratch / "run.json").write_text(text + "\n", encoding="utf-8", errors="surrogatepass")
        (scratch / "run.json").replace(folder / f"{found['id']}.json")


@dataclass(frozen=True)
class KnownRun:
    """A run's record, the folder that has its ``runs/``, and the store with its artifacts."""

    record: dict[str, Any]
    base_dir: Path
    store: Path


def is_listed(store: Store, found: Mapping[str, Any]) -> bool:
    """Whether a fully cached run needs no record: its folder has one, or no other folder uses the store."""
    if "folder" not in found:
        return True
    keys = [stage["key"] for stage in found["stages"]]
    return any(
        run.get("folder") == found["folder"] and [stage["key"] for stage in run["stages"]] == keys
        for run in _records_in(store.root, str(found["name"]))
    )


def list_runs(base_dir: Path, name: str | None = None) -> list[dict[str, Any]]:
    """Records of all runs of the folder, newest first, including those from before it became a project."""
    return [run.record for run in _known_runs(base_dir, name)]


def find_run(base_dir: Path, wanted: str) -> dict[str, Any]:
    """The record of a run by its name (its newest finished one), its id, or the path of its folder.

    Raises:
        UserError: there is none.
    """
    return locate_run(base_dir, wanted).record


def locate_run(base_dir: Path, wanted: str) -> KnownRun:
    """A run as :func:`find_run` finds it, with its store. The path may lead into another project.

    Raises:
        UserError: there is none.
    """
    folder = Path(os.path.abspath(base_dir / expanded(wanted)))
    if (folder / "run.json").is_file():
        shown = json.loads((folder / "run.json").read_text(encoding="utf-8", errors="surrogatepass"))
        home = folder.parent.parent if folder.parent.name == "runs" else base_dir
        return KnownRun(shown, home, _recorded_store(shown, home))
    known = _known_runs(base_dir)
    for run in [run for run in known if run.record["status"] == "finished"] + known:
        if wanted in (run.record["name"], run.record["id"], f"{run.record['name']}/{run.record['id']}"):
            return run
    names = list(dict.fromkeys(run.record["name"] for run in known))
    hint = did_you_mean(wanted, names) or (
        f"There are: {', '.join(names)}" if names else f"No pipeline has been run in {base_dir}."
    )
    raise UserError(f"no run called {wanted!r}", hint)


def _known_runs(base_dir: Path, name: str | None = None) -> list[KnownRun]:
    """The runs of a folder, newest first."""
    here = os.path.realpath(base_dir)
    shown = list(_shown_in(base_dir))
    ids = {run.get("id") for run in shown}
    roots = [store_of(base_dir), *(_recorded_store(run, base_dir) for run in shown), shared_store()]
    found = []
    for root in dict.fromkeys(Path(os.path.abspath(root)) for root in roots):
        # A record without a folder belongs to the only project that uses the store, or an older version wrote it.
        unsaid = "" if root == shared_store() else here
        for run in _records_in(root, name):
            if run.get("folder", unsaid) == here or run.get("id") in ids:
                found.append(KnownRun(run, base_dir, root))
    return sorted(found, key=lambda run: str(run.record["id"]), reverse=True)


def _recorded_store(run: Mapping[str, Any], base_dir: Path) -> Path:
    """The store that a run names; if it names none, or that store is gone, the store of its folder."""
    recorded = base_dir / str(run["store"]) if run.get("store") else None
    return recorded if recorded is not None and recorded.is_dir() else store_of(base_dir)


def _records_in(root: Path, name: str | None = None) -> Iterator[dict[str, Any]]:
    """The records in a store, newest first."""
    for path in sorted((root / "runs").glob(f"{name or '*'}/*.json"), key=lambda path: path.name, reverse=True):
        with contextlib.suppress(OSError, json.JSONDecodeError):
            yield json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))


def _shown_in(base_dir: Path) -> Iterator[dict[str, Any]]:
    """The records of the runs published under ``runs/``."""
    for path in sorted((base_dir / "runs").glob("*/run.json")):
        with contextlib.suppress(OSError, json.JSONDecodeError):
            yield json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))


def latest_parts(store: Store, plan: Plan) -> dict[str, Any]:
    """For each stage: the parts of its key in the newest of the last ten runs of that name and folder that has the stage."""
    here = os.path.realpath(plan.base_dir)
    mine = (run for run in _records_in(store.root, plan.name) if run.get("folder", here) == here)
    found: dict[str, Any] = {}
    for run in islice(mine, 10):
        with contextlib.suppress(KeyError):
            for stage in run["stages"]:
                found.setdefault(stage["name"], stage["parts"])
    return found


KEPT_ELSEWHERE = 3
"""Minimum number of newest runs of each name that are kept for each other folder that shares the store."""


def keys_in_use(base_dir: Path, keep: int = 3) -> set[str]:
    """Keys of the stage runs in the ``keep`` newest runs of each name, and in the runs published under ``runs/``.

    For other folders that use the same store, three kinds are kept too: their newest runs, whatever ``keep`` is; the runs
    published under their ``runs/``; and the stage runs that a run there may be making now.
    """
    here, root = os.path.realpath(base_dir), store_of(base_dir)
    newest: dict[tuple[str, str], list[dict[str, Any]]] = {}
    # A run is recorded at its end. What a run of another folder has made so far is in no record yet.
    unlisted = set() if root == base_dir / ".pipekit" else Store(root).young_keys()
    for run in _records_in(root):
        unlisted -= {stage["key"] for stage in run["stages"]}
        folder = run.get("folder", here)
        kept = newest.setdefault((folder, run["name"]), [])
        if len(kept) < (keep if folder == here else max(keep, KEPT_ELSEWHERE)):
            kept.append(run)
    folders = {here, *(folder for folder, _ in newest)}
    shown = [run for folder in sorted(folders) for run in _shown_in(Path(folder))]
    kept_runs = [*shown, *(run for kept in newest.values() for run in kept)]
    return unlisted | {stage["key"] for run in kept_runs for stage in run["stages"]}


# --- runs/<name>/ --------------------------------------------------------------------------------------------------------


def publish(
    store: Store,
    run_dir: Path,
    found: Mapping[str, Any],
    made: Sequence[tuple[str, str, Artifact]],
    plan: Plan,
    locations: Locations,
    draw: DrawSheet | None = None,
    listener: Listener = lambda event, **values: None,
) -> tuple[str, ...]:
    """Put a run's results under ``runs/``. Views of datasets are taken over from the last run, and brought up to date.

    Args:
        draw: draws contact sheets of datasets that are too large for folders.
        listener: receives progress, if this takes a while.

    Returns:
        sentences about results that are not shown as the user might expect.

    Raises:
        DamagedError: a result is not what was put into the store.
    """
    check_place(run_dir)
    parent = run_dir.parent
    datasets = [artifact for _, _, artifact in made if isinstance(artifact, Dataset)]
    progress = _Progress(listener, sum(map(len, datasets)))
    began = datetime.fromisoformat(found["started"]).timestamp()
    views = Views(plan.views, plan.views_mb * 10**6, plan.store_root, began, draw, progress)
    with store.scratch() as scratch:
        aside = scratch / "run"
        if _other_disk(scratch, plan.base_dir):
            parent.mkdir(parents=True, exist_ok=True)
            remove_abandoned(parent, ".new.*")
            aside = parent / f".new.{new_owner()}"
        try:
            updates = _build(aside, run_dir, found, made, plan, views, locations)
            prepare(run_dir)
            keep(run_dir, aside)
            if not is_off() and not syncs_whole_disks():
                sync_folder(aside)
            _take_over(aside, run_dir, updates)
            _swap(aside, run_dir)
        except OSError as error:
            raise cannot_write(run_dir, error) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    progress.end()
    return tuple(views.notes)


class _Progress:
    """Reports how many images are shown, once that has taken :data:`SHOWN_AFTER_S`."""

    def __init__(self, listener: Listener, total: int) -> None:
        self._listener, self._total, self._done = listener, total, 0
        self._due = time.monotonic() + SHOWN_AFTER_S
        self._told = False

    def __call__(self, number: int) -> None:
        self._done += number
        if time.monotonic() >= self._due:
            self._tell(min(self._done, self._total))

    def end(self) -> None:
        if self._told:
            self._tell(self._total)

    def _tell(self, done: int) -> None:
        self._told, self._due = True, time.monotonic() + PROGRESS_EVERY_S
        self._listener("progress", stage="", label="showing results", done=done, total=self._total, unit="images")


def _other_disk(folder: Path, base_dir: Path) -> bool:
    return folder.stat().st_dev != base_dir.stat().st_dev


def shows(run_dir: Path, found: Mapping[str, Any]) -> bool:
    """Whether the folder holds these results."""
    shown = _shown(run_dir)
    return shown.get("views") == found["views"] and _keys(shown) == _keys(found)


def _shown(run_dir: Path) -> dict[str, Any]:
    """The record of the run that a folder shows; without stages if the folder is not complete."""
    nothing: dict[str, Any] = {"stages": []}
    if (run_dir / TAKEN).exists():
        return nothing
    try:
        found = json.loads((run_dir / "run.json").read_text(encoding="utf-8", errors="surrogatepass"))
    except (OSError, json.JSONDecodeError):
        return nothing
    return found if isinstance(found, dict) and "stages" in found else nothing


def _keys(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(stage["name"], stage["key"]) for stage in run["stages"]]


def _swap(aside: Path, place: Path) -> None:
    """Replace ``place`` with ``aside``. Another process may do the same; the last one wins, and each folder is complete."""
    for attempt in range(20):
        with contextlib.suppress(FileNotFoundError):
            old = aside.parent / f".new.{new_owner()}"
            place.rename(old)
            shutil.rmtree(old, ignore_errors=True)
        try:
            aside.rename(place)
            return
        except OSError:
            if attempt == 19:
                raise


def _build(
    folder: Path,
    run_dir: Path,
    found: Mapping[str, Any],
    made: Sequence[tuple[str, str, Artifact]],
    plan: Plan,
    views: Views,
    locations: Locations,
) -> list[_TakenView]:
    """Write a run's folder, without the views that are taken over from the last run; returns those."""
    folder.mkdir(parents=True)
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (folder / "run.json").write_text(text + "\n", encoding="utf-8", errors="surrogatepass")
    if plan.text:
        changed = "".join(f"# run with --set {override}\n" for override in plan.overrides)
        (folder / "pipeline.toml").write_text(text_without_secrets(changed + plan.text), encoding="utf-8")
    former = {name for name, _ in _keys(_shown(run_dir))}
    taken, wanted = [], []
    for name, use, artifact in reversed(made):  # with two reports, the later one is at the top
        place = folder / name
        if isinstance(artifact, Dataset):
            dataset = DatasetView(name, artifact, use.startswith("import."), views, locations)
            update = dataset.plan(run_dir / name, folder / STAGED / name) if name in former else None
            if update is None:
                wanted.append((dataset, place))
            else:
                taken.append((dataset, update))
            continue
        for source in sorted(artifact.path.rglob("*")):
            if source.is_file() and source.name not in NOT_SHOWN:
                below = source.relative_to(artifact.path)
                top = below.as_posix() in artifact.headline and not (folder / below).exists()
                put_made(source, folder / below if top else place / below, views.began)
    build_all(wanted, views, plan)
    return taken


_TakenView: TypeAlias = tuple[DatasetView, Update]


def _take_over(aside: Path, run_dir: Path, taken: Sequence[_TakenView]) -> None:
    """Move views from the last run's folder into the new one, and bring them up to date.

    From here on the last run's folder is not complete. It bears a mark, so that a run that finds it builds it again.
    """
    if taken:
        with contextlib.suppress(FileNotFoundError):  # another process is replacing it
            (run_dir / TAKEN).touch()
    for dataset, update in taken:
        if not update.apply(aside / dataset.name):
            dataset.build(aside / dataset.name)
    shutil.rmtree(aside / STAGED, ignore_errors=True)


TAKEN = ".taken"
"""A file in a run's folder whose views have been moved to the folder that replaces it."""

STAGED = ".staged"
"""The folder of new files for views that are brought up to date."""

SHOWN_AFTER_S = 2.0
"""Progress is reported if showing results takes longer."""

NOT_SHOWN = ("manifest.json", CONTENTS)
"""Files that the store keeps beside an artifact's own."""


def take_out(artifact: Artifact, folder: Path, complete: Callable[[Path], None] = lambda scratch: None) -> None:
    """Copy an artifact into a folder that does not exist yet, completely or not at all; a dataset becomes class folders.

    The copies are independent files: editing them changes neither a source image nor the store.

    Args:
        complete: called with the folder before it appears in its place, to write further files into it.

    Raises:
        UserError: the folder exists, or can't be written.
        StageError: the artifact is damaged.
    """
    if folder.exists():
        raise UserError(f"{folder} exists already", "Choose another folder, or remove that one first.")
    scratch = folder.with_name(f".{folder.name}.{new_owner()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(folder.parent, f".{escape(folder.name)}.*@*")
        with damage_moved_aside():
            _take_out(artifact, scratch)
        complete(scratch)
        settle(scratch)
        scratch.rename(folder)
    except OSError as error:
        raise UserError(
            f"can't write {folder}: {error.strerror}", "Is there free space, and do you have write access?"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _take_out(artifact: Artifact, folder: Path) -> None:
    if isinstance(artifact, Dataset):
        Views("copies", None, None).show(folder, artifact, is_import=False)
        (folder / OUTPUT_MARK).touch()
        return
    for source in sorted(artifact.path.rglob("*")):
        if source.is_file() and source.name not in NOT_SHOWN:
            copy_out(source, folder / source.relative_to(artifact.path))
