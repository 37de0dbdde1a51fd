"""``ctx.map`` and ``ctx.keep``: a function over samples in shards, and its results as rows or as parts of an index."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from pipekit.contract import Dataset, Failure, Params, Sample, ShardResult, ShardTask
from pipekit.engine.amending import Amended, Cut, Cuts, amend
from pipekit.engine.keys import Keys, shard_key
from pipekit.engine.outcome import Listener
from pipekit.engine.shards import (
    PROGRESS_EVERY_S,
    Group,
    ShardJob,
    by_hash,
    cut_by_hash,
    group_of,
    group_of_part,
    part_in,
    shard_rows,
)
from pipekit.engine.worker import Job, prime, reason_of, release
from pipekit.pipeline.plan import Plan, PlannedStage
from pipekit.registry.component import Component
from pipekit.store.locations import Locations, Row
from pipekit.store.parts import INDEX, PLAIN, Part, read_index, rows_of, sorted_rows, write_part
from pipekit.store.rows import Sorter, digest, dumps, from_row, read_lines, to_row
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
    began_ns: int = field(default_factory=time.time_ns)
    keys: Keys = field(init=False)

    def __post_init__(self) -> None:
        def codecs() -> Iterable[Component]:
            return self.plan.registry.components("codec")

        self.keys = Keys(
            self.plan.seed, lambda path: self.store.hashes.content(path), codecs
        )  # opened where a path is looked up

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
        count, last = 0, time.monotonic()

        def on_hash() -> None:
            nonlocal count, last
            count += 1
            if count == MANY_NEW:
                self.prepare_executor()
            if time.monotonic() - last > PROGRESS_EVERY_S:
                last = time.monotonic()
                self.listener("progress", stage=stage.name, label="reading", done=count, total=None, unit="files")

        self.store.hashes.on_hash = on_hash
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


def parts_of(samples: Any) -> list[Part] | None:
    """The parts of what is in an index already; None for any other samples. Those of several may share ids."""
    if several(samples):
        found = [parts_of(one) for one in samples]
        return (
            None
            if any(one is None for one in found)
            else [replace(part, same_ids=False) for one in found for part in one or ()]
        )
    if isinstance(samples, Mapped):
        return samples.parts()
    if isinstance(samples, (Kept, Amended)):
        return samples.parts
    if isinstance(samples, Dataset) and (samples.path / INDEX).is_file():
        return read_index(samples.path)
    return None


def several(samples: Any) -> bool:
    """Whether these are several collections of samples, to be joined, and not samples."""
    return isinstance(samples, (list, tuple)) and bool(samples) and all(isinstance(one, _COLLECTIONS) for one in samples)


Absorb = Callable[[Group, Path], None]


class Mapped:
    """What ``ctx.map`` returns: an iterator over rows in the order of ids. A dataset can be made of it without reading them.

    Args:
        work: does what is missing, and passes each group with the folder of its shard to a function.
        rows: does the same, and yields the results.
        of_parts: whether the samples that go in are parts of an index.
    """

    def __init__(self, store: Store, work: Callable[[Absorb], None], rows: Callable[[], Iterator[Any]], of_parts: bool) -> None:
        self._store, self._work, self._rows, self._of_parts = store, work, rows, of_parts
        self._iterator: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = self._rows()
        return next(self._iterator)

    def close(self) -> None:
        if self._iterator is not None:
            getattr(self._iterator, "close", lambda: None)()

    def parts(self) -> list[Part] | None:
        """The shards as parts of an index; None if they can't be, or if rows have been taken already."""
        if not self._of_parts or self._iterator is not None:
            return None
        found: dict[str, Part | None] = {}

        def absorb(group: Group, place: Path) -> None:
            found[group.digest] = part_in(self._store, place, group.part)

        self._work(absorb)
        made = [found[name] for name in sorted(found)]  # whichever was finished first
        return None if any(part is None for part in made) else [part for part in made if part]

    def by_part(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """The digest and the rows of each shard, with the samples that failed; for a function that yields dicts."""
        places: dict[str, Path] = {}
        self._work(lambda group, place: places.__setitem__(group.digest, place))
        for digest_of_samples in sorted(places):
            place = places[digest_of_samples]
            rows = [dict(row) for row in read_lines(place / "rows.jsonl")]
            rows += [{"id": row["id"], "problem": row["reason"]} for row in read_lines(place / "failed.jsonl")]
            for row in rows:
                row.pop(PLAIN, None)
            yield digest_of_samples, sorted(rows, key=lambda row: str(row["id"]))


@dataclass(frozen=True)
class Kept:
    """What ``ctx.keep`` returns: parts of an index, which a dataset is made of."""

    parts: list[Part]
    samples: Callable[[], Iterator[Sample]]

    def __iter__(self) -> Iterator[Sample]:
        return self.samples()


_COLLECTIONS = (Dataset, Mapped, Kept)


@dataclass
class Mapper:
    """Maps functions over samples for one stage.

    Attributes:
        hash: a file's hash.
        progress: called with the number of finished samples, their total, and the label.
        again: do every shard anew.
        decoded_by: see :func:`pipekit.engine.keys.decoded_by`.
        found: the keys of the shards that were taken from the store.
        cuts: how the samples of an import are divided into parts, if it can be amended; see :mod:`pipekit.engine.amending`.
    """

    run: RunContext
    stage: PlannedStage
    counts: Counts
    hash: Callable[[str], str]
    progress: Callable[[int, int, str], None]
    again: bool
    decoded_by: Iterable[str] | None = ()
    shards: set[str] = field(default_factory=set)
    found: set[str] = field(default_factory=set)
    num_cached: int = 0
    cuts: Cuts | None = None

    def map(
        self,
        function: Any,
        target: str,
        samples: Iterable[Sample],
        params: Params,
        label: str,
        name: str = "",
        problems: bool = False,
    ) -> Mapped:
        """Map ``function`` over samples in shards; the stage's own function too, as ``@stage/<use>``."""
        store, images_only, parts = self.run.store, is_shared(function), parts_of(samples)
        job = self._job(function, target, params, label, name)

        def work(absorb: Absorb) -> None:
            if parts is not None:
                total = sum(map(len, parts))
                self.counts.count(target, total)
                groups: Iterable[Group] = (group_of_part(store.root, part, images_only) for part in parts)
                self._work(job, groups, total, absorb, problems)
                return
            with store.scratch() as scratch:
                before = self.counts.mapped.get(target, 0)
                rows = by_hash(self._rows(samples, target), self.run.plan.shard_size, scratch)
                groups = (group_of(some, images_only) for some in rows)
                first = next(iter(groups), None)  # all samples have come by then
                total = self.counts.mapped.get(target, 0) - before
                self._work(job, chain([] if first is None else [first], groups), total, absorb, problems)

        def rows() -> Iterator[Any]:
            with store.scratch() as scratch:
                sorter = Sorter(scratch / "out")

                def absorb(group: Group, place: Path) -> None:
                    part = None if group.part is None else part_in(store, place, group.part)
                    found = list(shard_rows(store, place, group) if part is None else rows_of(store.root, part))
                    for row in found:  # whole, or nothing of it is taken
                        sorter.add(row["id"], row)

                work(absorb)
                if problems:
                    for failure in job.failures:
                        sorter.add(failure.id, {"id": failure.id, "problem": failure.reason, PLAIN: True})
                for _, row in sorter:
                    if row.pop(PLAIN, False):
                        yield row
                    else:
                        yield from_row(self.run.locations.unpack_row(row))

        return Mapped(store, work, rows, parts is not None)

    def keep(self, function: Any, target: str, samples: Iterable[Sample], params: Params, label: str, name: str = "") -> Kept:
        """The samples for which ``function`` does not raise, as parts of an index."""
        root, parts, sees_images = self.run.store.root, self.parts(samples, target), is_shared(function)
        job = self._job(function, target, params, label, name)
        checked_by, good = digest(job.base), frozenset[str]()
        if isinstance(samples, Amended) and samples.cuts.checked_by == checked_by:
            good = samples.good
            images = (group_of_part(root, part, sees_images).digest for part in parts if part.place in good)
            self.shards.update(shard_key(job.base, one) for one in images)
        new = [part for part in parts if part.place not in good]
        groups = (group_of_part(root, part, sees_images) for part in new)
        self._work(job, groups, sum(map(len, new)), lambda group, place: None, False)
        if self.cuts is not None:
            self.cuts.checked_by = checked_by
        if job.failures:
            failed = {failure.id for failure in job.failures}
            hurt = {group.part.place: group.part for group in job.failed_in if group.part is not None}
            whole = {place: self._without(part, failed) for place, part in hurt.items()}
            if self.cuts is not None:
                rows = (row for part in hurt.values() for row in rows_of(root, part))
                self.cuts.without({row["id"]: row for row in rows if row["id"] in failed}, whole)
            parts = [whole.get(part.place, part) for part in parts]
        return Kept([part for part in parts if len(part)], lambda: self._samples(parts))

    def amend(self, before: Cuts, changed: Mapping[str, Sample | None]) -> Amended | None:
        """The samples of an import's last run with what has changed since, by id; None if it must be done anew."""
        cuts, pack = Cuts(before.note), self.run.locations.pack_row
        self.cuts, news = cuts, dict[str, Row | None]()
        again = (from_row(self.run.locations.unpack_row(row)) for row in before.unread if row["id"] not in changed)
        for name, sample in chain(changed.items(), ((sample.id, sample) for sample in again)):
            filled = None if sample is None else self._with_hash(sample)
            news[name] = None if filled is None else pack(to_row(filled))
        made = amend(self.run.store.root, before, self.run.plan.shard_size, news, cuts.unread)
        if made is None:
            self.counts.failed.clear()
            self.cuts = Cuts(before.note)
            return None
        self.cuts = made[0]
        return Amended(*made, self._samples)

    def revise(self, dataset: Iterable[Sample], change: Callable[[str], Mapping[str, Any] | None]) -> Kept:
        """The samples of a dataset with some fields changed, as parts of an index, one for each of its parts."""
        root, changed = self.run.store.root, []
        for part in self.parts(dataset):
            rows, same_ids = [], True
            for row in rows_of(root, part):
                fields = change(row["id"])
                if fields is not None:
                    rows.append(_revised(row, fields))
                    same_ids = same_ids and rows[-1]["id"] == row["id"]
            changed.append(replace(write_part(root, rows), same_ids=same_ids))
        if isinstance(dataset, Dataset):  # the samples of others have been counted where they were made
            self.counts.count("", len(dataset))
        parts = [part for part in changed if len(part)]
        return Kept(parts, lambda: self._samples(parts))

    def _without(self, part: Part, failed: set[str]) -> Part:
        root = self.run.store.root
        return write_part(root, (row for row in rows_of(root, part) if row["id"] not in failed))

    def _samples(self, parts: Sequence[Part]) -> Iterator[Sample]:
        with self.run.store.scratch() as scratch:
            for row in sorted_rows(self.run.store.root, parts, scratch):
                yield from_row(self.run.locations.unpack_row(row))

    def parts(self, samples: Iterable[Any], target: str = "") -> list[Part]:
        """Samples as parts of an index; those that are in none are written."""
        known = parts_of(samples)
        if known is not None:
            if isinstance(samples, Amended):
                self.counts.count(target, samples.num_samples)
            elif target:  # what goes into no function has been counted where it was made
                self.counts.count(target, sum(map(len, known)))
            return list(known)
        store, cuts = self.run.store, self.cuts
        if several(samples):
            samples = chain.from_iterable(samples)
        with store.scratch() as scratch:
            rows = self._rows(samples, target)
            found = cut_by_hash(rows, self.run.plan.shard_size, scratch)
            made = [Cut(prefix, bits, write_part(store.root, group)) for prefix, bits, group in found]
        if cuts is not None:
            cuts.all = made
        return [one.part for one in made if one.part is not None]

    def _rows(self, samples: Iterable[Sample], target: str) -> Iterator[Row]:
        """Samples as packed rows with hashes; one whose file can't be read is failed here."""
        for sample in samples:
            self.counts.count(target)
            filled = self._with_hash(sample)
            if filled is not None:
                yield self.run.locations.pack_row(to_row(filled))

    def _with_hash(self, sample: Sample) -> Sample | None:
        try:
            if not sample.sha256:
                sample = replace(sample, sha256=self.hash(sample.image))
            if sample.targets.mask and not sample.targets.mask_sha256:
                mask_sha256 = self.hash(sample.targets.mask)
                sample = replace(sample, targets=replace(sample.targets, mask_sha256=mask_sha256))
        except OSError as error:
            self.counts.fail([Failure(sample.id, reason_of(error), sample.image)])
            if self.cuts is not None:
                self.cuts.unread.append(self.run.locations.pack_row(to_row(sample)))
            return None
        return sample

    def _job(self, function: Any, target: str, params: Params, label: str, name: str) -> ShardJob:
        run, plan, stage = self.run, self.run.plan, self.stage
        base = dumps(run.keys.of_map(stage, function, name or target, params, self.decoded_by))
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
                rows=tuple(map(run.locations.plain, rows)),
                store=str(run.store.root),
                project=str(plan.base_dir),
                packed=stage.packed and not is_shared(function),
                plugins=plan.registry.asked,
                disabled=plan.registry.disabled,
                name=name,
                began_ns=run.began_ns,
            )

        execute, options = run.executor()
        return ShardJob(
            base,
            task,
            lambda run_shard, tasks: execute(run_shard, tasks, options),
            run.store,
            lambda done, total: self.progress(done, total, label),
            scope,
            Job(function, params, plan.registry),
            self.found.add,
            self.again,
        )

    def _work(self, job: ShardJob, groups: Iterable[Group], total: int, absorb: Absorb, problems: bool) -> None:
        prime(job.scope, job.job)
        try:
            job.run(groups, total, absorb)
        finally:
            release(job.scope)
            self.shards.update(job.keys)
            if not problems:
                unpack = self.run.locations.unpack
                self.counts.fail(replace(failure, image=unpack(failure.image)) for failure in job.failures)
            self.num_cached += job.num_cached


def _revised(row: Row, fields: Mapping[str, Any]) -> Row:
    """A row with fields of its sample replaced; ``extra`` is added to what is there."""
    row = dict(row)
    for name, value in fields.items():
        if name == "extra":
            value = {**row.get("extra", {}), **value}
        if value is None or (not value and name != "label"):
            row.pop(name, None)
        else:
            row[name] = value
    return row


def is_shared(function: Any) -> bool:
    """Whether a function's results depend on images alone, see :func:`pipekit.contract.shared`."""
    return hasattr(function, "__pipekit_shared__")
