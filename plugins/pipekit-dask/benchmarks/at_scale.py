"""A run of up to 10^9 images on a cluster, simulated with the costs of a row, a shard and a task that are measured here.

    python plugins/pipekit-dask/benchmarks/at_scale.py [--costs costs.json]

It measures processor time on this machine (minutes), then plays the run shard by shard. With ``--costs`` it takes the costs of
an earlier call. The figures are in the plugin's README.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pipekit_dask.executor import DaskParams, close_unused, dask

import pipekit
from pipekit import images
from pipekit.engine.run import run_plan
from pipekit.pipeline.plan import load_plan

IN_FLIGHT = DaskParams().in_flight
WORK_S = 0.007
"""Processor time for one augmented photograph of 470 x 400 with ``medium``: 13.7 s for 2,000, by ``executor = "threads"``."""


@dataclass(frozen=True)
class Costs:
    """Seconds of processor time.

    Attributes:
        import_row, import_worker_row: of the import, for an image: in the process that runs ``pipekit``, and in workers.
        row, shard: of the process that runs ``pipekit``, in a mapping stage: for a sample, and for a shard beside its samples.
        worker_row, worker_shard: of a worker, beside what the stage's function does.
        task, task_row: of the scheduler.
        client_task, client_row: of Dask's client, in the process that runs ``pipekit``.
        index_bytes: of a row in the index that the stage makes.
    """

    import_row: float
    import_worker_row: float
    row: float
    shard: float
    worker_row: float
    worker_shard: float
    task: float
    task_row: float
    client_task: float
    client_row: float
    index_bytes: float


# --- measure -------------------------------------------------------------------------------------------------------------


@pipekit.sample_stage
def nothing(sample: pipekit.Sample, params: pipekit.Params, ctx: pipekit.SampleContext) -> Iterator[pipekit.Sample]:
    """Yield the sample as it is, under another id."""
    yield pipekit.Sample(f"{sample.id}-0", sample.image, sha256=sample.sha256, label=sample.label)


spent: list[float] = []


def counting(
    run: Callable[[pipekit.ShardTask], pipekit.ShardResult], tasks: Iterable[pipekit.ShardTask], params: pipekit.Params
) -> Iterator[pipekit.ShardResult]:
    """One shard after another, with the time that the shards take in ``spent``."""
    for task in tasks:
        began = time.process_time()
        result = run(task)
        spent.append(time.process_time() - began)
        yield result


@pipekit.hookimpl
def register_stages(register: Any) -> None:
    register("nothing", nothing)


@pipekit.hookimpl
def register_executors(register: Any) -> None:
    register("counting", counting)


def mapped(folder: Path, shard_size: int) -> tuple[dict[str, tuple[float, float]], int]:
    """Processor time of the import and of a mapping stage, (outside their shards, in them), and the number of shards."""
    from at_scale import spent  # the plugin is this file as a module, and not the script

    at: dict[tuple[str, str], tuple[float, int]] = {}

    def listener(event: str, **values: Any) -> None:
        at[event, str(values.get("stage", ""))] = time.process_time(), len(spent)

    spent.clear()
    stages = {"data": {"use": "import.folders", "path": str(folder)}, "map": {"use": "nothing"}}
    table = {"name": "scale", "workers": 1, "executor": "counting", "shard_size": shard_size, "stages": stages}
    with tempfile.TemporaryDirectory() as place:
        os.environ["PIPEKIT_STORE"] = f"{place}/store"
        run_plan(load_plan(table=table, base_dir=Path(place), plugins=["at_scale"]), listener)
    took, shards = {}, 0
    for name in ("data", "map"):
        (began, first), (ended, shards) = at["stage_started", name], at["stage_finished", name]
        in_shards = sum(spent[first:shards])
        took[name], shards = (ended - began - in_shards, in_shards), shards - first
    return took, shards


def fitted(points: list[tuple[int, int, float]]) -> tuple[float, float]:
    """Costs of a row and of a shard, by least squares from (rows, shards, seconds), with a fixed cost that is dropped."""
    rows, shards, seconds = (np.array(column, float) for column in zip(*points, strict=True))
    found = np.linalg.lstsq(np.stack([rows, shards, np.ones_like(rows)], axis=1), seconds, rcond=None)[0]
    return float(max(found[0], 0)), float(max(found[1], 0))


def done(task: pipekit.ShardTask) -> pipekit.ShardResult:
    """A worker that does nothing."""
    return pipekit.ShardResult(task.key, len(task.rows), 0, 0, 0.0)


def tasks_of(count: int, rows: int) -> Iterator[pipekit.ShardTask]:
    """Tasks as a stage makes them: a row of about 200 bytes for each sample."""
    row = {"id": "cat/photo-000000.jpg", "image": "../photos/cat/photo-000000.jpg", "label": "cat", "sha256": "0" * 64}
    for number in range(count):
        packed = tuple({**row, "id": f"cat/photo-{number:05}-{at:05}.jpg"} for at in range(rows))
        name: dict[str, Any] = {
            "target": "m:f",
            "stage": "augment",
            "seed": 7,
            "name": "",
            "params_type": "m:P",
            "params": "{}",
            "plugin": "builtin",
        }
        where: dict[str, Any] = {
            "store": "/store",
            "project": "/project",
            "packed": False,
            "began_ns": 0,
            "plugins": (),
            "disabled": (),
        }
        yield pipekit.ShardTask(key=f"{number:064x}", scope="s", rows=packed, **name, **where)


def spent_by(process: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def scheduled() -> tuple[tuple[float, float], tuple[float, float]]:
    """(row, task) costs of Dask's client and of its scheduler, each in its own process, with one worker."""
    with tempfile.TemporaryDirectory() as place:
        file, processes = f"{place}/scheduler.json", []
        for words in (["scheduler", "--port", "0", "--no-dashboard"], ["worker", "--no-nanny", "--no-dashboard"]):
            command = [sys.executable, "-m", "dask", *words, "--host", "127.0.0.1", "--scheduler-file", file]
            processes.append(subprocess.Popen(command, cwd=place, stderr=subprocess.DEVNULL))
        try:
            while not Path(file).exists():
                time.sleep(0.1)
            params, points = DaskParams(scheduler_file=file), [list[tuple[int, int, float]](), list[tuple[int, int, float]]()]
            for _ in dask(done, tasks_of(20, 10), params):
                pass
            for count, rows in ((200, 10), (800, 10), (800, 128), (200, 1000)):
                tasks = list(tasks_of(count, rows))
                before = time.process_time(), spent_by(processes[0].pid)
                assert sum(1 for _ in dask(done, tasks, params)) == count
                after = time.process_time(), spent_by(processes[0].pid)
                for of, one, two in zip(points, before, after, strict=True):
                    of.append((count * rows, count, two - one))
            close_unused()
        finally:
            for process in processes:
                process.kill()
                process.wait()
    return fitted(points[0]), fitted(points[1])


