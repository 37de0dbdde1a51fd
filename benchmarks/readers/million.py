"""Peak memory of importers on datasets of 10,000, 100,000 and a million rows.

    python benchmarks/readers/million.py                           # all; or: --rows 100000 --readers via createml

Every row is an entry of its own. Tables, lists and annotation files name images that are there: links to one tiny image. So do
the folders of images, whose annotations are links to one file. The rows of `imagenet`, `npz`, `hdf5`, `idx`, `tfrecord`,
`parquet` and `arrow` have no image or a label without a name, and are listed as failed: what is measured is the reader, not the
writing of a million images. What other importers write is deleted at once.

With `--small-caches`, the caches of tables on disk and of names in a folder hold 0.5 MB and 1,000 names, not 20 MB and 50,000:
then fewer rows show whether anything else grows with their number.

Each reader runs in a separate process, on a dataset of twenty rows first, then on each size: the table has the peak of that
process so far, and the processor time of the last size, by row.
"""

from __future__ import annotations

import argparse
import inspect
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.readers import datasets  # noqa: E402

SMALLEST = 20
"""Rows of the dataset that is read first, for the memory of the libraries."""


READERS: dict[str, tuple[str, Callable[[Path, int], Path], dict[str, Any]]] = {
    "coco": ("coco", datasets.coco, {}),
    "csv": ("csv", datasets.csv, {}),
    "metadata (JSON Lines)": ("metadata", datasets.metadata, {}),
    "box_csv": ("box_csv", datasets.box_csv, {}),
    "createml": ("createml", datasets.createml, {}),
    "label_studio": ("label_studio", datasets.label_studio, {}),
    "via": ("via", datasets.via, {}),
    "via (CSV)": ("via", datasets.via_csv, {}),
    "cvat": ("cvat", datasets.cvat, {}),
    "image_list": ("image_list", datasets.image_list, {}),
    "cub": ("cub", datasets.cub, {}),
    "pets": ("pets", datasets.pets, {}),
    "food101": ("food101", datasets.food101, {}),
    "imagenet": ("imagenet", datasets.imagenet, {}),
    "npz": ("npz", datasets.npz, {"classes": ["a"]}),
    "hdf5": ("hdf5", datasets.hdf5, {"classes": ["a"]}),
    "tfrecord": ("tfrecord", datasets.tfrecord, {}),
    "parquet": ("parquet", datasets.parquet, {}),
    "arrow": ("arrow", datasets.arrow, {}),
    "idx": ("idx", datasets.idx, {}),
    "cifar": ("cifar", datasets.cifar, {}),
    "videos": ("videos", datasets.videos, {"rate_hz": 0}),
    "folders": ("folders", datasets.folders, {}),
    "names": ("names", datasets.names, {}),
    "masks": ("masks", datasets.masks, {}),
    "roboflow_masks": ("roboflow_masks", datasets.roboflow_masks, {}),
    "yolo": ("yolo", datasets.yolo, {}),
    "voc": ("voc", datasets.voc, {}),
    "labelme": ("labelme", datasets.labelme, {}),
    "coco_panoptic": ("coco_panoptic", datasets.coco_panoptic, {}),
}


def rows_of(name: str, path: Path, out_dir: Path) -> Iterator[Any]:
    from pipekit.registry.registry import load_registry

    importer, _, values = READERS[name]
    component = load_registry(installed=False).get("importer", importer)
    module, params = component.load(), component.params_type()
    more = (out_dir,) if "out_dir" in inspect.signature(module.read).parameters else ()
    assert module.sniff(path), f"{name}: {module.sniff(path)}"
    given = {**values, "path": path}
    yield from module.read(path, params(**{key: value for key, value in given.items() if key in params.model_fields}), *more)


def shrink_caches() -> None:
    """In this process."""
    from pipekit.builtin.importers import lookup
    from pipekit.files import trees

    lookup.CACHE_KB, trees.NAMES_AT_ONCE, trees.LISTED = 500, 1000, 1000


def work(name: str, paths: list[str], scratch: str) -> None:
    """In a separate process: read the datasets, the smallest first, and print what each took."""
    found = []
    for path in paths:
        start = time.process_time()
        rows = _read(name, Path(path), Path(scratch))
        found.append({"rows": rows, "peak_kb": peak_kb(), "cpu_s": time.process_time() - start})
    print(json.dumps(found))


def peak_kb() -> int:
    """The peak of this process alone; ``ru_maxrss`` begins with that of the process which started it."""
    status = Path("/proc/self/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def _read(name: str, path: Path, scratch: Path) -> int:
    """The number of rows; what the importer writes is deleted."""
    count, prefix = 0, str(scratch)
    for row in rows_of(name, path, scratch):
        count += 1
        targets = getattr(row, "targets", None)
        for place in (getattr(row, "image", ""), targets.mask if targets else ""):
            if place.startswith(prefix):
                Path(place).unlink(missing_ok=True)
    return count


def measured(name: str, sizes: list[int], data: Path, small_caches: bool) -> list[dict[str, Any]]:
    paths = [READERS[name][1](data / f"{name}-{rows}".replace(" ", "_"), rows) for rows in (SMALLEST, *sizes)]
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, __file__, "--work", name, scratch, *map(str, paths)]
        command += ["--small-caches"] if small_caches else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr[-2000:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    for path in paths:
        _remove_files(path)
    return found


def _remove_files(path: Path) -> None:
    """Remove a dataset's own files, as they may be large; links are for the next reader."""
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file() and not file.is_symlink()]
    for file in files:
        file.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", nargs="*", default=list(READERS), choices=list(READERS), metavar="NAME")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--small-caches", action="store_true", help="show what grows besides the caches")
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        if options.small_caches:
            shrink_caches()
        work(options.work[0], options.work[2:], options.work[1])
        return 0
    heads = " | ".join(f"{rows:,}" for rows in options.rows)
    print(f"| importer | rows read | {SMALLEST} | {heads} | processor time of a row |")
    print("|---|---|---|" + "---|" * len(options.rows) + "---|", flush=True)
    with tempfile.TemporaryDirectory() as data:
        datasets.shared_files(Path(data))
        for name in options.readers:
            found = measured(name, sorted(options.rows), Path(data), options.small_caches)
            memory = " | ".join(f"{one['peak_kb'] / 1024:.0f} MB" for one in found)
            row_us = 1e6 * found[-1]["cpu_s"] / max(1, found[-1]["rows"])
            print(f"| `{name}` | {found[-1]['rows']:,} | {memory} | {row_us:.0f} µs |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
