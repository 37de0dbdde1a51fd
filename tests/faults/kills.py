"""``kill -9`` at random moments of a run: the next run ends as an undisturbed one, and leaves nothing behind.

    python tests/faults/kills.py --n 100 --seed 1               # every fifth with a training, which loads TensorFlow

Most runs start with an empty store; a third of those without a training have so many images that their shards are made in
processes. Another third amends the last one instead: the store is kept, an image is
replaced, and what must be shown is what a run with an empty store shows. After a random number of events, and a random
fraction of a tenth of a second, one of three is killed: the main process, its whole group, or one process that it has
started. The same command is then run to its end. It must show what an undisturbed run shows, byte for byte, and afterwards
there must be no process of either run, nothing in the store's scratch folders, leases and markers, no file beside those that
are shown, and nothing of pipekit in the folder for temporary files and in ``/dev/shm``. A run that lost one process must end
by itself: it succeeds, or fails in one sentence.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipekit import images
from pipekit.builtin.executors import MANY
from tests.faults.power_cut import differences, shown
from tests.faults.project import add_picture, environment, make_project, pipekit

TARGETS = ("main", "group", "child")
SCRATCH = ("tmp", "leases", "unsynced", "work")
GONE_AFTER_S = 30.0
"""Processes whose parent was killed notice it and end; one that is there for longer stays."""

LOST_S = 900.0
"""A run that takes longer hangs."""


@dataclass(frozen=True)
class Kill:
    """What is killed, after so many events and so many seconds."""

    target: str
    events: int
    seconds: float
    of: str

    def __str__(self) -> str:
        return f"{self.of:<9} {self.target:<6} event {self.events:>3} + {self.seconds:.2f} s"


@dataclass(frozen=True)
class Result:
    """What was found after a kill: what the killed run did, and what was not as it must be."""

    kill: Kill
    outcome: str
    wrong: tuple[str, ...]


# --- processes -----------------------------------------------------------------------------------------------------------


def start(project: Path, environ: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """A run in a session of its own, with an event for each shard, from worker processes."""
    command = [sys.executable, "-m", "pipekit", "run", "--json", "--executor", "processes", *arguments]
    return subprocess.Popen(
        command, cwd=project, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def processes_of(session: int) -> Iterator[int]:
    """The living processes of a session."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, of = (folder / "stat").read_bytes().rpartition(b")")[2].split()[:4]
        except OSError:
            continue
        if int(of) == session and state not in (b"Z", b"X"):
            yield int(folder.name)


def semaphores_of(pids: Sequence[int]) -> list[str]:
    return [path.name for path in Path("/dev/shm").glob("sem.*") for pid in pids if f".{pid}@" in path.name]


def wait_until_gone(session: int) -> list[int]:
    """Wait for the processes of a session to end; those that don't."""
    end = time.monotonic() + GONE_AFTER_S
    while (left := list(processes_of(session))) and time.monotonic() < end:
        time.sleep(0.05)
    return left


# --- one kill ------------------------------------------------------------------------------------------------------------


