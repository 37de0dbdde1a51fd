"""Photographs of a wall that are turned by a random angle: the data of angle.toml.

    python sample_data/tasks/make_angles.py turned

Each tile of brick in ``sample_data/textures`` is turned by twelve angles between -45 and 45 degrees, counter-clockwise, and
its middle is cut out, so that no border shows the angle. The tiles keep their split.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from pipekit import images
from pipekit.recipe.homography import about, matrix

TEXTURES = Path(__file__).resolve().parent.parent / "textures" / "images"
TURNS, MOST_DEG = 12, 45
SIDE = 44
"""Pixels; the largest square inside a turned tile of 64 x 64, for 45 degrees, is 1 / 1.42 of its side."""


def main(folder: Path) -> None:
    chance = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["file,angle,split"]
    for split in ("train", "val", "test"):
        for file in sorted((TEXTURES / split / "brick").iterdir()):
            tile = images.read(file)
            edge = (tile.shape[0] - SIDE) // 2
            for angle in chance.uniform(-MOST_DEG, MOST_DEG, TURNS).round(2):
                turned = images.warp(tile, _rotation(float(angle), tile.shape[0]), tile.shape[:2])
                name = f"{len(rows):04}.png"
                images.write(folder / name, turned[edge : edge + SIDE, edge : edge + SIDE])
                rows.append(f"{name},{angle},{split}")
    (folder / "angles.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _rotation(angle_deg: float, side: int) -> np.ndarray:
    """The homography that turns a square about its middle, counter-clockwise."""
    radians = np.deg2rad(angle_deg)
    cosine, sine = np.cos(radians), np.sin(radians)
    return about(((side - 1) / 2, (side - 1) / 2), matrix(cosine, sine, 0, -sine, cosine, 0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
