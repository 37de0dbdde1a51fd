"""A project for tests of the core: small files that stand for images, and a plugin that writes down what it does."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from pipekit.engine.run import run_plan
from pipekit.pipeline.plan import Plan, load_plan
from tests.fast import (
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_unconfigure,
)

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_unconfigure",
]

# No limits by the clock: a busy machine is no mistake in the code.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)  # a red run comes again when it is run again
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """No garbage is looked for while modules are read, and none among them later: they stay, and are many."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


# A shell that puts the tests in the background has them ignore Ctrl-C, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What commands without a project keep stays out of the person's cache, and an earlier session's is not found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_CONFIG_HOME", str(trusting(tmp_path_factory.mktemp("config"), tmp_path_factory.getbasetemp())))
        patch.setenv(
            "PIPEKIT_SYNC", "off"
        )  # what tests make is thrown away; tests/store/test_durability.py and tests/faults sync
        yield


def trusting(config: Path, below: Path) -> Path:
    """A folder of configuration that trusts the plugins of all projects below another folder."""
    file = config / "pipekit" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f"[[trusted]]\nbelow = {json.dumps(str(below))}\n", encoding="utf-8")
    return config


SETTINGS = ("PIPEKIT_DEBUG", "PIPEKIT_PLUGINS", "PIPEKIT_DISABLE", "PIPEKIT_STORE", "PIPEKIT_TRACE")

PLUGIN = '''
"""Stages that write down which samples they were given, in the file that TRIAL_LOG names."""
import os
import time
from dataclasses import replace
from pathlib import Path

import pipekit


HOLD = Path(__file__).with_name("hold")


def note(word):
    with open(os.environ["TRIAL_LOG"], "a") as log:
        log.write(f"{os.getpid()} {word}\\n")


def begun():
    return Path(os.environ["TRIAL_LOG"]).read_text().count("\\n")


class StampParams(pipekit.Params):
    amount: int = pipekit.param(1, "Copies", ge=0, le=9)
    fail: str = pipekit.param("", "Samples whose id holds this fail")
    seconds: float = pipekit.param(0.0, "How long each sample takes", unit="s", in_key=False)
    hold_at: int = pipekit.param(0, "From so many samples on, each waits while there is a file called hold", in_key=False)


@pipekit.sample_stage
def stamp(sample, params: StampParams, ctx):
    """Copies of a file, each with random bytes at its end."""
    note(sample.id)
    time.sleep(params.seconds)
    while params.hold_at and HOLD.exists() and begun() >= params.hold_at:
        time.sleep(0.01)
    if params.fail and params.fail in sample.id:
        raise ValueError("asked to fail")
    for copy in range(params.amount):
        path = ctx.out_path(f"{sample.id}-{copy}.png")
        path.write_bytes(Path(sample.image).read_bytes() + ctx.rng(copy).bytes(8))
        yield replace(sample, id=f"{sample.id}-{copy}", image=str(path), sha256="", extra={"of": sample.id})


@pipekit.sample_stage
def shout(sample, params: pipekit.Params, ctx):
    """Labels in capitals; one sample in ten fails. Notes nothing, writes no file."""
    if sample.id.endswith("7"):
        raise ValueError("a seven")
    yield replace(sample, label=sample.label.upper())


class KeepParams(pipekit.Params):
    words: tuple[str, ...] = pipekit.param((), "Keep samples whose id holds one of these; none keeps all")


@pipekit.stage
def keep(ctx: pipekit.Context, dataset: pipekit.Dataset, params: KeepParams) -> pipekit.Dataset:
    """Some of the samples, in another order; copies nothing."""
    note(f"stage {ctx.stage}")
    kept = [s for s in dataset if not params.words or any(word in s.id for word in params.words)]
    if "warn" in params.words:
        ctx.warn("this is a warning")
    return ctx.dataset(reversed(kept))


def measure_one(sample, params, ctx):
    note(sample.id)
    yield {"id": sample.id, "size": len(Path(sample.image).read_bytes())}


@pipekit.stage
def measure(ctx: pipekit.Context, dataset: pipekit.Dataset, params: KeepParams) -> pipekit.Files:
    """The size of every file."""
    rows = list(ctx.map(measure_one, dataset, params))
    (ctx.out_dir / "sizes.txt").write_text("".join(f"{row['id']} {row['size']}\\n" for row in rows))
    return ctx.artifact(pipekit.Files, facts={"files": str(len(rows))}, headline=f"{len(rows)} files")


def double_one(sample, params, ctx):
    note(sample.id)
    path = ctx.out_path(sample.id + ".txt")
    path.write_text(Path(sample.image).read_text() * 2)
    yield replace(sample, image=str(path), sha256="")


@pipekit.stage
def frames(ctx: pipekit.Context, params: KeepParams) -> pipekit.Dataset:
    """Files that the stage writes itself, and then maps a function over."""
    samples = []
    for number in range(3):
        (ctx.out_dir / f"{number}.txt").write_text(str(number))
        samples.append(pipekit.Sample(f"{number}", str(ctx.out_dir / f"{number}.txt")))
    doubled = [replace(sample, id=f"{sample.id}-twice") for sample in ctx.map(double_one, samples)]
    kept = [replace(row, id=f"{row.id}-same") for row in ctx.map(same_one, samples)]
    return ctx.dataset([*samples, *doubled, *kept])


def same_one(sample, params, ctx):
    note(sample.id)
    yield sample


class Listed:
    """An importer: as many samples as a text file says, all of them of the file x beside it."""

    @staticmethod
    def sniff(path):
        return "a number" if path.suffix == ".count" else ""

    @staticmethod
    def read(path, params: pipekit.Params):
        count, sha256 = path.read_text().split()
        for number in range(int(count)):
            yield pipekit.Sample(f"{number:08d}", str(path.with_name("x")), sha256=sha256, label=f"class-{number % 10}")


@pipekit.hookimpl
def register_stages(register):
    register("stamp", stamp)
    register("keep", keep)
    register("measure", measure)
    register("shout", shout)
    register("frames", frames)


@pipekit.hookimpl
def register_importers(register):
    register("listed", Listed)
'''

