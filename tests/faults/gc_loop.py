"""``pipekit gc`` in a loop beside runs: no run fails or is wrong, and what nothing uses goes. A soak: nothing grows.

    python tests/faults/gc_loop.py --n 10 --seed 1             # ten runs, two at a time, beside gc
    python tests/faults/gc_loop.py --minutes 60                # the soak: runs in one process, a gc after each

Beside gc: runs with different seeds use one store and two names, so that each makes what the next ones don't use. Each must
end with exit code 0 and the digests of a calm run with its seed in a store of its own. At the end ``pipekit verify`` must find
nothing, and the store may have only what the newest runs use. The soak measures after each run: the memory and the open files
of the process, its threads and child processes, and the files and bytes of the store and of the folder for temporary files. The
medians of the last third must not be above those of the second third by more than a tolerance; the first third is for caches to
fill.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.project import environment, make_project, pipekit

NAMES = ("one", "two")
GC = ("gc", "--yes", "--min-age", "0", "--keep", "1")


@dataclass(frozen=True)
class Looped:
    """What became of runs beside gc."""

    num_runs: int
    num_collections: int
    num_made: int
    num_left: int
    wrong: tuple[str, ...]


def beside_gc(count: int, seed: int, folder: Path) -> Looped:
    """So many runs beside gc in a loop."""
    project, environ = folder / "project", environment(folder)
    make_project(project)
    expected = {}
    for number in range(seed, seed + count):
        calm = _start(project, {**environ, "PIPEKIT_STORE": str(folder / "calm")}, number, NAMES[0])
        expected[number] = _digests(project, calm, NAMES[0])[0]
    shutil.rmtree(project / "runs")
    wrong: list[str] = []
    made, num_collections = set[str](), 0
    waiting, going = list(expected), dict[str, tuple[int, subprocess.Popen[str]]]()
    while waiting or going:
        for name in NAMES:
            if waiting and name not in going:
                going[name] = waiting[0], _start(project, environ, waiting.pop(0), name)
        collected = pipekit(project, environ, *GC)
        num_collections += 1
        wrong += [f"gc ends with {collected.code}: {collected.last}"] if collected.code else []
        made |= _entries(project)
        for name in [name for name, (_, run) in going.items() if run.poll() is not None]:
            number, run = going.pop(name)
            digests, error = _digests(project, run, name)
            if error or digests != expected[number]:
                wrong.append(f"seed {number}: {error or 'other digests'}")
    for _ in range(2):  # one for what the last runs have left
        pipekit(project, environ, *GC)
    verified = pipekit(project, environ, "verify")
    wrong += [f"verify: {verified.last}"] if verified.code else []
    left = _entries(project)
    used = {stage["key"] for record in project.glob("runs/*/run.json") for stage in json.loads(record.read_text())["stages"]}
    kept = {path.name for path in project.glob(".pipekit/artifacts/*/*")}
    wrong += [f"{len(kept - used)} stored results that nothing uses stay"] if kept - used else []
    wrong += [f"{len(used - kept)} results that are used have gone"] if used - kept else []
    return Looped(count, num_collections, len(made | left), len(left), tuple(wrong))


def _start(project: Path, environ: dict[str, str], seed: int, name: str) -> subprocess.Popen[str]:
    changes = ["--set", f"seed={seed}", "--set", "stages.split.remember=false"]
    command = [sys.executable, "-m", "pipekit", "run", "--quiet", "--name", name, *changes]
    return subprocess.Popen(command, cwd=project, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _digests(project: Path, process: subprocess.Popen[str], name: str) -> tuple[list[tuple[str, str]], str]:
    """The digests of the stages of a run; or why it failed."""
    _, errors = process.communicate()
    if process.returncode:
        return [], f"ends with {process.returncode}: {errors.strip()[-400:]}"
    record = json.loads((project / "runs" / name / "run.json").read_text())
    return [(stage["name"], stage["digest"]) for stage in record["stages"]], ""


def _entries(project: Path) -> set[str]:
    return {path.name for kind in ("artifacts", "shards") for path in project.glob(f".pipekit/{kind}/*/*")}


# --- the soak ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """After a run: of this process, and of the folders that it uses."""

    memory_mb: float
    open_files: int
    threads: int
    processes: int
    store_files: int
    store_mb: float
    temporary_files: int


TOLERANCE = {"memory_mb": 0.05, "store_mb": 0.02}
"""Fractions; everything else must not grow at all."""


def soak(minutes: float, seed: int, folder: Path) -> list[Measured]:
    """Run and collect in this process, with another seed each time, for so long and at least nine times."""
    import pipekit as library

    project = folder / "project"
    os.environ |= environment(folder)
    tempfile.tempdir = None
    make_project(project)
    os.chdir(project)
    begun, measured = time.monotonic(), list[Measured]()
    while time.monotonic() - begun < 60 * minutes or len(measured) < 9:
        changes = {"seed": seed + len(measured), "stages.split.remember": False}
        library.run(project / "pipeline.toml", changes, executor="threads")
        library.gc(project, keep=1, min_age_hours=0)
        measured.append(_measure(project / ".pipekit", Path(os.environ["TMPDIR"])))
        if len(measured) % 10 == 1:
            print(f"{time.monotonic() - begun:7.0f} s  run {len(measured):>4}  {asdict(measured[-1])}", flush=True)
    return measured


def _measure(store: Path, temporary: Path) -> Measured:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    files = [path.stat().st_size for path in store.rglob("*") if path.is_file()]
    children = list(Path("/proc/self/task").glob("*/children"))
    return Measured(
        memory_mb=int(status["VmRSS"].split()[0]) / 1024,
        open_files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threads=int(status["Threads"]),
        processes=sum(len(path.read_text().split()) for path in children),
        store_files=len(files),
        store_mb=sum(files) / 2**20,
        temporary_files=sum(1 for _ in temporary.rglob("*")),
    )


def growth(measured: Sequence[Measured]) -> list[str]:
    """Sentences about what grew from the second third of the measurements to the last."""
    third = len(measured) // 3
    grown = []
    for field in fields(Measured):
        middle, last = (
            statistics.median(getattr(one, field.name) for one in part) for part in (measured[third:-third], measured[-third:])
        )
        # Seeds differ a little in the sizes and the number of the shards that they make.
        if last > middle * (1 + TOLERANCE.get(field.name, 0.02)) + 1:
            grown.append(f"{field.name} grew from {middle:.1f} to {last:.1f}")
    return grown


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="instead: soak for so long")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="loop-") as made:
        if given.minutes is not None:
            measured = soak(given.minutes, given.seed, Path(made))
            wrong = growth(measured)
            print(f"{len(measured)} runs; {'; '.join(wrong) or 'flat'}: {asdict(measured[-1])}")
            os.chdir("/")
        else:
            looped = beside_gc(given.n, given.seed, Path(made))
            wrong = list(looped.wrong)
            print(
                f"{looped.num_runs} runs beside {looped.num_collections} collections; {looped.num_made} folders made, "
                f"{looped.num_left} left; {'; '.join(wrong) or '0 failures'}"
            )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
