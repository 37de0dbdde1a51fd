"""Peak memory and processor time of import and `split` at up to a million images: python benchmarks/split_memory.py

Rerun: python benchmarks/split_memory.py --counts 20000,200000,1000000

The images are pieces of one file, eight different bytes each, since a million files would measure the file system. A plugin's
importer lists them with their ids and classes; the engine reads and hashes each piece. They are no images, so nothing is
decoded (`verify = "none"`), and `duplicates` is "exact" (or "off"): near duplicates need pixels. For each count, an empty store
is used, and each command is a separate process: the import, a first split, and a split with one image more. `split` includes
the start, the plan and the results under `runs/`. Memory is the peak of the command's own process (Linux: VmHWM), and that of
all its processes together (PSS, sampled ten times a second).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from _common import measured

PLUGIN = '''
"""Lists pieces of a file as images."""

from collections.abc import Iterator
from pathlib import Path

import pipekit


class Pieces:
    def sniff(self, path: Path) -> str:
        return "pieces" if path.suffix == ".tar" else ""

    def read(self, path: Path, params: pipekit.Params) -> Iterator[pipekit.Sample]:
        for number in range(path.stat().st_size // 8):
            name = f"class_{number % 100:02}/image_{number:07}.jpg"
            yield pipekit.Sample(name, f"{path}#{8 * number}+8.jpg", label=f"class_{number % 100:02}")


@pipekit.hookimpl
def register_importers(register):
    register("pieces", Pieces())
'''

PIPELINE = """
name = "bench"
plugins = ["pieces.py"]
[stages.data]
use = "import.pieces"
path = "pieces.tar"
verify = "none"
[stages.split]
use = "split"
dataset = "data"
duplicates = "{duplicates}"
"""


def write_pieces(path: Path, numbers: range) -> None:
    with path.open("ab") as file:
        file.writelines(number.to_bytes(8, "little") for number in numbers)


def run(place: Path, *more: str) -> str:
    """The columns of one command: seconds, processor seconds, peak of its process and of the tree."""
    words = [sys.executable, "-m", "pipekit", "run", "--trust", "--quiet", *more]
    took = measured(words, place, {**os.environ, "HOME": str(place), "XDG_CONFIG_HOME": str(place / "config")})
    return f"{took.seconds:9.1f}{took.cpu_s:9.1f}{took.own_peak_bytes / 1e6:9.0f}{took.peak_bytes / 1e6:9.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="20000,200000,1000000", help="numbers of images, with commas")
    parser.add_argument("--duplicates", default="exact", choices=["exact", "off"])
    parser.add_argument("--in", dest="place", type=Path, help="where the stores are made")
    parser.add_argument("--first-only", action="store_true", help="without the run with one image more")
    given = parser.parse_args()
    print(f"{'images':>10}  {'command':24}{'s':>9}{'cpu s':>9}{'MB':>9}{'tree MB':>9}")
    for count in map(int, given.counts.split(",")):
        with tempfile.TemporaryDirectory(dir=given.place) as name:
            place = Path(name)
            (place / "pieces.py").write_text(PLUGIN, "utf-8")
            (place / "pipeline.toml").write_text(PIPELINE.format(duplicates=given.duplicates), "utf-8")
            write_pieces(place / "pieces.tar", range(count))
            for what, more in (("import", ["--until", "data"]), ("first split", [])):
                print(f"{count:10,}  {what:24}{run(place, *more)}", flush=True)
            if given.first_only:
                continue
            write_pieces(place / "pieces.tar", range(count, count + 1))
            print(f"{count:10,}  {'one image more, both':24}{run(place)}", flush=True)


if __name__ == "__main__":
    main()
