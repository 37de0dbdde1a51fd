"""Pictures with two or three items of Fashion-MNIST: the data of several_labels.toml.

    python sample_data/tasks/make_labels.py items

Writes 1,500 pictures of 64 x 64 pixels, and labels.csv with the items of each, such as ``bag|coat|sandal``.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np

from pipekit import images

SOURCE = Path("/usr/share/datasets/fashion-mnist")
"""The files of the dataset. Debian and Ubuntu: apt install dataset-fashion-mnist"""

NAMES = ("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
COUNT, SIDE, ITEM = 1500, 64, 28


def main(folder: Path, part: str = "train", seed: int = 7, count: int = COUNT) -> None:
    pixels, numbers = (_idx(f"{part}-{name}") for name in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    chance = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["file,labels"]
    corners = [(y, x) for y in (0, SIDE - ITEM) for x in (0, SIDE - ITEM)]
    for number in range(count):
        canvas = np.zeros((SIDE, SIDE), np.uint8)
        chosen = chance.choice(len(pixels), int(chance.integers(2, 4)), replace=False)
        for place, item in zip(chance.permutation(len(corners)), chosen, strict=False):
            y, x = (int(np.clip(corner + chance.integers(-6, 7), 0, SIDE - ITEM)) for corner in corners[place])
            part = canvas[y : y + ITEM, x : x + ITEM]
            np.maximum(part, pixels[item], out=part)
        images.write(folder / f"{number:04}.png", canvas[..., None].repeat(3, axis=2))
        rows.append(f"{number:04}.png,{'|'.join(sorted({NAMES[numbers[item]] for item in chosen}))}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _idx(name: str) -> np.ndarray:
    """An array of an IDX file: a header of big-endian sizes, then bytes."""
    file = next(path for path in (SOURCE / name, SOURCE / f"{name}.gz") if path.exists())
    data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    sizes = np.frombuffer(data, ">u4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(sizes)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
