"""Time and peak memory of each step at several numbers of images, as a table in Markdown.

Rerun: python benchmarks/scale.py [PHOTOS] [--small 1000,10000,60000] [--photographs 1000,4000] [--skip embed,feed]

Small images are 32 x 32 PNG files of noise in ten classes. Photographs are those of PHOTOS, class folders of JPEG files; where
it has fewer, disjoint crops of 160 x 160, whose near duplicates mean nothing; without PHOTOS, overlapping crops of the sample
photographs. Each step is a separate command, after those before it in one new store: `pipekit
run --until STEP`, with its start, the plan, a check of what is there, and the results under `runs/`. `import` verifies and
measures each image, `augment` makes one copy each, of 150 x 150 or 32 x 32, `export` writes WebDataset. The feed is that of
`train` without a model, in batches of 32 of that size: a first epoch, which decodes, and two from its cache.

Processor time and memory are those of a command with all its processes (memory: PSS, ten times a second).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import feed
from _common import Measured, make_photos, measured, photos_in
from one_more import write_images
from sight_scale import write as write_crops

PIPELINE = """
name = "bench"
[stages.import]
use = "import.folders"
path = "images"
[stages.split]
use = "split"
[stages.inspect]
use = "inspect"
dataset = "split"
[stages.embed]
use = "embed"
dataset = "split"
[stages.augment]
use = "augment"
dataset = "split"
ops = "keras_tutorial"
copies = 1
size_hw = [{size}, {size}]
[stages.export]
use = "export.webdataset"
dataset = "augment"
"""

STEPS = ("import", "split", "inspect", "embed", "augment", "export", "feed")
SMALL_PX, PHOTO_PX, CROP_PX = 32, 150, 160


def make_small(place: Path, count: int, photos: Path | None) -> str:
    write_images(place / "images", range(count))
    return f"{SMALL_PX} x {SMALL_PX}"


def make_large(place: Path, count: int, photos: Path | None) -> str:
    """Photographs, or crops; returns what they are."""
    folder = place / "images"
    if photos is None:
        make_photos(folder, count)
        return "crops of the sample photographs"
    files = photos_in(photos)
    if len(files) < count:
        made = write_crops(photos, folder, count, CROP_PX)
        if made < count:
            raise SystemExit(f"{photos} has only {made:,} disjoint crops of {CROP_PX} px")
        for one in place.glob("more.*"):
            one.unlink()
        return f"crops of {CROP_PX} x {CROP_PX}"
    for file in map(Path, photos_in(photos, count)):
        to = folder / file.relative_to(photos)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)
    return "photographs"


def step(name: str, place: Path, count: int, size: int) -> Measured:
    if name == "feed":
        return measured([sys.executable, __file__, "--feed", str(place / "images"), str(count), str(size)])
    return measured([sys.executable, "-m", "pipekit", "run", "--quiet", "--until", name], place)


def run_feed(folder: Path, count: int, size: int) -> None:
    """In a separate process."""
    feed.NUM_IMAGES, feed.SIZE = count, size
    feed.pipekit(folder)


def table(make: object, counts: list[int], size: int, photos: Path | None, skip: set[str]) -> None:
    for count in counts:
        with tempfile.TemporaryDirectory() as temporary:
            place = Path(temporary)
            kind = make(place, count, photos)  # type: ignore[operator]
            (place / "pipeline.toml").write_text(PIPELINE.format(size=size), "utf-8")
            for name in STEPS:
                if name in skip:
                    continue
                took = step(name, place, count, size)
                cells = (
                    f"{took.seconds:.1f}",
                    f"{took.cpu_s:.1f}",
                    f"{1000 * took.cpu_s / count:.2f}",
                    f"{took.peak_bytes / 1e6:.0f}",
                )
                print(f"| {kind} | {count:,} | {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--small", default="1000,10000,60000", help="numbers of images of 32 x 32, with commas; 0: none")
    parser.add_argument("--photographs", default="1000,4000", help="numbers of photographs; 0: none")
    parser.add_argument("--skip", default="", help=f"steps to omit: {', '.join(STEPS)}")
    parser.add_argument("--feed", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.feed:
        run_feed(Path(given.feed[0]), int(given.feed[1]), int(given.feed[2]))
        return
    print("| images | number | step | s | processor s | processor ms an image | peak MB |\n|---|---|---|---|---|---|---|")
    skip, photos = set(given.skip.split(",")), given.photos and given.photos.resolve()
    for make, counts, size in ((make_small, given.small, SMALL_PX), (make_large, given.photographs, PHOTO_PX)):
        table(make, [int(one) for one in counts.split(",") if int(one)], size, photos, skip)


if __name__ == "__main__":
    main()
