"""Training batches per second: the data feed of the stage `train` compared with typical scripts.

Rerun: python benchmarks/feed.py [FOLDER [REPEATS]] [--python data_loader=PATH]

2,000 photographs in class folders, 224 x 224, batches of 32, the recipe of the Keras tutorial (rotation, shifts, shear, zoom,
flip), two workers, no model: only the batches are computed. Each method runs in a fresh process, in turn with the others;
imports are not counted. The first epoch reads the files; later epochs may use the method's cache: the figure is the mean of
two. Compare only within one run: on a machine with other work the images per second vary twofold from run to run. The
processor time per image, summed over all threads and worker processes, depends less on other load, and is the time that the
model loses.

A PyTorch DataLoader is measured too if torch is installed, here or for the interpreter that --python names. An argument names
a folder of class folders to use instead of photographs generated from the sample ones; a number after it is the number of
repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from _common import cpu_seconds, make_photos, why_not

NUM_IMAGES = 2000
SIZE = 224
BATCH = 32
WORKERS = 2
KERAS_BATCHES = 12
"""Number of images per epoch for Keras' layers, which take some twenty times as long as the rest."""
REPEATS = 3
LATER = 2


def listed(folder: Path) -> tuple[list[str], np.ndarray[Any, Any]]:
    files = sorted(str(path) for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))[:NUM_IMAGES]
    names = sorted({Path(file).parent.name for file in files})
    return files, np.array([names.index(Path(file).parent.name) for file in files], np.int64)


Epoch = tuple[float, float]
"""Images per second, and milliseconds of processor time per image."""


def clock(epoch: Callable[[int], Iterable[Any]]) -> list[Epoch]:
    measured = []
    for number in range(1 + LATER):
        began, busy, count = time.perf_counter(), cpu_seconds(), 0
        for batch in epoch(number):
            count += len(batch[0])
        measured.append((count / (time.perf_counter() - began), 1000 * (cpu_seconds() - busy) / count))
    return measured


# --- the methods ---------------------------------------------------------------------------------------------------------


def pipekit(folder: Path, where: Any = "memory", in_processes: bool = True) -> list[Epoch]:
    from pipekit import processes

    if in_processes:
        processes.preload(("pipekit.builtin.train.worker_pool", "pipekit.builtin.train.data"))
        processes.start_early()  # as the stage does before it loads TensorFlow
    from pipekit.builtin.train.cache import Decoded, Place
    from pipekit.builtin.train.data import Decoder, augmenter
    from pipekit.builtin.train.feed import Feed
    from pipekit.recipe import check_ops, compile_recipe
    from pipekit.registry.registry import load_registry
    from pipekit.rng import Seeded

    files, numbers = listed(folder)
    size_hw = (SIZE, SIZE)
    recipe = compile_recipe(check_ops(load_registry(installed=False), "keras_tutorial"), size_hw)
    with tempfile.TemporaryDirectory() as work:
        feed = Feed(
            decoded=Decoded(files, files, Decoder(size_hw, 3), Place(where), Path(work), SIZE * SIZE * 3, in_processes),
            shape_hwc=(*size_hw, 3),
            ids=files,
            targets=numbers,
            weights=np.ones(len(files), np.float32),
            batch_size=BATCH,
            rng=Seeded(0, "feed"),
            shuffle=True,
            augment=augmenter(recipe, 3),
            workers=WORKERS,
            processes=in_processes,
        )
        with feed:
            return clock(feed.epoch)


def pipekit_threads(folder: Path) -> list[Epoch]:
    return pipekit(folder, in_processes=False)


def pipekit_disk(folder: Path) -> list[Epoch]:
    return pipekit(folder, "disk")


def pipekit_no_cache(folder: Path) -> list[Epoch]:
    return pipekit(folder, "off")


def random_layers(keras: Any) -> Any:
    """The recipe as Keras' layers."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.RandomRotation(40 / 360, fill_mode="nearest"),
            layers.RandomTranslation(0.2, 0.2, fill_mode="nearest"),
            layers.RandomShear(0.0035, 0.0, fill_mode="nearest"),
            layers.RandomZoom(0.2, fill_mode="nearest"),
            layers.RandomFlip("horizontal"),
        ]
    )


def keras_layers(folder: Path) -> list[Epoch]:
    """image_dataset_from_directory, then Keras' Random layers on whole batches, as in Keras' own guides."""
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    import tensorflow as tf

    augment = random_layers(keras)
    data = keras.utils.image_dataset_from_directory(folder, image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False)
    data = data.map(lambda x, y: (augment(x, training=True), y), num_parallel_calls=WORKERS).prefetch(tf.data.AUTOTUNE)
    return clock(lambda _: data.take(KERAS_BATCHES))


def albumentations_op(size: int = SIZE) -> Callable[[Any], Any]:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations as albu
    import cv2

    cv2.setNumThreads(1)
    move = albu.Affine(rotate=(-40, 40), translate_percent=(-0.2, 0.2), shear=(-0.2, 0.2), scale=(0.8, 1.2), border_mode=1, p=1)
    change = albu.Compose([albu.Resize(size, size), move, albu.HorizontalFlip(p=0.5)])
    return lambda image: change(image=image)["image"]


def tf_data(folder: Path, keep: bool = False) -> list[Epoch]:
    """tf.data, OpenCV and albumentations through numpy_function, as in albumentations' own example."""
    import cv2

    from pipekit.learning.keras_backend import load_keras

    load_keras()
    import tensorflow as tf

    files, numbers = listed(folder)
    change = albumentations_op()

    def read(file: bytes) -> Any:
        return cv2.resize(
            cv2.cvtColor(cv2.imread(file.decode()), cv2.COLOR_BGR2RGB), (SIZE, SIZE), interpolation=cv2.INTER_AREA
        )

    def load(file: Any, number: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(read, [file], tf.uint8), (SIZE, SIZE, 3)), number

    def augment(image: Any, number: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(change, [image], tf.uint8), (SIZE, SIZE, 3)), number

    data = tf.data.Dataset.from_tensor_slices((files, numbers))
    if not keep:
        data = data.shuffle(len(files))
    data = data.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    if keep:
        data = data.cache().shuffle(1000)
    data = data.map(augment, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)
    return clock(lambda _: data)


