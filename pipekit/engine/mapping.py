"""``ctx.map`` and ``ctx.keep``: a function over samples in shards, and its results as rows or as parts of an index."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from pipekit.columnar import Columns, MakeColumns, Revision, columns_of_rows
from pipekit.contract import Dataset, Failure, Params, Sample, ShardTask
from pipekit.engine.amending import Amended, Cut, Cuts, amend
from pipekit.engine.columns import Source, identity_of, kept_columns
from pipekit.engine.keys import shard_key
from pipekit.engine.run_context import Counts, RunContext
from pipekit.engine.shards import (
    Group,
    ShardJob,
    by_hash,
    cut_by_hash,
    group_of,
    group_of_part,
    part_in,
    shard_rows,
)
from pipekit.engine.sources import Handed
from pipekit.engine.worker import Job, prime, reason_of, release
from pipekit.pipeline.plan import PlannedStage
from pipekit.store.columns import memory_file
from pipekit.store.leases import use
from pipekit.store.locations import Locations, Row
from pipekit.store.parts import FAILED, INDEX, PLAIN, SUMMARY, Part, read_index, rows_of, sorted_rows, write_part
from pipekit.store.rows import Sorter, decode, digest, dumps, encode, from_row, read_lines, to_row
from pipekit.store.store import Store

REVISED = "@revised parts"
"""The note of the parts that ``ctx.revise`` has made: a line for each, with its key."""


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
        of_parts: the parts of an index that go in; None for samples that are in none.
        source: the rows of a shard.
        handed: notes what a stage gets.
        whose: see :func:`pipekit.engine.columns.kept_columns`.
    """

    def __init__(
        self,
        store: Store,
        work: Callable[[Absorb], None],
        rows: Callable[[], Iterator[Any]],
        of_parts: Sequence[Part] | None,
        source: Callable[[Group, Path], Source],
        handed: Handed,
        whose: Sequence[str] = (),
    ) -> None:
        self._store, self._work, self._rows, self._of_parts, self._source = store, work, rows, of_parts, source
        self._iterator: Iterator[Any] | None = None
        self._handed, self._whose = handed, whose

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._iterator is None:
            self._handed.everything |= self._of_parts is not None  # else the stage had the samples before
            self._iterator = self._rows()
        return next(self._iterator)

    def columns(self, make: MakeColumns, params: Params | None = None) -> Columns:
        """Columns of the rows, see :func:`pipekit.contract.columns_of`. No row of an unchanged shard is read."""
        if self._of_parts is None or self._iterator is not None:
            return columns_of_rows(list(self), make, params)
        found: dict[str, Source] = {}

        def absorb(group: Group, place: Path) -> None:
            if group.part is not None:
                found[group.part.place] = self._source(group, place)

        self._work(absorb)
        sources = (found[part.place] for part in self._of_parts)
        return self._handed.columns(kept_columns(self._store, sources, make, params, self._whose))

    def close(self) -> None:
        if self._iterator is not None:
            getattr(self._iterator, "close", lambda: None)()

    def parts(self) -> list[Part] | None:
        """The shards as parts of an index; None if they can't be, or if rows have been taken already."""
        if self._of_parts is None or self._iterator is not None:
            return None
        found: dict[str, Part | None] = {}

        def absorb(group: Group, place: Path) -> None:
            found[group.digest] = part_in(self._store, place, group.part)

        self._work(absorb)
        made = [found[name] for name in sorted(found)]  # whichever was finished first
        return None if any(part is None for part in made) else [part for part in made if part]

    def by_part(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """The digest and the rows of each shard, with the samples that failed; for a function that yields dicts."""
        self._handed.everything = True
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
        notes: the names of the notes that were read or kept.
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
    notes: set[str] = field(default_factory=set)
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

        def rows_in(group: Group, place: Path) -> list[Row]:
            part = None if group.part is None else part_in(store, place, group.part)
            return list(shard_rows(store, place, group) if part is None else rows_of(store.root, part))

        def source(group: Group, place: Path) -> Source:
            """A shard's rows in the order of ids, with those that failed if these are wanted."""

            def read(unpacked: bool) -> list[Any]:
                found = rows_in(group, place)
                if problems:
                    found += [{"id": one["id"], "problem": one["reason"], PLAIN: True} for one in read_lines(place / FAILED)]
                    found.sort(key=lambda row: str(row["id"]))
                return [_result(row, self.run.locations if unpacked else None) for row in found]

            is_plain = not os.path.exists(f"{place}{os.sep}{SUMMARY}")  # noqa: PTH110 (done for every shard)
            identity = dumps([problems, "" if is_plain else identity_of(group.part)])
            return Source(place.name, identity, lambda: read(False), lambda places: list(map(read(True).__getitem__, places)))

        def rows() -> Iterator[Any]:
            with store.scratch() as scratch:
                sorter = Sorter(scratch / "out")

                def absorb(group: Group, place: Path) -> None:
                    for row in rows_in(group, place):  # whole, or nothing of it is taken
                        sorter.add(row["id"], row)

                work(absorb)
                if problems:
                    for failure in job.failures:
                        sorter.add(failure.id, {"id": failure.id, "problem": failure.reason, PLAIN: True})
                for _, row in sorter:
                    yield _result(row, self.run.locations)

        whose = str(self.run.plan.base_dir), self.run.plan.name, job.base
        return Mapped(store, work, rows, parts, source, self.run.handed, whose)

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
        sources = self.parts(dataset)
        if isinstance(change, Revision) and list(change.counts) == list(map(len, sources)):
            changed = self._revised_parts(sources, change)
        else:
            changed = [self._revised_part(part, change) for part in sources]
        if isinstance(dataset, Dataset):  # the samples of others have been counted where they were made
            self.counts.count("", len(dataset))
        parts = [part for part in changed if len(part)]
        return Kept(parts, lambda: self._samples(parts))

    def _revised_part(self, part: Part, change: Callable[[str], Mapping[str, Any] | None]) -> Part:
        rows, same_ids = [], True
        for row in rows_of(self.run.store.root, part):
            fields = change(row["id"])
            if fields is not None:
                rows.append(_revised(row, fields))
                same_ids = same_ids and rows[-1]["id"] == row["id"]
        return replace(write_part(self.run.store.root, rows), same_ids=same_ids)

    def _revised_parts(self, sources: Sequence[Part], revision: Revision) -> list[Part]:
        """Parts with their changes; those that the last run has made of the same part and changes are taken from the store."""
        store, made = self.run.store, dict[bytes, Part]()
        noted = dict(line.split(b" ", 1) for line in (self.recall(REVISED) or b"").splitlines())
        parts, begin = [], 0
        for source in sources:
            end = begin + len(source)
            key = digest(identity_of(source), hashlib.sha256(revision.of_part(begin, end)).hexdigest()).encode("ascii")
            part = Part.from_plain(decode(noted[key])) if key in noted else None
            if part is None or not store.has_part(part.place):
                changes = map(revision.change, range(begin, end))
                part = self._revised_part(source, partial(_next_of, changes))
            made[key] = part
            parts.append(part)
            begin = end
        if made.keys() != noted.keys():
            self.remember(REVISED, b"".join(b"%b %b\n" % (key, encode(part.to_plain())) for key, part in made.items()))
        return parts

    def recall(self, name: str) -> bytes | None:
        """The notes that this stage has kept under a name."""
        path = self._note(name)
        use(Path(path))
        return self.run.store.checked(path)

    def remember(self, name: str, data: bytes | bytearray | memoryview) -> None:
        self.run.store.write_checked(self._note(name), data)

    def _note(self, name: str) -> str:
        """The file of a note of this stage. A store may be shared by many projects."""
        plan, stage = self.run.plan, self.stage
        note = digest(str(plan.base_dir), plan.name, stage.name, stage.use, name)
        self.notes.add(note)
        return memory_file(self.run.store.root, note)

    def _without(self, part: Part, failed: set[str]) -> Part:
        root = self.run.store.root
        return write_part(root, (row for row in rows_of(root, part) if row["id"] not in failed))

    def _samples(self, parts: Sequence[Part]) -> Iterator[Sample]:
        self.run.handed.everything = True
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
                plugin=stage.component.plugin,
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


def _result(row: Row, locations: Locations | None) -> Any:
    """What a function has yielded, from its row."""
    if row.pop(PLAIN, False):
        return row
    return from_row(row if locations is None else locations.unpack_row(row))


def _next_of(changes: Iterator[Mapping[str, Any] | None], identity: str) -> Mapping[str, Any] | None:
    return next(changes)


LABELS = ("label", "labels", "value")
"""Fields of which an empty value says something: no label of several, the number 0."""


def _revised(row: Row, fields: Mapping[str, Any]) -> Row:
    """A row with fields of its sample replaced; ``extra`` is added to what is there."""
    row = dict(row)
    for name, value in fields.items():
        if name == "extra":
            value = {**row.get("extra", {}), **value}
        if value is None or (not value and name not in LABELS):
            row.pop(name, None)
        else:
            row[name] = value
    return row


def is_shared(function: Any) -> bool:
    """Whether a function's results depend on images alone, see :func:`pipekit.contract.shared`."""
    return hasattr(function, "__pipekit_shared__")
