"""Features of images by EfficientNet-Lite0: ONNX Runtime as in the stage `embed`, and Keras' `predict` of the same network.

Rerun: python benchmarks/embed.py

Decoded images of 224 x 224 are in memory; decoding is not measured. Each method runs in a fresh process, in turn with the
others, and takes the images twice: the second pass is measured. ONNX Runtime computes one image at a time on one thread; two
threads share the images, as two workers of the stage do. CPU milliseconds are the sum over all threads: on a machine with
other work they are more reliable than the clock. "first" is the time from the start of the process to the features of the
first image, imports included; for ONNX Runtime with the conversion of the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def onnx(threads: int) -> Callable[[Any], Any]:
    import numpy as np

    from pipekit.learning.efficientnet_lite import LITE0, facts_for
    from pipekit.learning.embedders import onnx_embed

    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder, "network")
        network.write_bytes(facts_for(LITE0).convert(LITE0.weights_file()))  # type: ignore[misc]
        sessions = [onnx_embed(network) for _ in range(threads)]

    def run(images: Any) -> Any:
        if threads == 1 or len(images) == 1:
            return sessions[0](images)
        with ThreadPoolExecutor(threads) as pool:
            halves = pool.map(lambda pair: pair[0](pair[1]), zip(sessions, np.array_split(images, threads), strict=True))
            return np.concatenate(list(halves))

    return run


def keras(on_batch: bool) -> Callable[[Any], Any]:
    import numpy as np

    from pipekit.learning.efficientnet_lite import features_model

    model = features_model((224, 224, 3))

    def run(images: Any) -> Any:
        pixels = images.astype(np.float32)
        if not on_batch:
            return model.predict(pixels, batch_size=32, verbose=0)
        return np.concatenate([model.predict_on_batch(pixels[start : start + 32]) for start in range(0, len(pixels), 32)])

    return run


METHODS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "ONNX Runtime, 1 thread": lambda: onnx(1),
    "ONNX Runtime, 2 threads": lambda: onnx(2),
    "Keras predict": lambda: keras(False),
    "Keras predict_on_batch": lambda: keras(True),
}


def measure(name: str, count: int, started: float) -> dict[str, float]:
    """In a separate process: the time to the first image, the rate and the processor time of a warm pass."""
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (count, 224, 224, 3), dtype=np.uint8)
    run = METHODS[name]()
    run(images[:1])
    first_s = time.time() - started
    run(images)
    began, cpu = time.perf_counter(), time.process_time()
    rows = run(images)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"first_s": first_s, "rate": count / took, "cpu_ms": 1000 * cpu / count, "check": float(rows.sum())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128, help="number of images")
    parser.add_argument("--runs", type=int, default=3, help="number of runs of each method; the best is printed")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "STARTED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], given.images, float(given.one[1]))))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in METHODS}
    for _ in range(given.runs):
        for name in METHODS:
            words = [sys.executable, __file__, "--images", str(given.images), "--one", name, repr(time.time())]
            quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
            done = subprocess.run(words, env=quiet, capture_output=True, text=True, check=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"| {given.images} images of 224 x 224 | first, s | images a second | CPU ms an image |\n|---|---|---|---|")
    for name, rows in found.items():
        first, rate, cpu = min(r["first_s"] for r in rows), max(r["rate"] for r in rows), min(r["cpu_ms"] for r in rows)
        print(f"| {name} | {first:.1f} | {rate:.0f} | {cpu:.1f} |")


if __name__ == "__main__":
    main()
