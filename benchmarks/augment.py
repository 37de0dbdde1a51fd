"""Augmented copies of a thousand photographs: the stage `augment` compared with typical scripts.

Rerun: python benchmarks/augment.py

1,000 photographs of about 470 x 400 px, three copies of each, the recipe of the Keras tutorial, 150 x 150 JPEG of quality 95,
two workers. Each method runs in a fresh process, in turn with the others; imports are not counted. The stage also hashes every
input and output, records the drawn parameters and can resume; the others keep no record. CPU seconds are the sum over all
threads and processes: on a machine with other work they are more reliable than the clock. Memory is the peak of the whole
process tree.

The bare loop decodes a photograph again for each copy, as the peers' pipelines do; `bare-once` keeps it, as the stage does.
imgaug and Augmentor need older libraries than pipekit: pass them a separate interpreter, `--python imgaug=PATH --python
augmentor=PATH`. Libraries that can't be imported are listed and omitted. Augmentor rotates by at most 25 degrees and writes
Pillow's quality 75; it shears by 1 degree, the least that it accepts.

    python -m venv old && old/bin/pip install "numpy<2" "opencv-python-headless<4.12" imgaug Augmentor
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from _common import HERE, as_the_command, cpu_seconds, make_photos, photos_in, run_alone, why_not

COPIES = 3
SIZE = 150
WORKERS = 2

Job = tuple[str, str, int]
"""A photograph, the name of its copies with a placeholder for the number, and a seed."""

CPU_BEFORE = [0.0]
"""CPU seconds used before a method began its work: imports are not counted."""


def begin() -> float:
    CPU_BEFORE[0] = cpu_seconds()
    return time.perf_counter()


def plan_jobs(folder: Path, out: Path) -> list[Job]:
    return [(path, str(out / f"{n:05}_{{}}.jpg"), n) for n, path in enumerate(photos_in(folder))]


# --- the methods ---------------------------------------------------------------------------------------------------------


def bare_one(job: Job, once: bool = False) -> None:
    """Reduced decode, one warpAffine, encode: the upper bound on this machine."""
    import cv2
    import simplejpeg

    source, target, number = job
    data = Path(source).read_bytes()
    rng = np.random.default_rng(number)
    image = np.empty(0)
    for copy in range(COPIES):
        if copy == 0 or not once:
            image = simplejpeg.decode_jpeg(data, min_height=SIZE, min_width=SIZE, min_factor=2)
        height, width = image.shape[:2]
        angle = np.radians(rng.uniform(-40, 40))
        zx, zy = rng.uniform(0.8, 1.2, 2)
        shift = rng.uniform(-0.2, 0.2, 2) * SIZE
        flip = -1.0 if rng.random() < 0.5 else 1.0
        turn = np.array([[np.cos(angle) * zx * flip, np.sin(angle) * zx], [-np.sin(angle) * zy * flip, np.cos(angle) * zy]])
        linear = turn @ np.diag([SIZE / width, SIZE / height])
        offset = SIZE / 2 - linear @ (width / 2, height / 2) + shift
        matrix = np.hstack([linear, offset[:, np.newaxis]])
        moved = cv2.warpAffine(image, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
        Path(target.format(copy)).write_bytes(simplejpeg.encode_jpeg(moved, 95, colorsubsampling="420"))


def bare(folder: Path, out: Path, once: bool = False) -> float:
    import cv2
    import simplejpeg  # noqa: F401

    cv2.setNumThreads(1)
    jobs = plan_jobs(folder, out)
    started = begin()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda job: bare_one(job, once), jobs))
    return time.perf_counter() - started


def bare_once(folder: Path, out: Path) -> float:
    return bare(folder, out, once=True)


def pipekit_stage(folder: Path, out: Path, packed: bool = False) -> float:
    from pipekit.builtin.executors import MANY
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    as_the_command()
    stages: dict[str, Any] = {
        "data": {"use": "import.folders", "path": str(folder), "verify": "none"},
        "augment": {"use": "augment", "ops": "keras_tutorial", "copies": COPIES, "size_hw": [SIZE, SIZE], "packed": packed},
    }
    executor = "processes" if len(photos_in(folder)) >= MANY else "threads"  # as the command does
    plan = load_plan(table={"name": "bench", "workers": WORKERS, "executor": executor, "stages": stages}, base_dir=out)
    run_plan(plan, until="data", publish=False)
    started = begin()
    run_plan(plan, publish=False)
    return time.perf_counter() - started


def pipekit_packed(folder: Path, out: Path) -> float:
    return pipekit_stage(folder, out, packed=True)


def in_pool(one: Callable[[Job], None], folder: Path, out: Path) -> float:
    """``one`` over all photographs in two running processes."""
    jobs = plan_jobs(folder, out)
    with get_context("fork").Pool(WORKERS) as pool:
        pool.map(one, jobs[: 2 * WORKERS], chunksize=1)
        started = begin()
        pool.map(one, jobs)
        seconds = time.perf_counter() - started
        pool.close()
        pool.join()
    return seconds


def with_opencv(job: Job, change: Callable[[Any], Any]) -> None:
    """Read, change and write with OpenCV, as scripts for albumentations and imgaug do."""
    import cv2

    source, target, _ = job
    image = cv2.cvtColor(cv2.imread(source), cv2.COLOR_BGR2RGB)
    for copy in range(COPIES):
        moved = cv2.cvtColor(change(image), cv2.COLOR_RGB2BGR)
        cv2.imwrite(target.format(copy), moved, [cv2.IMWRITE_JPEG_QUALITY, 95])


def albu_one(job: Job, resize_first: bool = False) -> None:
    import albumentations as albu
    import cv2

    cv2.setNumThreads(1)
    move = albu.Affine(
        rotate=(-40, 40),
        translate_percent=(-0.2, 0.2),
        shear=(-0.2, 0.2),
        scale={"x": (0.8, 1.2), "y": (0.8, 1.2)},
        border_mode=cv2.BORDER_REPLICATE,
        p=1,
    )
    steps = [move, albu.HorizontalFlip(p=0.5)]
    steps.insert(0 if resize_first else 2, albu.Resize(SIZE, SIZE))
    transform = albu.Compose(steps, seed=job[2])
    with_opencv(job, lambda image: transform(image=image)["image"])


def albu_resized_one(job: Job) -> None:
    albu_one(job, resize_first=True)


def albumentations_script(folder: Path, out: Path) -> float:
    import albumentations  # noqa: F401

    return in_pool(albu_one, folder, out)


def albumentations_resized(folder: Path, out: Path) -> float:
    import albumentations  # noqa: F401

    return in_pool(albu_resized_one, folder, out)


def imgaug_recipe(seed: int) -> Any:
    from imgaug import augmenters as iaa

    share = {"x": (-0.2, 0.2), "y": (-0.2, 0.2)}
    scale = {"x": (0.8, 1.2), "y": (0.8, 1.2)}
    move = iaa.Affine(rotate=(-40, 40), translate_percent=share, shear=(-0.2, 0.2), scale=scale, mode="edge")
    return iaa.Sequential([move, iaa.Fliplr(0.5), iaa.Resize({"height": SIZE, "width": SIZE})], seed=seed)


def imgaug_one(job: Job) -> None:
    import cv2

    cv2.setNumThreads(1)
    transform = imgaug_recipe(job[2])
    with_opencv(job, lambda image: transform(image=image))


def imgaug_script(folder: Path, out: Path) -> float:
    import imgaug  # noqa: F401

    return in_pool(imgaug_one, folder, out)


def imgaug_own_pool(folder: Path, out: Path) -> float:
    """As in imgaug's documentation: batches are read and written here, its own two processes augment them."""
    import cv2
    from imgaug.augmentables.batches import UnnormalizedBatch

    cv2.setNumThreads(1)
    jobs = plan_jobs(folder, out)

    def batches() -> Any:
        for at in range(0, len(jobs), 16):
            some = jobs[at : at + 16]
            images = [cv2.cvtColor(cv2.imread(source), cv2.COLOR_BGR2RGB) for source, _, _ in some]
            targets = [target.format(copy) for _, target, _ in some for copy in range(COPIES)]
            yield UnnormalizedBatch(images=[image for image in images for _ in range(COPIES)], data=targets)

    with imgaug_recipe(0).pool(processes=WORKERS, seed=0) as pool:
        started = begin()
        for batch in pool.imap_batches(batches(), output_buffer_size=4 * WORKERS):
            for target, image in zip(batch.data, batch.images_aug, strict=True):
                cv2.imwrite(target, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])
        return time.perf_counter() - started


