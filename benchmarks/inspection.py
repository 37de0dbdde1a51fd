"""Inspecting a folder of photographs: `pipekit inspect` against a bare loop, and beside other tools where they are installed.

Rerun: python benchmarks/inspection.py FOLDER

The loop reads each file once, hashes it, decodes it grey and reduced, takes a perceptual hash, the sharpness and the brightness
from that one array, on two processes, and keeps no record. `pipekit inspect` does that, matches near copies, makes all its
checks, keeps every result and writes the page. Each way runs in a fresh process with an empty store. cleanvision and imagededup
run too where they can be imported; they are no dependencies of this project.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

WORKERS = 2
REPEATS = 3


def one_file(path: str) -> tuple[str, float]:
    """What a person writes."""
    import cv2
    import numpy as np
    import simplejpeg

    cv2.setNumThreads(1)
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    try:
        gray = simplejpeg.decode_jpeg(data, "GRAY", min_height=128, min_width=128)[..., 0]
    except ValueError:
        return digest, -1
    small = cv2.resize(gray, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8]
    bits = low > np.median(low)
    return digest, float(cv2.Laplacian(gray, cv2.CV_32F).var() + gray.mean() + bits.sum())


def bare(folder: str) -> None:
    files = sorted(str(path) for path in Path(folder).rglob("*.jpg"))
    with get_context("spawn").Pool(WORKERS) as pool:
        found = pool.map(one_file, files, chunksize=32)
    assert len(found) == len(files)


def pipekit(folder: str) -> None:
    from pipekit.cli import main

    assert main(["inspect", folder, "--workers", str(WORKERS), "--json"]) == 0


def cleanvision(folder: str) -> None:
    from cleanvision import Imagelab

    Imagelab(data_path=folder).find_issues(n_jobs=WORKERS)


def imagededup(folder: str) -> None:
    from imagededup.methods import PHash

    PHash().find_duplicates(image_dir=folder, recursive=True, num_enc_workers=WORKERS)


WAYS = {"bare": bare, "pipekit": pipekit, "cleanvision": cleanvision, "imagededup": imagededup}


def seconds(way: str, folder: str) -> float:
    with tempfile.TemporaryDirectory() as store:
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, __file__, folder, way],
            env={**os.environ, "PIPEKIT_STORE": store},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            print(f"{way:12} failed: {done.stderr.strip().splitlines()[-1]}")
            return float("nan")
        return time.perf_counter() - started


def main(folder: str) -> None:
    count = sum(1 for _ in Path(folder).rglob("*.jpg"))
    ways = [way for way in WAYS if way in ("bare", "pipekit") or importlib.util.find_spec(way)]
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(REPEATS):
        for way in ways:
            best[way] = min(best[way], seconds(way, folder))
    print(f"{count:,} images, the best of {REPEATS}, {WORKERS} workers")
    for way in ways:
        ratio = f"{best['bare'] / best[way]:.2f} of the bare loop's speed"
        print(f"{way:12} {best[way]:7.1f} s  {count / best[way]:7.0f} images/s  {ratio}")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        WAYS[sys.argv[2]](sys.argv[1])
    elif len(sys.argv) == 2:
        main(sys.argv[1])
    else:
        main(str(Path(__file__).parents[1] / "sample_data" / "textures" / "images"))
