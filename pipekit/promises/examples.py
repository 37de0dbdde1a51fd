"""Small things to try components on."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def pictures() -> dict[str, Any]:
    """Small images that ops and detectors must cope with, by name: RGB uint8, of several sizes and contents."""
    import numpy as np

    from pipekit.rng import rng_for

    rng = rng_for(0, "pictures")
    y, x = np.mgrid[:48, :64]
    scene = np.stack([x * 4, y * 5, 255 - x * 2], axis=2).astype(np.uint8)
    scene[12:30, 20:40] = (230, 40, 60)
    return {
        "a scene of 48 x 64": scene,
        "noise of 31 x 17": rng.integers(0, 256, (31, 17, 3), dtype=np.uint8),
        "black": np.zeros((40, 40, 3), np.uint8),
        "white": np.full((40, 40, 3), 255, np.uint8),
    }


def write_tiny_dataset(folder: Path, per_class: int = 6) -> Path:
    """Draw a dataset of three classes (discs, squares, stripes) as PNG files of 32 x 32, a folder per class."""
    import numpy as np

    from pipekit import images
    from pipekit.rng import rng_for

    y, x = np.mgrid[:32, :32]
    for label in ("discs", "squares", "stripes"):
        for number in range(per_class):
            rng = rng_for(0, "tiny", label, number)
            centre_x, centre_y, size = rng.integers(10, 22), rng.integers(10, 22), rng.integers(5, 10)
            inside = {
                "discs": (x - centre_x) ** 2 + (y - centre_y) ** 2 < size**2,
                "squares": np.maximum(abs(x - centre_x), abs(y - centre_y)) < size,
                "stripes": (x + centre_x) // (size // 2 + 1) % 2 == 0,
            }[label]
            paper, ink = rng.integers(150, 256, 3), rng.integers(0, 110, 3)
            (folder / label).mkdir(parents=True, exist_ok=True)
            images.write(folder / label / f"{label}_{number}.png", np.where(inside[..., None], ink, paper).astype(np.uint8))
    return folder
