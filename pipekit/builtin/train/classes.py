"""Are there at least two classes to learn? Answered from the index alone, before TensorFlow is loaded."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Context, Dataset
from pipekit.errors import UserError
from pipekit.files import IMAGE_SUFFIXES, folders_in, has_file
from pipekit.learning.advice import source_folder

SPLITS = ("train", "val", "valid", "validation", "test")
SHOWN = 4
"""Class and folder names listed in an error."""


def needs_classes(template: Any, params: TrainParams) -> bool:
    """Whether the template is known to be a classifier before its model is built.

    A plugin's template that does not say so (``reconstructs``) may turn out to be an autoencoder; it is checked once it is
    built.
    """
    if params.label_mode != "auto":
        return params.label_mode != "input"
    said = getattr(template, "reconstructs", None)
    if said is not None:
        return not said
    return str(template.__module__).startswith("pipekit.builtin.") or hasattr(template, "fit") or hasattr(template, "head")


def check_classes(ctx: Context, dataset: Dataset) -> None:
    """Refuse a split ``train`` without two classes, naming the likely cause.

    Raises:
        UserError: no labelled image, or images of one class only.
    """
    everywhere = Counter[str]()
    for of_split in dataset.counts.values():
        everywhere.update(of_split)
    there = {name: count for name, count in dataset.counts.get("train", {}).items() if count}
    if len(there) >= 2:
        return
    if not everywhere.total() and len(dataset):
        raise UserError(
            f"none of the {len(dataset):,} images has a class: there is nothing to tell apart",
            f"{_folder_above(ctx, dataset) or _one_folder(dataset)} Only the template 'autoencoder' learns without classes.",
        )
    if not there:
        splits = {name or "(none)": sum(counts.values()) for name, counts in dataset.counts.items()}
        found = ", ".join(f"{name}: {count}" for name, count in splits.items()) or "no images at all"
        raise UserError(
            f"there is nothing to train on: no labelled image in the split 'train' (found {found})",
            "Put a split stage before it: [stages.split] use = 'split'",
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
            "folder that you give. `pipekit sniff` says how a folder is read."
        )
    raise UserError(f"all {count:,} training images are of one class, {name!r}: there is nothing to tell apart{beside}", cause)


def _folder_below(dataset: Dataset, label: str) -> str:
    """ "Did you mean the folder below?", where the one class is a folder of folders; else ""."""
    inner = set()
    for sample in dataset:
        folders = sample.id.split("/")[:-1]
        if label in folders[:-1]:
            inner.add(folders[folders.index(label) + 1])
    names = sorted(name for name in inner if name.lower() not in SPLITS)
    if len(names) < 2:
        return ""
    return (
        f"Did you mean the folder {label!r} inside, which holds {_names(names)}? "
        'In a pipeline file, labels = "last" in the import stage takes the innermost folders for the classes.'
    )


def _folder_above(ctx: Context, dataset: Dataset) -> str:
    """ "Did you mean the folder above?", where the images lie in one class's folder beside others; else ""."""
    folder = source_folder(ctx, dataset)
    if folder is None:
        return ""
    names = [name for name in folders_in(folder.parent) if has_file(folder.parent / name, IMAGE_SUFFIXES)]
    if folder.name not in names or len(names) < 2:
        return ""
    return f"Did you mean the folder above, {folder.parent}, which holds {_names(names)}?"


def _one_folder(dataset: Dataset) -> str:
    flat = all("/" not in sample.id for sample in dataset)
    return ("All images lie in one folder, and no table names their classes. " if flat else "") + (
        "Give each class a folder of its own (photos/cat, photos/dog) or a table with a column of classes; "
        "`pipekit components importer` lists what can be read."
    )


def _names(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
