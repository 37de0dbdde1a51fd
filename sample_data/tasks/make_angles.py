"""Photographs that are turned by a random angle: the data of angle.toml.

    python sample_data/tasks/make_angles.py PHOTOS turned

Of up to 800 photographs in a folder, the middle is turned by -45 to 45 degrees and cropped, so that no border shows the angle.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from pipekit import images
from pipekit.errors import ImageError
from pipekit.recipe.homography import about, matrix

COUNT, SIDE, MOST_DEG = 800, 160, 45


def main(photos: Path, folder: Path) -> None:
    chance = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["file,angle"]
    files = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for file in chance.permutation(np.array(files, object))[:COUNT]:
        try:
            pixels = images.read(file)
        except ImageError:
            continue
        side = min(pixels.shape[:2])
        angle = float(np.round(chance.uniform(-MOST_DEG, MOST_DEG), 2))
        top, left = ((size - side) // 2 for size in pixels.shape[:2])
        square = images.resize(pixels[top : top + side, left : left + side], (SIDE * 3 // 2, SIDE * 3 // 2))
        turned = images.warp(square, _rotation(angle, square.shape[0]), square.shape[:2])
        edge = (turned.shape[0] - SIDE) // 2  # the largest square inside, for 45 degrees, is 1 / 1.42 of the side
        name = f"{len(rows):04}.jpg"
        images.write(folder / name, turned[edge : edge + SIDE, edge : edge + SIDE])
        rows.append(f"{name},{angle}")
    (folder / "angles.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _rotation(angle_deg: float, side: int) -> np.ndarray:
    """The homography that turns a square about its middle, counter-clockwise."""
    radians = np.deg2rad(angle_deg)
    cosine, sine = np.cos(radians), np.sin(radians)
    return about(((side - 1) / 2, (side - 1) / 2), matrix(cosine, sine, 0, -sine, cosine, 0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
