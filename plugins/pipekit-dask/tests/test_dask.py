"""On a real scheduler and real worker processes, started here on loopback."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pipekit_dask import executor

from pipekit import UserError
from pipekit.engine.run import run_plan
from pipekit.pipeline.plan import load_plan
from pipekit.testing import check_executor, write_tiny_dataset

SLOW_OPS = '''
"""A stage that takes its time, so that there is a middle to be killed in."""
import os
import time
from pathlib import Path

import pipekit
from pipekit import images

@pipekit.sample_stage
def slow(sample, params: pipekit.Params, ctx):
    """Write the image mirrored, and a little noise, slowly."""
    time.sleep(0.1)
    path = ctx.out_path(f"{sample.id}.png")
    noise = ctx.rng().integers(0, 20, (32, 32, 3), dtype="uint8")
    images.write(path, images.read(sample.image)[:, ::-1] // 2 + noise)
    yield pipekit.Sample(sample.id, str(path), label=sample.label, extra={"by": "slow"})

@pipekit.hookimpl
def register_stages(register):
    register("slow", slow)
'''


class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-jupyter")

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{words[0]}-{len(self.processes)}.log").open("wb")
        command = [sys.executable, "-m", "dask", *words, "--scheduler-file", str(self.file)]
        process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        log.close()
        self.processes.append(process)
        return process

    def worker(self) -> subprocess.Popen[bytes]:
        return self.start(
            "worker", "--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", "--death-timeout", "180"
        )

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for the module; it has a worker."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.worker()
        wait_for_workers(made, 1)
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the images that one process makes."""
    return run_plan(project(tmp_path_factory.mktemp("serial"), executor="serial")).artifact("slow").digest


def project(folder: Path, more: dict[str, Any] | None = None, **settings: Any) -> Any:
    """A plan over 60 small images, in a folder of its own."""
    write_tiny_dataset(folder / "images", per_class=20)
    (folder / "slow_ops.py").write_text(SLOW_OPS)
    stages = {"data": {"use": "import.folders", "path": "images"}, "slow": {"use": "slow"}, **(more or {})}
    table = {"name": "trial", "seed": 5, "plugins": ["./slow_ops.py"], "shard_size": 4, **settings, "stages": stages}
    return load_plan(table=table, base_dir=folder)


def wait_for_workers(cluster: Cluster, count: int) -> None:
    from distributed import Client

    while not cluster.file.exists():  # a slow machine takes long; pytest's own timeout ends what hangs
        assert cluster.processes[0].poll() is None
        time.sleep(0.05)
    with Client(scheduler_file=str(cluster.file)) as client:
        client.wait_for_workers(count)


def test_one_cluster_on_this_machine_serves_all_stages_of_a_run(
    expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It begins with one worker and grows; ``slow`` and ``again`` both map; its address is said once; afterwards it is gone."""
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    more = {"again": {"use": "slow", "dataset": "slow"}}
    outcome = run_plan(project(tmp_path / "dask", more, executor={"use": "dask", "workers": 2, "adaptive": True}))
    assert outcome.artifact("slow").digest == expected
    assert outcome.artifact("again").digest != expected
    assert executor._open == {}
    said = capsys.readouterr().err
    assert said.count("dask: shards run on tcp://127.0.0.1:") == 1
    assert ("; watch them at http://127.0.0.1:" in said) == (importlib.util.find_spec("bokeh") is not None)


def test_a_scheduler_that_does_not_answer_is_named(tmp_path: Path) -> None:
    asked = {"use": "dask", "address": "tcp://127.0.0.1:9", "timeout_s": 1}
    with pytest.raises(UserError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        run_plan(project(tmp_path, executor=asked))


def test_a_worker_killed_in_the_middle_loses_nothing(cluster: Cluster, expected: str, tmp_path: Path) -> None:
    first = cluster.worker()  # the other one stays
    wait_for_workers(cluster, 2)

    seen: list[int] = []
    killed_at: list[int] = []

    def listener(event: str, **values: Any) -> None:
        if event == "progress" and values["stage"] == "slow":
            seen.append(values["done"])
            if values["done"] >= 4 and not killed_at:
                os.kill(first.pid, signal.SIGKILL)
                killed_at.append(values["done"])

    asked = {"use": "dask", "scheduler_file": str(cluster.file)}
    outcome = run_plan(project(tmp_path / "dask", executor=asked), listener)

    assert first.wait() == -signal.SIGKILL
    assert killed_at[0] < 60, "the worker died before the end"
    assert seen == sorted(seen)
    assert seen[-1] == 60
    assert outcome.artifact("slow").digest == expected
    assert outcome.artifact("slow").meta["num_failed"] == 0

    again = run_plan(project(tmp_path / "dask", executor="serial"))
    assert [stage.cached for stage in again.stages] == [True, True]


def test_it_keeps_the_promises_of_an_executor(cluster: Cluster) -> None:
    check_executor("dask", scheduler_file=str(cluster.file))
    executor.close_unused()


def test_workers_on_this_machine_keep_their_memory_and_no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask's own settings for workers cost more than half as much as the images; what somebody has set stays."""
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL", "70ms")

    def settings() -> tuple[Any, ...]:
        import dask

        names = ("distributed.worker.profile.enabled", "distributed.admin.tick.interval")
        return (*map(dask.config.get, names), *map(os.environ.get, ("MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS")))

    import dask

    with dask.config.set({"distributed.admin.tick.interval": "70ms"}):  # Dask read the environment when it was imported
        before = settings()
        with executor._client(executor.DaskParams(workers=1)) as client:
            assert client.submit(settings).result() == (False, "70ms", None, "1")
            assert "OMP_NUM_THREADS" not in os.environ, "the stages that follow in this process use all cores"
        executor.close_unused()
        assert settings() == before


def test_the_simulation_is_limited_by_what_takes_longest() -> None:
    """With free tasks the workers are; with dear ones the scheduler is, then the driver."""
    file = Path(__file__).parents[1] / "benchmarks" / "at_scale.py"
    spec = importlib.util.spec_from_file_location("at_scale", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["at_scale"] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    free = dict.fromkeys(module.Costs.__dataclass_fields__, 0.0)
    work_s = 4000 * module.WORK_S / 8
    played = module.play(module.Costs(**free), 4000, 10, 8)
    assert played.seconds == pytest.approx(work_s)
    assert played.workers == pytest.approx(1)
    played = module.play(module.Costs(**{**free, "task": 1.0}), 4000, 10, 8)
    assert played.seconds == pytest.approx(400, rel=0.02)
    assert played.scheduler > 0.98
    played = module.play(module.Costs(**{**free, "row": 0.1, "shard": 1.0}), 4000, 10, 8)
    assert played.seconds == pytest.approx(400 * 2.0, rel=0.02)
    assert played.driver > 0.98
