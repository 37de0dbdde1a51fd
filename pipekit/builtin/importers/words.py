"""Names of folders that say how a dataset is arranged: its splits, its images, its annotations. None of them is a class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "trainset": "train",
    "trainingset": "train",
    "trainval": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "valset": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "testset": "test",
}
"""A word in the name of a split's folder, in lower case."""

EVALUATED = ("eval", "evaluation")
"""Words of a split that is test, or val if another folder is test."""

IMAGE_WORDS = frozenset(
    {"images", "image", "imgs", "img", "pictures", "jpegimages", "leftimg8bit", "rgb", "data", "dataset", "datasets"}
)
"""Words in the name of a folder that holds all images, in lower case."""

ANNOTATION_WORDS = frozenset(
    {
        *("annotations", "annotation", "annots", "labels", "label", "masks", "mask", "gt", "gtfine", "gtcoarse"),
        *("groundtruth", "segmentationclass", "segmentationobject", "segmentation", "segmentations", "trimaps"),
    }
)
"""Words in the name of a folder of annotations, among them masks, which are image files too."""

AMBIGUOUS = frozenset({"image", "img", "data", "mask", "label", "gt", "rgb", "segmentation", "annotation"})
"""Words that are also good names for a class. Beside the folders of other classes, they are one."""

FILLERS = frozenset(
    {"set", "split", "seg", "cls", "raw", "all", "full", "final", "original", "jpg", "jpeg", "png", "folder", "ground", "truth"}
)
"""Words that may stand beside the others: ``seg_train``, ``training_set``."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")

Role = Literal["split", "images", "annotations", ""]


def words_of(name: str) -> list[str]:
    """The words of a name in lower case, without digits.

    >>> words_of("seg_train"), words_of("TrainImages2"), words_of("test2017")
    (['seg', 'train'], ['train', 'images'], ['test'])
    """
    whole = re.sub(r"[\W\d_]+", "", name).lower()
    known = {*SPLIT_WORDS, *EVALUATED, *IMAGE_WORDS, *ANNOTATION_WORDS}
    if whole in known or name.lower() in known:
        return [whole if whole in known else name.lower()]
    return [word.lower() for word in _WORDS.findall(name)]


def role_of(name: str) -> Role:
    """What a folder holds by its name: a split, all images, or annotations; "" if the name may be that of a class.

    >>> [role_of(name) for name in ("training_set", "test1", "JPEGImages", "train_masks", "testudo", "my_data", "seg")]
    ['split', 'split', 'images', 'annotations', '', '', '']
    """
    words = words_of(name)
    if not words or not {*words} <= {*SPLIT_WORDS, *EVALUATED, *IMAGE_WORDS, *ANNOTATION_WORDS, *FILLERS}:
        return ""
    if not ANNOTATION_WORDS.isdisjoint(words) or words == ["ground", "truth"]:
        return "annotations"
    splits = [word for word in words if word in SPLIT_WORDS or word in EVALUATED]
    if len(splits) == 1:
        return "split"
    return "images" if not splits and not IMAGE_WORDS.isdisjoint(words) else ""


def split_folder(name: str) -> str:
    """``Validation``, ``val_images`` and ``val2017`` -> ``val``; "" if it is not the name of a split's folder."""
    if role_of(name) != "split":
        return ""
    return next((SPLIT_WORDS[word] for word in words_of(name) if word in SPLIT_WORDS), "test")


def splits_among(names: Sequence[str]) -> dict[str, str]:
    """Folder -> split, for the folders that are splits. ``eval`` is test, or val if another one is test.

    A name that all folders share does not matter, if they are different splits otherwise.

    >>> splits_among(["train", "dev", "eval"])
    {'train': 'train', 'dev': 'val', 'eval': 'test'}
    >>> splits_among(["asl_alphabet_test", "asl_alphabet_train"])
    {'asl_alphabet_test': 'test', 'asl_alphabet_train': 'train'}
    >>> splits_among(["bullet_train", "test_tube"])
    {}
    """
    found = {name: split for name in names if (split := split_folder(name))}
    if not found and len(names) > 1:
        found = _with_shared_words(names)
    tests = [name for name, split in found.items() if split == "test"]
    evaluated = [name for name in tests if not {*EVALUATED}.isdisjoint(words_of(name))]
    if len(tests) > len(evaluated):
        found |= dict.fromkeys(evaluated, "val")
    return found


def _with_shared_words(names: Sequence[str]) -> dict[str, str]:
    found, shared = {}, Counter[tuple[str, ...]]()
    for name in names:
        words = words_of(name)
        splits = [word for word in words if word in SPLIT_WORDS]
        if len(splits) != 1 or splits[0] not in (words[0], words[-1]):
            return {}
        found[name] = SPLIT_WORDS[splits[0]]
        shared[tuple(word for word in words if word not in SPLIT_WORDS and word not in FILLERS)] += 1
    return found if len(shared) == 1 and len({*found.values()}) == len(found) else {}


def is_surely_structure(name: str) -> bool:
    """Whether a folder is no class even beside folders of classes."""
    return role_of(name) in ("images", "annotations") and AMBIGUOUS.isdisjoint(words_of(name))
