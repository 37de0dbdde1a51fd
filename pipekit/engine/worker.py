"""Processes a shard, on any thread, process or machine: :func:`run_shard`. It never raises."""

from __future__ import annotations

import errno
import hashlib
import importlib
import json
import os
import shutil
import sys
import threading
import time
import traceback
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipekit.artifacts import problem_of_sample
from pipekit.contract import PAUSE, Params, Sample, ShardResult, ShardTask
from pipekit.engine.sources import check_row
from pipekit.errors import DamagedError, PipekitError, PluginError, UserError, of_the_machine
from pipekit.files import TarWriter, hash_file, read_bytes, write_new
from pipekit.registry.component import Component, import_target
from pipekit.registry.registry import Registry, load_registry
from pipekit.store.locations import Locations, Row
from pipekit.store.parts import IDS, INPUT, OF, PLAIN, SHARD, SUMMARY, Summary, id_number
from pipekit.store.rows import content, encode, from_row, to_row
from pipekit.store.store import Store
from pipekit.store.wholeness import guard

if TYPE_CHECKING:
    from pipekit.rng import Rng

T = TypeVar("T")

FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Errors of the machine, not of a sample: the whole shard fails."""

DAMAGED = "@damaged "
"""Prefix of the error of a shard that read a damaged file of the store; the path follows."""

REFUSED = {errno.EACCES, errno.EPERM, errno.EIO}
"""Errors of the machine if the store can't be written, and of the sample if the sample's own file can't be read."""

TAR = "files.tar"
FILES = f"{SHARD}files/"

TOGETHER = 16
"""Number of samples of a shard that are processed side by side if their function pauses."""

STOP = threading.Event()
"""Set on Ctrl-C: shards that threads are processing end at the next sample."""


class StoppedError(Exception):
    """The run was interrupted; the shard is dropped."""


@dataclass(frozen=True)
class Job:
    """What all shards of a scope share: the function, its checked parameters and the registry for names."""

    function: Callable[[Sample, Any, Any], Iterable[Any]]
    params: Params
    registry: Registry


_jobs: dict[str, Job] = {}
_registries: dict[Any, Registry] = {}
_lock = threading.Lock()
_local = threading.local()


def prime(scope: str, job: Job) -> None:
    """Keep a job that this process already has, so that its threads need not build it again."""
    with _lock:
        _jobs[scope] = job


def release(scope: str) -> None:
    """Forget a job."""
    with _lock:
        _jobs.pop(scope, None)


def run_shard(task: ShardTask) -> ShardResult:
    """Process one shard and put its results in the store, unless they are there already."""
    started = time.perf_counter()
    try:
        num_outputs, num_failed = _run(task)
        damage = guard.take_noted()
    except (Exception, SystemExit) as error:
        damage = guard.take_noted()
        text = _in_full(damage or error)
        return ShardResult(task.key, len(task.rows), 0, 0, time.perf_counter() - started, text)
    if damage is not None:
        return ShardResult(task.key, len(task.rows), 0, 0, time.perf_counter() - started, _in_full(damage))
    return ShardResult(task.key, len(task.rows), num_outputs, num_failed, time.perf_counter() - started)


def _in_full(error: BaseException) -> str:
    """Why a shard failed; a traceback if the error is unknown."""
    if isinstance(error, DamagedError):
        return f"{DAMAGED}{json.dumps([error.path, error.problem])}"
    if isinstance(error, PipekitError):
        return str(error)
    if known := of_the_machine(error):
        return str(known)
    if isinstance(error, OSError) and error.errno in FATAL:
        return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
    return traceback.format_exc()


