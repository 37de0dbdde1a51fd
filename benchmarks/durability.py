"""What waiting for the disk costs: `pipekit augment` with durability and without it, in turn.

Rerun: python benchmarks/durability.py [FOLDER OF PHOTOGRAPHS]

1,000 photographs, three copies of each, 150 x 150: the command, with a separate store that is thrown away, from the
photographs to a folder of copies. `on` leaves a marker, syncs the disk about every ten seconds, at the end of the run, and
before the folder of copies is in its place; `off` is PIPEKIT_SYNC=off. Times are by the clock, since waiting is measured,
and of the processor, which other work on the machine changes little: the medians of runs in turn, after one that is not
counted. The disk must be a real one: a folder in memory has nothing to wait for.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import make_photos, photos_in

PHOTOS, COPIES, SIZE = 1_000, 3, 150


def collect(source: Path | None, folder: Path, count: int) -> None:
    """Photographs of a folder, copied; or made, where none is given."""
    if source is None:
        make_photos(folder, count)
        return
    for number, path in enumerate(photos_in(source, count)):
        target = folder / Path(path).parent.name / f"{number:05}{Path(path).suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def one_run(photos: Path, work: Path, sync: str) -> tuple[float, float]:
    """Seconds of one command by the clock and of the processor, after all that others have written is on the disk."""
    out, store = work / "out", work / "store"
    environ = {**os.environ, "PIPEKIT_STORE": str(store), "PIPEKIT_SYNC": sync}
    command = [sys.executable, "-m", "pipekit", "augment", str(photos), str(out), "--ops", "keras_tutorial"]
    command += ["--copies", str(COPIES), "--size", str(SIZE)]
    os.sync()
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=work, env=environ, check=True, capture_output=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    for folder in (out, store):
        shutil.rmtree(folder)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path, nargs="?", help="default: photographs are made")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--count", type=int, default=PHOTOS, help="number of photographs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        collect(given.photos, work / "photos", given.count)
        one_run(work / "photos", work, "off")
        times: dict[str, list[tuple[float, float]]] = {"off": [], "on": []}
        for number in range(given.runs):
            for sync in ("off", "on") if number % 2 else ("on", "off"):
                times[sync].append(one_run(work / "photos", work, sync))
    for number, kind in enumerate(("clock", "processor")):
        medians = {}
        for sync, both in times.items():
            seconds = sorted(one[number] for one in both)
            medians[sync] = statistics.median(seconds)
            print(f"{kind:>9} {sync:>4}  median {medians[sync]:6.2f} s  ({', '.join(f'{one:.2f}' for one in seconds)})")
        print(f"{kind:>9} ratio on/off {medians['on'] / medians['off']:.3f}")


if __name__ == "__main__":
    main()
