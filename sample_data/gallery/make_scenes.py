"""Scenes with boxes, outlines and masks: the data of boxes.toml and masks.toml.

    python sample_data/gallery/make_scenes.py sample_data/gallery/scenes

Pastes the cat's face and the cup of ``sample_data/photos`` onto textures: 60 pictures of 256 x 256 pixels with one to three
objects each. Writes ``boxes/`` (images and a COCO file ``annotations.json``), and ``masks/`` (the same images, and a PNG with
0, 1 or 2 for each pixel).
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

DATA = Path(__file__).resolve().parent.parent
NAMES = ("face", "cup")
CUTS = (("cat.jpg", (95, 5, 345, 265)), ("coffee.jpg", (77, 15, 482, 390)))
"""The photograph of each class, and the box of the ellipse that is cut out of it, in pixels: left, top, right, bottom."""

COUNT, SIDE = 60, 256
CORNERS = 32
"""Corners of an outline."""


def main(folder: Path) -> None:
    chance = np.random.default_rng(7)
    tiles = sorted((DATA / "textures" / "images" / "train").rglob("*.jpg"))
    coco: dict[str, list[dict[str, object]]] = {"images": [], "annotations": [], "categories": []}
    coco["categories"] = [{"id": number, "name": name} for number, name in enumerate(NAMES, 1)]
    for part in ("boxes/images", "masks/images", "masks/masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number in range(1, COUNT + 1):
        name = f"scene_{number:02}"
        scene = Image.open(tiles[chance.integers(len(tiles))]).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        mask = Image.new("L", scene.size)
        for kind, box in _places(chance):
            _paste(scene, mask, kind, box)
            coco["annotations"].append({"id": len(coco["annotations"]) + 1, "image_id": number, **_annotation(kind, box)})
        coco["images"].append({"id": number, "file_name": f"{name}.jpg", "width": SIDE, "height": SIDE})
        scene.save(folder / "boxes" / "images" / f"{name}.jpg", quality=92)
        shutil.copyfile(folder / "boxes" / "images" / f"{name}.jpg", folder / "masks" / "images" / f"{name}.jpg")
        mask.save(folder / "masks" / "masks" / f"{name}.png")
    (folder / "boxes" / "annotations.json").write_text(json.dumps(coco), encoding="utf-8")


def _places(chance: np.random.Generator) -> list[tuple[int, tuple[int, int, int, int]]]:
    """One to three objects of a scene, each in another quarter: class and box."""
    chosen: list[tuple[int, tuple[int, int, int, int]]] = []
    for quarter in chance.permutation(4)[: chance.integers(1, 4)]:
        kind = int(chance.integers(len(CUTS)))
        left, top, right, bottom = CUTS[kind][1]
        width = int(chance.integers(70, 116))
        height = round(width * (bottom - top) / (right - left))
        x, y = (
            int(place * SIDE // 2 + chance.integers(0, max(1, SIDE // 2 - size)))
            for place, size in ((quarter % 2, width), (quarter // 2, height))
        )
        chosen.append((kind, (x, y, x + width, y + height)))
    return chosen


def _paste(scene: Image.Image, mask: Image.Image, kind: int, box: tuple[int, int, int, int]) -> None:
    file, cut = CUTS[kind]
    size = (box[2] - box[0], box[3] - box[1])
    part = Image.open(DATA / "photos" / file).convert("RGB").crop(cut).resize(size, Image.Resampling.LANCZOS)
    shape = Image.new("L", size)
    ImageDraw.Draw(shape).ellipse((0, 0, size[0] - 1, size[1] - 1), fill=255)
    scene.paste(part, box[:2], shape)
    mask.paste(kind + 1, box[:2], shape)


def _annotation(kind: int, box: tuple[int, int, int, int]) -> dict[str, object]:
    left, top, right, bottom = box
    turns = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    x = (left + right) / 2 + (right - left) / 2 * np.cos(turns)
    y = (top + bottom) / 2 + (bottom - top) / 2 * np.sin(turns)
    outline = np.stack((x, y), axis=1).round(1).ravel().tolist()
    size = [right - left, bottom - top]
    return {
        "category_id": kind + 1,
        "bbox": [left, top, *size],
        "segmentation": [outline],
        "area": round(size[0] * size[1] * np.pi / 4),
        "iscrowd": 0,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