def _run(task: ShardTask) -> tuple[int, int]:
    store = Store(Path(task.store))
    if store.has_shard(task.key):
        return 0, 0
    job = _job(task)
    if "cv2" in sys.modules:
        cv2 = importlib.import_module("cv2")  # another thread may still be loading it: this waits
        cv2.setNumThreads(1)  # one thread a worker, or they fight over the cores
    locations = Locations(store.root, Path(task.project))
    with store.scratch() as folder:
        output = _Output(folder, TarWriter(folder / TAR) if task.packed else None)
        together = 1 if task.packed else TOGETHER  # in a tar, the files of a sample are adjacent
        outputs: list[tuple[Row, bytes]] = []
        failed: list[Row] = []
        try:
            for at in range(0, len(task.rows), together):
                works = []
                for packed in task.rows[at : at + together]:
                    row = locations.unpack_row(dict(packed))
                    works.append(_Work(packed, row, job, _SampleContext(task, job, row["id"], output), output, locations))
                going = works
                while going:
                    going = [work for work in going if work.step()]
                for work in works:
                    check_row(work.row, task.began_ns)
                    outputs += work.made
                    failed += work.failed
            output.finish()
        finally:
            output.abandon()
        outputs.sort(key=lambda made: str(made[0]["id"]))
        hashes = output.hashes
        hashes["failed.jsonl"] = _write(folder / "failed.jsonl", b"".join(encode(row) + b"\n" for row in failed))
        hashes["rows.jsonl"] = _write(folder / "rows.jsonl", b"".join([b"%b\n" % line for _, line in outputs]))
        if not any(PLAIN in row for row, _ in outputs):
            hashes |= _write_summary(folder, [row for row, _ in outputs], {row["id"] for row in task.rows})
        store.commit(folder, store.shard_dir(task.key), hashes, output.parts)
    return len(outputs), len(failed)


class _Output:
    """The folder of a shard that is being made, and its tar, if it is packed.

    Attributes:
        hashes: hashes of files that are known, by the path below the folder.
        parts: hashes of the parts of the tar that rows name.
        taken: names of output files, and folders that exist.
    """

    def __init__(self, folder: Path, tar: TarWriter | None) -> None:
        self.folder, self.tar = folder, tar
        self.hashes: dict[str, str] = {}
        self.parts: dict[str, str] = {}
        self.taken: set[str] = set()

    def pack(self, row: Row, held: dict[str, bytes]) -> None:
        """Move the files that a row names into the tar, and let it name them there; beside its image stand its class and it.

        Args:
            held: what was written and is in no file yet, by its path; it is taken out.
        """
        if self.tar is None:
            return
        label = str(row.get("label", "")).encode("utf-8", "surrogatepass")
        for holder, name, sha256 in ((row, "image", "sha256"), (row.get("targets", {}), "mask", "mask_sha256")):
            place = holder.get(name, "")
            if not place.startswith(FILES):
                continue
            below = place.removeprefix(FILES)
            beside = {".cls": label, ".json": content(row)} if name == "image" else {}
            part = TAR + (self.tar.places.get(below) or self._add(below, held, beside))
            holder[name] = SHARD + part
            self.parts[part] = holder[sha256]

    def pack_rest(self, held: dict[str, bytes]) -> None:
        """Add what no row has named."""
        if self.tar is not None:
            for below in [path[len(str(self.folder)) + 7 :] for path in held]:
                self._add(below, held, {})

    def _add(self, below: str, held: dict[str, bytes], beside: Mapping[str, bytes]) -> str:
        assert self.tar is not None
        path = f"{self.folder}/files/{below}"
        data = held.pop(path, None)
        if data is None:
            data = read_bytes(path)
            os.unlink(path)  # noqa: PTH108 (done for every file that is made)
        return self.tar.add(below, data, beside)

    def abandon(self) -> None:
        """Close the tar, finished or not."""
        if self.tar is not None:
            self.tar.abandon()

    def finish(self) -> None:
        """Finish the tar, if anything is in it; files that no row names go into it too."""
        if self.tar is None:
            return
        files = self.folder / "files"
        for path in sorted(path for path in files.rglob("*") if path.is_file()):
            self._add(path.relative_to(files).as_posix(), {}, {})
        shutil.rmtree(files, ignore_errors=True)
        sha256 = self.tar.finish()
        self.hashes = {TAR: sha256} if sha256 else {}


