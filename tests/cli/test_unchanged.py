"""A run in which nothing has changed is answered from what was kept, with what the run prints; any change is noticed."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from pipekit.cli import app, main, unchanged
from pipekit.engine.unchanged import read_basis
from pipekit.files import trees

PIPELINE = """
name = "first"
max_failed = 0.5
plugins = ["./extra.py"]

[stages.data]
use = "import.folders"
path = "images"
verify = "none"

[stages.split]
use = "split"
duplicates = "exact"

[stages.count]
use = "count"
listed = "listed.txt"
"""

PLUGIN = '''
import pipekit


class CountParams(pipekit.Params):
    listed: pipekit.InputPath = pipekit.param(..., "A file")


@pipekit.stage
def count(ctx: pipekit.Context, dataset: pipekit.Dataset, params: CountParams) -> pipekit.Files:
    """Counts the samples."""
    (ctx.out_dir / "count.txt").write_text(f"{len(dataset)} {params.listed.read_text()}")
    ctx.warn("[counted] twice")
    return ctx.artifact(pipekit.Files, headline=f"{len(dataset)} samples", facts={"samples": str(len(dataset))})


@pipekit.hookimpl
def register_stages(register):
    register("count", count)
'''

FILES = {"pipeline.toml": PIPELINE, "extra.py": PLUGIN, "listed.txt": "one"}

WORDS = ("run", "pipeline.toml")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project for all tests: each changes it, and the next run makes its results whole."""
    folder = tmp_path_factory.mktemp("project")
    for number in range(12):
        place = folder / "images" / ("cat", "dog")[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"%04d" % number)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


class Runs:
    """The command in a project, and whether it ran or was answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran, self.answers = False, True
        execute, answer = app.execute, unchanged.answer

        def spy(words: list[str], debug: bool = False) -> int:
            self.ran = True
            return execute(words, debug)

        monkeypatch.setattr(app, "execute", spy)
        monkeypatch.setattr(unchanged, "answer", lambda words: answer(words) if self.answers else None)

    def __call__(self, *words: str, code: int = 0) -> tuple[str, bool]:
        """What is printed, without the time, and whether the pipeline ran."""
        self.ran = False
        with redirect_stdout(io.StringIO()) as out:
            assert main(words or WORDS) == code
        lines = out.getvalue().splitlines()
        return "\n".join(line.partition("  (")[0] if line.startswith("Results:") else line for line in lines), self.ran

    def fully(self) -> str:
        """What the run itself prints."""
        self.answers = False
        try:
            return self()[0]
        finally:
            self.answers = True


@pytest.fixture
def run(made: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    monkeypatch.chdir(made)
    for name, text in FILES.items():
        if Path(name).read_text() != text:
            Path(name).write_text(text)
    monkeypatch.setattr(trees, "SETTLED_S", 0.0)
    monkeypatch.setattr(unchanged, "STARTED_NS", 2**62)
    return Runs(monkeypatch)


def settled(run: Runs) -> str:
    """Run until nothing changes, and return what is printed then."""
    run()
    text, ran = run()
    if ran:  # what the first run loaded has changed the environment of this process
        text, ran = run()
    assert not ran
    return text


def keep_times(path: Path, change: Callable[[Path], object]) -> None:
    """Change a file, and set its mtime back."""
    before = path.stat()
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def stored(kind: str) -> Path:
    """One of the files or folders of the store that the last run needs."""
    kept = max(Path(".pipekit/unchanged").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    basis = read_basis(Path(".pipekit"), kept.name)
    assert basis is not None
    return Path(".pipekit", next(place for place in basis.places if place.startswith(kind)))


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_the_answer_is_what_the_run_prints(run: Runs) -> None:
    text = settled(run)
    assert "cached" in text
    assert "[counted] twice" in text
    assert "12 samples" in text
    assert text == run.fully()


CHANGES: dict[str, Callable[[], object]] = {
    "an image is added": lambda: Path("images/cat/new.png").write_bytes(b"new"),
    "an image is edited": lambda: Path("images/cat/0.png").write_bytes(b"edited"),
    "an image is edited, its size and mtime are not": lambda: keep_times(
        Path("images/cat/2.png"), lambda path: path.write_bytes(b"000x")
    ),
    "an image is removed": lambda: Path("images/cat/new.png").unlink(),
    "a class is renamed": lambda: Path("images/dog").rename("images/wolf"),
    "a file that a parameter names is edited": lambda: Path("listed.txt").write_text("two"),
    "the pipeline is edited": lambda: Path("pipeline.toml").write_text(PIPELINE.replace("exact", "off")),
    "the plugin is edited": lambda: Path("extra.py").write_text(PLUGIN.replace("twice", "once")),
    "the split file is edited": lambda: Path("split.csv").write_text(Path("split.csv").read_text().replace("train", "val", 1)),
    "a result is edited": lambda: Path("runs/first/run.json").write_text("{}"),
    "a result is removed": lambda: Path("runs/first/pipeline.toml").unlink(),
    "a part of a dataset is lost": lambda: stored("parts").unlink(),
    "a part of a dataset is cut": lambda: rewrite(stored("parts"), b""),
    "the store is lost": lambda: shutil.rmtree(".pipekit"),
    "another run was killed": lambda: write(Path(".pipekit/leases/1@elsewhere-0"), ""),
    "a power cut came": lambda: write(Path(".pipekit/unsynced/0.json"), "{}"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_noticed(run: Runs, what: str) -> None:
    settled(run)
    CHANGES[what]()
    assert run()[1], "what has changed was not noticed"
    for left in ("leases/1@elsewhere-0", "unsynced/0.json"):
        Path(".pipekit", left).unlink(missing_ok=True)
    assert settled(run) == run.fully()


def test_what_is_kept_may_be_damaged(run: Runs) -> None:
    shutil.rmtree(".pipekit/unchanged", ignore_errors=True)
    settled(run)
    (kept,) = Path(".pipekit/unchanged").iterdir()
    data = kept.read_bytes()
    for damaged in (b"", data[:-1], data.replace(b"cached", b"cashed")):
        kept.write_bytes(damaged)
        assert read_basis(Path(".pipekit"), kept.name) is None
        assert run()[1]
        assert kept.read_bytes() == data


def test_another_command_another_environment_or_another_path_is_another_run(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(run)
    assert run("run")[1]
    assert not run("run")[1]
    for words in (("--json",), ("--dry-run",), ("--until", "split")):
        run(*WORDS, *words)
        assert run(*WORDS, *words)[1]
    settled(run)
    monkeypatch.setenv("PIPEKIT_DISABLE", "nothing")
    assert run()[1]
    monkeypatch.delenv("PIPEKIT_DISABLE")
    assert not run()[1]
    monkeypatch.setattr(unchanged, "PATH", (*unchanged.PATH, "elsewhere"))
    assert run()[1]


def test_code_that_changed_after_it_was_loaded_keeps_nothing(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("extra.py").write_text(PLUGIN)
    monkeypatch.setattr(unchanged, "STARTED_NS", Path("extra.py").stat().st_mtime_ns)
    run()
    assert run()[1]
    assert run()[1]


OBSERVER = """

@pipekit.hookimpl
def after_run(run):
    print("observed")
"""


def test_an_observer_sees_every_run(run: Runs) -> None:
    Path("extra.py").write_text(PLUGIN + OBSERVER)
    for _ in range(3):
        text, ran = run()
        assert ran
        assert "observed" in text