def measured() -> Costs:
    """All costs, on this machine."""
    with tempfile.TemporaryDirectory() as place:
        rng = np.random.default_rng(0)
        points: dict[str, list[tuple[int, int, float]]] = {"import": [], "import worker": [], "map": [], "worker": []}
        for count, shard_size in ((1000, 128), (4000, 1000), (4000, 128), (4000, 32)):
            folder = Path(place, str(count))
            for number in range(0 if folder.exists() else count):
                path = folder / f"class{number % 10}" / f"{number:06}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                images.write(path, rng.integers(0, 256, (16, 16, 3), np.uint8))
            mapped(folder, shard_size)  # once to warm up: what is imported on first use is no cost of a row
            took, shards = mapped(folder, shard_size)
            for name, seconds in zip(points, (*took["data"], *took["map"]), strict=True):
                points[name].append((count, shards, seconds))
    (row, shard), (worker_row, worker_shard) = fitted(points["map"]), fitted(points["worker"])
    client, scheduler = scheduled()
    rows = {name: [(rows, 0, seconds) for rows, _, seconds in points[name]] for name in ("import", "import worker")}
    return Costs(
        fitted(rows["import"])[0],
        fitted(rows["import worker"])[0],
        row,
        shard,
        worker_row,
        worker_shard,
        scheduler[1],
        scheduler[0],
        client[1],
        client[0],
        200.0,
    )


