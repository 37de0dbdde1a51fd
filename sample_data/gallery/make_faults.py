"""Two datasets with a fault that flatters a model: the data of leak.toml and shortcut.toml.

    python sample_data/gallery/make_faults.py sample_data/gallery/faults

Both are made from ``sample_data/textures``. In ``leak/`` eight images of ``test`` are mirrored, brighter or smaller copies of
images of ``train``. In ``shortcut/`` the two classes are photographs of the same gravel, but those of one class are stored with
another JPEG quality.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps

TEXTURES = Path(__file__).resolve().parent.parent / "textures" / "images"


def main(folder: Path) -> None:
    _leak(folder / "leak")
    _shortcut(folder / "shortcut")


def _leak(folder: Path) -> None:
    for split, count in (("train", 40), ("test", 12)):
        for name in ("brick", "grass"):
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for file in sorted((TEXTURES / split / name).iterdir())[:count]:
                shutil.copyfile(file, folder / split / name / file.name)
    changes = (
        ImageOps.mirror,
        lambda image: ImageEnhance.Brightness(image).enhance(1.3),
        lambda image: image.resize((48, 48)),
        ImageOps.flip,
    )
    for name in ("brick", "grass"):
        for number, (file, change) in enumerate(zip(sorted((folder / "train" / name).iterdir())[::9], changes, strict=False)):
            change(Image.open(file)).save(folder / "test" / name / f"again_{number}.jpg", quality=92)


def _shortcut(folder: Path) -> None:
    for number, file in enumerate(sorted((TEXTURES / "train" / "gravel").iterdir())):
        name, quality = ("old_camera", 60) if number % 2 else ("new_camera", 94)
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.open(file).save(folder / name / file.name, quality=quality)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
