"""Cut the texture photographs that scikit-image ships into the small JPEGs of ``images/``.

    python -m pip install scikit-image
    python sample_data/textures/make_textures.py

Each 512 x 512 photograph is divided into three disjoint regions, one per split, and each tile lies inside one region. So no
test tile contains a pixel that the model was trained on:

    x: 0                     320           512
    y: 0   +------------------+-------------+
           | train            | test        |   train: 64 x 64 every 32 px, 99 tiles that overlap one another
           | 320 x 384        | 192 x 512   |   val:   64 x 64 side by side, 10 tiles
       384 +------------------+             |   test:  64 x 64 side by side, 24 tiles
           | val   320 x 128  |             |
       512 +------------------+-------------+

Val and test tiles do not overlap, so that each of them counts once in an accuracy.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import skimage.data
from PIL import Image

HERE = Path(__file__).resolve().parent
TILE_PX = 64

SHA256 = {
    "brick": "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
    "grass": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
    "gravel": "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
}

REGIONS = {  # split: (left, top, right, bottom, stride), in pixels
    "train": (0, 0, 320, 384, 32),
    "val": (0, 384, 320, 512, TILE_PX),
    "test": (320, 0, 512, 512, TILE_PX),
}


def main() -> None:
    for name, sha256 in SHA256.items():
        source = Path(skimage.data.__file__).with_name(f"{name}.png")
        found = hashlib.sha256(source.read_bytes()).hexdigest()
        if found != sha256:
            raise SystemExit(f"{source} is not the expected photograph: its SHA-256 is {found}, expected {sha256}")
        photograph = Image.open(source)
        for split, (left, top, right, bottom, stride) in REGIONS.items():
            folder = HERE / "images" / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for y in range(top, bottom - TILE_PX + 1, stride):
                for x in range(left, right - TILE_PX + 1, stride):
                    tile = photograph.crop((x, y, x + TILE_PX, y + TILE_PX))
                    tile.save(folder / f"{name}_x{x:03d}_y{y:03d}.jpg", quality=90, optimize=True)


if __name__ == "__main__":
    main()
