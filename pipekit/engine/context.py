"""The engine's implementation of :class:`pipekit.contract.Context`."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipekit.artifacts import CATEGORIES, CODECS, joined_categories
from pipekit.contract import Artifact, Dataset, Failure, Params, Sample
from pipekit.engine.amending import Cuts, content_before, read_cuts
from pipekit.engine.datasets import open_dataset
from pipekit.engine.healing import check_folder
from pipekit.engine.keys import decoded_by, key_of
from pipekit.engine.mapping import Kept, Mapped, Mapper
from pipekit.engine.run_context import Counts, RunContext
from pipekit.engine.shards import PROGRESS_EVERY_S
from pipekit.errors import StageError
from pipekit.files import hash_file
from pipekit.files.urls import shown
from pipekit.passed_over import META, joined
from pipekit.pipeline.plan import Plan, PlannedStage
from pipekit.registry.component import Component
from pipekit.store.parts import (
    check_ids,
    write_index,
)
from pipekit.tasks import reasons_of, require_inputs, supported_by

if TYPE_CHECKING:
    from pipekit.rng import Rng

T = TypeVar("T")
A = TypeVar("A", bound=Artifact)

MAX_FAILURES_SHOWN = 5

FILES = ("files", "files.tar")
"""Where a shard has the files that were made for its samples."""


def carried(meta: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A dataset's ``meta`` with what the imports of its inputs passed over, so that its report says so too, and with the
    codecs of plugins that decode its images."""
    sources = _datasets(inputs)
    if not sources:
        return dict(meta)
    others = joined(one.meta.get(META, {}) for one in sources)
    codecs = sorted({name for one in sources for name in one.meta.get(CODECS, ())})
    kept = {name: value for name, value in meta.items() if name not in (META, CODECS)}
    return kept | ({META: others} if others else {}) | ({CODECS: codecs} if codecs else {})


