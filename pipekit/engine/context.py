"""The engine's implementation of :class:`pipekit.contract.Context`."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipekit.contract import Artifact, Dataset, Failure, Params, Sample, ShardResult, ShardTask
from pipekit.engine.healing import check_folder
from pipekit.engine.keys import Keys
from pipekit.engine.shards import PROGRESS_EVERY_S, ShardJob
from pipekit.engine.worker import PLAIN, Job, prime, reason_of, release
from pipekit.errors import StageError
from pipekit.files import hash_file
from pipekit.passed_over import META, joined
from pipekit.pipeline.plan import Plan, PlannedStage
from pipekit.registry.component import Component
from pipekit.store.locations import Locations, Row
from pipekit.store.rows import digest, dumps, from_row, read_lines, to_row, write_index
from pipekit.store.store import Store

if TYPE_CHECKING:
    from pipekit.rng import Rng

T = TypeVar("T")
A = TypeVar("A", bound=Artifact)

Listener = Callable[..., None]

MAX_FAILURES_SHOWN = 5


@dataclass
class RunContext:
    """What all stages of a run share."""

    plan: Plan
    store: Store
    locations: Locations
    listener: Listener
    began_ns: int = field(default_factory=time.time_ns)
    keys: Keys = field(init=False)

    def __post_init__(self) -> None:
        self.keys = Keys(self.plan.seed, lambda path: self.store.hashes.content(path))  # opened where a path is looked up

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


def open_dataset(kind: type[Dataset], path: Path, digest: str, meta: Mapping[str, Any], locations: Locations) -> Dataset:
    """An index in a folder, as a dataset."""

    def samples(folder: Path) -> Iterator[Sample]:
        return (from_row(locations.unpack_row(row)) for row in read_lines(folder / "rows.jsonl"))

    def failures(folder: Path) -> Iterator[Failure]:
        rows = read_lines(folder / "failed.jsonl")
        return (Failure(row["id"], row["reason"], locations.unpack(row.get("image", ""))) for row in rows)

    return kind(path, digest, meta, samples, failures)


def carried(meta: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A dataset's ``meta`` with what the imports of its inputs passed over, so that a report of it says it too."""
    given = (one for found in inputs.values() for one in (found if isinstance(found, tuple) else (found,)))
    sources = [one for one in given if isinstance(one, Dataset)]
    if not sources:
        return dict(meta)
    others = joined(one.meta.get(META, {}) for one in sources)
    return {name: value for name, value in meta.items() if name != META} | ({META: others} if others else {})


