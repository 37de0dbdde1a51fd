"""Views of a run's datasets: each is brought up to date or built. Large ones are built side by side, in processes.

A view is made of rows, which takes Python's lock, and of small files: threads would not help. By then no worker runs.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pipekit import processes
from pipekit.contract import Dataset
from pipekit.engine.contact_sheets import DrawSheet, SheetImage
from pipekit.engine.datasets import open_dataset
from pipekit.engine.shards import PROGRESS_EVERY_S
from pipekit.engine.view_parts import PartToShow, parts_to_show
from pipekit.engine.view_update import Update, plan_update, settings_of, write_record
from pipekit.engine.views import Views
from pipekit.pipeline.plan import Plan
from pipekit.registry.registry import load_registry
from pipekit.store.locations import Locations
from pipekit.store.store import Store

MANY_SHOWN = 20_000
"""Minimum number of images in all views to build for which processes are started."""


@dataclass(frozen=True)
class DatasetView:
    """The view of a stage's dataset."""

    name: str
    dataset: Dataset
    is_import: bool
    views: Views
    locations: Locations

    @cached_property
    def parts(self) -> list[PartToShow]:
        return parts_to_show(self.locations.store, self.dataset, self.locations)

    @cached_property
    def settings(self) -> dict[str, Any]:
        return settings_of(self.views, self.is_import, self.locations)

    def plan(self, now: Path, staged: Path) -> Update | None:
        update = plan_update(self.views, now, staged, self.dataset, self.parts, self.settings)
        if update is None:
            shutil.rmtree(staged, ignore_errors=True)
        return update

    def build(self, place: Path) -> None:
        shown = self.views.show(place, self.dataset, self.is_import, self.parts)
        write_record(place, shown, self.settings, self.dataset)


def build_all(wanted: Sequence[tuple[DatasetView, Path]], views: Views, plan: Plan) -> None:
    """Build views, each in its folder, which does not exist yet. How many processes take part changes no byte.

    Raises:
        DamagedError: a result is not what was put into the store.
    """
    num_images = sum(len(view.dataset) for view, _ in wanted)
    num_processes = min(plan.workers, len(wanted))
    if num_processes > 1 and num_images >= MANY_SHOWN and _may_start(plan, wanted):
        with contextlib.suppress(BrokenProcessPool, processes.NotStartedError):  # one was killed, or there is no room for them
            views.notes += _in_processes([_job(view, place, plan) for view, place in wanted], num_processes, views.on_shown)
            return
        for _, place in wanted:
            shutil.rmtree(place, ignore_errors=True)
    for view, place in wanted:
        view.build(place)


def _may_start(plan: Plan, wanted: Sequence[tuple[DatasetView, Path]]) -> bool:
    are_plain = all(type(view.dataset) is Dataset for view, _ in wanted)  # a plugin's class may be in a module of this process
    starts = getattr(plan.executor.load(), "starts_processes", False)
    return are_plain and starts and "tensorflow" not in sys.modules and processes.allowed()


# --- in processes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    """A view to build, as data that a process can be given.

    Attributes:
        views: without the callback for progress; it draws with the plugins' codecs.
        dataset: the path, the digest and the facts of the dataset.
        moved: see :class:`~pipekit.store.locations.Locations`.
        registry: how to load the registry, which has the codecs.
    """

    name: str
    place: Path
    is_import: bool
    views: Views
    dataset: tuple[Path, str, Mapping[str, Any]]
    store: Path
    project: Path
    moved: Mapping[str, str]
    registry: tuple[Any, Path, Any]


def _job(view: DatasetView, place: Path, plan: Plan) -> _Job:
    dataset, locations = view.dataset, view.locations
    return _Job(
        view.name,
        place,
        view.is_import,
        replace(view.views, on_shown=_nobody, notes=[]),
        (dataset.path, dataset.digest, dict(dataset.meta)),
        locations.store,
        locations.project,
        dict(locations.moved),
        (plan.registry.asked, plan.base_dir, plan.registry.disabled),
    )


def _nobody(number: int) -> None:
    pass


def _in_processes(jobs: Sequence[_Job], num_processes: int, on_shown: Callable[[int], None]) -> list[str]:
    """Build views; returns their notes, in the order of the jobs."""
    from multiprocessing import Pipe

    told, tell = Pipe(duplex=False)
    pool = processes.pool(num_processes, _begin, tell)
    ended = False
    try:
        largest_first = sorted(range(len(jobs)), key=lambda number: -int(jobs[number].dataset[2]["num_samples"]))
        futures: dict[int, Future[list[str]]] = {number: pool.submit(_build, jobs[number]) for number in largest_first}
        going: set[Future[list[str]]] = set(futures.values())
        while going:
            done, going = wait(going, timeout=PROGRESS_EVERY_S, return_when="FIRST_COMPLETED")
            while told.poll():
                on_shown(told.recv())
            for future in done:
                future.result()
        ended = True
        return [note for number in range(len(jobs)) for note in futures[number].result()]
    finally:
        if not ended:  # nothing else would end the others, which write into a folder that is removed now
            for process in (pool._processes or {}).values():
                process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        told.close()
        tell.close()


_tell: Any = None
"""In a process that builds views: where it reports how many images it has shown."""


def _begin(tell: Any) -> None:
    global _tell
    _tell = tell


def _build(job: _Job) -> list[str]:
    Store(job.store)  # its files are compared with their hashes wherever they are read
    locations = Locations(job.store, job.project)
    locations.moved.update(job.moved)
    views = replace(job.views, draw=None if job.views.draw is None else _drawing(job), on_shown=_counting())
    dataset = open_dataset(Dataset, *job.dataset, locations)
    DatasetView(job.name, dataset, job.is_import, views, locations).build(job.place)
    views.on_shown(0)
    return views.notes


def _drawing(job: _Job) -> DrawSheet:
    def draw(place: Path, images: Sequence[SheetImage]) -> bool:
        load_registry(*job.registry)
        assert job.views.draw is not None
        return job.views.draw(place, images)

    return draw


def _counting() -> Callable[[int], None]:
    """Passes numbers of images on, a few times a second; 0 passes on what is left."""
    waiting, due = 0, time.monotonic() + PROGRESS_EVERY_S

    def count(number: int) -> None:
        nonlocal waiting, due
        waiting += number
        if time.monotonic() >= due or not number:
            _tell.send(waiting)
            waiting, due = 0, time.monotonic() + PROGRESS_EVERY_S

    return count