class _Work:
    """The processing of one sample, from one pause to the next, and its result: rows with their lines, or why it failed."""

    def __init__(
        self, packed: Mapping[str, Any], row: Row, job: Job, ctx: _SampleContext, output: _Output, locations: Locations
    ) -> None:
        self._packed, self.row, self._job, self._ctx = packed, row, job, ctx
        self._output, self._locations = output, locations
        self._before = None if output.tar is None else output.tar.state()
        self._yielded: Iterator[Any] | None = None
        self.made: list[tuple[Row, bytes]] = []
        self.failed: list[Row] = []

    def step(self) -> bool:
        """Process the sample up to the next pause; returns whether there is more to do."""
        if STOP.is_set():
            raise StoppedError
        row, ctx = self.row, self._ctx
        try:
            if self._yielded is None:
                for path in (row.get("targets", {}).get("mask", ""), row["image"]):
                    guard.check_file(path)  # a function may read it without pipekit's functions
                self._yielded = iter(self._job.function(from_row(row), self._job.params, ctx))
            for found in self._yielded:
                if found is PAUSE:
                    return True
                made = _pack(found, row, self._output.folder, self._locations, ctx.hashes)
                self._output.pack(made, ctx.held)
                self.made.append((made, encode(made)))  # what can't be kept is this sample's failure
            self._output.pack_rest(ctx.held)
            self._output.hashes.update(ctx.known())
        except Exception as error:
            if _is_of_the_machine(error, self._locations.store):
                raise
            ctx.drop_files()
            if self._output.tar is not None and self._before is not None:
                self._output.tar.back_to(self._before)
            self.made = []
            self.failed.append({"id": row["id"], "reason": reason_of(error), "image": self._packed["image"]})
        return False


def _is_of_the_machine(error: Exception, store: Path) -> bool:
    """Whether an error would hit any sample on this machine, so that this sample may succeed in the next run."""
    if not isinstance(error, OSError):
        return isinstance(error, (MemoryError, DamagedError))
    refused = error.errno in REFUSED and os.fspath(error.filename or "").startswith(f"{store}{os.sep}")
    return refused or error.errno in FATAL


def _write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _write_summary(folder: Path, rows: Sequence[Row], ids: Collection[str]) -> dict[str, str]:
    """Write what the entry of this shard in an index says of its rows; returns the hashes of the files."""
    summary = Summary()
    for row in rows:
        summary.add(row)
    places = [place for row in rows for place in (row["image"], row.get("targets", {}).get("mask", ""))]
    names = [row["id"] for row in rows]
    same_ids = len(set(names)) == len(names) and all(name in ids for name in names)
    plain = summary.plain() | {
        "size_bytes": os.stat(folder / "rows.jsonl").st_size,  # noqa: PTH116
        "same_ids": same_ids,
        "has_files": any(place.startswith(SHARD) for place in places),
        "has_inputs": INPUT in places,
    }
    hashes = {SUMMARY: _write(folder / SUMMARY, encode(plain))}
    if not same_ids:
        hashes[IDS] = _write(folder / IDS, array("Q", map(id_number, names)).tobytes())
    return hashes


def _job(task: ShardTask) -> Job:
    """The task's job: primed in this process, or built from the names in the task and kept."""
    with _lock:
        job = _jobs.get(task.scope)
        if job is None:
            place = (task.plugins, task.project, task.disabled)
            registry = _registries.get(place)
            if registry is None:
                registry = _registries[place] = load_registry(task.plugins, Path(task.project), task.disabled)
            if task.target.startswith("@stage/"):
                function = registry.get("stage", task.target.removeprefix("@stage/"), task.plugin).load()
            else:
                function = import_target(task.target)
            params_type = (
                import_target(task.params_type)
                if task.params_type
                else registry.get("stage", task.stage, task.plugin).params_type()
            )
            params = registry.check_params(params_type, task.params or {}, Path(task.project))
            job = Job(function, params, registry)
            _jobs[task.scope] = job
    return job


def reason_of(error: BaseException) -> str:
    """Why a sample failed, in one line without paths of this machine."""
    if isinstance(error, PipekitError):
        return error.message
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}{place}" if text else f"{type(error).__name__}{place}"


# --- what a function yields ----------------------------------------------------------------------------------------------


