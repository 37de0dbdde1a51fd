"""Examples for the checks: small datasets made of parts of one image, each with a planted fault that its check finds.

``pipekit docs`` draws the finding, and the test kit holds each check to its example. A check names its example with
:func:`example`; a plugin's check may have the same attribute, ``check.example``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pipekit.images import Image

Stage = Mapping[str, Any]
Plant = Callable[[Path, "Image"], "Stage | None"]
F = TypeVar("F", bound=Callable[..., Any])


def example(plant: Plant) -> Callable[[F], F]:
    """Mark a check with its example.

    Args:
        plant: ``plant(folder, image)`` writes a dataset of parts of ``image`` (``(H, W, 3) uint8`` RGB) into ``folder``, which
            is empty, and returns the table of the stage that imports it. None stands for class folders in ``images/``.
    """

    def mark(check: F) -> F:
        check.example = plant  # type: ignore[attr-defined]
        return check

    return mark


# --- parts of an image ---------------------------------------------------------------------------------------------------


def views(image: Image, count: int, side: str = "") -> list[Image]:
    """Parts of an image that differ, three fifths as wide and high: the same ones in every call, and the first
    ones of a call for more.

    Args:
        side: ``"left"`` or ``"right"`` takes them from that half.
    """
    from pipekit.rng import rng_for

    height, width = image.shape[:2]
    high, wide = max(1, height * 3 // 5), max(1, width * 3 // 5 if not side else width * 2 // 5)
    first, last = {"": (0, width - wide), "left": (0, width // 2 - wide), "right": (width // 2, width - wide)}[side]
    rng = rng_for(0, "views", side)
    corners = rng.integers((0, first), (height - high, last), (count, 2), endpoint=True)  # fewer views are the first of more
    return [image[top : top + high, left : left + wide] for top, left in corners.tolist()]


def small_views(image: Image, count: int) -> list[Image]:
    """Views of 60 rows: too few landmarks for overlapping ones to count as copies by features."""
    from pipekit import images

    found = views(image, count)
    return [images.resize(view, (60, max(1, 60 * view.shape[1] // view.shape[0]))) for view in found]


def save(folder: Path, pictures: Iterable[Image], quality: int = 92) -> list[Path]:
    """Write JPEG files ``01.jpg``, ``02.jpg`` …"""
    from pipekit import images

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, picture in enumerate(pictures, 1):
        files.append(folder / f"{number:02}.jpg")
        images.write(files[-1], picture, quality)
    return files


def save_sides(folder: Path, image: Image, count: int) -> list[Path]:
    """Two classes, ``left`` and ``right``: parts of each half of the image."""
    return [file for side in ("left", "right") for file in save(folder / side, views(image, count, side))]


def among(folder: Path, image: Image, name: str, odd: Image) -> None:
    """An image among 24 ordinary ones of one class."""
    from pipekit import images

    save(folder / "images" / "photos", views(image, 24))
    images.write(folder / "images" / "photos" / name, odd)


def table(file: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([names, *rows])


# --- files ---------------------------------------------------------------------------------------------------------------


def corrupt(folder: Path, image: Image) -> None:
    """One of six files ends in the middle."""
    third = save(folder / "images" / "photos", views(image, 6))[2]
    third.write_bytes(third.read_bytes()[: third.stat().st_size // 2])


def cut_off(folder: Path, image: Image) -> None:
    """The lower two fifths are plain grey."""
    odd = views(image, 1)[0].copy()
    odd[odd.shape[0] * 3 // 5 :] = 128
    among(folder, image, "saved_again.jpg", odd)


def wrong_extension(folder: Path, image: Image) -> None:
    """A PNG file whose name ends in ``.jpg``."""
    from pipekit import images

    (last, *_) = reversed(save(folder / "images" / "photos", views(image, 6)))
    last.with_name("drawing.jpg").write_bytes(images.encode(views(image, 7)[-1], "png"))


def orientation(folder: Path, image: Image) -> None:
    """A photograph that lies on its side, with an EXIF tag that turns it."""
    import numpy as np
    from PIL import Image as Pillow

    save(folder / "images" / "photos", views(image, 5))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    turned = Pillow.fromarray(np.ascontiguousarray(np.rot90(views(image, 6)[-1])))
    turned.save(folder / "images" / "photos" / "upright.jpg", exif=exif)


def mixed_modes(folder: Path, image: Image) -> None:
    """A grey file among those with colours."""
    from PIL import Image as Pillow

    save(folder / "images" / "photos", views(image, 5))
    Pillow.fromarray(views(image, 6)[-1]).convert("L").save(folder / "images" / "photos" / "grey.png")


def animated(folder: Path, image: Image) -> None:
    """A GIF file with three frames."""
    from PIL import Image as Pillow

    save(folder / "images" / "photos", views(image, 5))
    first, *others = map(Pillow.fromarray, views(image, 8)[5:])
    first.save(folder / "images" / "photos" / "moving.gif", save_all=True, append_images=others)


def narrow_range(folder: Path, image: Image) -> None:
    """Four grey photographs of 12 bits in files of 16."""
    import numpy as np
    from PIL import Image as Pillow

    (folder / "images" / "cells").mkdir(parents=True)
    for number, view in enumerate(views(image, 4), 1):
        deep = view.mean(axis=2).astype(np.uint16) * 16
        Pillow.fromarray(deep).save(folder / "images" / "cells" / f"{number:02}.png")


def masks(folder: Path, image: Image) -> Stage:
    """Six images with masks whose object has the value 255, as a drawing program stores it."""
    import numpy as np

    from pipekit import images

    save(folder / "images", views(image, 6))
    (folder / "masks").mkdir()
    for number, view in enumerate(views(image, 6), 1):
        mask = np.where(view.mean(axis=2) > view.mean(), 255, 0).astype(np.uint8)
        images.write(folder / "masks" / f"{number:02}.png", mask[..., None])
    return {"use": "import.masks", "path": "."}


# --- outliers ------------------------------------------------------------------------------------------------------------


def dark(folder: Path, image: Image) -> None:
    among(folder, image, "dark.jpg", views(image, 1)[0] // 10)


def bright(folder: Path, image: Image) -> None:
    among(folder, image, "bright.jpg", 255 - (255 - views(image, 1)[0]) // 8)


def blurred(folder: Path, image: Image) -> None:
    """An image that was reduced to a twelfth and enlarged again."""
    from pipekit import images

    view = views(image, 1)[0]
    small = images.resize(view, (max(2, view.shape[0] // 12), max(2, view.shape[1] // 12)))
    among(folder, image, "blurred.jpg", images.resize(small, view.shape[:2], "cubic"))


def low_information(folder: Path, image: Image) -> None:
    """A plain area with a weak gradient."""
    import numpy as np

    plain = np.full_like(views(image, 1)[0], 120)
    plain[: len(plain) // 2] = 123
    among(folder, image, "lid_on.png", plain)


def odd_size(folder: Path, image: Image) -> None:
    from pipekit import images

    view = views(image, 1)[0]
    among(folder, image, "icon.png", images.resize(view, (max(1, view.shape[0] // 12), max(1, view.shape[1] // 12))))


def odd_aspect(folder: Path, image: Image) -> None:
    among(folder, image, "panorama.jpg", image[image.shape[0] // 2 :][: max(1, image.shape[1] // 12)])


# --- copies --------------------------------------------------------------------------------------------------------------


def exact_duplicates(folder: Path, image: Image) -> None:
    """A file under a second name."""
    files = save(folder / "images" / "photos", views(image, 5))
    files[1].with_name("copy_of_02.jpg").write_bytes(files[1].read_bytes())


def near_duplicates(folder: Path, image: Image) -> None:
    """A copy of three quarters of the size, with another JPEG quality."""
    from pipekit import images

    save(folder / "images" / "photos", views(image, 5))
    second = views(image, 2)[1]
    again = images.resize(second, (second.shape[0] * 3 // 4, second.shape[1] * 3 // 4))
    images.write(folder / "images" / "photos" / "again.jpg", again, 60)


def leakage(folder: Path, image: Image) -> None:
    """A mirrored copy of a training image in ``test``."""
    from pipekit import images

    save(folder / "images" / "train" / "photos", views(image, 4))
    save(folder / "images" / "test" / "photos", views(image, 6)[4:])
    images.write(folder / "images" / "test" / "photos" / "again.jpg", _mirrored(views(image, 2)[1]), 70)


def label_conflicts(folder: Path, image: Image) -> None:
    """A mirrored copy of an image of the class ``left`` in the class ``right``."""
    from pipekit import images

    save_sides(folder / "images", image, 3)
    images.write(folder / "images" / "right" / "new.jpg", _mirrored(views(image, 2, "left")[1]), 70)


def _mirrored(view: Image) -> Image:
    import numpy as np

    return np.ascontiguousarray(view[:, ::-1])


def group_names(folder: Path, image: Image) -> None:
    """Five images of each of sixteen patients, by their names."""
    for number in range(16):
        side = ("left", "right")[number % 2]
        for shot, file in enumerate(save(folder / "images" / side, views(image, 80, side)[number * 5 :][:5]), 1):
            file.rename(file.with_name(f"patient_{number + 1:02}_{shot}.jpg"))


# --- classes -------------------------------------------------------------------------------------------------------------


def passed_over(folder: Path, image: Image) -> None:
    """Photographs of a phone as HEIC, and a video, beside JPEG files."""
    save(folder / "images" / "photos", views(image, 6))
    for name in ("IMG_0001.heic", "IMG_0002.heic", "clip.mp4"):
        (folder / "images" / "photos" / name).write_bytes(b"\0\0\0\x18ftyp")


def one_class(folder: Path, image: Image) -> None:
    save(folder / "images" / "photos", views(image, 6))


def similar_names(folder: Path, image: Image) -> None:
    save(folder / "images" / "left side", views(image, 3, "left"))
    save(folder / "images" / "left_side", views(image, 6, "left")[3:])


def imbalance(folder: Path, image: Image) -> None:
    """36 images of one class, three of the other."""
    save(folder / "images" / "left", views(image, 36, "left"))
    save(folder / "images" / "right", views(image, 3, "right"))


def missing_classes(folder: Path, image: Image) -> None:
    """The class ``right`` has no image in ``test``."""
    save_sides(folder / "images" / "train", image, 2)
    save(folder / "images" / "test" / "left", views(image, 4, "left")[2:])


def unlabelled(folder: Path, image: Image) -> Stage:
    """A table with an empty cell."""
    files = save_sides(folder, image, 3)
    rows = [[file.relative_to(folder).as_posix(), file.parent.name if number != 2 else ""] for number, file in enumerate(files)]
    table(folder / "labels.csv", ("file", "label"), rows)
    return {"use": "import.csv", "path": "labels.csv"}


def co_occurrence(folder: Path, image: Image) -> Stage:
    """A label that never appears alone."""
    files = save_sides(folder, image, 12)
    rows = [[file.relative_to(folder).as_posix(), _labels(number)] for number, file in enumerate(files)]
    table(folder / "labels.csv", ("file", "labels"), rows)
    return {"use": "import.csv", "path": "labels.csv", "task": "multilabel"}


def _labels(number: int) -> str:
    side = "left" if number < 12 else "right"
    return f"{side}|near" if number % 4 == 0 else side


def outlying_numbers(folder: Path, image: Image) -> Stage:
    """Weights in kilograms, one of them in grams."""
    files = save(folder / "photos", views(image, 24))
    rows = [
        [file.relative_to(folder).as_posix(), 4200 if number == 2 else 3 + number % 7 / 2] for number, file in enumerate(files)
    ]
    table(folder / "weights.csv", ("file", "weight"), rows)
    return {"use": "import.csv", "path": "weights.csv", "task": "number", "unit": "kg"}


def shortcuts(folder: Path, image: Image) -> None:
    """Two classes of the same kind, stored with different JPEG qualities."""
    every = views(image, 60)
    save(folder / "images" / "old_camera", every[::2], quality=60)
    save(folder / "images" / "new_camera", every[1::2], quality=94)


# --- by features ---------------------------------------------------------------------------------------------------------


def suspected_labels(folder: Path, image: Image) -> None:
    """Photographs and negatives; one negative lies among the photographs."""
    every = small_views(image, 60)
    save(folder / "images" / "photos", [*every[:29], 255 - every[29]])
    save(folder / "images" / "negatives", [255 - view for view in every[30:]])


def alike_classes(folder: Path, image: Image) -> None:
    """Two classes that were drawn at random from the same images."""
    every = small_views(image, 80)
    save(folder / "images" / "first", every[::2])
    save(folder / "images" / "second", every[1::2])


def foreign(folder: Path, image: Image) -> None:
    """A test card among photographs."""
    import numpy as np

    from pipekit import images

    every = views(image, 40)
    height, width = every[0].shape[:2]
    square = max(1, height // 6)
    y, x = np.mgrid[:height, :width]
    card = np.where((y // square + x // square) % 2, 235, 20).astype(np.uint8)
    save(folder / "images" / "photos", every)
    images.write(folder / "images" / "photos" / "test_card.png", np.repeat(card[..., None], 3, axis=2))
