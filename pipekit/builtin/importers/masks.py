"""Images and masks in two folders, under the same names: ``images/a.jpg`` and ``masks/a.png``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from pydantic import field_validator

from pipekit.builtin.importers.files import NO_FOLDER, first_of, images_below, is_file, subfolders
from pipekit.builtin.importers.lists import listed_labels
from pipekit.builtin.importers.lookup import lookup
from pipekit.builtin.importers.mask_names import mask_names
from pipekit.builtin.importers.words import split_folder
from pipekit.contract import Categories, Failure, Rejected, Sample, Targets
from pipekit.errors import UserError
from pipekit.files import files_in
from pipekit.params import InputPath, Params, param

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages")
MASK_FOLDERS = ("masks", "mask", "annotations", "segmentations", "gt", "labels", "segmentationclass")
OTHER_ANNOTATIONS = (".json", ".xml", ".txt")
"""Files that show that the images belong to another format (COCO's panoptic masks, VOC)."""

READS = (".csv",)

CLASSES = "classes.csv"
"""The names of the values, as the exporter ``masks`` writes them."""

WRITTEN_AS = "masks"
"""The exporter that writes back all that is read here, and not a class for each image alone."""

LOOKED_AT = 1000
"""Images and masks that :func:`sniff` compares."""

ENDS = ("", "_mask", "-mask", "_gt", "_segmentation")


class MasksParams(Params):
    images: str = param("", "The folder of the images; by default found by its name (images, imgs …)")
    masks: str = param("", "The folder of the masks; by default found by its name (masks, annotations …)")
    colours: tuple[str, ...] = param(
        (), "The colours of colour-coded masks, in the order of the class numbers: #000000, #800000 …", max_length=256
    )
    names: tuple[str, ...] = param(
        (),
        "The names of the masks' values, in the order of the class numbers; by default from classes.csv",
        max_length=256,
    )
    table: InputPath | None = param(
        None, "A CSV file with the names of the masks' values: value,name; or name,r,g,b, then the colours are read from it too"
    )

    @field_validator("colours")
    @classmethod
    def _are_colours(cls, colours: tuple[str, ...]) -> tuple[str, ...]:
        if not colours:
            return colours
        from pipekit.images.masks import parse_colour  # loads OpenCV, which most folders do without

        for colour in colours:
            parse_colour(colour)
        return colours


def colours_of(params: MasksParams) -> tuple[str, ...]:
    """The colours of the class numbers, by the parameter or the table; () for masks of class numbers. Raises UserError."""
    if params.colours or params.table is None:
        return params.colours
    colours = mask_names(params.table).colours
    try:
        return MasksParams._are_colours(colours)
    except ValueError as error:
        raise UserError(f"{params.table}: {error}") from None


def sniff(path: Path) -> str | Rejected:
    """The two folders, or what is missing."""
    if not path.is_dir():
        return NO_FOLDER
    found = _folders(path, MasksParams())
    if not found:
        return Rejected(_missing(path))
    if others := sorted(files_in(found[1], OTHER_ANNOTATIONS)):
        return Rejected(f"{found[1].name} holds other annotations: {first_of(others)}")
    if not _belong_together(*found):
        return Rejected(f"no file in {found[1].name} has the name of an image in {found[0].name}")
    return f"images in {found[0].name}, masks in {found[1].name}"


def read(path: Path, params: MasksParams) -> Iterator[Sample | Failure | Categories]:
    """One sample per image; the id is its path below the image folder. Its mask has the same name with any suffix, optionally
    with ``_mask`` before it; an image without a mask is listed as failed.

    The values of a mask are class numbers. Their names are those of the parameters, else of ``classes.csv``.
    Folders train, val and test below the image folder are splits.
    """
    found = _folders(path, params)
    if found is None:
        raise UserError(
            f"{path} has no folders of images and masks",
            f"Expected {' or '.join(IMAGE_FOLDERS[:2])} and {' or '.join(MASK_FOLDERS[:2])}.",
        )
    yield from listed_labels(_names(path, params), "masks")
    there = ((identity.rpartition(".")[0], full) for identity, full in images_below(found[1]))
    with lookup(there, keep="last") as masks:  # if both a.jpg and a.png exist, the one that is not a JPEG
        for identity, full in images_below(found[0]):
            stem = identity.rpartition(".")[0]
            mask = next(filter(None, (masks.get(stem + end) for end in ENDS)), "")
            if mask:
                split = split_folder(identity.split("/")[0]) if "/" in identity else ""
                yield Sample(identity, full, split=split, targets=Targets(mask))
            else:
                yield Failure(identity, f"no mask in {found[1].name}", full)


def _names(path: Path, params: MasksParams) -> Mapping[int, str]:
    """The names of the values. Raises UserError."""
    if params.names:
        return {value: name for value, name in enumerate(params.names) if name.strip()}
    if params.table is not None:
        return mask_names(params.table).names
    return mask_names(path / CLASSES).names if is_file(path / CLASSES) else {}


def _belong_together(folder: Path, masks: Path) -> bool:
    """Whether one of the first images has a mask."""
    images = [identity.rpartition(".")[0] for identity, _ in islice(images_below(folder), LOOKED_AT)]
    there = {identity.rpartition(".")[0] for identity, _ in islice(images_below(masks), LOOKED_AT * len(ENDS))}
    return any(stem + end in there for stem in images for end in ENDS)


def _missing(path: Path) -> str:
    names = {name.lower() for name in subfolders(path)}
    for what, usual in (("images", IMAGE_FOLDERS), ("masks", MASK_FOLDERS)):
        if names.isdisjoint(usual):
            return f"no folder of {what} in it: {', '.join(usual)}"
    return "no image in the folder of masks"


def _folders(path: Path, params: MasksParams) -> tuple[Path, Path] | None:
    if not path.is_dir():
        return None
    names = {name.lower(): name for name in subfolders(path)}
    images = params.images or next((names[name] for name in IMAGE_FOLDERS if name in names), "")
    masks = params.masks or next((names[name] for name in MASK_FOLDERS if name in names), "")
    if not images or not masks:
        return None
    if not params.masks and next(images_below(path / masks), None) is None:
        return None
    return path / images, path / masks
