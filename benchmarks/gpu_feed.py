"""Does an accelerator wait for images? Training steps of `simple_cnn` and `alexnet` from files, beside other feeds.

Rerun: python benchmarks/gpu_feed.py [--images 2000 20000] [--models simple_cnn alexnet] [--precisions float32 mixed_bfloat16]
       [--batch 256] [--workers N] [--ways …] [--step MS]

Photographs of 470 x 400 in class folders, 227 x 227 pixels at the model's input, batches of 256, the recipe of the Keras
tutorial. Every way drives the same compiled step; the bare limit is that step on one batch that stays on the device. "Waits" is
the share of an epoch's time beyond the bare limit: the feed, and the transfer of its batches. The first epoch reads the files;
the figure of the later epochs is their mean.

Keras runs on JAX here, so no TensorFlow with CUDA is needed: the feed hands over NumPy arrays, whatever the backend. `tf.data`
is not among the other feeds: images decoded to memory, with Keras' Random layers on the device (what `tf.data` with `cache` and
these layers computes), and a PyTorch DataLoader with albumentations in as many processes are.

Without a GPU it runs on the processor, where it says nothing about feeds. With `--step` nothing is computed: a step takes that
many milliseconds and no processor time, as if a device computed it; JAX is not needed. Peak memory is that of this process and
its workers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import feed
import numpy as np
from _common import make_photos, tree_memory

SIZE = 227
CLASSES = 2
LATER = 3
MADE_AT_ONCE = 250


Batch = tuple[Any, Any]
Epochs = Callable[[int], Iterable[Batch]]


def load_keras_on_jax() -> Any:
    """Keras with the JAX backend, also for pipekit's templates, which use nothing of TensorFlow but Keras."""
    import keras

    from pipekit.learning import keras_backend

    keras_backend.load_keras = lambda: keras
    return keras


# --- the step ------------------------------------------------------------------------------------------------------------


class Trainer:
    """One compiled training step of a template, and the weights that it changes."""

    def __init__(self, name: str, precision: str, augment: Any = None) -> None:
        keras = load_keras_on_jax()
        import jax

        from pipekit.contract import params_type_of
        from pipekit.registry.registry import load_registry

        keras.config.set_dtype_policy(precision)
        build = load_registry(installed=False).get("model", name).load()
        self.model = build((SIZE, SIZE, 3), CLASSES, params_type_of(build)())
        keras.config.set_dtype_policy("float32")
        self.optimizer = keras.optimizers.Adam(1e-4)
        self.optimizer.build(self.model.trainable_variables)
        loss = keras.losses.SparseCategoricalCrossentropy()
        model, optimizer = self.model, self.optimizer
        extra = [] if augment is None else [one.value for one in augment.variables]

        def step(state: Any, images: Any, numbers: Any) -> tuple[Any, Any]:
            weights, others, of_optimizer, of_augment = state
            if augment is not None:
                images, of_augment = augment.stateless_call([], of_augment, images, training=True)

            def wrong(weights: Any, others: Any) -> tuple[Any, Any]:
                answers, others = model.stateless_call(weights, others, images, training=True)
                return loss(numbers, answers), others

            (value, others), slopes = jax.value_and_grad(wrong, has_aux=True)(weights, others)
            weights, of_optimizer = optimizer.stateless_apply(of_optimizer, slopes, weights)
            return (weights, others, of_optimizer, of_augment), value

        self.step = jax.jit(step, donate_argnums=0)
        self.state = (
            [one.value for one in model.trainable_variables],
            [one.value for one in model.non_trainable_variables],
            [one.value for one in optimizer.variables],
            extra,
        )

    def epoch(self, batches: Iterable[Batch]) -> tuple[float, int]:
        """Seconds until the last step of an epoch has ended, and its number of images."""
        import jax

        began, count, value = time.perf_counter(), 0, None
        for images, numbers in batches:
            self.state, value = self.step(self.state, images, numbers)
            count += len(numbers)
        jax.block_until_ready(value)
        return time.perf_counter() - began, count


def ahead(batches: Iterable[Batch], put: Callable[[Batch], Batch], depth: int = 2) -> Iterator[Batch]:
    """The batches, taken (and put on the device) by a thread while the device computes."""
    source = iter(batches)

    def one() -> Batch | None:
        batch = next(source, None)
        return None if batch is None else put(batch)

    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(one) for _ in range(depth)]
        while (batch := waiting.pop(0).result()) is not None:
            waiting.append(pool.submit(one))
            yield batch


def on_device(batch: Batch) -> Batch:
    import jax

    found: Batch = jax.block_until_ready(jax.device_put(batch))
    return found


def unchanged(batch: Batch) -> Batch:
    return batch


# --- the ways ------------------------------------------------------------------------------------------------------------


