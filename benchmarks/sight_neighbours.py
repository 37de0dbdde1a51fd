"""Neighbours by features without all pairs: processor time, comparisons, and the share of near duplicates that are found.

Rerun: python benchmarks/sight_neighbours.py --counts 10000,60000

The rows are generated: sums of 64 directions with weights that decay, as features of a network have them; one of ten is
another row with noise, a near duplicate. They lie in a file of float16, as `embed` writes it. All neighbours are sought
as `inspect` does it; of 500 copies, they are compared with those among all rows.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.learning.neighbours import Directions, nearest, nearest_of

WIDTH, HIDDEN, ASKED, BLOCK = 1280, 64, 500, 1000


def write_rows(path: Path, count: int) -> NDArray[np.int64]:
    """Write ``count`` rows, a block at a time; returns the numbers of the copies."""
    rng = np.random.default_rng(0)
    axes = (rng.normal(0, 1, (HIDDEN, WIDTH)) / np.sqrt(1 + np.arange(HIDDEN))[:, None]).astype(np.float32)
    table = np.lib.format.open_memmap(path, "w+", np.float16, (count, WIDTH))
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        rows = rng.normal(0, 1, (size, HIDDEN)).astype(np.float32) @ axes
        copies = np.arange(0, size - 1, 10)
        rows[copies] = rows[copies + 1] + rng.normal(0, 0.5, (len(copies), WIDTH)).astype(np.float32)
        table[start : start + size] = np.maximum(rows, 0)
    table.flush()
    return np.arange(0, count - 1, 10, dtype=np.int64)


def measure(count: int, folder: Path) -> tuple[Any, ...]:
    copies = write_rows(folder / "rows.npy", count)
    directions = Directions(np.load(folder / "rows.npy", mmap_mode="r"))
    began = time.process_time()
    found = nearest(directions, 8, np.random.default_rng(0))
    seconds = time.process_time() - began
    asked = np.sort(np.random.default_rng(1).permutation(copies)[:ASKED])
    exact = nearest_of(directions, asked, 8).numbers
    first = (found.numbers[asked] == exact[:, :1]).any(1).mean()
    eight = np.mean([np.isin(exact[n], found.numbers[row]).mean() for n, row in enumerate(asked.tolist())])
    return f"{count:,}", f"{seconds:.1f}", f"{1000 * seconds / count:.2f}", f"{first:.3f}", f"{eight:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="10000,60000")
    print("| rows | CPU s | ms a row | copies found | of the eight nearest |\n|---|---|---|---|---|")
    for count in map(int, parser.parse_args().counts.split(",")):
        with tempfile.TemporaryDirectory() as temporary:
            print("|", " | ".join(measure(count, Path(temporary))), "|", flush=True)


if __name__ == "__main__":
    main()