def augmentor(folder: Path, out: Path) -> float:
    import Augmentor

    count = len(photos_in(folder))
    pipeline = Augmentor.Pipeline(str(folder), str(out), save_format="JPEG")
    pipeline.rotate(probability=1, max_left_rotation=25, max_right_rotation=25)
    pipeline.shear(probability=1, max_shear_left=1, max_shear_right=1)
    pipeline.zoom(probability=1, min_factor=1.0, max_factor=1.2)
    pipeline.flip_left_right(probability=0.5)
    pipeline.resize(probability=1, width=SIZE, height=SIZE)
    started = begin()
    pipeline.sample(COPIES * count)
    return time.perf_counter() - started


def keras_generator(folder: Path, out: Path) -> float:
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    generator = ImageDataGenerator(
        rotation_range=40,
        width_shift_range=0.2,
        height_shift_range=0.2,
        shear_range=0.2,
        zoom_range=0.2,
        horizontal_flip=True,
        fill_mode="nearest",
    )
    flow = generator.flow_from_directory(
        folder, target_size=(SIZE, SIZE), batch_size=50, save_to_dir=out, save_format="jpg", seed=0
    )
    started = begin()
    made = 0
    while made < COPIES * flow.samples:
        made += len(next(flow)[0])
    return time.perf_counter() - started