DATA = {"use": "import.folders", "path": "images", "verify": "none"}


@dataclass
class Trial:
    """A project folder with ``trial_plugin.py`` and a folder ``images``; pipelines run in it with one worker.

    Attributes:
        events: what the listener was told in the last run: (event, values).
    """

    path: Path
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def log_file(self) -> Path:
        return self.path.parent / "trial.log"

    @property
    def store(self) -> Path:
        return self.path / ".pipekit"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "TRIAL_LOG": str(self.log_file)}

    def write(self, *names: str, text: str = "") -> None:
        """Files below ``images``, each with content of its own."""
        for name in names:
            path = self.path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text or name}\n")

    def plan(self, stages: Mapping[str, Mapping[str, Any]], **settings: Any) -> Plan:
        table = {"name": "trial", "workers": 1, "plugins": ["trial_plugin.py"], "stages": stages, **settings}
        return load_plan(table=table, base_dir=self.path)

    def run(self, stages: Mapping[str, Mapping[str, Any]], *, choice: Mapping[str, Any] | None = None, **settings: Any) -> Any:
        """Run a pipeline; ``choice`` is until, only, again."""
        self.log_file.write_text("")
        self.events.clear()
        plan = self.plan(stages, **settings)
        return run_plan(plan, lambda event, **values: self.events.append((event, values)), **(choice or {}))

    def told(self, event: str) -> list[dict[str, Any]]:
        return [values for name, values in self.events if name == event]

    def done(self) -> list[str]:
        """What the plugin's functions were given in the last run, sorted."""
        return sorted(line.split(" ", 1)[1] for line in self.log_file.read_text().splitlines())

    def shards(self) -> set[str]:
        """The finished shards in the store."""
        return {path.name for path in self.store.glob("shards/*/*") if (path / "rows.jsonl").is_file()}

    @property
    def hold(self) -> Path:
        """While it is there, ``stamp`` stops at as many samples as its parameter ``hold_at`` says."""
        return self.path / "hold"

    def start(self, script: str, *words: str) -> subprocess.Popen[str]:
        """A Python process in the project folder, in a group of its own, as a terminal gives it."""
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), *words],
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def fill(trial: Trial, count: int) -> None:
    """So many files in the classes a and b: ``a/000.png``, ``b/001.png`` …"""
    trial.write(*(f"{'ab'[number % 2]}/{number:03d}.png" for number in range(count)))


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    found = Trial(tmp_path / "project")
    (found.path / "images").mkdir(parents=True)
    (found.path / "trial_plugin.py").write_text(PLUGIN)
    monkeypatch.setenv("TRIAL_LOG", str(found.log_file))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return found