def tf_data_cache(folder: Path) -> list[Epoch]:
    return tf_data(folder, keep=True)


def data_loader(folder: Path) -> list[Epoch]:
    """A PyTorch DataLoader with OpenCV and albumentations in two processes."""
    import cv2
    from torch.utils.data import DataLoader, Dataset

    files, numbers = listed(folder)
    change = albumentations_op()

    class Photos(Dataset):  # type: ignore[misc,type-arg]
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, number: int) -> Any:
            image = cv2.cvtColor(cv2.imread(files[number]), cv2.COLOR_BGR2RGB)
            return change(image), int(numbers[number])

    loader = DataLoader(Photos(), batch_size=BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    return clock(lambda _: loader)


OURS = {
    "pipekit, kept in memory": "pipekit",
    "pipekit in threads, kept in memory": "pipekit_threads",
    "pipekit, kept on disk": "pipekit_disk",
    "pipekit, nothing kept": "pipekit_no_cache",
}
THEIRS = {
    "Keras directory + Random layers": "keras_layers",
    "tf.data + albumentations": "tf_data",
    "tf.data + cache + albumentations": "tf_data_cache",
    "PyTorch DataLoader + albumentations": "data_loader",
}


def measure(way: str, folder: Path, python: str) -> list[Epoch]:
    done = subprocess.run([python, __file__, "--way", way, str(folder)], capture_output=True, text=True, check=True)
    found: list[Epoch] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main(folder: Path, repeats: int, pythons: Mapping[str, str]) -> None:
    torch = pythons.get("data_loader", sys.executable)
    without_torch = why_not(torch, "torch")
    ways = {**OURS, **{name: way for name, way in THEIRS.items() if way != "data_loader" or not without_torch}}
    runs: dict[str, list[list[Epoch]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            runs[name].append(measure(way, folder, torch if way == "data_loader" else sys.executable))
            shown = ", ".join(f"{rate:.0f} ({busy:.2f} ms)" for rate, busy in runs[name][-1])
            print(f"{name}: {shown}", file=sys.stderr, flush=True)
    found = {name: [median_of(of, epochs, part) for part in (0, 1) for epochs in PARTS.values()] for name, of in runs.items()}
    print(f"{'median of ' + str(repeats):38}{'images a second':^20}{'processor time, ms':^22}")
    print(f"{'':38}{'first':>10}{'later':>10}{'first':>11}{'later':>11}")
    for name, (first, later, first_ms, later_ms) in found.items():
        print(f"{name:38}{first:10.0f}{later:10.0f}{first_ms:11.2f}{later_ms:11.2f}")
    theirs = {name: figures for name, figures in found.items() if name in THEIRS}
    ours = found["pipekit, kept in memory"]
    for column, label in enumerate(PARTS):
        best = max(theirs, key=lambda name: theirs[name][column])
        least = min(theirs, key=lambda name: theirs[name][column + 2])
        print(
            f"{label}: {ours[column] / theirs[best][column]:.2f} times the fastest of the others ({best}); "
            f"{ours[column + 2] / theirs[least][column + 2]:.2f} times the least processor time of the others ({least})"
        )
    if "data_loader" not in ways.values():
        print(f"no DataLoader: {without_torch}")


PARTS = {"first epoch": slice(0, 1), "later epochs": slice(1, None)}


def median_of(runs: list[list[Epoch]], epochs: slice, part: int) -> float:
    return statistics.median(statistics.mean(epoch[part] for epoch in run[epochs]) for run in runs)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--way"]:
        print(json.dumps(globals()[sys.argv[2]](Path(sys.argv[3]))))
        sys.exit()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="class folders of photographs; made from the sample ones if not")
    parser.add_argument("repeats", nargs="?", type=int, default=REPEATS)
    parser.add_argument("--python", action="append", default=[], metavar="WAY=PATH", help="the interpreter of data_loader")
    given = parser.parse_args()
    pythons = dict(item.split("=", 1) for item in given.python)
    with tempfile.TemporaryDirectory() as made:
        if given.folder is None:
            make_photos(Path(made), NUM_IMAGES, (450, 375))
        main(given.folder or Path(made), given.repeats, pythons)
