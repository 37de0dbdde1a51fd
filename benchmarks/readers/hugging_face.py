"""Check that Hugging Face's `datasets` opens pipekit's output: an exported dataset, or `runs/<name>/<stage>`.

Rerun, in an environment that has `datasets` and Pillow (pipekit is not needed there):

    python benchmarks/readers/hugging_face.py runs/textures/split

The folder is opened by its path alone and every image is decoded. For class folders, the splits, the classes and the number
of images are compared with the files in the folder.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
NAMES = {"val": "validation"}
"""`datasets` uses another name for one of the splits."""


def on_disk(folder: Path) -> Counter[tuple[str, str]] | None:
    """Number of images per (split, class), counted by their folders; None for Parquet files."""
    if any(folder.rglob("*.parquet")):
        return None
    found: Counter[tuple[str, str]] = Counter()
    for path in folder.rglob("*"):
        if path.suffix.lower() in SUFFIXES:
            split, label = path.relative_to(folder).parts[:2]
            found[NAMES.get(split, split), label] += 1
    return found


def main(folder: Path) -> int:
    from datasets import load_dataset

    with tempfile.TemporaryDirectory() as cache:
        opened = load_dataset(str(folder), cache_dir=cache)
        seen: Counter[tuple[str, str]] = Counter()
        for split, rows in opened.items():
            names = getattr(rows.features["label"], "names", None)
            for row in rows:
                row["image"].load()
                label = names[row["label"]] if names else str(row["label"])
                seen[split, label] += 1
    expected = on_disk(folder)
    for (split, label), count in sorted(seen.items()):
        print(f"{split:12} {label:24} {count:7,}")
    if expected is not None and seen != expected:
        print(f"differs from the files in the folder: {dict(expected)}")
        return 1
    print(f"{sum(seen.values()):,} images opened and decoded")
    return 0 if seen else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
