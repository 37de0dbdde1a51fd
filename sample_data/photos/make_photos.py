"""Write the images of this folder: two photographs that scikit-image ships, and a chessboard drawn here.

python -m pip install scikit-image
python sample_data/photos/make_photos.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

HERE = Path(__file__).resolve().parent
SQUARE_PX = 40


def chessboard() -> Image.Image:
    """Eight by eight squares with a margin, drawn at four times the size and turned by 10 degrees: no edge is axis-aligned."""
    squares = np.indices((8, 8)).sum(axis=0) % 2 == 0
    board = np.kron(np.where(squares, 235, 25), np.ones((SQUARE_PX * 4, SQUARE_PX * 4))).astype(np.uint8)
    board = np.pad(board, SQUARE_PX * 4, constant_values=200)
    large = Image.fromarray(board).convert("RGB").rotate(10, Image.Resampling.BICUBIC, fillcolor=(200, 200, 200))
    return large.resize((SQUARE_PX * 10, SQUARE_PX * 10), Image.Resampling.BOX)


def main() -> None:
    photographs = Path(skimage.data.__file__).parent
    for name, source in {"cat": "chelsea.png", "coffee": "coffee.png"}.items():
        Image.open(photographs / source).convert("RGB").save(HERE / f"{name}.jpg", quality=92, optimize=True)
    chessboard().save(HERE / "chessboard.png", optimize=True)


if __name__ == "__main__":
    main()
