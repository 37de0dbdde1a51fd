"""Overhead of the data feed in training: from files, compared with ``fit`` on arrays in memory.

Rerun: python benchmarks/training.py [FOLDER [REPEATS]]

`simple_cnn` at 150 x 150, batches of 32, 320 photographs, three epochs; the figure is the images per second of the later two.
Each method runs in a fresh process, in turn with the others, twice, with the same initial weights and deterministic ops.
Processor time is that of all threads. An argument names a folder of class folders to use instead of photographs generated from
the sample ones.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import make_photos, photos_in

NUM_IMAGES = 320
SHAPE = (150, 150, 3)
BATCH = 32
EPOCHS = 3
REPEATS = 2

Epochs = list[tuple[float, float]]
"""Images per second and milliseconds of processor time per image, for every epoch."""


class Clock:
    def __init__(self) -> None:
        self.found: Epochs = []
        self.start()

    def start(self) -> None:
        self._began, self._busy = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        seconds, busy = time.perf_counter() - self._began, time.process_time() - self._busy
        self.found.append((NUM_IMAGES / seconds, 1000 * busy / NUM_IMAGES))
        self.start()


def checked(**values: Any) -> tuple[Any, Any]:
    from pipekit.builtin.train.params import TrainParams
    from pipekit.registry.registry import load_registry

    registry = load_registry(installed=False)
    params = registry.check_params(TrainParams, {"epochs": EPOCHS, "batch_size": BATCH, "cache": "memory", **values})
    return params, registry


def build(params: Any) -> Any:
    from pipekit.builtin.train import devices

    devices.prepare(seed=0, deterministic=True)
    return params.model.load()(SHAPE, 2, params.model.params)


def numbers_of(files: list[str]) -> Any:
    names = sorted({Path(file).parent.name for file in files})
    return np.array([names.index(Path(file).parent.name) for file in files], np.int64)


def from_files(folder: Path, **values: Any) -> Epochs:
    """The stage's own loop and feed."""
    from pipekit.builtin.train import data
    from pipekit.builtin.train.cache import Decoded, Place
    from pipekit.builtin.train.compiling import Labels, make_loss, make_metrics, make_optimizer
    from pipekit.builtin.train.feed import Feed
    from pipekit.builtin.train.loop import Loop
    from pipekit.recipe import compile_recipe
    from pipekit.rng import rng_for

    params, _ = checked(**values)
    model, files, labels = build(params), photos_in(folder, NUM_IMAGES), Labels("sparse", ("one", "other"))
    recipe = compile_recipe(params.ops, SHAPE[:2]) if params.ops else None
    load = data.Loader(SHAPE) if recipe is None else data.Decoder(SHAPE[:2], 3)

    class Quiet:
        """The part of a stage's context that the loop uses."""

        work_dir = Path(tempfile.mkdtemp())

        def track(self, items: Any, *_: Any, **__: Any) -> Any:
            return items

        def event(self, name: str, **_: Any) -> None:
            clock.stop()

    feed = Feed(
        decoded=Decoded(files, files, load, Place("memory")),
        shape_hwc=SHAPE,
        ids=files,
        targets=numbers_of(files),
        weights=np.ones(len(files), np.float32),
        batch_size=BATCH,
        rng=lambda *parts: rng_for(0, *parts),
        shuffle=True,
        augment=None if recipe is None else data.augmenter(recipe, 3),
    )

    def prepare() -> None:
        model.compile(make_optimizer(params), make_loss(params, labels), metrics=make_metrics(params, labels))

    loop = Loop(ctx=Quiet(), model=model, feed=feed, validation=None, params=params, compile=prepare)  # type: ignore[arg-type]
    clock = Clock()
    with feed:
        loop.run()
    return clock.found


def augmented(folder: Path) -> Epochs:
    return from_files(folder, ops="keras_tutorial")


def on_arrays(folder: Path) -> Epochs:
    """The upper bound: Keras' ``fit``, with every image decoded and in memory before the clock starts."""
    from pipekit.builtin.train import data
    from pipekit.builtin.train.compiling import Labels, make_loss, make_metrics, make_optimizer
    from pipekit.learning.keras_backend import load_keras

    params, _ = checked()
    model, files, labels = build(params), photos_in(folder, NUM_IMAGES), Labels("sparse", ("one", "other"))
    load = data.Loader(SHAPE)
    pixels = np.stack([load(file) for file in files])
    model.compile(make_optimizer(params), make_loss(params, labels), metrics=make_metrics(params, labels))
    clock = Clock()
    watch = load_keras().callbacks.LambdaCallback(on_epoch_end=lambda *_: clock.stop())
    model.fit(pixels, numbers_of(files), batch_size=BATCH, epochs=EPOCHS, callbacks=[watch], verbose=0)
    return clock.found


WAYS = {
    "fit on arrays in memory": on_arrays,
    "pipekit, from files": from_files,
    "pipekit, from files, keras_tutorial": augmented,
}


def measure(way: str, folder: Path) -> Epochs:
    command = [sys.executable, __file__, "--way", way, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: Epochs = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main(folder: Path, repeats: int = REPEATS) -> None:
    runs: dict[str, list[Epochs]] = {name: [] for name in WAYS}
    for _ in range(repeats):
        for name in WAYS:
            runs[name].append(measure(name, folder))
            print(f"{name}: {', '.join(f'{rate:.1f} ({busy:.1f} ms)' for rate, busy in runs[name][-1])}", file=sys.stderr)
    later = {
        name: [statistics.mean(epoch[part] for run in of for epoch in run[1:]) for part in (0, 1)] for name, of in runs.items()
    }
    print(f"{'later epochs, mean of ' + str(repeats):38}{'images a second':>16}{'processor, ms':>16}{'of fit':>8}")
    whole = later["fit on arrays in memory"][0]
    for name, (rate, busy) in later.items():
        print(f"{name:38}{rate:16.1f}{busy:16.1f}{rate / whole:8.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--way"]:
        print(json.dumps(WAYS[sys.argv[2]](Path(sys.argv[3]))))
    elif len(sys.argv) > 1:
        main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
    else:
        with tempfile.TemporaryDirectory() as made:
            make_photos(Path(made), NUM_IMAGES)
            main(Path(made))
