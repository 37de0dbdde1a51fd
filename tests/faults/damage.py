"""Damage to each kind of file of a store and of shown results: it is noticed where it matters, named, and healed.

    python tests/faults/damage.py --n 100 --seed 1

Kinds are found by walking a finished project, so that a new kind of file is tried as soon as it exists. Each is damaged in four
ways: a flipped bit, truncated, emptied, deleted. A file of the store is damaged in one of two situations:

* *used*: every other stored result is gone, and nothing is shown, so the run has to read what is damaged. The run must end with
  exit code 0, name the damaged folder, and show what an undisturbed run shows, byte for byte; ``pipekit verify`` must then find
  nothing.
* *unused*: the run has nothing to do. It must show what it showed; ``pipekit verify`` must find the damage if the run did not,
  and after ``--repair`` the next run must be whole.

A file of columns, or of notes of a stage, is *used* when all results of stages are gone: it must be named if it is read, and
otherwise ``pipekit verify`` must find it.

The rest of the store (the memory of hashes, records, what a killed run left), the split file and shown results must do no
harm: the run succeeds with equal digests, or ends with one sentence that names the file, and with the file restored it is as
undisturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.power_cut import differences, shown
from tests.faults.project import WAYS, Done, environment, files_below, make_project, pipekit

ENTRIES = ("shards", "artifacts", "parts")
BESIDE = ("columns", "memory")
READ_AT_TIMES = ("ids.u64",)
"""Files of shards that are read only where ids may be there twice: else `pipekit verify` finds the damage."""

LEFT_BY_A_KILL = ("leases", "unsynced", "tmp", "work")
SPLIT_FILE = "split.csv"
SHOWN_WHOLE = ("healed", "found by verify", "shown anew", "no harm", "written anew")
"""Outcomes of cases whose last run was compared."""


@dataclass(frozen=True)
class Case:
    """One damage."""

    kind: str
    way: str
    used: bool

    def __str__(self) -> str:
        return f"{self.kind:<34} {self.way:<9} {'used' if self.used else 'unused':<7}"


@dataclass(frozen=True)
class Result:
    """What became of it: ``outcome`` in a word, and what was not as it must be."""

    case: Case
    file: str
    outcome: str
    wrong: tuple[str, ...]


def kind_of(project: Path, path: Path) -> str:
    """A name for files that are alike: the part of the project, and the name or the suffix of the file.

    >>> kind_of(Path("p"), Path("p/.pipekit/shards/ab/abcd/files/cat/1.jpg")), kind_of(Path("p"), Path("p/split.csv"))
    ('shards/**.jpg', 'split.csv')
    """
    parts = path.relative_to(project).parts
    if parts[0] != ".pipekit":
        return parts[0] if len(parts) == 1 else f"shown/{parts[-1] if len(parts) == 3 else f'**{path.suffix}'}"
    area, below = parts[1], parts[2:]
    if area in BESIDE:
        return f"{area}/**"
    if area in ENTRIES:
        return f"{area}/{below[-1] if len(below) == 3 else f'**{path.suffix}'}"
    return f"{area}/**{path.suffix}" if below else area


class Damaging:
    """A project that is damaged again and again, in its place: a store lives long, and what healed must be whole."""

    def __init__(self, folder: Path, seed: int, training: bool = False, embedding: bool = False, num_images: int = 42) -> None:
        self.project, self.chance = folder / "project", random.Random(seed)
        self.environ = environment(folder)
        make_project(self.project, num_images, training=training, embedding=embedding)
        self.store = self.project / ".pipekit"
        first = self.run()
        if first.code:
            raise SystemExit(f"the undisturbed run failed: {first.last}")
        self.expected = shown(self.project)

    def run(self, *arguments: str) -> Done:
        return pipekit(self.project, self.environ, "run", *arguments)

    def kinds(self) -> dict[str, list[Path]]:
        """The files of each kind that are there now."""
        found: dict[str, list[Path]] = {}
        others = [self.project / SPLIT_FILE] if (self.project / SPLIT_FILE).is_file() else []
        for path in [*files_below(self.store, self.project / "runs"), *others]:
            if path.relative_to(self.project).parts[:2] != (".pipekit", "damaged"):
                found.setdefault(kind_of(self.project, path), []).append(path)
        return found

    def cases(self, count: int, only: str = "") -> list[Case]:
        """So many cases, each kind in each way before one comes again; what only a killed run leaves is among them."""
        if not (self.project / "runs").is_dir():
            self.run()
        kinds = [*self.kinds(), *(f"left/{name}" for name in LEFT_BY_A_KILL)]
        every = [
            Case(kind, way, used) for kind in kinds if kind.startswith(only) for way in WAYS for used in self._situations(kind)
        ]
        self.chance.shuffle(every)
        return [every[number % len(every)] for number in range(count)]

    @staticmethod
    def _situations(kind: str) -> tuple[bool, ...]:
        return (True, False) if kind.partition("/")[0] in (*ENTRIES, *BESIDE) else (False,)

    # --- one case ---

    def try_case(self, case: Case) -> Result:
        if case.kind.startswith("left/"):
            self.kill_a_run()
            left = files_below(*(self.store / name for name in LEFT_BY_A_KILL))
            files = [path for path in left if path.relative_to(self.store).parts[0] == case.kind.removeprefix("left/")] or left
        else:
            files = self.kinds().get(case.kind, [])
        if not files:
            return Result(case, "", "no such file", ())
        path = self.chance.choice(files)
        with _restored(path, case.kind == SPLIT_FILE):
            WAYS[case.way](path, self.chance)
            if case.kind.partition("/")[0] in ENTRIES:
                outcome, wrong = self._in_entry(case, path)
            elif case.kind.partition("/")[0] in BESIDE:
                outcome, wrong = self._beside(case, path)
            else:
                outcome, wrong = self._elsewhere(case, path)
        wrong += self._whole(is_shown_whole=outcome in SHOWN_WHOLE)
        return Result(case, path.relative_to(self.project).as_posix(), outcome, tuple(wrong))

    def _in_entry(self, case: Case, path: Path) -> tuple[str, list[str]]:
        entry = self.store.joinpath(*path.relative_to(self.store).parts[:3])
        if case.used:
            for other in self.store.glob("artifacts/*/*"):
                if other != entry:
                    shutil.rmtree(other)
            shutil.rmtree(self.project / "runs", ignore_errors=True)
        done = self.run()
        named = "damaged" in done.text and entry.name[:16] in done.text
        wrong = self._compare(done)
        if named:
            return "healed", wrong
        if case.used and path.name not in READ_AT_TIMES:
            return "not noticed", [*wrong, f"not named: {done.last}"] if self._is_damaged(entry) else wrong
        found = pipekit(self.project, self.environ, "verify", "--repair")
        if entry.name not in found.text:
            if case.way == "delete" and (case.used or not self._is_used(entry)):
                return "no harm", wrong
            wrong.append(f"verify does not find it: {found.last}")
        return "found by verify", wrong + self._compare(self.run())

    def _is_used(self, entry: Path) -> bool:
        """Whether any result consists of it."""
        name = entry.relative_to(self.store).as_posix()
        return any(name in json.loads(path.read_text())["uses"] for path in self.store.glob("artifacts/*/*/manifest.json"))

    def _beside(self, case: Case, path: Path) -> tuple[str, list[str]]:
        """Columns and notes: they save work, and decide nothing."""
        damaged = path.read_bytes() if path.exists() else b""
        if case.used:
            shutil.rmtree(self.store / "artifacts")
            shutil.rmtree(self.project / "runs", ignore_errors=True)
        done = self.run()
        wrong = self._compare(done)
        if case.way == "delete":
            return "no harm", wrong
        if "damaged" in done.text and path.name[:16] in done.text:
            return "healed", wrong
        if path.exists() and path.read_bytes() != damaged:
            return "written anew", wrong  # without being read
        if self._is_damaged(path):
            pipekit(self.project, self.environ, "verify", "--repair")
            return "found by verify", wrong
        return "not noticed", [*wrong, "nothing names it"]

    def _is_damaged(self, entry: Path) -> bool:
        return entry.name in pipekit(self.project, self.environ, "verify").text

    def _elsewhere(self, case: Case, path: Path) -> tuple[str, list[str]]:
        done = self.run()
        if not done.is_clear:
            return "failed", [f"the run ends with {done.code}: {done.last}"]
        if done.code:
            named = path.name in done.text or path.parent.name in done.text
            if case.kind.startswith("shown/"):
                shutil.rmtree(self.project / "runs", ignore_errors=True)
            return "refused", [] if named else [f"the error does not name the file: {done.last}"]
        wrong = []
        for command in ("runs", "gc") if path.suffix == ".json" else ():
            told = pipekit(self.project, self.environ, command)
            wrong += [] if told.is_clear else [f"pipekit {command} ends with {told.code}: {told.last}"]
        if case.kind.startswith("shown/"):
            shutil.rmtree(self.project / "runs")
            return "shown anew", wrong + self._compare(self.run())
        if path.name == SPLIT_FILE:  # a row whose id was changed is one of an image that is gone, and stays
            return "no harm", wrong + self._compare(done, SPLIT_FILE)
        return "no harm", wrong + self._compare(done)

    def _whole(self, is_shown_whole: bool) -> list[str]:
        """After a case, and with its file restored: all is as undisturbed."""
        wrong = [] if is_shown_whole else self._compare(self.run())
        verified = pipekit(self.project, self.environ, "verify")
        if verified.code:
            wrong.append(f"verify: {verified.last}")
            pipekit(self.project, self.environ, "verify", "--repair")
        return wrong

    def _compare(self, done: Done, *besides: str) -> list[str]:
        wrong = [f"the run ends with {done.code}: {done.last}"] if done.code else []
        expected, found = ({k: v for k, v in of.items() if k not in besides} for of in (self.expected, shown(self.project)))
        return wrong + differences(expected, found)

    def kill_a_run(self) -> None:
        """Leave what a killed run leaves: a lease, a marker, scratch folders, a checkpoint where it trains."""
        last = next(
            name for name in ("train", "features") if f"[stages.{name}]" in (self.project / "pipeline.toml").read_text()
        )
        command = [sys.executable, "-m", "pipekit", "run", "--json", "--again", "augment", "--again", last]
        process = subprocess.Popen(
            command,
            cwd=self.project,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "progress" and event["stage"] == last and event["done"]:
                break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@contextlib.contextmanager
def _restored(path: Path, restore: bool):
    before = path.read_bytes()
    yield
    if restore:
        path.write_bytes(before)


def run_cases(
    count: int, seed: int, training: bool = False, only: str = "", num_images: int = 42, folder: Path | None = None
) -> list[Result]:
    """Try so many cases, and print a line for each.

    Args:
        only: kinds that begin so.
    """
    with tempfile.TemporaryDirectory(prefix="damage-", dir=folder) as made:
        damaging = Damaging(Path(made), seed, training, embedding=True, num_images=num_images)
        cases = damaging.cases(count, only)
        kinds = len({case.kind for case in cases})
        print(f"{len(damaging.expected):,} files shown; {len(cases)} cases of {kinds} kinds, seed {seed}", flush=True)
        results = []
        for case in cases:
            results.append(damaging.try_case(case))
            print(f"{case} {results[-1].outcome:<16} {'; '.join(results[-1].wrong)}", flush=True)
        return results


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--training", action="store_true", help="with stages that train and evaluate: slower")
    parser.add_argument("--only", default="", help="kinds that begin so: columns, memory, artifacts/embeddings")
    parser.add_argument("--images", type=int, default=42)
    given = parser.parse_args(arguments)
    results = run_cases(given.n, given.seed, given.training, given.only, given.images)
    for outcome, number in Counter(result.outcome for result in results).most_common():
        print(f"{number:5}  {outcome}")
    num_wrong = sum(bool(result.wrong) for result in results)
    print(f"{len(results)} cases, {num_wrong} wrong")
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