class StageContext:
    """One stage's run."""

    def __init__(
        self,
        run_context: RunContext,
        stage: PlannedStage,
        key: str,
        inputs: Mapping[str, Any],
        folder: Path,
        again: bool = False,
    ) -> None:
        self._run = run_context
        self._stage = stage
        self._key = key
        run_context.locations.becomes[str(folder)] = str(run_context.store.artifact_dir(key))
        self._inputs = inputs
        self._folder = folder
        self._again = again
        self._work: Path | None = None
        self._lock: Any = None
        self._last_progress = 0.0
        self.warnings: list[str] = []
        self._failed: dict[str, Failure] = {}
        self._mapped: dict[str, int] = {}
        self._named: dict[str, str] = {}
        self._num_unmapped = 0
        self.num_cached = 0
        self.shards: set[str] = set()
        self._found: set[str] = set()
        self.uses: list[str] = []
        self.made: list[Artifact] = []

    # --- what a stage reads ---

    @property
    def stage(self) -> str:
        return self._stage.name

    @property
    def seed(self) -> int:
        return self._run.plan.seed

    @property
    def workers(self) -> int:
        return self._run.plan.workers

    @property
    def out_dir(self) -> Path:
        return self._folder

    @property
    def project_dir(self) -> Path:
        return self._run.plan.base_dir

    @property
    def pipeline_file(self) -> Path | None:
        return self._run.plan.file

    @property
    def work_dir(self) -> Path:
        """Locked while this process lives; a second process with the same key gets a separate folder."""
        if self._work is None:
            self._work = self._run.store.work_dir(self._key)
            self._lock = _hold(self._work / ".lock")
            if self._lock is None:
                self._work = self._run.store.work_dir(f"{self._key}-{os.getpid()}")
                self._lock = _hold(self._work / ".lock")
        return self._work

    def close(self, done: bool) -> None:
        """Release the work folder, which a finished stage no longer needs."""
        self._run.locations.becomes.pop(str(self._folder), None)
        if self._lock is not None:
            if done:
                shutil.rmtree(self._work or self._folder, ignore_errors=True)
            self._lock.close()
            self._lock = None

    def rng(self, *parts: str | int) -> Rng:
        from pipekit.rng import rng_for

        return rng_for(self.seed, self._stage.use, *parts)

    def component(self, kind: str, name: str) -> Component:
        return self._run.plan.registry.get(kind, name)

    def components(self, kind: str) -> Sequence[Component]:
        return self._run.plan.registry.components(kind)

    # --- progress and warnings ---

    def event(self, name: str, **values: Any) -> None:
        self._run.listener(name, **{"stage": self.stage, **values})

    def warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
            self.event("warning", message=message)

    def progress(self, done: int, total: int | None, label: str = "", unit: str = "") -> None:
        self.event("progress", label=label, done=done, total=total, unit=unit)

    def track(self, items: Iterable[T], total: int | None = None, label: str = "", unit: str = "") -> Iterator[T]:
        if total is None and isinstance(items, Sized):
            total = len(items)
        done = 0
        for done, item in enumerate(items, 1):
            yield item
            if time.monotonic() - self._last_progress > PROGRESS_EVERY_S:
                self._last_progress = time.monotonic()
                self.progress(done, total, label, unit)
        self.progress(done, total, label, unit)

    # --- counting what can't be used ---

    @property
    def failures(self) -> list[Failure]:
        """Each failed sample once, whatever number of functions it failed in."""
        return list(self._failed.values())

    @property
    def num_attempted(self) -> int:
        """Samples that went in. Two functions are taken to see the same samples, one function other samples each time."""
        return max(self._mapped.values(), default=0) + self._num_unmapped

    def tell_failures(self) -> None:
        """Report to listeners how many samples failed, with a few examples."""
        if self._failed:
            examples = [(f.id, f.reason) for f in sorted(self.failures, key=lambda f: f.id)[:5]]
            self.event("failed_samples", count=len(self.failures), total=self.num_attempted, examples=examples)

    def _fail(self, failures: Iterable[Failure]) -> None:
        for failure in failures:
            self._failed.setdefault(failure.id, failure)

    # --- spreading work ---

    def map(
        self,
        function: Callable[..., Iterable[Any]],
        samples: Iterable[Sample],
        params: Params | None = None,
        label: str = "",
        *,
        name: str = "",
    ) -> Iterator[Any]:
        target = _target(function)
        if name:
            self._check_name(name, target)
        return self.run_shards(function, target, samples, params if params is not None else Params(), label, name)

    def _check_name(self, name: str, target: str) -> None:
        """Each name belongs to one function of a stage; otherwise one function would get the results of another."""
        if not all(part.isidentifier() for part in name.split(".")):
            raise StageError(f"ctx.map can't use the name {name!r}", "A name is letters, digits and underscores: make_copies")
        other = self._named.setdefault(name, target)
        if other != target:
            raise StageError(f"ctx.map was given two functions under the name {name!r}: {other} and {target}")

    def run_shards(
        self,
        function: Callable[..., Iterable[Any]],
        target: str,
        samples: Iterable[Sample],
        params: Params,
        label: str,
        name: str = "",
    ) -> Iterator[Any]:
        """Map ``function`` over samples in shards; the stage's own function too, as ``@stage/<use>``."""
        run_context, plan, stage = self._run, self._run.plan, self._stage
        base = dumps(run_context.keys.of_map(stage, function, name or target, params))
        scope = digest(base, target, str(plan.seed))
        params_type = type(params)
        of_stage = target.startswith("@stage/") or params_type is stage.contract.params_type
        plain = params.model_dump(mode="json")
        path = "" if of_stage else f"{params_type.__module__}:{params_type.__qualname__}"

        def task(key: str, rows: tuple[Row, ...]) -> ShardTask:
            return ShardTask(
                key=key,
                scope=scope,
                target=target,
                stage=stage.use,
                seed=plan.seed,
                params_type=path,
                params=plain,
                rows=tuple(map(run_context.locations.plain, rows)),
                store=str(run_context.store.root),
                project=str(plan.base_dir),
                packed=stage.packed,
                plugins=plan.registry.asked,
                disabled=plan.registry.disabled,
                name=name,
                began_ns=run_context.began_ns,
            )

        execute, options = run_context.executor()
        job = ShardJob(
            base,
            task,
            lambda run, tasks: execute(run, tasks, options),
            run_context.store,
            run_context.locations,
            plan.shard_size,
            lambda done, total: self.progress(done, total, label, "images"),
            self._found.add,
            self._again,
        )
        prime(scope, Job(function, params, plan.registry))
        try:
            for row in job.run(self._rows(samples, target)):
                if row.pop(PLAIN, False):
                    yield row
                else:
                    yield from_row(run_context.locations.unpack_row(row))
        finally:
            release(scope)
            self.shards.update(job.keys)
            self._fail(replace(f, image=run_context.locations.unpack(f.image)) for f in job.failures)
            self.num_cached += job.num_cached

    def _rows(self, samples: Iterable[Sample], target: str) -> Iterator[Row]:
        """Samples as packed rows with hashes; one whose file can't be read is failed here."""
        for sample in samples:
            self._mapped[target] = self._mapped.get(target, 0) + 1
            filled = self._with_hash(sample)
            if filled is not None:
                yield self._run.locations.pack_row(to_row(filled))

    def _with_hash(self, sample: Sample) -> Sample | None:
        try:
            if not sample.sha256:
                sample = replace(sample, sha256=self._hash(sample.image))
            if sample.targets.mask and not sample.targets.mask_sha256:
                mask_sha256 = self._hash(sample.targets.mask)
                sample = replace(sample, targets=replace(sample.targets, mask_sha256=mask_sha256))
        except OSError as error:
            self._fail([Failure(sample.id, reason_of(error), sample.image)])
            return None
        return sample

    def _hash(self, path: str) -> str:
        """A file's hash; what lies in a folder that will not stay is not remembered."""
        if path.startswith(f"{self._folder}{os.sep}"):
            return hash_file(path)
        return self._run.store.hashes.file(path)

    # --- making artifacts ---

    def dataset(self, samples: Iterable[Sample], failed: Iterable[Failure] = (), **meta: Any) -> Dataset:
        locations = self._run.locations

        def rows() -> Iterator[Row]:
            for sample in samples:
                self._num_unmapped += not self._mapped
                filled = self._with_hash(sample)
                if filled is not None:
                    yield to_row(filled)

        def all_failed() -> Iterator[Failure]:
            for failure in failed:
                self._num_unmapped += failure.id not in self._failed
                self._fail([failure])
            yield from self.failures
            for found in self._inputs.values():
                for source in found if isinstance(found, tuple) else (found,):
                    if isinstance(source, Dataset):
                        yield from source.failed()

        with self._run.store.scratch() as scratch:
            try:
                index, counted, self.uses = write_index(self._folder, rows(), all_failed(), locations, scratch)
            finally:
                getattr(samples, "close", lambda: None)()  # a generator that is left in the middle has folders to remove
        made = open_dataset(Dataset, self._folder, index, {**carried(meta, self._inputs), **counted}, locations)
        self.made.append(made)
        return made

    def artifact(self, kind: type[A], *, digest: str | None = None, **meta: Any) -> A:
        self.check_found()
        made = kind(self._folder, digest if digest is not None else tree_digest(self._folder), meta)
        self.made.append(made)
        return made

    def check_found(self) -> None:
        """Compare the shards that were taken from the store with their hashes.

        An artifact may be made of their files, which a stage opens or links without pipekit's functions; the images of a
        dataset are compared where they are read.

        Raises:
            DamagedError: one is not what was put there.
        """
        for key in sorted(self._found):
            check_folder(self._run.store.shard_dir(key))

    def tolerate(self, failures: Sequence[Failure], num_attempted: int) -> None:
        check_share(self._stage, len(failures), num_attempted, failures)

    def check_failures(self) -> None:
        """Raise where more samples failed than ``max_failed`` allows."""
        check_share(self._stage, len(self.failures), self.num_attempted, self.failures)