def listed(folder: Path, count: int) -> tuple[list[str], Any]:
    files = sorted(folder.rglob("*.jpg"), key=lambda path: path.name)[:count]
    names = sorted({path.parent.name for path in files})
    return [str(path) for path in files], np.array([names.index(path.parent.name) for path in files], np.int64)


class Ours:
    """pipekit's feed, as the stage `train` makes it."""

    def __init__(self, files: list[str], numbers: Any, batch: int, workers: int) -> None:
        from pipekit.builtin.train.cache import Decoded, Place
        from pipekit.builtin.train.data import Decoder, augmenter
        from pipekit.builtin.train.feed import Feed
        from pipekit.recipe import check_ops, compile_recipe
        from pipekit.registry.registry import load_registry
        from pipekit.rng import Seeded

        recipe = compile_recipe(check_ops(load_registry(installed=False), "keras_tutorial"), (SIZE, SIZE))
        self.feed = Feed(
            decoded=Decoded(files, files, Decoder((SIZE, SIZE), 3), Place("memory"), None, SIZE * SIZE * 3, True),
            shape_hwc=(SIZE, SIZE, 3),
            ids=files,
            targets=numbers,
            weights=np.ones(len(files), np.float32),
            batch_size=batch,
            rng=Seeded(0, "feed"),
            shuffle=True,
            augment=augmenter(recipe, 3),
            epochs=1 + LATER,
            workers=workers,
            processes=True,
        )

    def __call__(self, epoch: int) -> Iterator[Batch]:
        return ((images, numbers) for images, numbers, _ in self.feed.epoch(epoch))

    def close(self) -> None:
        self.feed.close()


class Layers:
    """Decoded images in memory, gathered into batches in their order; Keras' Random layers run in the step."""

    def __init__(self, files: list[str], numbers: Any, batch: int, workers: int) -> None:
        from pipekit.builtin.train.data import Decoder

        self.images = np.empty((len(files), SIZE, SIZE, 3), np.uint8)
        self.files, self.numbers, self.batch, self.workers = files, numbers, batch, workers
        self.load = Decoder((SIZE, SIZE), 3)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        if epoch == 0:

            def read(position: int) -> None:
                self.images[position] = self.load(self.files[position])

            with ThreadPoolExecutor(self.workers) as pool:
                list(pool.map(read, range(len(self.files))))
        order = np.random.default_rng(epoch).permutation(len(self.files))
        for start in range(0, len(order), self.batch):
            chosen = order[start : start + self.batch]
            yield self.images[chosen], self.numbers[chosen]

    def close(self) -> None:
        pass


def layers_in_the_step() -> Any:
    made = feed.random_layers(load_keras_on_jax())
    made.build((None, SIZE, SIZE, 3))
    return made


class Loader:
    """A PyTorch DataLoader with OpenCV and albumentations."""

    def __init__(self, files: list[str], numbers: Any, batch: int, workers: int) -> None:
        from torch.utils.data import DataLoader

        self.loader = DataLoader(
            Photos(files, numbers),
            batch_size=batch,
            shuffle=True,
            num_workers=workers,
            persistent_workers=True,
            multiprocessing_context="spawn",
        )

    def __call__(self, epoch: int) -> Iterator[Batch]:
        return ((images.numpy(), numbers.numpy()) for images, numbers in self.loader)

    def close(self) -> None:
        del self.loader


class Photos:
    def __init__(self, files: list[str], numbers: Any) -> None:
        self.files, self.numbers, self.change = files, numbers, None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> Any:
        import cv2

        if self.change is None:
            self.change = feed.albumentations_op(SIZE)
        image = cv2.cvtColor(cv2.imread(self.files[number]), cv2.COLOR_BGR2RGB)
        return self.change(image), int(self.numbers[number])


WAYS: dict[str, tuple[str, Any]] = {
    "pipekit": ("pipekit, as the stage `train`", Ours),
    "thread": ("pipekit, batches taken by a thread", Ours),
    "ahead": ("pipekit, batches put on the device by a thread", Ours),
    "layers": ("decoded in memory + Keras' Random layers on the device", Layers),
    "loader": ("PyTorch DataLoader + albumentations", Loader),
}


class Peak:
    """The largest memory of this process and its children, read twice a second."""

    def __enter__(self) -> Peak:
        self.bytes, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            self.bytes = max(self.bytes, tree_memory(os.getpid()))

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()


