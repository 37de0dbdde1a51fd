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
    "holdout": "test",
    **dict.fromkeys(("entrenamiento", "entrainement", "entraînement", "treino", "treinamento", "addestramento"), "train"),
    **dict.fromkeys(("validacion", "validación", "validacao", "validação", "validazione"), "val"),
    **dict.fromkeys(("prueba", "pruebas", "teste"), "test"),
}
"""A word in the name of a split's folder, in lower case."""

EVALUATED = ("eval", "evaluation")
"""Words of a split that is test, or val if another folder is test."""

IMAGE_WORDS = frozenset(
    {
        *("images", "image", "imgs", "img", "pictures", "jpegimages", "leftimg8bit", "rgb", "frames", "input", "inputs", "lr"),
        *("data", "dataset", "datasets", "jpg", "jpeg", "png"),
    }
)
"""Words in the name of a folder that holds all images, in lower case."""

ANNOTATION_WORDS = frozenset(
    {
        *(
            "annotations",
            "annotation",
            "annots",
            "annot",
            "anno",
            "annos",
            "xmls",
            "labels",
            "label",
            "masks",
            "mask",
            "lbl",
            "lbls",
        ),
        *("gt", "gtfine", "gtcoarse", "groundtruth", "groundtruths", "segmentationclass", "segmentationobject"),
        *("segmentation", "segmentations", "semseg", "semantic", "instance", "instances", "panoptic", "trimaps"),
        *("depth", "disparity", "detections", "target", "targets", "hr"),
    }
)
"""Words in the name of a folder of annotations, among them masks, which are image files too."""

AMBIGUOUS = frozenset(
    {
        *("image", "img", "frames", "data", "mask", "label", "gt", "rgb", "segmentation", "annotation", "anno", "annot"),
        *("semantic", "instance", "instances", "panoptic", "depth", "disparity", "detections", "input", "inputs", "lr"),
        *("target", "targets", "hr"),
    }
)
"""Words that are also good names for a class. Beside the folders of other classes, they are one, unless images and their
annotations are both among them (``image`` and ``label``)."""

FILLERS = frozenset(
    {
        *("set", "split", "seg", "cls", "raw", "all", "full", "final", "original", "optional", "folder"),
        *("ground", "truth", "left", "right"),
    }
)
"""Words that may stand beside the others: ``seg_train``, ``training_set``."""

RECORDING_WORDS = frozenset(
    {
        *("s", "ts", "subject", "subj", "sub", "participant", "patient", "session", "sess", "ses", "sequence", "seq"),
        *(
            "camera",
            "cam",
            "take",
            "trial",
            "scene",
            "clip",
            "video",
            "vid",
            "recording",
            "rec",
            "run",
            "fold",
            "batch",
            "part",
        ),
        *("chunk", "shard"),
    }
)
"""Words that, with a number, say which recording or part an image comes from: ``S1``, ``Subject01``, ``cam_3``, ``fold2``."""

FILE_WORDS = frozenset(
    {
        *(
            "frame",
            "frames",
            "img",
            "image",
            "photo",
            "pic",
            "picture",
            "dsc",
            "dscn",
            "dscf",
            "pxl",
            "mvi",
            "wp",
            "gopr",
            "scan",
        ),
        *("screenshot", "page", "file"),
    }
)
"""Words that cameras and programs put before the number of a file: ``IMG_0042``."""