def _datasets(inputs: Mapping[str, Any]) -> list[Dataset]:
    given = (one for found in inputs.values() for one in (found if isinstance(found, tuple) else (found,)))
    return [one for one in given if isinstance(one, Dataset)]


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
        parts: Mapping[str, Any] | None = None,
        before: Mapping[str, Any] | None = None,
    ) -> None:
        self._run = run_context
        self._stage = stage
        self._key = key
        run_context.locations.becomes[str(folder)] = str(run_context.store.artifact_dir(key))
        self._inputs = inputs
        self._folder = folder
        self._again = again
        self._parts, self._before = parts or {}, None if again else before  # of the keys of this run and of the last one
        self._work: Path | None = None
        self._lock: Any = None
        self._last_progress = 0.0
        self.warnings: list[str] = []
        self.counts = Counts()
        self.mapper = Mapper(run_context, stage, self.counts, self._hash, self._mapping, again, decoded_by(stage, inputs))
        self._named: dict[str, str] = {}
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
        return self._run.plan.registry.get(kind, name, self._stage.component.plugin)

    def components(self, kind: str) -> Sequence[Component]:
        return self._run.plan.registry.components(kind)

    # --- progress and warnings ---

    def event(self, name: str, **values: Any) -> None:
        self._run.listener(name, **{"stage": self.stage, **values})

    def warn(self, message: str) -> None:
        message = shown(message)
        if message not in self.warnings:
            self.warnings.append(message)
            self.event("warning", message=message)

    def progress(self, done: int, total: int | None, label: str = "", unit: str = "") -> None:
        self.event("progress", label=label, done=done, total=total, unit=unit)

    def _mapping(self, done: int, total: int, label: str) -> None:
        self.progress(done, total, label, "images")

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

    # --- failed samples ---

    @property
    def failures(self) -> list[Failure]:
        """Each failed sample once, whatever number of functions it failed in."""
        return list(self.counts.failed.values())

    @property
    def num_attempted(self) -> int:
        return self.counts.num_attempted

    @property
    def shards(self) -> set[str]:
        return self.mapper.shards

    def tell_failures(self) -> None:
        """Report to listeners how many samples failed, with a few examples."""
        if self.failures:
            examples = [(f.id, f.reason) for f in sorted(self.failures, key=lambda f: f.id)[:5]]
            self.event("failed_samples", count=len(self.failures), total=self.num_attempted, examples=examples)

    @property
    def num_cached(self) -> int:
        return self.mapper.num_cached

    # --- parallel work ---

    def map(
        self,
        function: Callable[..., Iterable[Any]],
        samples: Iterable[Sample],
        params: Params | None = None,
        label: str = "",
        *,
        name: str = "",
        problems: bool = False,
    ) -> Mapped:
        target = self._target(function, name)
        params = params if params is not None else Params()
        return self.mapper.map(function, target, samples, params, label, name, problems)

    def map_parts(
        self,
        function: Callable[..., Iterable[Any]],
        samples: Iterable[Sample],
        params: Params | None = None,
        label: str = "",
        *,
        name: str = "",
    ) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        target = self._target(function, name)
        params = params if params is not None else Params()
        return self.mapper.map(function, target, samples, params, label, name, problems=True).by_part()

    def keep(
        self,
        function: Callable[..., Iterable[Any]],
        samples: Iterable[Sample],
        params: Params | None = None,
        label: str = "",
        *,
        name: str = "",
    ) -> Kept:
        target = self._target(function, name)
        return self.mapper.keep(function, target, samples, params if params is not None else Params(), label, name)

    def recall(self, name: str) -> bytes | None:
        return self.mapper.recall(name)

    def remember(self, name: str, data: bytes | bytearray | memoryview) -> None:
        self.mapper.remember(name, data)

    def revise(self, dataset: Iterable[Sample], change: Callable[[str], Mapping[str, Any] | None]) -> Kept:
        return self.mapper.revise(dataset, change)

    def amended(self, name: str, note: str | None, sample_of: Callable[[str], Any]) -> Iterable[Sample] | None:
        self.mapper.cuts = None if note is None else Cuts(note)
        if note is None:
            return None
        found = content_before(self._before, self._parts, name)
        before = None if found is None else self._cuts_before(name)
        if found is None or before is None or before.note != note:
            return None
        changes = self._run.store.hashes.changes(Path(getattr(self._stage.params, name)), *found)
        if changes is None:
            return None
        changed = {below: None if sha256 is None else sample_of(below) for below, sha256 in changes}
        if NotImplemented in changed.values():
            return None
        for below, sample in changed.items():
            if sample is not None and sample.id != below:
                raise StageError(f"a sample that is amended must have its file's path as its id: {below!r}, not {sample.id!r}")
        return self.mapper.amend(before, changed)

    def _cuts_before(self, name: str) -> Cuts | None:
        """The cuts of this stage's last run, if it read the same path and is still in the store."""
        key, locations = key_of(self._before or {}), self._run.locations
        manifest = self._run.store.manifest(key)
        if manifest is None or manifest["roots"].get(name) != locations.pack(str(getattr(self._stage.params, name))):
            return None
        return read_cuts(self._run.store.artifact_dir(key))

    def map_own(self, function: Callable[..., Iterable[Any]], samples: Iterable[Sample]) -> Mapped:
        """Map the stage's own function."""
        return self.mapper.map(function, f"@stage/{self._stage.use}", samples, self._stage.params, self.stage)

    def _target(self, function: Callable[..., Iterable[Any]], name: str) -> str:
        target = _target(function)
        if name:
            self._check_name(name, target)
        return target

    def _check_name(self, name: str, target: str) -> None:
        """Each name belongs to one function of a stage; otherwise one function would get the results of another."""
        if not all(part.isidentifier() for part in name.split(".")):
            raise StageError(f"ctx.map can't use the name {name!r}", "A name is letters, digits and underscores: make_copies")
        other = self._named.setdefault(name, target)
        if other != target:
            raise StageError(f"ctx.map was given two functions under the name {name!r}: {other} and {target}")

    def _hash(self, path: str) -> str:
        """A file's hash. The hash of a file in the scratch folder is not cached, since that folder does not stay."""
        if path.startswith(f"{self._folder}{os.sep}"):
            return hash_file(path)
        return self._run.store.hashes.file(path)

    # --- the same stage with other parameters ---

    def variant(self, params: Params) -> Artifact:
        if type(params) is not type(self._stage.params) or params == self._stage.params:
            raise StageError(f"ctx.variant needs other parameters of the stage {self._stage.use!r}, got {params!r}")
        outcome = self._run.variant(replace(self._stage, params=params), dict(self._inputs), self._again)
        for message in outcome.warnings:
            if outcome.cached:
                self.warn(message)
            elif message not in self.warnings:  # listeners have it
                self.warnings.append(message)
        return outcome.artifact

    # --- making artifacts ---

    def dataset(
        self, samples: Iterable[Sample] | Sequence[Iterable[Sample]], failed: Iterable[Failure] = (), **meta: Any
    ) -> Dataset:
        locations, root = self._run.locations, self._run.store.root

        def all_failed() -> Iterator[Failure]:
            for failure in failed:
                if failure.part_of:
                    yield failure
                    continue
                self.counts.num_unmapped += failure.id not in self.counts.failed
                self.counts.fail([failure])
            yield from self.failures
            for found in self._inputs.values():
                for source in found if isinstance(found, tuple) else (found,):
                    if isinstance(source, Dataset):
                        yield from source.failed()

        try:
            parts = [part for part in self.mapper.parts(samples) if len(part)]
        finally:
            getattr(samples, "close", lambda: None)()  # a generator that is left in the middle has folders to remove
        with self._run.store.scratch() as scratch:
            check_ids(root, parts, scratch)
        listed = meta.pop(CATEGORIES, None)
        if listed is None:
            listed = joined_categories(one.meta.get(CATEGORIES, {}) for one in _datasets(self._inputs))
        index, counted = write_index(self._folder, parts, all_failed(), locations, listed)
        if self.mapper.cuts is not None:
            self.mapper.cuts.write(self._folder)
        self.uses = sorted({place for part in parts for place in part.places})
        meta = {**carried(meta, self._inputs), **counted}
        whose = self._run.plan.name, self._stage.name
        made = open_dataset(Dataset, self._folder, index, meta, locations, self._run.store, self._run.handed, whose)
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
        dataset are compared when they are read.

        Shards without files consist of rows, which pipekit compares when it reads them.

        Raises:
            DamagedError: one is not what was put there.
        """
        for key in sorted(self.mapper.found):
            place = self._run.store.shard_dir(key)
            if any(os.path.exists(f"{place}{os.sep}{name}") for name in FILES):  # noqa: PTH110 (done for every shard)
                check_folder(place)

    def tolerate(self, failures: Sequence[Failure], num_attempted: int) -> None:
        check_share(self._run.plan, self._stage, len(failures), num_attempted, failures)

    def check_failures(self) -> None:
        """Raise StageError if more samples failed than ``max_failed`` allows."""
        check_share(self._run.plan, self._stage, len(self.failures), self.num_attempted, self.failures)


def call_stage(stage: PlannedStage, ctx: StageContext, inputs: dict[str, Any]) -> Any:
    """Run a stage's function; returns what it returns.

    Raises:
        UserError: it does not support the task of an input.
    """
    function = stage.component.load()
    require_inputs(f"the stage {stage.use!r}", inputs.values(), supported_by(function), reasons_of(function))
    if stage.contract.per_sample:
        dataset = inputs["dataset"]
        return ctx.dataset(ctx.map_own(function, dataset))
    accepted = inspect.signature(function).parameters
    given = {name: value for name, value in (("ctx", ctx), ("params", stage.params)) if name in accepted}
    return function(**given, **inputs)


WITHOUT_A_FILE = (
    "Fix or remove them: pipekit inspect FOLDER --quarantine bad.csv lists them, and --exclude bad.csv of split and train "
    "leaves them out."
)
"""The hint where no pipeline file is there, whose values ``--set`` could override."""


def check_share(plan: Plan, stage: PlannedStage, num_failed: int, num_attempted: int, examples: Sequence[Failure]) -> None:
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
        limit = min(1.0, round(share + 0.01, 2))
        raise StageError(
            f"{num_failed} of {num_attempted} samples can't be used ({share:.1%}), and {allowed}:{lines}{more}",
            f"Fix or remove them, or allow it: --set stages.{stage.name}.max_failed={limit}" if plan.file else WITHOUT_A_FILE,
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
    """An open, locked file, or None if another process holds the lock. The system releases it when the process ends."""
    file = path.open("w")
    with contextlib.suppress(ImportError):  # Windows: no lock; don't run one training twice at once
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
    return file
