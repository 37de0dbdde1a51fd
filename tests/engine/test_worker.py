"""What happens to a shard: it never raises, and whatever it leaves is whole."""

from __future__ import annotations

import errno
import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pipekit import Params, Sample, SampleContext, Targets, UserError
from pipekit.contract import PAUSE, ShardTask
from pipekit.engine import worker
from pipekit.engine.worker import STOP, Job, prime, reason_of, release, run_shard
from pipekit.files import read_bytes
from pipekit.registry.registry import Registry, load_registry
from pipekit.store.rows import content, read_lines, to_row
from pipekit.store.store import Store
from pipekit.store.wholeness import problem_of

Function = Callable[[Sample, Any, SampleContext], Iterable[Any]]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(installed=False)


class Bench:
    """One shard of files ``0.txt``, ``1.txt`` … and a function to do it with."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.folder, self.registry = folder, registry
        self.store = Store(folder / "store")

    def samples(self, count: int) -> list[Sample]:
        made = []
        for number in range(count):
            path = self.folder / f"{number}.txt"
            path.write_text(str(number))
            made.append(Sample(str(number), str(path), f"hash-{number}", "cat"))
        return made

    def task(self, samples: list[Sample], key: str = "key", **changes: Any) -> ShardTask:
        rows = tuple(to_row(sample) for sample in samples)
        task = ShardTask(key, "scope", "@stage/x", "x", 7, "", {}, rows, str(self.store.root), str(self.folder))
        return replace(task, **changes)

    def do(self, function: Function, count: int = 3, **changes: Any) -> Any:
        prime("scope", Job(function, Params(), self.registry))
        try:
            return run_shard(self.task(self.samples(count), **changes))
        finally:
            release("scope")

    def rows(self, key: str = "key") -> list[dict[str, Any]]:
        return list(read_lines(self.store.shard_dir(key) / "rows.jsonl"))

    def failed(self, key: str = "key") -> dict[str, str]:
        return {row["id"]: row["reason"] for row in read_lines(self.store.shard_dir(key) / "failed.jsonl")}


@pytest.fixture
def bench(tmp_path: Path, registry: Registry) -> Bench:
    return Bench(tmp_path, registry)


def test_what_a_function_yields_is_kept_without_places(bench: Bench) -> None:
    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        path = ctx.out_path(f"deep/{sample.id}.txt")
        path.write_text("made of " + sample.id)
        yield replace(sample, id=f"{sample.id}-new", image=str(path), sha256="")
        yield replace(sample, label="dog", extra={"x": (1, 2)})
        yield {"id": sample.id, "size": 3}

    result = bench.do(function, 2)
    assert (result.error, result.num_samples, result.num_outputs, result.num_failed) == ("", 2, 6, 0)
    same, plain, new = sorted(bench.rows()[:3], key=lambda row: (row["id"], "size" in row))
    assert (new["id"], new["image"], new["@of"], new["label"]) == ("0-new", "@shard/files/deep/0.txt", "0", "cat")
    made = bench.store.shard_dir("key") / "files/deep/0.txt"
    assert made.read_text() == "made of 0"
    assert not made.stat().st_mode & 0o222, "it is shared by hard links from now on"
    assert same == {"id": "0", "image": "@input", "sha256": "hash-0", "label": "dog", "extra": {"x": [1, 2]}}
    assert plain == {"id": "0", "size": 3, "@plain": True}
    assert str(bench.folder) not in (bench.store.shard_dir("key") / "rows.jsonl").read_text()


def test_a_file_written_in_one_go_is_like_any_other(bench: Bench) -> None:
    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        if params.way == "write":
            path = ctx.write(f"deep/{sample.id}.txt", sample.id.encode())
        else:
            path = str(ctx.out_path(f"deep/{sample.id}.txt"))
            Path(path).write_bytes(sample.id.encode())
        yield replace(sample, id=f"{sample.id}-new", image=path, sha256="of nothing")
        if sample.id == "1":
            raise UserError("it is damaged")

    class Way(Params):
        way: str = "write"

    for way in ("write", "out_path"):
        prime("scope", Job(function, Way(way=way), bench.registry))
        run_shard(bench.task(bench.samples(3), key=way))
        release("scope")
    assert bench.rows("write") == bench.rows("out_path")
    assert bench.rows("write")[0]["sha256"] == sha256(b"0").hexdigest()
    files = [sorted((bench.store.shard_dir(way) / "files/deep").iterdir()) for way in ("write", "out_path")]
    assert [[(path.name, path.stat().st_mode & 0o222) for path in made] for made in files] == [[("0.txt", 0), ("2.txt", 0)]] * 2


def test_samples_that_pause_are_done_side_by_side_and_come_out_in_order(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "TOGETHER", 2)
    seen: list[str] = []

    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        for part in "ab":
            seen.append(sample.id + part)
            if sample.id != "1":  # this one never waits
                yield PAUSE
        yield {"id": sample.id, "last": True}
        seen.append(f"{sample.id}c")
        yield PAUSE
        yield {"id": f"{sample.id}-more"}

    result = bench.do(function, 3)
    assert (result.error, result.num_outputs) == ("", 6)
    assert seen == ["0a", "1a", "1b", "1c", "0b", "0c", "2a", "2b", "2c"]
    assert [row["id"] for row in bench.rows()] == ["0", "0-more", "1", "1-more", "2", "2-more"]


def test_a_sample_that_fails_after_a_pause_fails_alone(bench: Bench) -> None:
    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        ctx.write(f"{sample.id}.txt", b"x")
        yield {"id": sample.id}
        yield PAUSE
        if sample.id == "1":
            raise UserError("it is damaged")

    assert bench.do(function, 3).num_failed == 1
    assert bench.failed() == {"1": "it is damaged"}
    assert [row["id"] for row in bench.rows()] == ["0", "2"]
    assert sorted(path.name for path in (bench.store.shard_dir("key") / "files").iterdir()) == ["0.txt", "2.txt"]


def test_no_more_samples_wait_than_are_worked_on_together(bench: Bench) -> None:
    waiting: set[str] = set()
    most = 0

    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        nonlocal most
        waiting.add(sample.id)
        most = max(most, len(waiting))
        yield PAUSE
        waiting.discard(sample.id)
        yield {"id": sample.id}

    assert bench.do(function, 50).num_outputs == 50
    assert most == worker.TOGETHER


def test_masks_are_placed_like_images(bench: Bench) -> None:
    (bench.folder / "m.png").write_text("mask")
    given = Sample("a", str(bench.folder / "m.png"), "1", targets=Targets(str(bench.folder / "m.png"), "1"))

    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        path = ctx.out_path("a-mask.png")
        path.write_text("new")
        yield replace(sample, targets=Targets(str(path)))
        yield replace(sample, id="b")

    prime("scope", Job(function, Params(), bench.registry))
    run_shard(bench.task([given]))
    release("scope")
    first, second = (row["targets"] for row in bench.rows())
    assert first["mask"] == "@shard/files/a-mask.png"
    assert first["mask_sha256"] not in ("", "1")
    assert second == {"mask": "@input", "mask_sha256": "1"}


def test_a_sample_that_fails_leaves_its_reason_and_no_file(bench: Bench) -> None:
    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        path = ctx.out_path(f"{sample.id}.txt")
        path.write_text("half")
        yield replace(sample, image=str(path))
        if sample.id == "1":
            raise UserError("it is damaged")

    result = bench.do(function)
    assert (result.num_outputs, result.num_failed) == (2, 1)
    assert bench.failed() == {"1": "it is damaged"}
    assert sorted(path.name for path in (bench.store.shard_dir("key") / "files").iterdir()) == ["0.txt", "2.txt"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_row_that_is_no_json_fails_its_sample_alone(bench: Bench, packed: bool) -> None:
    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        path = ctx.out_path(f"{sample.id}.txt")
        path.write_text(sample.id)
        score = float("nan") if sample.id == "1" else 0.5
        yield replace(sample, image=str(path), extra={"score": score})

    assert bench.do(function, packed=packed).error == ""
    assert [row["id"] for row in bench.rows()] == ["0", "2"]
    assert "Out of range float values" in bench.failed()["1"]


def test_a_packed_shard_has_what_its_rows_name_and_nothing_of_samples_that_failed(bench: Bench) -> None:
    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        image, mask = (
            ctx.write(f"{folder}{sample.id}.png", folder.encode() + b"of " + sample.id.encode()) for folder in ("", "masks/")
        )
        yield replace(sample, id=f"{sample.id}-new", image=image, sha256="", targets=Targets(mask))
        yield PAUSE
        other = ctx.out_path(f"other/{sample.id}.png")
        other.write_bytes(b"other of " + sample.id.encode())
        yield replace(sample, id=f"{sample.id}-other", image=str(other), sha256="")
        if sample.id == "1":
            raise UserError("it is damaged")

    assert bench.do(function, packed=True).num_failed == 1
    place = bench.store.shard_dir("key")
    assert sorted(path.name for path in place.iterdir() if path.suffix in ("", ".tar")) == ["files.tar"]
    with tarfile.open(place / "files.tar") as tar:
        names = tar.getnames()
    beside = [f"{name}{suffix}" for name in ("0", "other/0", "2", "other/2") for suffix in (".png", ".cls", ".json")]
    assert [name for name in names if not name.startswith("masks/")] == beside, "members of a sample are adjacent"
    assert len(names) == len(beside) + 2
    for row in bench.rows():
        path = f"{place}/{row['image'].removeprefix('@shard/')}"
        assert sha256(read_bytes(path)).hexdigest() == row["sha256"]
    loose, key = bench.rows(), "loose"
    bench.do(function, key=key)
    assert [content(row) for row in loose] == [content(row) for row in bench.rows(key)]
    assert problem_of(place, hashes=True) == ""


def test_a_finished_shard_is_not_done_again(bench: Bench) -> None:
    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        yield sample

    def never(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        raise AssertionError

    bench.do(function)
    assert bench.do(never).num_failed == 0
    assert len(bench.rows()) == 3


@pytest.mark.parametrize(
    "error",
    [OSError(number, "of the machine", "/x") for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE)]
    + [MemoryError(), SystemExit(1)],
)
def test_what_is_no_fault_of_the_sample_fails_the_shard(bench: Bench, error: BaseException) -> None:
    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        if sample.id == "1":
            raise error
        yield sample

    result = bench.do(function)
    assert result.error
    assert not bench.store.has_shard("key")
    assert not list(bench.store.root.glob("tmp/*"))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_store_that_refuses_fails_the_shard_and_a_file_that_refuses_its_sample(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        if sample.id == "1":
            raise OSError(number, "refused", sample.image)
        yield replace(sample, image=ctx.write(f"{sample.id}.txt", b"made"), sha256="")

    assert bench.do(function).error == ""
    assert bench.failed() == {"1": "refused"}

    def refuse(path: str, *_: Any) -> None:
        raise OSError(number, "refused", path)

    monkeypatch.setattr(worker, "write_new", refuse)
    assert bench.do(function, key="other").error.startswith("refused")
    assert not bench.store.has_shard("other")


def test_an_interrupted_shard_is_dropped(bench: Bench) -> None:
    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        STOP.set()
        yield sample

    try:
        assert "StoppedError" in bench.do(function).error
    finally:
        STOP.clear()
    assert not bench.store.has_shard("key")


def test_a_task_is_plain_data_and_makes_its_job_from_names(bench: Bench) -> None:
    import pickle

    (bench.folder / "mine.py").write_text(MINE)
    for target, params_type in (("@stage/mine", ""), (None, "pipekit_plugin_mine_{}:MineParams")):
        digest = load_registry(["mine.py"], bench.folder).get("stage", "mine").source_digest[:12]
        task = bench.task(
            bench.samples(2),
            key=f"key-{params_type[:4]}",
            scope=f"scope-{params_type}",
            target=target or f"pipekit_plugin_mine_{digest}:mine",
            stage="mine",
            params={"word": "hello"},
            params_type=params_type.format(digest),
            plugins=("mine.py",),
        )
        result = run_shard(pickle.loads(pickle.dumps(task)))
        assert result.error == ""
        assert [row["extra"] for row in bench.rows(task.key)] == [{"word": "hello"}] * 2
        assert json.dumps(task.rows)


MINE = """
from dataclasses import replace
import pipekit