@dataclass(frozen=True)
class Way:
    title: str
    run: Callable[[Path, Path], float]
    module: str = ""
    """What has to be installed."""
    repeat: bool = True
    """False for those that take half a minute."""


WAYS = {
    "bare": Way("bare loop, two threads", bare),
    "pipekit": Way("pipekit", pipekit_stage),
    "pipekit-packed": Way("pipekit, into tars", pipekit_packed),
    "bare-once": Way("bare loop, each decoded once", bare_once),
    "albumentations": Way("albumentations script, Pool(2)", albumentations_script, "albumentations"),
    "albumentations-resized": Way("the same, resized first", albumentations_resized, "albumentations"),
    "imgaug": Way("imgaug script, Pool(2)", imgaug_script, "imgaug"),
    "imgaug-pool": Way("imgaug, its own two processes", imgaug_own_pool, "imgaug"),
    "augmentor": Way("Augmentor", augmentor, "Augmentor", repeat=False),
    "keras": Way("Keras ImageDataGenerator", keras_generator, "keras", repeat=False),
}
ALWAYS = ("bare", "pipekit")


# --- measuring -----------------------------------------------------------------------------------------------------------


def measure(way: str, python: str, folder: Path) -> tuple[float, float, int]:
    """Seconds, CPU seconds and peak bytes of a method in a separate process."""
    env = {
        **os.environ,
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
        "TQDM_DISABLE": "1",
    }
    with tempfile.TemporaryDirectory() as out:
        said, peak = run_alone([python, __file__, "--way", way, str(folder), out], env)
    seconds, cpu_s = json.loads(next(line for line in reversed(said.splitlines()) if line.startswith("[")))
    return float(seconds), float(cpu_s), peak


