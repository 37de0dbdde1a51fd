"""`embed` and `predict` on features of EfficientNet-Lite0, compared with a bare loop on the same runtime.

Rerun: python benchmarks/predict.py [FOLDER]

The bare loop reads each file, decodes it at a reduced scale, resizes it and gives it to ONNX Runtime, on two threads with a
session of one thread each; it keeps nothing. The stage `embed` also hashes each file, and stores what it makes; `predict`
returns probabilities in the order of the images. Each method runs in a fresh process, in turn with the others, and is warm:
libraries, weights and sessions are loaded. CPU seconds are the sum over all threads: on a machine with other work they are
more reliable than the clock. A ratio above 1 means: faster than the bare loop.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from _common import cpu_seconds, make_photos, photos_in

WORKERS = 2
SIZE = 224

Ready = Callable[[], int]
"""The measured part of a method; returns the number of images."""


def network(folder: Path) -> Path:
    """EfficientNet-Lite0 as an ONNX file."""
    from pipekit.learning.efficientnet_lite import LITE0, facts_for

    facts, file = facts_for(LITE0), folder / "network"
    assert facts.convert is not None
    file.write_bytes(facts.convert(LITE0.weights_file()))
    return file


def bare(photos: Path, out: Path) -> Ready:
    import cv2
    import onnxruntime
    import simplejpeg

    cv2.setNumThreads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model, files, local = network(out), photos_in(photos), threading.local()

    def one(path: str) -> Any:
        if not hasattr(local, "session"):
            local.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        image = simplejpeg.decode_jpeg(Path(path).read_bytes(), min_height=SIZE, min_width=SIZE, min_factor=2)
        resized = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        return local.session.run(None, {"images": resized[None]})[0]

    pool = ThreadPoolExecutor(WORKERS)
    list(pool.map(one, files[: 4 * WORKERS]))
    return lambda: len(list(pool.map(one, files)))


def embed(photos: Path, out: Path) -> Ready:
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    def plan(folder: Path) -> Any:
        data = {"use": "import.folders", "path": str(folder), "verify": "none"}
        stages = {"data": data, "embed": {"use": "embed"}}
        return load_plan(table={"name": "bench", "workers": WORKERS, "executor": "threads", "stages": stages}, base_dir=out)

    make_photos(out / "few", 8)
    run_plan(plan(out / "few"), publish=False)
    whole = plan(photos)
    run_plan(whole, until="data", publish=False)
    return lambda: int(str(run_plan(whole, publish=False).artifact("embed").meta["facts"]["images"]).replace(",", ""))


def predict(photos: Path, out: Path) -> Ready:
    from pipekit.builtin.embed import EmbedStageParams
    from pipekit.learning.light_predictor import _in_threads, opened_embedder
    from pipekit.learning.predictor import Predictor
    from pipekit.registry.registry import load_registry

    asked: Any = load_registry(installed=False).check_params(EmbedStageParams, {}, out)
    features_of = _in_threads(opened_embedder(asked.embedder))
    kernel = np.ones((1280, 2), np.float32)
    predictor = Predictor(("a", "b"), (SIZE, SIZE, 3), {}, lambda batch: features_of(batch) @ kernel, padded=False)
    files = photos_in(photos)
    list(predictor.stream(files[: 4 * WORKERS], str, workers=WORKERS))
    return lambda: len(list(predictor.stream(files, str, workers=WORKERS)))


WAYS: dict[str, Callable[[Path, Path], Ready]] = {"bare loop": bare, "embed": embed, "predict": predict}


def measure(way: str, photos: Path) -> None:
    """In a separate process: seconds and CPU seconds of the warm method."""
    with tempfile.TemporaryDirectory() as out:
        ready = WAYS[way](photos, Path(out))
        started, cpu_s = time.perf_counter(), cpu_seconds()
        count = ready()
        print(json.dumps([count, time.perf_counter() - started, cpu_seconds() - cpu_s]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="class folders of photographs; made from the sample ones if not")
    parser.add_argument("--count", type=int, default=500, help="number of photographs to make")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        measure(given.way, given.folder)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        if given.folder is None:
            make_photos(folder, given.count)
        taken: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for _ in range(given.repeats):
            for way in WAYS:
                words = [sys.executable, __file__, "--way", way, str(folder)]
                done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
                count, seconds, cpu_s = json.loads(done.stdout.splitlines()[-1])
                taken[way].append((seconds, cpu_s))
    print(f"| {count} photographs | s | CPU s | speed, to the bare loop | by CPU time |\n|---|---|---|---|---|")
    middle = {way: [statistics.median(column) for column in zip(*runs, strict=True)] for way, runs in taken.items()}
    for way, (seconds, cpu_s) in middle.items():
        ratios = f"{middle['bare loop'][0] / seconds:.2f} | {middle['bare loop'][1] / cpu_s:.2f}"
        print(f"| {way} | {seconds:.2f} | {cpu_s:.2f} | {ratios} |")


if __name__ == "__main__":
    main()