class Killing:
    """A project whose runs are killed; each begins with an empty store."""

    of = "images"

    def __init__(self, folder: Path, seed: int, training: bool = False, num_images: int = 42, embedding: bool = False) -> None:
        self.project, self.chance = folder / "project", random.Random(seed)
        self.of = "training" if training else self.of
        self.environ = environment(folder)
        make_project(self.project, num_images, training=training, embedding=embedding)
        self.num_events = self.calm()
        self._expected = shown(self.project)

    def calm(self) -> int:
        """Run undisturbed; returns the number of events."""
        calm = start(self.project, self.environ)
        events, errors = calm.communicate(timeout=LOST_S)
        if calm.returncode:
            raise SystemExit(f"the undisturbed run failed: {errors[-2000:]}")
        return events.count("\n")

    def prepare(self) -> None:
        """Make the project that a run is killed in."""
        for name in (".pipekit", "runs"):
            shutil.rmtree(self.project / name)
        (self.project / "split.csv").unlink(missing_ok=True)

    def expected(self) -> dict[str, bytes]:
        return self._expected

    def next_kill(self, target: str) -> Kill:
        return Kill(target, self.chance.randrange(1, self.num_events), 0.1 * self.chance.random(), self.of)

    def try_kill(self, kill: Kill) -> Result:
        self.prepare()
        process = start(self.project, self.environ)
        assert process.stdout is not None
        for _ in range(kill.events):
            if not process.stdout.readline():
                break
        time.sleep(kill.seconds)
        pid = self._strike(process, kill)
        outcome, wrong = self._end(process, kill, pid)
        again = start(self.project, self.environ)
        _, errors = again.communicate(timeout=LOST_S)
        if again.returncode:
            wrong.append(f"the next run ends with {again.returncode}: {errors.strip()[-300:]}")
        shown_now = shown(self.project)
        wrong += self._left([process.pid, again.pid])
        wrong += differences(self.expected(), shown_now)
        return Result(kill, outcome, tuple(wrong))

    def _strike(self, process: subprocess.Popen[str], kill: Kill) -> int:
        """Kill, and return which process was killed; 0 where there was none."""
        if process.poll() is not None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            if kill.target == "group":
                os.killpg(process.pid, signal.SIGKILL)
                return process.pid
            children = [pid for pid in processes_of(process.pid) if pid != process.pid]
            if kill.target == "child" and not children:
                return 0
            pid = self.chance.choice(sorted(children)) if kill.target == "child" else process.pid
            os.kill(pid, signal.SIGKILL)
            return pid
        return 0

    def _end(self, process: subprocess.Popen[str], kill: Kill, pid: int) -> tuple[str, list[str]]:
        """Wait for the end of a run that was killed, or has lost a process."""
        wrong = []
        try:
            _, errors = process.communicate(timeout=LOST_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return "hangs", ["the run hangs"]
        if kill.target == "child" or not pid:
            # Python's resource tracker prints a traceback when its successor is asked for what it had: then all is well.
            if process.returncode not in (0, 1) or (process.returncode and "Traceback" in errors):
                wrong.append(f"without one process it ends with {process.returncode}: {errors.strip()[-300:]}")
            outcome = f"lost {'a process' if pid else 'nothing'}, {'finished' if process.returncode == 0 else 'failed'}"
        else:
            outcome = "killed"
        if left := wait_until_gone(process.pid):
            wrong.append(f"{len(left)} processes stay")
            for stale in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stale, signal.SIGKILL)
        return outcome, wrong

    def _left(self, pids: Sequence[int]) -> list[str]:
        """What is left behind after the next run."""
        store = self.project / ".pipekit"
        # A stage whose key changed with the split file leaves an empty folder in work/ until the next gc.
        found = [
            f"{name}/{path.name}" for name in SCRATCH for path in (store / name).glob("*") if name != "work" or _files(path)
        ]
        found += [f"TMPDIR/{path.name}" for path in Path(self.environ["TMPDIR"]).iterdir()]
        found += [f"/dev/shm/{name}" for name in semaphores_of(pids)]
        found += [path.name for path in self.project.iterdir() if path.name.startswith(".") and path != store]
        found += [f"process {pid}" for session in pids for pid in wait_until_gone(session)]
        return [f"left behind: {', '.join(found[:5])}"] if found else []


def _files(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.is_file()]