_RECORDING = re.compile(r"[^\W\d_]+[ _.-]?\d+")

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
    >>> splits_among(["my-train-set", "my-test-set"])
    {'my-train-set': 'train', 'my-test-set': 'test'}
    >>> splits_among(["bounding_box_test", "bounding_box_train", "query"])
    {'bounding_box_test': 'test', 'bounding_box_train': 'train'}
    >>> splits_among(["bullet_train", "test_tube"])
    {}
    """
    found = {name: split for name in names if (split := split_folder(name))}
    if not found and len(names) > 1:
        found = _with_shared_words(names) or _with_shared_words([name for name in names if _split_words(name)])
    tests = [name for name, split in found.items() if split == "test"]
    evaluated = [name for name in tests if not {*EVALUATED}.isdisjoint(words_of(name))]
    if len(tests) > len(evaluated):
        found |= dict.fromkeys(evaluated, "val")
    return found


def _with_shared_words(names: Sequence[str]) -> dict[str, str]:
    found, shared = {}, Counter[tuple[str, ...]]()
    for name in names:
        words, splits = words_of(name), _split_words(name)
        telling = [word for word in words if word not in FILLERS]
        if len(splits) != 1 or splits[0] not in (telling[0], telling[-1]):
            return {}
        found[name] = SPLIT_WORDS[splits[0]]
        shared[tuple(word for word in words if word not in SPLIT_WORDS and word not in FILLERS)] += 1
    return found if len(found) > 1 and len(shared) == 1 and len({*found.values()}) == len(found) else {}


def splits_with_parts(names: Sequence[str]) -> list[str]:
    """Folders of splits that have the same further words each: which are domains or views, and no classes by these names.

    >>> splits_with_parts(["trainA", "trainB", "testA", "testB"]), splits_with_parts(["bullet_train", "test_tube"])
    (['trainA', 'trainB', 'testA', 'testB'], [])
    """
    parts: dict[str, list[tuple[str, ...]]] = {}
    for name in names:
        splits = _split_words(name)
        if len(splits) != 1:
            return []
        rest = tuple(word for word in words_of(name) if word not in splits and word not in FILLERS)
        parts.setdefault(SPLIT_WORDS[splits[0]], []).append(rest)
    found = [sorted(rests) for rests in parts.values()]
    return list(names) if len(found) > 1 and len(found[0]) > 1 and all(rests == found[0] for rests in found) else []


def _split_words(name: str) -> list[str]:
    return [word for word in words_of(name) if word in SPLIT_WORDS]


def structure_among(names: Sequence[str]) -> list[str]:
    """The names of images and of annotations among those of folders beside one another.

    A word that may be a class as well counts beside one of the other role. So do names that are alike but for such words.

    >>> structure_among(["cat", "images"]), structure_among(["aug", "image", "label"]), structure_among(["mask", "no_mask"])
    (['images'], ['image', 'label'], [])
    >>> structure_among(["images_prepped_train", "annotations_prepped_train"])
    ['images_prepped_train', 'annotations_prepped_train']
    """
    found = {name: role for name in names if (role := role_of(name)) in ("images", "annotations")}
    if not (len({*found.values()}) > 1 or len(found) == len(names) > 1):
        found = {name: role for name, role in found.items() if AMBIGUOUS.isdisjoint(words_of(name))}
    return [name for name in names if name in found] or _alike_but_for_roles(names)


def is_recording(name: str) -> bool:
    """Whether a folder is named after a subject, a session, a camera … with its number, which may be no class.

    >>> [is_recording(name) for name in ("S1", "Subject01", "sub-03_ses-1", "cam3", "class1", "S", "sedan1", "take_4 dog")]
    [True, True, True, True, False, False, False, False]
    """
    if re.sub(r"[ _.-]", "", _RECORDING.sub("", name)):
        return False
    found = [re.match(r"[^\W\d_]+", part) for part in _RECORDING.findall(name)]
    return bool(found) and all(word is not None and word[0].lower() in RECORDING_WORDS for word in found)


def names_no_class(words: str) -> bool:
    """Whether the words before the number of a file say which recording it is from, or that it is a file.

    >>> names_no_class("S"), names_no_class("cam"), names_no_class("IMG"), names_no_class("golden retriever")
    (True, True, True, False)
    """
    found = re.split(r"[ _.-]+", words.lower())
    return all(word in RECORDING_WORDS or word in FILE_WORDS for word in found)


def has_no_annotations(name: str) -> bool:
    """Whether no word of a folder's name is one of annotations."""
    return ANNOTATION_WORDS.isdisjoint(words_of(name))


def _alike_but_for_roles(names: Sequence[str]) -> list[str]:
    alike: dict[tuple[str, ...], dict[str, Role]] = {}
    for name in names:
        words = words_of(name)
        roles: list[Role] = ["annotations"] * (not ANNOTATION_WORDS.isdisjoint(words))
        roles += ["images"] * (not IMAGE_WORDS.isdisjoint(words))
        if len(roles) == 1:
            others = (
                word for word in words if word not in ANNOTATION_WORDS and word not in IMAGE_WORDS and word not in SPLIT_WORDS
            )
            alike.setdefault(tuple(others), {})[name] = roles[0]
    return [name for found in alike.values() if len({*found.values()}) > 1 for name in found]
