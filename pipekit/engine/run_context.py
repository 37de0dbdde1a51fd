"""What all stages of a run share, and what a stage counts of its samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipekit.contract import Failure, Params, ShardResult
from pipekit.engine.keys import Keys
from pipekit.engine.outcome import Listener, StageOutcome
from pipekit.engine.shards import PROGRESS_EVERY_S
from pipekit.engine.sources import Handed
from pipekit.files.scanning import scanned_since_ns
from pipekit.pipeline.plan import Plan, PlannedStage
from pipekit.registry.component import Component
from pipekit.store.locations import Locations
from pipekit.store.store import Store

MANY_NEW = 300
"""Number of files without a known hash after which the executor prepares its workers."""


@dataclass
class RunContext:
    """What all stages of a run share."""

    plan: Plan
    store: Store
    locations: Locations
    listener: Listener
    variant: Callable[[PlannedStage, dict[str, Any], bool], StageOutcome]
    """Runs a stage that another one asks for, or takes it from the store."""
    began_ns: int = field(default_factory=scanned_since_ns)
    keys: Keys = field(init=False)
    handed: Handed = field(default_factory=Handed)

    def __post_init__(self) -> None:
        def codecs() -> Iterable[Component]:
            return self.plan.registry.components("codec")

        def template(name: str) -> Component | None:
            return self.plan.registry.found("model", name)

        self.keys = Keys(
            self.plan.seed,
            lambda path: self.store.hashes.content(path),  # opened when a path is looked up
            codecs,
            hash_of=lambda path: self.store.hashes.file(path),
            template=template,
        )

    def executor(self) -> tuple[Callable[..., Iterator[ShardResult]], Params]:
        """Where shards run, with its parameters."""
        plan, options = self.plan, self.plan.executor.params
        execute = plan.executor.load()
        if plan.workers == 1 and not options.model_fields_set:
            execute = getattr(execute, "for_one_worker", execute)
        if "workers" in type(options).model_fields and getattr(options, "workers", None) is None:
            options = options.model_copy(update={"workers": plan.workers})
        return execute, options

    def prepare_executor(self) -> None:
        """Many samples will follow: let the executor start what it needs."""
        getattr(self.executor()[0], "prepare", lambda: None)()

    def watch_hashing(self, stage: PlannedStage) -> None:
        """Report progress to listeners while many files are read for the first time."""
        count, num_new, last = 0, 0, time.monotonic()

        def on_new(number: int) -> None:
            nonlocal num_new
            before, num_new = num_new, num_new + number
            if before < MANY_NEW <= num_new:
                self.prepare_executor()

        def on_hash() -> None:
            nonlocal count, last
            count += 1
            if time.monotonic() - last > PROGRESS_EVERY_S:
                last = time.monotonic()
                self.listener("progress", stage=stage.name, label="reading", done=count, total=None, unit="files")

        self.store.hashes.on_new, self.store.hashes.on_hash = on_new, on_hash
        self.store.hashes.threads = self.plan.workers


@dataclass
class Counts:
    """What a stage has tried, and what failed."""

    failed: dict[str, Failure] = field(default_factory=dict)
    mapped: dict[str, int] = field(default_factory=dict)
    num_unmapped: int = 0

    def fail(self, failures: Iterable[Failure]) -> None:
        for failure in failures:
            self.failed.setdefault(failure.id, failure)

    def count(self, target: str, number: int = 1) -> None:
        """Samples went into a function; ``target`` is "" for those that went into none."""
        if target:
            self.mapped[target] = self.mapped.get(target, 0) + number
        elif not self.mapped:
            self.num_unmapped += number

    @property
    def num_attempted(self) -> int:
        """Samples that went in. Two functions are taken to see the same samples, one function other samples each time."""
        return max(self.mapped.values(), default=0) + self.num_unmapped