# --- simulate ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Played:
    """A simulated stage: its seconds, and the share of them that each part is busy."""

    seconds: float
    driver: float
    scheduler: float
    workers: float


def play(costs: Costs, num_images: int, shard_size: int, cores: int) -> Played:
    """One mapping stage, shard by shard.

    The driver makes tasks and takes results, one at a time; so does the scheduler; a worker takes the next task when it is
    free. The driver submits as the executor does: ``in_flight`` tasks a core, and one more for each result.
    """
    shards = -(-num_images // shard_size)
    rows = num_images / shards
    make = 0.7 * (costs.row * rows + costs.shard) + costs.client_row * rows + 0.7 * costs.client_task
    take = 0.3 * (costs.row * rows + costs.shard) + 0.3 * costs.client_task
    send, note = 0.5 * costs.task + costs.task_row * rows, 0.5 * costs.task
    work = (WORK_S + costs.worker_row) * rows + costs.worker_shard
    driver, scheduler = Server(), Server()
    idle = [0.0] * cores
    waiting = itertools.count()
    events = [(0.0, next(waiting), "make") for _ in range(min(IN_FLIGHT * cores, shards))]
    left, now = shards - len(events), 0.0

    def then(at: float, what: str) -> None:
        heapq.heappush(events, (at, next(waiting), what))

    while events:
        now, _, what = heapq.heappop(events)
        if what == "make":
            then(driver.serve(now, make), "send")
        elif what == "send":
            then(scheduler.serve(now, send), "work")
        elif what == "work":
            ends = max(now, heapq.heappop(idle)) + work
            heapq.heappush(idle, ends)
            then(ends, "note")
        elif what == "note":
            then(scheduler.serve(now, note), "take")
        else:
            now = driver.serve(now, take)
            if left:
                left -= 1
                then(now, "make")
    seconds = driver.free
    return Played(seconds, driver.busy / seconds, scheduler.busy / seconds, shards * work / cores / seconds)


class Server:
    """Serves one at a time, in the order of calls, which is that of time."""

    def __init__(self) -> None:
        self.free = self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When what arrives ``now`` is done."""
        self.free = max(self.free, now) + seconds
        self.busy += seconds
        return self.free


def said(seconds: float) -> str:
    hours, minutes = seconds / 3600, seconds / 60
    return f"{hours:.1f} h" if hours >= 1 else f"{minutes:.1f} min" if minutes >= 1 else f"{seconds:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--costs", type=Path)
    asked = parser.parse_args()
    costs = Costs(**json.loads(asked.costs.read_text())) if asked.costs else measured()
    print(json.dumps(asdict(costs)))
    print("| images | cores | shards of | shards | import | stage | driver busy | scheduler busy | workers busy | index |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    sizes = (
        (10**6, 16, 128),
        (10**7, 64, 128),
        (10**7, 64, 1000),
        (10**8, 256, 1000),
        (10**9, 1000, 1000),
        (10**9, 1000, 10000),
    )
    for num_images, cores, shard_size in sizes:
        found = play(costs, num_images, shard_size, cores)
        shares = " | ".join(f"{100 * share:.0f} %" for share in (found.driver, found.scheduler, found.workers))
        print(
            f"| {num_images:.0e} | {cores:,} | {shard_size:,} | {-(-num_images // shard_size):,} "
            f"| {said(num_images * max(costs.import_row, costs.import_worker_row / cores))} | {said(found.seconds)} | {shares} "
            f"| {costs.index_bytes * num_images / 1e9:,.1f} GB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
