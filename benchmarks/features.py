"""Harris corners of a thousand photographs: the stage `features` compared with a plain OpenCV loop.

Rerun: python benchmarks/features.py [FOLDER]

Both find the same points in the same files on two workers, except that the stage merges peaks of one height that touch (1 % of
the points of photographs), and write the same tables and NumPy files. The loop keeps no record, so it can't resume, and repeats
everything when one image is added; the stage hashes every file and every result. Each method runs in a fresh process, in turn
with the others, with an empty store; imports are not counted. An argument names a folder of images to use instead of those
generated from the sample photographs.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from _common import as_the_command, cpu_seconds, make_photos

NUM_IMAGES = 1000
REPEATS = 3
WORKERS = 2
THRESHOLD, MAX_POINTS = 0.01, 500
OPENCVS = {"use": "harris", "window": "box", "sub_pixel": "none"}  # what cv2.cornerHarris computes


# --- the methods ---------------------------------------------------------------------------------------------------------


def one_file(job: tuple[str, str]) -> int:
    """A typical script: read, detect, suppress, sort, save."""
    import cv2

    source, target = job
    cv2.setNumThreads(1)
    gray = cv2.imread(source, cv2.IMREAD_GRAYSCALE)
    response = cv2.cornerHarris(gray.astype(np.float32) / 255, 2, 3, 0.04)
    peak = (response == cv2.dilate(response, np.ones((3, 3), np.uint8))) & (response > THRESHOLD * response.max())
    ys, xs = np.nonzero(peak)
    order = np.argsort(-response[ys, xs])[:MAX_POINTS]
    points = np.column_stack([xs[order], ys[order], response[ys, xs][order]]).astype(np.float32)
    with open(f"{target}.csv", "w") as out:
        out.writelines(f"{source},{x:.2f},{y:.2f},{r:.6g},,\n" for x, y, r in points.tolist())
    np.savez(f"{target}.npz", points=points)
    return len(points)


def plain_loop(folder: Path, out: Path) -> int:
    files = sorted(folder.rglob("*.jpg"))
    jobs = [(str(path), str(out / str(number))) for number, path in enumerate(files)]
    with get_context("fork").Pool(WORKERS) as pool:
        counts = pool.map(one_file, jobs, chunksize=64)
    with (out / "points.csv").open("wb") as joined:
        for _, target in jobs:
            joined.write(Path(f"{target}.csv").read_bytes())
    return sum(counts)


def with_pipekit(folder: Path, out: Path, executor: str) -> int:
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    as_the_command()
    table = {
        "name": "features",
        "executor": executor,
        "workers": WORKERS,
        "stages": {
            "data": {"use": "import.folders", "path": str(folder), "verify": "none"},
            "features": {"use": "features", "detector": OPENCVS, "previews_per_class": 0},
        },
    }
    outcome = run_plan(load_plan(table=table, base_dir=out), publish=False)
    return int(str(outcome.artifact("features").meta["facts"]["features"]).replace(",", ""))


WAYS = {
    "plain OpenCV loop, 2 processes": plain_loop,
    "pipekit, 2 threads": lambda folder, out: with_pipekit(folder, out, "threads"),
    "pipekit, 2 processes": lambda folder, out: with_pipekit(folder, out, "processes"),
}


def measure(way: str, folder: str) -> None:
    """Run in a separate process: seconds, processor seconds, points, and the peak memory of it or of its largest child."""
    import resource

    import cv2  # noqa: F401 (imports are not counted)

    import pipekit.engine.run  # noqa: F401

    with tempfile.TemporaryDirectory() as out:
        before, started = cpu_seconds(), time.perf_counter()
        num_points = WAYS[way](Path(folder), Path(out))
        seconds = time.perf_counter() - started
    cpu_s = cpu_seconds() - before  # of workers too, which are children of the process that they are forked from
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    peak_mb = max(usage.ru_maxrss for usage in used) / 1024
    print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "points": num_points, "peak_mb": peak_mb}))


def taken(way: str, folder: Path) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, "--measure", way, str(folder)], check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder, few = Path(made, "all"), Path(made, "few")
        if len(sys.argv) > 1:
            folder = Path(sys.argv[1]).resolve()
        else:
            make_photos(folder, NUM_IMAGES)
        make_photos(few, NUM_IMAGES // 10)
        count = len(list(folder.rglob("*.jpg")))
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(REPEATS):
            for way in WAYS:
                found[way].append(taken(way, folder))
        first = next(iter(WAYS))
        loop = {name: statistics.median(run[name] for run in found[first]) for name in ("seconds", "cpu_s")}
        print(
            f"{count} images, Harris corners, {REPEATS} runs each; speed also by processor time, for a machine that is not idle"
        )
        heads = ("images/s", "of the loop", "by CPU time", "points", "peak memory", f"with {NUM_IMAGES // 10}")
        print(f"{'':<32}{''.join(f'{head:>13}' for head in heads)}")
        for way, runs in found.items():
            seconds, cpu_s = (statistics.median(run[name] for run in runs) for name in ("seconds", "cpu_s"))
            memory, small = max(run["peak_mb"] for run in runs), taken(way, few)["peak_mb"]
            print(
                f"{way:<32}{count / seconds:>13.0f}{loop['seconds'] / seconds:>13.2f}{loop['cpu_s'] / cpu_s:>13.2f}"
                f"{runs[0]['points']:>13,.0f}{memory:>10.0f} MB{small:>10.0f} MB"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(*sys.argv[2:])
    else:
        main()