class Device:
    """A device that takes ``step_s`` for a step."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s

    def epoch(self, batches: Iterable[Batch]) -> tuple[float, int]:
        began, count = time.perf_counter(), 0
        for _, numbers in batches:
            time.sleep(self.step_s)
            count += len(numbers)
        return time.perf_counter() - began, count


def limit(trainer: Trainer, batch: int, steps: int) -> float:
    """Seconds a step on one batch that stays on the device: the least of three rounds."""
    import jax

    rng = np.random.default_rng(0)
    one = jax.device_put((rng.integers(0, 256, (batch, SIZE, SIZE, 3), np.uint8), np.arange(batch) % CLASSES))
    trainer.epoch([one] * 3)  # compiles
    return min(trainer.epoch([one] * steps)[0] for _ in range(3)) / steps


def measure(
    way: str, model: str, precision: str, folder: Path, count: int, batch: int, workers: int, step_ms: int = 0
) -> dict[str, Any]:
    """Times of one way in this process: the caller starts a fresh one for each."""
    files, numbers = listed(folder, count)
    if len(files) < count:
        raise SystemExit(f"{folder} has {len(files)} photographs, not {count}")
    if WAYS[way][1] is Ours:
        from pipekit import processes

        processes.preload(("pipekit.builtin.train.worker_pool", "pipekit.builtin.train.data"))
        processes.start_early()
    trainer: Trainer | Device
    if step_ms:
        bare, trainer = step_ms / 1000, Device(step_ms / 1000)
    else:
        bare = limit(Trainer(model, precision), batch, 20)
        trainer = Trainer(model, precision, layers_in_the_step() if way == "layers" else None)
        limit(trainer, batch, 1)  # compiles for a whole batch
    source = WAYS[way][1](files, numbers, batch, workers)
    seconds = []
    with Peak() as peak:
        try:
            for epoch in range(1 + LATER):
                batches: Iterable[Batch] = whole_ones(source(epoch), batch)
                if way in ("thread", "ahead"):
                    batches = ahead(batches, on_device if way == "ahead" else unchanged)
                taken, seen = trainer.epoch(batches)
                seconds.append(taken / (seen / batch))
        finally:
            source.close()
    return {"bare": bare, "first": seconds[0], "later": statistics.mean(seconds[1:]), "bytes": peak.bytes}


def whole_ones(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """All but the last batch of an epoch, for which the step would be compiled again."""
    return (batch for batch in batches if len(batch[1]) == size)


def make_many(folder: Path, count: int, processes: int) -> None:
    """Copies of one set of generated photographs, under other names: decoded and augmented each by itself all the same."""
    first = folder / "made"
    make_photos(first, min(count, MADE_AT_ONCE))
    made = sorted(first.rglob("*.jpg"))
    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(lambda number: copy(made[number % len(made)], folder, number), range(count)))
    for path in made:
        path.unlink()


def copy(source: Path, folder: Path, number: int) -> None:
    target = folder / "photos" / source.parent.name / f"{number:06}.jpg"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def main(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        make_many(folder, max(given.images), given.workers)
        print(f"{'':30}{'':58}{'ms a step of ' + str(given.batch):^30}{'waits':>8}{'images/s':>10}{'MB':>8}")
        print(f"{'':30}{'':58}{'bare':>10}{'first':>10}{'later':>10}{'later':>8}")
        for count in given.images:
            for model in given.models if not given.step else ["no model"]:
                for precision in given.precisions if not given.step else ["-"]:
                    for way in given.ways:
                        show(given, folder / "photos", count, model, precision, way)


def show(given: argparse.Namespace, folder: Path, count: int, model: str, precision: str, way: str) -> None:
    arguments = [way, model, precision, str(folder), str(count), str(given.batch), str(given.workers), str(given.step)]
    done = subprocess.run([sys.executable, __file__, "--way", *arguments], capture_output=True, text=True, check=False)
    label = f"{model}, {precision.removeprefix('mixed_')}, {count:,}"
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if "Error" in line] or done.stderr.splitlines()
        print(f"{label}: {WAYS[way][0]}: {(told or ['?'])[-1]}", flush=True)
        return
    found = json.loads(done.stdout.strip().splitlines()[-1])
    bare, first, later = (1000 * found[name] for name in ("bare", "first", "later"))
    print(
        f"{label:30}{WAYS[way][0]:58}{bare:10.1f}{first:10.1f}{later:10.1f}{max(0.0, 1 - bare / later):8.1%}"
        f"{1000 * given.batch / later:10.0f}{found['bytes'] / 1e6:8.0f}",
        flush=True,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--way"]:
        way, model, precision, folder, *numbers = sys.argv[2:]
        print(json.dumps(measure(way, model, precision, Path(folder), *map(int, numbers))))
        sys.exit()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", nargs="+", type=int, default=[2000, 20000])
    parser.add_argument("--models", nargs="+", default=["simple_cnn", "alexnet"])
    parser.add_argument("--precisions", nargs="+", default=["float32", "mixed_bfloat16"])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--step", type=int, default=0, metavar="MS", help="no model: a step takes so many milliseconds")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    main(parser.parse_args())
