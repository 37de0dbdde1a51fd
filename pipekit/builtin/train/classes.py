"""Check that there are at least two classes to learn, from the index alone, before TensorFlow is loaded."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Context, Dataset
from pipekit.errors import UserError
from pipekit.files import folders_in, has_file, image_suffixes
from pipekit.learning.advice import source_folder
from pipekit.tasks import CLASSES

SPLITS = ("train", "val", "valid", "validation", "test")
FIRST = 500
"""Images that are searched for boxes and masks."""
SHOWN = 4
"""Maximum number of class and folder names listed in an error."""


def needs_classes(template: Any, params: TrainParams) -> bool:
    """Whether the template is known to be a classifier before its model is built.

    A plugin's template without ``reconstructs`` may turn out to be an autoencoder; its model is checked after it is built.
    """
    if params.label_mode != "auto":
        return params.label_mode != "input"
    reconstructs = getattr(template, "reconstructs", None)
    if reconstructs is not None:
        return not reconstructs
    return str(template.__module__).startswith("pipekit.builtin.") or hasattr(template, "fit") or hasattr(template, "head")


def check_classes(ctx: Context, dataset: Dataset) -> None:
    """Raise an error if the split ``train`` has fewer than two classes, naming the likely cause.

    Raises:
        UserError: no labelled image, or images of only one class.
    """
    if dataset.task != CLASSES:
        return  # `check_task` has compared everything
    everywhere = Counter[str]()
    for of_split in dataset.counts.values():
        everywhere.update(of_split)
    there = {name: count for name, count in dataset.counts.get("train", {}).items() if count}
    if len(there) >= 2:
        return
    if not everywhere.total() and len(dataset):
        cause = _of_targets(dataset) or _folder_above(ctx, dataset) or _one_folder(dataset)
        raise UserError(
            f"none of the {len(dataset):,} images has a class, and a classifier needs at least two classes",
            f"{cause} Only the template 'autoencoder' learns without classes.",
        )
    if not there:
        splits = {name or "(none)": sum(counts.values()) for name, counts in dataset.counts.items()}
        found = ", ".join(f"{name}: {count}" for name, count in splits.items()) or "no images at all"
        raise UserError(
            f"there is nothing to train on: no labelled image in the split 'train' (found {found})",
            "Add a split stage before train: [stages.split] use = 'split'",
        )
    (name, count), unlabelled = next(iter(there.items())), len(dataset) - everywhere.total()
    others = sorted(label for label, number in everywhere.items() if number and label != name)
    beside = f" ({unlabelled:,} image{'s have' if unlabelled > 1 else ' has'} no class)" if unlabelled > 0 else ""
    if others:
        cause = (
            f"The dataset also has {_names(others)}, but only in other splits; each class needs images in the split 'train'."
        )
    else:
        cause = _folder_below(dataset, name) or (
            "A classifier needs at least two classes with images in the split 'train': a folder for each, side by side in the "
            "folder that you give. `pipekit sniff` shows how pipekit reads a folder."
        )
    raise UserError(f"all {count:,} training images are of one class, {name!r}{beside}", cause)


def _of_targets(dataset: Dataset) -> str:
    """How images with boxes or masks get classes; "" for images without them."""
    first = list(dataset.first(FIRST))
    if names := sorted({box.label for sample in first for box in sample.targets.boxes}):
        return (
            f"They have boxes of {_names(names)}. `label` in the import stage gives images the class of their boxes: 'single' "
            "where all boxes of an image share one, 'largest' by its largest box. For a folder, add --format "
            "FORMAT:label=single with the format that `pipekit sniff` names. pipekit trains classifiers of whole images, no "
            "detectors."
        )
    if any(sample.targets.mask for sample in first):
        return "They have masks; pipekit trains classifiers of whole images, no segmentation."
    return ""


def _folder_below(dataset: Dataset, label: str) -> str:
    """ "Did you mean the folder inside?" if the only class is a folder of folders; else ""."""
    places = set()
    for sample in dataset:
        folders = sample.id.split("/")[:-1]
        if label in folders[:-1]:
            places.add(tuple(folders[folders.index(label) + 1 :]))
    inside: list[str] = []  # folders that hold one folder each: photos-main/data/dog
    while len(inner := {place[0] if place else "" for place in places}) == 1 and "" not in inner:
        inside += inner
        places = {place[1:] for place in places}
    label = "/".join([label, *inside])
    names = sorted(name for name in inner if name and name.lower() not in SPLITS)
    if len(names) < 2:
        return ""
    return (
        f"Did you mean the folder {label!r} inside, which holds {_names(names)}? "
        'In a pipeline file, labels = "last" in the import stage uses the innermost folders as classes.'
    )


def _folder_above(ctx: Context, dataset: Dataset) -> str:
    """ "Did you mean the folder above?" if the folder is one class's folder beside others; else ""."""
    folder = source_folder(ctx, dataset)
    if folder is None:
        return ""
    names = [name for name in folders_in(folder.parent) if has_file(folder.parent / name, image_suffixes())]
    if folder.name not in names or len(names) < 2:
        return ""
    return f"Did you mean the folder above, {folder.parent}, which holds {_names(names)}?"


def _one_folder(dataset: Dataset) -> str:
    flat = all("/" not in sample.id for sample in dataset)
    return ("All images lie in one folder, and no table names their classes. " if flat else "") + (
        "Give each class its own folder (photos/cat, photos/dog), or add a table with a column of classes; "
        "`pipekit components importer` lists the formats."
    )


def _names(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
