"""Small pictures for tests of commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np


def class_folders(root: Path, counts: Mapping[str, int], size_px: int = 24) -> Path:
    """``root/cat/cat_1.png`` …: pictures that differ from one another, of noise around a colour of the class."""
    for number, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for index in range(1, count + 1):
            rng = np.random.default_rng([number, index])
            noise = rng.integers(0, 120, (size_px, size_px, 3), dtype=np.uint8)
            noise[..., number % 3] += 120
            cv2.imwrite(str(root / name / f"{name}_{index}.png"), noise)
    return root
