"""Promises of report sections and executors."""

from __future__ import annotations

import inspect
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipekit.contract import Context, Dataset, Files, ShardResult, ShardTask, stage
from pipekit.findings import problem_of_section
from pipekit.testing.checks.core import Skipped, Subject, in_short, promise, register_under_test
from pipekit.testing.checks.examples import make_tiny_evaluation
from pipekit.testing.checks.stages import DATA, run_stages
from pipekit.testing.checks.trial import STAGE

_numbers = itertools.count()


@promise("report_section")
def _makes_a_section(subject: Subject) -> str:
    """it takes (ctx, evaluation), and params if it has any, and returns a well-formed Section or None"""
    names = list(inspect.signature(subject.found).parameters)
    if names[:2] != ["ctx", "evaluation"] or names[2:] not in ([], ["params"]):
        return f"expected section(ctx, evaluation, params), got ({', '.join(names)})"
    if subject.samples.get("evaluation", True) is None:
        raise Skipped("it has separate tests that call it")
    return _call_section(subject, [subject.params] if names[2:] else [])


def _call_section(subject: Subject, more: list[Any]) -> str:
    """Call it inside of a stage, as the report does, on synthetic predictions for the tiny dataset."""
    said = []

    @stage
    def tried(ctx: Context, dataset: Dataset) -> Files:
        """Call the section."""
        images = ctx.project_dir / "images"
        try:
            said.append(problem_of_section(subject.found(ctx, make_tiny_evaluation(images), *more)))
        except (Exception, SystemExit) as error:
            said.append(in_short(error))
        return ctx.artifact(Files)

    tried.__name__ = f"call-{subject.component.name}-{next(_numbers)}"
    with tempfile.TemporaryDirectory() as folder:
        name = register_under_test(subject.registry, "stage", tried, plugin=f"({tried.__name__})")
        run_stages(subject, {**DATA, STAGE: {"use": name}}, Path(folder), executor="serial", workers=1)
    return said[0]


def _count(task: ShardTask) -> ShardResult:
    return ShardResult(task.key, len(task.rows), len(task.rows), 0, 0.0)


@promise("executor")
def _executes(subject: Subject) -> str:
    """every task is run once, in any order, and no tasks give no results"""
    tasks = list(_tasks(7))
    results = list(subject.found(_count, iter(tasks), subject.params))
    if sorted(result.key for result in results) != [task.key for task in tasks]:
        return f"expected one result for each of 7 tasks, got {sorted(result.key for result in results)}"
    if any(result.num_samples != int(result.key[4:]) for result in results):
        return "a result belongs to another task"
    return "results without tasks" if list(subject.found(_count, iter(()), subject.params)) else ""


@promise("executor")
def _stays_flat(subject: Subject) -> str:
    """tasks are taken as earlier ones finish, not all at once, and stopping early ends it"""
    taken = 0

    def count() -> Iterator[ShardTask]:
        nonlocal taken
        for task in _tasks(1000):
            taken += 1
            yield task

    running = iter(subject.found(_count, count(), subject.params))
    next(running)
    getattr(running, "close", lambda: None)()
    return "all of 1,000 tasks were taken before the first result" if taken == 1000 else ""


def _tasks(count: int) -> Iterator[ShardTask]:
    for number in range(count):
        rows = tuple({"id": str(row)} for row in range(number % 10))
        yield ShardTask(
            key=f"key-{number}",
            scope="",
            target="",
            stage="stage",
            seed=0,
            params_type="",
            params=None,
            rows=rows,
            store="",
            project="",
        )