def interpreter(way: str, pythons: dict[str, str]) -> str:
    """`--python imgaug=PATH` is also for `imgaug-pool`."""
    return pythons.get(way) or pythons.get(way.partition("-")[0], HERE)


def chosen_ways(names: str, pythons: dict[str, str]) -> list[str]:
    """The methods to run; the unavailable ones are reported."""
    wanted = [way for way in WAYS if not names or way in ALWAYS or way in names.split(",")]
    found = []
    for way in wanted:
        reason = why_not(interpreter(way, pythons), WAYS[way].module) if WAYS[way].module else ""
        if reason:
            print(f"{WAYS[way].title}: not installed ({reason}); give its interpreter with --python {way}=PATH")
        else:
            found.append(way)
    return found


def report(ways: list[str], pythons: dict[str, str], folder: Path, repeats: int) -> None:
    taken: dict[str, list[tuple[float, float, int]]] = {way: [] for way in ways}
    for repeat in range(repeats):
        for way in ways:
            if repeat == 0 or WAYS[way].repeat:
                taken[way].append(measure(way, interpreter(way, pythons), folder))
                seconds, cpu_s, peak = taken[way][-1]
                print(
                    f"{WAYS[way].title}: {seconds:.2f} s, {cpu_s:.2f} CPU s, {peak / 1e6:.0f} MB", file=sys.stderr, flush=True
                )
    count = len(photos_in(folder))
    print(f"{count} photographs, {COPIES} copies of each; medians of {repeats}, of one run for the slowest")
    print(f"{'way':32}{'seconds':>9}{'CPU s':>9}{'copies/s':>10}{'seconds to ours':>17}{'CPU to ours':>13}{'memory MB':>11}")
    middle = {way: [statistics.median(run[part] for run in taken[way]) for part in (0, 1)] for way in ways}
    for way, (seconds, cpu_s) in middle.items():
        ratios = f"{seconds / middle['pipekit'][0]:16.2f}x{cpu_s / middle['pipekit'][1]:12.2f}x"
        peak = max(run[2] for run in taken[way]) / 1e6
        print(f"{WAYS[way].title:32}{seconds:9.2f}{cpu_s:9.2f}{COPIES * count / seconds:10.0f}{ratios}{peak:11.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="class folders of photographs; made from the sample ones if not")
    parser.add_argument("--count", type=int, default=1000, help="how many photographs to make")
    parser.add_argument("--ways", default="", help=f"beside {' and '.join(ALWAYS)}: {', '.join(WAYS)}; all unless given")
    parser.add_argument("--python", action="append", default=[], metavar="WAY=PATH", help="an interpreter for one way")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    pythons = dict(item.split("=", 1) for item in asked.python)
    for way in [*pythons, *filter(None, asked.ways.split(","))]:
        if way not in WAYS:
            parser.error(f"no way called {way!r}; there are {', '.join(WAYS)}")
    ways = chosen_ways(asked.ways, pythons)
    with tempfile.TemporaryDirectory() as made:
        folder = asked.folder or Path(made)
        if asked.folder is None:
            make_photos(folder, asked.count)
        report(ways, pythons, folder, asked.repeats)


def run_way(way: str, folder: str, out: str) -> None:
    seconds = WAYS[way].run(Path(folder), Path(out))
    written = len(list(Path(out).rglob("*.jpg"))) + len(list(Path(out).rglob("*.JPEG")))
    for tar in Path(out).rglob("files.tar"):
        with tarfile.open(tar) as opened:
            written += sum(name.endswith(".jpg") for name in opened.getnames())
    wanted = COPIES * len(photos_in(Path(folder)))
    if written < wanted:
        raise SystemExit(f"{way} wrote {written} of {wanted} files")
    print("\n" + json.dumps([seconds, cpu_seconds() - CPU_BEFORE[0]]))  # some leave a line of theirs open


if __name__ == "__main__":
    if sys.argv[1:2] == ["--way"]:
        run_way(*sys.argv[2:])
    else:
        main()