class Amending(Killing):
    """A project that keeps its store: an image is replaced before each run that is killed."""

    of = "amended"

    def __init__(self, folder: Path, seed: int, num_images: int = 42, embedding: bool = False) -> None:
        super().__init__(folder, seed, num_images=num_images, embedding=embedding)
        self.number = 0
        self.prepare()
        self.num_events = self.calm()
        for kind in ("columns/*/*", "memory/*", "artifacts/*/*/cuts.json"):
            assert list(self.project.glob(f".pipekit/{kind}")), kind

    def prepare(self) -> None:
        self.number += 1
        self.split = (self.project / "split.csv").read_bytes()
        add_picture(self.project, self.number)

    def expected(self) -> dict[str, bytes]:
        """What a run shows that has neither a store nor results, beside the same split file."""
        amended = (self.project / "split.csv").read_bytes()
        (self.project / "split.csv").write_bytes(self.split)
        for name in (".pipekit", "runs"):
            (self.project / name).rename(self.project / f"{name}.kept")
        self.calm()
        found = shown(self.project)
        for name in (".pipekit", "runs"):
            shutil.rmtree(self.project / name)
            (self.project / f"{name}.kept").rename(self.project / name)
        (self.project / "split.csv").write_bytes(amended)
        return {name: data for name, data in found.items() if ".kept/" not in name}


class InProcesses(Killing):
    """A project of so many small images that its shards are made in processes, which are forked from a fork of the command."""

    of = "processes"

    def __init__(self, folder: Path, seed: int) -> None:
        self.project, self.chance = folder / "project", random.Random(seed)
        self.environ = environment(folder)
        for number in range(MANY + 10):
            pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), np.uint8)
            path = self.project / "images" / f"class_{number % 2}" / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            images.write(path, pixels)
        (self.project / "pipeline.toml").write_text(FEW_STAGES)
        self.num_events = self.calm()
        self._expected = shown(self.project)


FEW_STAGES = """
name = "faults"
workers = 2
shard_size = 64
[stages.data]
use = "import.folders"
path = "images"
[stages.split]
use = "split"
[stages.inspect]
use = "inspect"
dataset = "split"
[stages.augment]
use = "augment"
dataset = "split"
ops = "light"
"""


# --- all kills -----------------------------------------------------------------------------------------------------------


def run_kills(count: int, seed: int, every: int = 5, minutes: float = 1e9) -> list[Result]:
    """Make so many kills, and print a line for each.

    Args:
        every: each such one kills a pipeline that trains; 0: none does.
        minutes: begin none after that time.
    """
    begun, found = time.monotonic(), list[Result]()
    with tempfile.TemporaryDirectory(prefix="kills-") as made:
        of_images = Killing(Path(made) / "images", seed, num_images=21, embedding=True)
        of_amended = Amending(Path(made) / "amended", seed, num_images=21, embedding=True)
        in_processes = InProcesses(Path(made) / "processes", seed)
        of_training = Killing(Path(made) / "training", seed, training=True, num_images=21) if every else of_images
        print(f"{len(of_images.expected()):,} and {len(of_training.expected()):,} files shown; {count} kills, seed {seed}")
        turns = Counter[Killing]()
        for number in range(count):
            if time.monotonic() - begun > 60 * minutes:
                break
            trains = bool(every) and number % every == every - 1
            killing = of_training if trains else (of_images, in_processes, of_amended)[number % 3]
            target = TARGETS[turns[killing] % len(TARGETS)]  # in turn in each pipeline
            turns[killing] += 1
            found.append(killing.try_kill(killing.next_kill(target)))
            print(f"{number + 1:>4} {found[-1].kill} {found[-1].outcome:<26} {'; '.join(found[-1].wrong)}", flush=True)
        for killing in dict.fromkeys((of_images, in_processes, of_amended, of_training)):
            verified = pipekit(killing.project, killing.environ, "verify")
            if verified.code:
                print(f"verify: {verified.last}")
                raise SystemExit(1)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=5, help="each such kill is of a pipeline that trains; 0: none")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no kill after that time")
    given = parser.parse_args(arguments)
    found = run_kills(given.n, given.seed, given.every, given.minutes)
    for outcome, number in Counter(
        f"{result.kill.of}, {result.kill.target}: {result.outcome}" for result in found
    ).most_common():
        print(f"{number:5}  {outcome}")
    num_wrong = sum(bool(result.wrong) for result in found)
    print(f"{len(found)} kills, {num_wrong} wrong")
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