def check_share(stage: PlannedStage, num_failed: int, num_attempted: int, examples: Sequence[Failure]) -> None:
    """Compare the share of failures with the stage's ``max_failed``.

    Raises:
        StageError: with the first few failures.
    """
    if num_failed > stage.max_failed * num_attempted:
        shown = sorted(examples, key=lambda failure: failure.id)[:MAX_FAILURES_SHOWN]
        lines = "".join(f"\n    {failure.id}: {failure.reason}" for failure in shown)
        more = f"\n    and {num_failed - len(shown)} more" if num_failed > len(shown) else ""
        share = num_failed / max(1, num_attempted)
        allowed = f"max_failed allows {stage.max_failed:.1%}"
        raise StageError(
            f"{num_failed} of {num_attempted} samples can't be used ({share:.1%}), and {allowed}:{lines}{more}",
            f"Fix or remove them, or allow it: --set stages.{stage.name}.max_failed={min(1.0, round(share + 0.01, 2))}",
        )


def tree_digest(folder: Path) -> str:
    """The hash of all files in a folder: names and bytes."""
    hashed = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            hashed.update(f"{path.relative_to(folder).as_posix()}\0{found}\n".encode("utf-8", "surrogatepass"))
    return hashed.hexdigest()


def _target(function: Any) -> str:
    """``module:name`` of a function that any process can import."""
    name = getattr(function, "__qualname__", "<unnamed>")
    if "<" in name or not inspect.isroutine(function):
        raise StageError(f"ctx.map needs a function at the top of a module, not {name}: other processes must find it by name")
    return f"{function.__module__}:{name}"


def _hold(path: Path) -> Any:
    """An open, locked file, or None where another process holds it. The system releases it when the process ends."""
    file = path.open("w")
    with contextlib.suppress(ImportError):  # Windows: no lock, and no two runs of one training at once
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
    return file
