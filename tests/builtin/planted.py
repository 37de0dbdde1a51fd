"""A folder of photographs with planted faults, and which file has which.

    python tests/builtin/planted.py PHOTOS TARGET

copies the photographs and adds exact copies, resized or recompressed copies, broken files, dark and blurred ones. What was
planted is printed as JSON.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import cv2
import numpy as np

from pipekit import images


def plant(
    photos: list[Path],
    folder: Path,
    *,
    exact: int = 50,
    near: int = 50,
    corrupt: int = 20,
    dark: int = 10,
    blurred: int = 10,
    seed: int = 0,
) -> dict[str, dict[str, str]]:
    """Copy ``photos`` into ``folder`` and add faulty ones.

    Returns:
        fault -> {name of the faulty file: name of the photograph that it was made from}.
    """
    chance = random.Random(seed)
    folder.mkdir(parents=True)
    names = {}
    for number, photo in enumerate(photos):
        names[photo] = f"photo_{number:05}{photo.suffix.lower()}"
        shutil.copy(photo, folder / names[photo])
    wanted = {"exact": exact, "near": near, "corrupt": corrupt, "dark": dark, "blurred": blurred}
    chosen = iter(chance.sample(photos, sum(wanted.values())))
    planted: dict[str, dict[str, str]] = {}
    for fault, count in wanted.items():
        planted[fault] = {}
        for number in range(count):
            photo = next(chosen)
            name = f"{fault}_{number:03}.jpg"
            (folder / name).write_bytes(_faulty(fault, photo, number, chance))
            planted[fault][name] = names[photo]
    return planted


def _faulty(fault: str, photo: Path, number: int, chance: random.Random) -> bytes:
    data = photo.read_bytes()
    image = images.decode(data)
    if fault == "exact":
        return data
    if fault == "near":
        scale = chance.uniform(0.4, 1.2) if number % 2 else 1
        smaller = images.resize(image, (round(image.shape[0] * scale), round(image.shape[1] * scale)))
        return images.encode(smaller, quality=chance.randint(30, 85))
    if fault == "dark":
        return images.encode((image * chance.uniform(0.05, 0.2)).astype(np.uint8))
    if fault == "blurred":
        side = min(image.shape[:2])
        return images.encode(np.asarray(cv2.GaussianBlur(image, (0, 0), chance.uniform(0.012, 0.02) * side), np.uint8))
    jpeg = images.encode(image)
    return [jpeg[: len(jpeg) // 2], b"", b"no image", jpeg[: len(jpeg) // 3] + b"\xff\xd9", bytes(1000)][number % 5]


if __name__ == "__main__":
    import json
    import sys

    found = sorted(path for path in Path(sys.argv[1]).rglob("*.jpg"))
    print(json.dumps(plant(found, Path(sys.argv[2])), indent=1))
