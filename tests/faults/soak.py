"""A project that changes at random and is run again, for as long as wanted: nothing grows, and no result depends on the past.

    python tests/faults/soak.py --minutes 50 --seed 1

Between two runs, images are added, removed, edited and renamed, or the recipe changes; now and then ``gc`` collects what no run
uses. All runs are in this process, so what one of them leaves open or keeps in memory is seen. After each collection these are
measured: the memory and the open files of the process, its threads and child processes, the files and bytes of the store, and
the folder for temporary files. The medians of the last third must not be above those of the second third by more than a
tolerance; the first third is for caches to fill. In between, a run with an empty store must show the same bytes, and ``pipekit
verify`` must find nothing.

The images come from a fixed set of names and contents, so that the project does not grow. The records of runs, which ``pipekit
runs`` lists, are kept for ever and counted apart.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.power_cut import differences, shown
from tests.faults.project import add_picture, environment, make_project

NAMES = [f"{word}_{number}" for word in ("moss", "sand", "clay") for number in range(10)]
CONTENTS = 3
"""Each name has one of so many contents."""

RECIPES = ("light", "heavy", "hflip | rotate(30)", "rotate(5)")
MORE_FILES = 0.02
"""Fraction by which a store may have more files than a new one: former states of folders."""

GC_EVERY, COMPARE_EVERY = 3, 24
"""Runs between two collections, and between two comparisons with an empty store."""


@dataclass(frozen=True)
class Measured:
    """After a run and a collection: of this process, and of the folders that it uses."""

    memory_mb: float
    open_files: int
    threads: int
    processes: int
    store_files: int
    store_mb: float
    temporary_files: int


TOLERANCE = {"memory_mb": 0.03, "store_mb": 0.05}
"""Fractions by which the number of images and the recipe may differ between thirds; everything else must not grow at all."""

COMPARED = ("store_files",)
"""What follows the number of images, which is random: it is compared with that of a new store instead."""


@dataclass
class Soak:
    """What was done and measured so far."""

    project: Path
    chance: random.Random
    settings: dict[str, object] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)
    measured: list[Measured] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    num_runs: int = 0

    # --- changes ---

    def present(self) -> list[Path]:
        return sorted(path for name in NAMES for path in self.project.glob(f"images/grass/{name}.jpg"))

    def change(self) -> None:
        """Change one to four things."""
        for _ in range(self.chance.randrange(1, 5)):
            there = self.present()
            gone = sorted({*NAMES} - {path.stem for path in there})
            more = "add" if len(there) < len(NAMES) // 2 else "remove"  # so that the project keeps its size
            what = self.chance.choice(["recipe", more, more, *["edit", "rename"] * bool(there and gone)])
            self.changes[what] += 1
            if what == "recipe":
                self.settings["stages.augment.ops"] = self.chance.choice(RECIPES)
            elif what == "add":
                self._write(self.chance.choice(gone))
            elif what == "remove":
                self.chance.choice(there).unlink()
            elif what == "edit":
                self._write(self.chance.choice(there).stem)
            else:
                path = self.chance.choice(there)
                path.rename(path.with_stem(self.chance.choice(gone)))

    def _write(self, name: str) -> None:
        add_picture(self.project, CONTENTS * NAMES.index(name) + self.chance.randrange(CONTENTS), name)

    # --- runs ---

    def run(self) -> None:
        import pipekit as library

        library.run(self.project / "pipeline.toml", self.settings, executor="threads")
        self.num_runs += 1

    def collect(self) -> None:
        import pipekit as library

        library.gc(self.project, keep=1, min_age_hours=0)
        self.measured.append(measure(self.project / ".pipekit", Path(os.environ["TMPDIR"])))

    def compare(self) -> None:
        """Compare what is shown, and how many files are stored, with a run with an empty store, beside the same split file."""
        import pipekit as library

        self.collect()
        number, now, stored = self.num_runs, shown(self.project), self.measured.pop().store_files
        if damage := library.verify(self.project).damage:
            self.wrong.append(f"run {number}: verify finds {damage[0]}")
        for name in ("runs", ".pipekit"):
            (self.project / name).rename(self.project.with_name(name))
        self.run()
        self.collect()
        anew = self.measured.pop().store_files
        wrong = differences(shown(self.project), now)
        if stored > anew * (1 + MORE_FILES):
            wrong.append(f"{stored} files in the store, and {anew} in a new one")
        self.wrong += [f"run {number}: {sentence}" for sentence in wrong]
        print(f"run {number}: {'; '.join(wrong) or 'as with an empty store'}; {stored} and {anew} files stored", flush=True)
        for name in ("runs", ".pipekit"):
            shutil.rmtree(self.project / name)
            self.project.with_name(name).rename(self.project / name)


def measure(store: Path, temporary: Path) -> Measured:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    files = [path.stat().st_size for path in store.rglob("*") if path.is_file() and path.relative_to(store).parts[0] != "runs"]
    return Measured(
        memory_mb=int(status["VmRSS"].split()[0]) / 1024,
        open_files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threads=int(status["Threads"]),
        processes=sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children")),
        store_files=len(files),
        store_mb=sum(files) / 2**20,
        temporary_files=sum(1 for _ in temporary.rglob("*")),
    )


def growth(measured: Sequence[Measured]) -> list[str]:
    """Sentences about what grew from the second third of the measurements to the last."""
    third = len(measured) // 3
    grown = []
    for one in fields(Measured):
        if one.name in COMPARED:
            continue
        middle, last = (
            statistics.median(getattr(row, one.name) for row in part) for part in (measured[third:-third], measured[-third:])
        )
        if last > middle * (1 + TOLERANCE.get(one.name, 0)) + 1:
            grown.append(f"{one.name} grew from {middle:.1f} to {last:.1f}")
    return grown


def soak(minutes: float, seed: int, folder: Path, at_least: int = 9) -> Soak:
    """Change and run for so long, and until so many collections have been measured.

    Returns:
        its ``wrong`` has a sentence for each fault.
    """
    os.environ |= environment(folder)
    tempfile.tempdir = None
    done = Soak(folder / "project", random.Random(seed))
    make_project(done.project, num_images=24, embedding=True)
    begun = time.monotonic()
    while time.monotonic() - begun < 60 * minutes or len(done.measured) < at_least:
        done.change()
        done.run()
        if done.num_runs % GC_EVERY == 0:
            done.collect()
            print(f"{time.monotonic() - begun:7.0f} s  run {done.num_runs:>4}  {asdict(done.measured[-1])}", flush=True)
        if done.num_runs % COMPARE_EVERY == 0:
            done.compare()
    done.wrong += growth(done.measured)
    return done


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="soak-") as made:
        done = soak(given.minutes, given.seed, Path(made))
        os.chdir("/")
    print(f"{done.num_runs} runs, {dict(done.changes)}")
    print("\n".join(done.wrong) or "flat, and as with an empty store")
    return 1 if done.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
