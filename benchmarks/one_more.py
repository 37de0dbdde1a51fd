"""One image added to many, and an unchanged run: pipekit beside tools that version data.

Rerun: python benchmarks/one_more.py --python dvc=PATH --python datachain=PATH

Images of 32 x 32 in class folders. pipekit runs import, split, inspect and packed augment of one copy each. The nearest that
the others have: DVC adds the folder (`dvc add`); DataChain lists it and computes the hash of each file (`read_storage`, `map`).
Each runs once with all images, once with one more, and once unchanged, from its own start to its end.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _common import keep_compiled

PIPELINE = """
name = "bench"
[stages.data]
use = "import.folders"
path = "images"
[stages.split]
use = "split"
[stages.inspect]
use = "inspect"
dataset = "split"
[stages.augment]
use = "augment"
dataset = "split"
ops = "keras_tutorial"
copies = 1
packed = true
"""

DATACHAIN = """
import hashlib, sys
import datachain as dc
chain = dc.read_storage(sys.argv[1], type="binary", update=True)
chain.map(sha256=lambda file: hashlib.sha256(file.read()).hexdigest(), output=str).save("hashes")
"""


def write_images(folder: Path, numbers: range) -> None:
    """Different images of noise, in ten classes."""
    from pipekit import images

    for number in numbers:
        place = folder / f"class{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        images.write(place / f"{number:06}.png", noise)


def pipekit(place: Path, python: str) -> list[str]:
    (place / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    return [python, "-m", "pipekit", "run", "pipeline.toml"]


def dvc(place: Path, python: str) -> list[str]:
    subprocess.run([python, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=place, check=True)
    return [python, "-m", "dvc", "add", "--quiet", "images"]


def datachain(place: Path, python: str) -> list[str]:
    (place / "hashes.py").write_text(DATACHAIN, encoding="utf-8")
    return [python, "hashes.py", "images"]


WAYS: dict[str, Callable[[Path, str], list[str]]] = {"pipekit": pipekit, "dvc": dvc, "datachain": datachain}


def timed(words: list[str], place: Path) -> tuple[float, float]:
    """Seconds and processor seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    env = {
        **os.environ,
        "HOME": str(place),
        "XDG_CACHE_HOME": str(place / "cache"),
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
    }
    subprocess.run(words, cwd=place, env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="number of images")
    parser.add_argument("--python", action="append", default=[], metavar="WAY=PATH", help="the interpreter of a tool")
    given = parser.parse_args()
    keep_compiled()
    pythons = {"pipekit": sys.executable, **dict(item.split("=", 1) for item in given.python)}
    print(f"{given.count:,} images; s, and s of processor time")
    print(f"{'':12}{'first':>18}{'one more':>18}{'unchanged':>18}")
    with tempfile.TemporaryDirectory() as made:
        source = Path(made, "source")
        write_images(source, range(given.count))
        for way, prepare in WAYS.items():
            if way not in pythons:
                print(f"{way:12}no interpreter is given: --python {way}=PATH")
                continue
            place = Path(made, way)
            shutil.copytree(source, place / "images")
            words = prepare(place, pythons[way])
            found = [timed(words, place)]
            write_images(place / "images", range(given.count, given.count + 1))
            found += [timed(words, place), timed(words, place)]
            print(f"{way:12}" + "".join(f"{seconds:9.2f}{cpu_s:9.2f}" for seconds, cpu_s in found), flush=True)


if __name__ == "__main__":
    main()
