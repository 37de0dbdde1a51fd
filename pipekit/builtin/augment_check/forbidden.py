"""Ops that a person's labels forbid: after them the image shows another class, or none, whatever a model could learn."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pipekit.recipe.homography import swap_sides

MIRRORING = frozenset({"hflip", "transpose", "albu.HorizontalFlip", "albu.Transpose", "albu.D4"})
TURNING = frozenset({"vflip", "rotate90", "albu.VerticalFlip", "albu.RandomRotate90"})
RECOLOURING = frozenset({"greyscale", "hue_saturation", "invert", "colour_jitter", "albu.ToGray", "albu.HueSaturationValue"})

COLOURS = frozenset(
    {
        *("red", "green", "blue", "yellow", "orange", "purple", "violet", "pink", "brown", "black", "white", "grey", "gray"),
        *("cyan", "magenta", "turquoise", "beige", "gold", "silver"),
    }
)


def forbidden(op: str, classes: Collection[str], mirror_labels: Mapping[str, str]) -> str:
    """Why the names of the classes forbid an op; "" if they don't.

    >>> forbidden("hflip", ["left hand", "right hand"], {})
    'it swaps left and right, which the classes name (mirror_labels can swap the labels, too)'
    >>> forbidden("hflip", ["cat", "dog"], {})
    ''
    """
    name = op.partition(" (")[0]
    if name in MIRRORING:
        sided = [label for label in classes if swap_sides(label) != label]
        if any(label not in mirror_labels for label in sided):
            return "it swaps left and right, which the classes name (mirror_labels can swap the labels, too)"
    if name in MIRRORING | TURNING and _characters(classes):
        return "the classes are letters or digits, and a mirrored or turned one is another character or none"
    words = {word for label in classes for word in label.lower().replace("_", " ").replace("-", " ").split()}
    if name in RECOLOURING and len(words & COLOURS) > 1:
        return "it changes colours, which the classes name"
    return ""


def _characters(classes: Collection[str]) -> bool:
    """Whether most classes are single letters or digits."""
    return len(classes) > 1 and sum(len(label) == 1 and label.isalnum() for label in classes) > len(classes) / 2
