"""The example of a report section: what it shows of synthetic predictions for three classes."""

from __future__ import annotations

import inspect
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from pipekit.contract import Context, Dataset, Files, stage
from pipekit.findings import Section
from pipekit.testing.checks.core import register_under_test
from pipekit.testing.checks.examples import make_tiny_evaluation, write_tiny_dataset

if TYPE_CHECKING:
    from pipekit.registry.component import Component
    from pipekit.registry.registry import Registry

_numbers = itertools.count()


def run_section(registry: Registry, component: Component, folder: Path) -> Section | None:
    """Call a section in an empty folder, inside of a stage, as a report does; None if it has nothing to say.

    There is no model and no history, and the metrics hold the accuracy alone: a section of one of these says nothing.

    Raises:
        PipekitError: the section, or its parameters, failed.
    """
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    write_tiny_dataset(folder / "images")
    function = component.load()
    params = registry.check_params(component.params_type(), {})
    more = [params] if "params" in inspect.signature(function).parameters else []
    made: list[Section | None] = []

    @stage
    def shown(ctx: Context, dataset: Dataset) -> Files:
        """Call the section."""
        made.append(function(ctx, make_tiny_evaluation(folder / "images"), *more))
        return ctx.artifact(Files)

    shown.__name__ = f"show-{component.name}-{next(_numbers)}"
    name = register_under_test(registry, "stage", shown, plugin=f"({shown.__name__})")
    stages = {"data": {"use": "import.folders", "path": "images"}, "shown": {"use": name, "dataset": "data"}}
    table = {"name": "example", "seed": 1, "executor": "serial", "workers": 1, "stages": stages}
    run_plan(load_plan(table=table, base_dir=folder, registry=registry, store=folder / ".store"))
    return made[0]