def _pack(found: Any, row: Row, folder: Path, locations: Locations, hashes: Mapping[str, str]) -> Row:
    """A yielded sample or dict as a row for the shard's file. ``hashes`` are the known hashes of its files."""
    if not isinstance(found, Sample):
        if not isinstance(found, Mapping) or not isinstance(found.get("id"), str):
            raise UserError(f"yielded {type(found).__name__}; expected a Sample, or a dict with an 'id'")
        return {**found, PLAIN: True}
    if problem := problem_of_sample(found):
        raise UserError(f"yielded a sample that can't be a row: {problem}")

    def place(path: str, sha256: str, of_input: str, input_sha256: str) -> tuple[str, str]:
        path = os.fspath(path)
        if path == of_input:
            return INPUT, input_sha256
        root = f"{folder}{os.sep}"
        if not path.startswith(root):
            return locations.pack(path), sha256 or hash_file(path)
        known = hashes.get(path)
        if known is None:
            known = hash_file(path)
            os.chmod(path, 0o444)  # it is shared by hard links from now on
        return SHARD + path[len(root) :].replace(os.sep, "/"), known

    packed = to_row(found)
    packed["image"], sha256 = place(found.image, found.sha256, row["image"], row.get("sha256", ""))
    packed.pop("sha256", None)
    if sha256:
        packed["sha256"] = sha256
    if found.targets.mask:
        targets, of_input = packed["targets"], row.get("targets", {})
        targets["mask"], targets["mask_sha256"] = place(
            found.targets.mask, found.targets.mask_sha256, of_input.get("mask", ""), of_input.get("mask_sha256", "")
        )
    if found.id != row["id"]:
        packed[OF] = row["id"]
    return packed


class _SampleContext:
    """:class:`pipekit.contract.SampleContext`."""

    def __init__(self, task: ShardTask, job: Job, sample_id: str, output: _Output) -> None:
        self._task, self._job, self._id, self._output = task, job, sample_id, output
        self._files: list[str] = []
        self.hashes: dict[str, str] = {}
        self.held: dict[str, bytes] = {}

    @property
    def seed(self) -> int:
        return self._task.seed

    def rng(self, copy: int = 0) -> Rng:
        from pipekit.rng import rng_for

        task = self._task
        if hasattr(self._job.function, "__pipekit_shared__"):
            raise PluginError(f"{task.target} is shared between stages, so it draws no random numbers")
        name = () if task.target.startswith("@stage/") else (task.name or task.target.rpartition(":")[2],)
        return rng_for(task.seed, task.stage, *name, self._id, copy)

    def out_path(self, name: str) -> Path:
        path = self._claim(name)
        self._make_folder(path)
        return Path(path)

    def write(self, name: str, data: bytes) -> str:
        path = self._claim(name)
        if self._task.packed:
            self.held[path] = data
        else:
            self._make_folder(path)
            write_new(path, data, 0o444)  # it is shared by hard links from now on
        self.hashes[path] = hashlib.sha256(data).hexdigest()
        return path

    def _claim(self, name: str) -> str:
        """Reserve the path of an output file."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or not parts or "\0" in name:
            raise UserError(f"{name!r} can't be the name of an output file")
        below = "/".join(parts)
        if below in self._output.taken:
            raise UserError(f"two outputs of this shard are called {name!r}; begin the name with the sample's id")
        self._output.taken.add(below)
        path = f"{self._output.folder}/files/{below}"
        self._files.append(path)
        return path

    def _make_folder(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent not in self._output.taken:  # a name can't begin with "/", so folders and names don't mix
            os.makedirs(parent, exist_ok=True)  # noqa: PTH103 (this is done for every file that is made)
            self._output.taken.add(parent)

    def known(self) -> dict[str, str]:
        """Hashes of the files that were written with :meth:`write`, by the path below the shard's folder."""
        start = len(str(self._output.folder)) + 1
        return {path[start:].replace(os.sep, "/"): sha256 for path, sha256 in self.hashes.items()}

    def drop_files(self) -> None:
        """Remove the files that a failed sample has written."""
        self.hashes.clear()
        self.held.clear()
        for path in map(Path, self._files):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def once(self, name: str, make: Callable[[], T]) -> T:
        kept: dict[tuple[str, str], Any] | None = getattr(_local, "kept", None)
        if kept is None or (kept and next(iter(kept))[0] != self._task.scope):
            kept = _local.kept = {}
        place = (self._task.scope, name)
        if place not in kept:
            kept[place] = make()
        found: T = kept[place]
        return found

    def component(self, kind: str, name: str) -> Component:
        return self._job.registry.get(kind, name, self._task.plugin)
