"""Augmented copies of a thousand photographs: the stage `augment` against what people write.

Rerun: python benchmarks/augment.py

1,000 photographs of about 470 x 400 px, three copies of each, the recipe of the Keras tutorial, 150 x 150 JPEG of quality 95,
two workers. Each way runs in a fresh process, in turn with the others; imports are not counted. The stage also hashes every
input and output, writes down what it drew and can resume; the others keep no record. CPU seconds are of all threads and
processes together: on a machine with other work they say more than the clock. Memory is the peak of the whole tree.

An argument names a folder of photographs to be used instead of those that are made from the sample ones. A second argument
names the ways to run, joined by commas, and a third how often.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

NUM_IMAGES = 1000
COPIES = 3
SIZE = 150
WORKERS = 2
REPEATS = 3
PHOTOS = Path(__file__).parents[1] / "sample_data" / "photos"


def make_images(folder: Path, count: int) -> None:
    """Photographs of about 470 x 400 px: parts of the sample photographs, turned and scaled."""
    import cv2

    from pipekit import images

    sources = [images.read(PHOTOS / name) for name in ("cat.jpg", "coffee.jpg")]
    rng = np.random.default_rng(0)
    for number in range(count):
        source = sources[number % 2]
        height, width = source.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-30, 30), rng.uniform(1.3, 1.8))
        image = cv2.warpAffine(source, turn, (470, 400), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        path = folder / ("cat", "coffee")[number % 2] / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, image.astype(np.uint8), quality=92)


def paths_in(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*.jpg"))


CPU_BEFORE = [0.0]
"""CPU seconds that had gone when a way began its work: imports are not counted."""


def cpu_seconds() -> float:
    return sum(who.ru_utime + who.ru_stime for who in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def begin() -> float:
    CPU_BEFORE[0] = cpu_seconds()
    return time.perf_counter()


def plan_jobs(folder: Path, out: Path) -> list[tuple[str, str, int]]:
    return [(path, str(out / f"{n:05}_{{}}.jpg"), n) for n, path in enumerate(paths_in(folder)[:NUM_IMAGES])]


# --- the ways ------------------------------------------------------------------------------------------------------------


def bare(job: tuple[str, str, int]) -> None:
    """Reduced decode, one warpAffine, encode: what the machine can do."""
    import cv2
    import simplejpeg

    source, target, number = job
    data = Path(source).read_bytes()
    rng = np.random.default_rng(number)
    for copy in range(COPIES):
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


def bare_threads(folder: Path, out: Path) -> float:
    import cv2
    import simplejpeg  # noqa: F401

    cv2.setNumThreads(1)
    jobs = plan_jobs(folder, out)
    started = begin()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(bare, jobs))
    return time.perf_counter() - started


def pipekit_stage(folder: Path, out: Path) -> float:
    from pipekit import engine
    from pipekit.pipeline import load_plan

    stages: dict[str, Any] = {
        "data": {"use": "import.folders", "path": str(folder), "verify": "none"},
        "augment": {"use": "augment", "ops": "keras_tutorial", "copies": COPIES, "size_hw": [SIZE, SIZE]},
    }
    plan = load_plan(table={"name": "bench", "workers": WORKERS, "stages": stages}, base_dir=out)
    engine.run(plan, until="data", publish=False)
    started = begin()
    engine.run(plan, publish=False)
    return time.perf_counter() - started


def albu_one(job: tuple[str, str, int]) -> None:
    import albumentations
    import cv2

    cv2.setNumThreads(1)
    source, target, number = job
    transform = albumentations.Compose(
        [
            albumentations.Affine(
                rotate=(-40, 40),
                translate_percent=(-0.2, 0.2),
                shear=(-0.2, 0.2),
                scale={"x": (0.8, 1.2), "y": (0.8, 1.2)},
                border_mode=cv2.BORDER_REPLICATE,
                p=1,
            ),
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Resize(SIZE, SIZE),
        ],
        seed=number,
    )
    image = cv2.cvtColor(cv2.imread(source), cv2.COLOR_BGR2RGB)
    for copy in range(COPIES):
        moved = transform(image=image)["image"]
        cv2.imwrite(target.format(copy), cv2.cvtColor(moved, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])


def albumentations_pool(folder: Path, out: Path) -> float:
    import albumentations  # noqa: F401

    jobs = plan_jobs(folder, out)
    with get_context("fork").Pool(WORKERS) as pool:
        pool.map(albu_one, jobs[: 2 * WORKERS])
        started = begin()
        pool.map(albu_one, jobs)
        seconds = time.perf_counter() - started
        pool.close()
        pool.join()
    return seconds


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
    while made < COPIES * min(NUM_IMAGES, flow.samples):
        made += len(next(flow)[0])
    return time.perf_counter() - started


WAYS = {
    "bare loop, two threads": bare_threads,
    "pipekit": pipekit_stage,
    "albumentations, two processes": albumentations_pool,
    "Keras ImageDataGenerator": keras_generator,
}


# --- measuring -----------------------------------------------------------------------------------------------------------


def tree_memory(pid: int) -> int:
    """Bytes that a process and its children hold for themselves; shared pages count in parts (PSS)."""
    total, todo = 0, [pid]
    while todo:
        one = todo.pop()
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
            for task in Path(f"/proc/{one}/task").iterdir():
                todo += [int(child) for child in (task / "children").read_text().split()]
        except (OSError, StopIteration):
            continue
    return total


def measure(way: str, folder: Path) -> tuple[float, float, int]:
    """Seconds, CPU seconds and peak bytes of a way in a process of its own."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, __file__, "--way", way, str(folder), out]
        env = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        peak, done = 0, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.1):
                peak = max(peak, tree_memory(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        output, _ = process.communicate()
        done.set()
        watcher.join()
        if process.returncode:
            raise SystemExit(f"{way} failed")
        seconds, cpu = json.loads(output.splitlines()[-1])
        return seconds, cpu, peak


def main() -> None:
    if sys.argv[1:2] == ["--way"]:
        seconds = WAYS[sys.argv[2]](Path(sys.argv[3]), Path(sys.argv[4]))
        print(json.dumps([seconds, cpu_seconds() - CPU_BEFORE[0]]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        if len(sys.argv) < 2:
            make_images(folder, NUM_IMAGES)
        wanted = [way for way in WAYS if len(sys.argv) < 3 or any(word in way for word in sys.argv[2].split(","))]
        times: dict[str, list[float]] = {way: [] for way in wanted}
        cpu: dict[str, list[float]] = {way: [] for way in wanted}
        peaks: dict[str, int] = dict.fromkeys(wanted, 0)
        for repeat in range(int(sys.argv[3]) if len(sys.argv) > 3 else REPEATS):
            for way in wanted:
                if repeat and way.startswith("Keras"):  # once is half a minute
                    continue
                seconds, used, peak = measure(way, folder)
                times[way].append(seconds)
                cpu[way].append(used)
                peaks[way] = max(peaks[way], peak)
        count = COPIES * min(NUM_IMAGES, len(paths_in(folder)))
        ours = [statistics.median(found["pipekit"]) if "pipekit" in found else float("nan") for found in (times, cpu)]
        print(
            f"{'way':32}{'seconds':>9}{'CPU s':>9}{'images/s':>10}{'seconds to ours':>17}{'CPU to ours':>13}{'memory MB':>11}"
        )
        for way in wanted:
            seconds, used = statistics.median(times[way]), statistics.median(cpu[way])
            ratios = f"{seconds / ours[0]:16.2f}x{used / ours[1]:12.2f}x"
            print(f"{way:32}{seconds:9.2f}{used:9.2f}{count / seconds:10.0f}{ratios}{peaks[way] / 1e6:11.0f}")


if __name__ == "__main__":
    main()
