"""Many images by features: time, memory and stored shards of ``pipekit embed`` and ``pipekit inspect --features``.

Rerun: python benchmarks/sight_scale.py PHOTOS --counts 1000,4000,8600
       python benchmarks/sight_scale.py PHOTOS --counts 3000,15000,60000 --side 32

The images are disjoint square crops of the photographs, in ten classes by number, saved as PNG up to 64 pixels a side and as
JPEG above. For each count, an empty store is used: `embed` computes every feature, `inspect --features` finds them there. Then
one image is added and both run again; new shards of features in the store are counted. Processor time and
peak memory (PSS) are those of the command with all its processes, sampled ten times a second.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from _common import measured
from PIL import Image

from pipekit import images


def crops(folder: Path, side: int, count: int) -> Iterator[images.Image]:
    """Disjoint crops, as evenly from all photographs as their sizes allow, so that a small count has many photographs too.

    Each photograph is decoded once.
    """
    files = sorted(folder.rglob("*.jpg"))
    room = []
    for path in files:
        with Image.open(path) as opened:
            room.append((opened.width // side) * (opened.height // side))
    most = next((most for most in range(1, max(room) + 1) if sum(min(one, most) for one in room) >= count), max(room))
    for path, one in zip(files, room, strict=True):
        whole = images.read(path)
        down, across = whole.shape[0] // side, whole.shape[1] // side
        for place in range(min(one, most, down * across)):
            top, left = side * (place // across), side * (place % across)
            yield whole[top : top + side, left : left + side]


def write(source: Path, out: Path, count: int, side: int) -> int:
    """Write ``count`` crops, and one more beside the folder; returns how many there are."""
    suffix = "png" if side <= 64 else "jpg"
    number = -1
    for number, crop in enumerate(crops(source, side, count + 1)):
        path = out / str(number % 10) / f"{number:06}.{suffix}"
        if number == count:
            images.write(out.parent / f"more.{suffix}", crop)
            break
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, crop)
    return number


def shards(store: Path) -> set[Path]:
    """The stored shards of features."""
    folders = store.glob("shards/*/*")
    return {one for one in folders if '"features"' in (one / "rows.jsonl").read_text("utf-8")[:4096]}


def command(words: list[str], place: Path) -> tuple[float, int]:
    """Processor seconds and peak memory in bytes of a command with its processes."""
    took = measured([sys.executable, "-m", "pipekit", *words], env={**os.environ, "PIPEKIT_STORE": str(place / "store")})
    return took.cpu_s, took.peak_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--counts", default="1000,4000,8600")
    parser.add_argument("--side", type=int, default=160, help="side of the crops in pixels")
    parser.add_argument("--once", action="store_true", help="leave out the added image")
    chosen = parser.parse_args()
    print("| images | command | CPU s | ms an image | peak MB | shards of features written |\n|---|---|---|---|---|---|")
    for count in map(int, chosen.counts.split(",")):
        with tempfile.TemporaryDirectory() as temporary:
            place = Path(temporary)
            os.chdir(place)
            count = write(chosen.photos.resolve(), place / "images", count, chosen.side)
            known: set[Path] = set()
            for state in ("",) if chosen.once else ("", "one image more: "):
                if state:
                    shutil.move(next(place.glob("more.*")), place / "images" / "0")
                for words in (["embed", "images", "--table", "none", "--quiet"], ["inspect", "images", "--features", "--json"]):
                    seconds, peak = command(words, place)
                    now = shards(place / "store")
                    name = state + " ".join(word for word in words[:3] if word not in ("images", "--table"))
                    row = (f"{count:,}", name, f"{seconds:.1f}", f"{1000 * seconds / count:.1f}", f"{peak / 1e6:.0f}")
                    print("|", " | ".join(row), "|", len(now - known), "of", len(now), "|", flush=True)
                    known = now
            os.chdir("/")


if __name__ == "__main__":
    main()