class MineParams(pipekit.Params):
    word: str = pipekit.param(..., "A word")

@pipekit.sample_stage
def mine(sample, params: MineParams, ctx):
    yield replace(sample, extra={"word": params.word})

@pipekit.hookimpl
def register_stages(register):
    register("mine", mine)
"""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scope": "other", "target": "@stage/nothing"}, "no stage called 'nothing'"),
        ({"scope": "third", "target": "no_such_module:f", "params_type": "pipekit:Params"}, "No module named"),
        ({"store": "/proc/nowhere"}, "/proc/nowhere"),
    ],
)
def test_a_task_that_can_not_be_done_says_why(bench: Bench, changes: dict[str, Any], words: str) -> None:
    result = bench.do(lambda sample, params, ctx: [sample], **changes)
    assert words in result.error


# --- what a function is given --------------------------------------------------------------------------------------------


def test_randomness_hangs_on_the_sample_and_the_copy_alone(bench: Bench) -> None:
    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        yield {"id": sample.id, "drawn": [int(ctx.rng(copy).integers(1 << 60)) for copy in (0, 1, 0)], "seed": ctx.seed}

    bench.do(function, 3)
    bench.do(function, 1, key="alone")
    drawn = {row["id"]: row["drawn"] for row in bench.rows()}
    assert bench.rows("alone")[0]["drawn"] == drawn["0"]
    assert drawn["0"][0] == drawn["0"][2] != drawn["0"][1]
    assert len({value for values in drawn.values() for value in values}) == 6
    bench.do(function, 1, key="other seed", seed=8)
    assert bench.rows("other seed")[0]["drawn"] != drawn["0"]


def test_something_costly_is_made_once_for_a_scope(bench: Bench) -> None:
    made: list[str] = []

    def make() -> int:
        made.append("x")
        return len(made)

    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        yield {"id": sample.id, "made": ctx.once("model", make), "other": ctx.once("other", lambda: None)}

    bench.do(function, 3)
    assert [row["made"] for row in bench.rows()] == [1, 1, 1]
    prime("next", Job(function, Params(), bench.registry))
    run_shard(bench.task(bench.samples(1), key="again", scope="next"))
    release("next")
    assert made == ["x", "x"], "another scope has other parameters"


@pytest.mark.parametrize("name", ["", ".", "..", "/x", "../x", "a/../x", "a/..", "x\0"])
def test_output_files_stay_in_their_folder(bench: Bench, name: str) -> None:
    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        ctx.out_path(name)
        return []

    bench.do(function, 1)
    assert "can't be the name of an output file" in bench.failed()["0"]


@pytest.mark.parametrize("names", [("a", "a"), ("a/b", "a//b"), ("a", "./a"), ("a/b", "a/./b")])
def test_two_outputs_may_not_have_one_name(bench: Bench, names: tuple[str, str]) -> None:
    def function(sample: Sample, params: Any, ctx: SampleContext) -> Iterable[Any]:
        path = ctx.out_path(names[int(sample.id)])
        path.write_text(sample.id)
        yield replace(sample, image=str(path))

    bench.do(function, 2)
    assert list(bench.failed()) == ["1"]
    assert "begin the name with the sample's id" in bench.failed()["1"]
    made = next(path for path in bench.store.shard_dir("key").rglob("files/**/*") if path.is_file())
    assert made.read_text() == "0", "the first one is as it was"


def test_reasons_are_one_line_without_places() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        reason = reason_of(error)
    assert reason.startswith("ValueError: first (test_worker.py, line ")
    assert reason_of(FileNotFoundError(2, "No such file or directory", "/home/x")) == "No such file or directory"
    assert reason_of(UserError("short", "hint")) == "short"
    assert reason_of(KeyError()) == "KeyError"
