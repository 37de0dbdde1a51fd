"""Further columns of a sample that may be coordinates in its image. Ops move boxes and keypoints, and no column of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipekit.errors import UserError

if TYPE_CHECKING:
    from pipekit.recipe.compiled import Op

GROUPS = (
    *(("xmin", "ymin"), ("x1", "y1"), ("x", "y"), ("cx", "cy"), ("xcenter", "ycenter"), ("bboxx", "bboxy")),
    *(("bboxx1", "bboxy1"), ("centerx", "centery"), ("left", "top"), ("pointx", "pointy")),
    *(("xmax", "ymax"), ("x2", "y2"), ("x3", "y3"), ("x4", "y4"), ("bboxx2", "bboxy2"), ("right", "bottom")),
)
"""Columns that together are a point, in lower case, letters and digits only."""

ALONE = frozenset(
    {"bbox", "bboxes", "boundingbox", "box", "boxes", "landmarks", "keypoints", "polygon", "polygons", "segmentation", "points"}
    | {"encodedpixels", "rle", "maskrle", "rlemask"}
)
"""Columns that are coordinates if they hold numbers."""


def coordinate_columns(extra: Mapping[str, Any]) -> list[str]:
    """The columns of a sample that may be coordinates.

    >>> coordinate_columns({"nose_x": 12.5, "nose_y": "30", "age": 7, "bbox": "[1, 2, 3, 4]", "box": "A4"})
    ['bbox', 'nose_x', 'nose_y']
    >>> coordinate_columns({"ClassId": 3, "EncodedPixels": "29102 12 29346 24", "rle": ""})
    ['EncodedPixels']
    >>> coordinate_columns({"x": "left", "y": "top", "objects": [{"occluded": True}]})
    []
    """
    plain = {"".join(filter(str.isalnum, name.lower())): name for name in extra}
    found = {name for key, name in plain.items() if key in ALONE and _has_numbers(extra[name], 2)}
    found |= {name for name, value in extra.items() if isinstance(value, Mapping) and "bbox" in value}
    for key, name in plain.items():
        partner = plain.get(key[:-1] + "y") if key.endswith("x") else None
        if partner is not None and name.lower().endswith(("_x", ".x", "-x", " x")) and _are_numbers(extra, name, partner):
            found |= {name, partner}
    for group in GROUPS:
        names = [plain[key] for key in group if key in plain]
        if len(names) == len(group) and _are_numbers(extra, *names):
            found |= set(names)
    return sorted(found)


def refuse_moving(ops: Sequence[Op]) -> None:
    """Raise if ops move pixels: the number that a dataset states of an image may change with them.

    Raises:
        UserError: there are such ops, which are named.
    """
    from pipekit.recipe.compiled import walk

    if moving := list(dict.fromkeys(op.name for op in walk(ops) if op.kind in ("geometric", "view"))):
        raise UserError(
            f"the ops {', '.join(moving)} move the pixels of an image, and its number may change with them, as an angle does "
            "with a rotation",
            "Leave them out, or state that the number stays as it is: keep_value = true.",
        )


def _are_numbers(extra: Mapping[str, Any], *names: str) -> bool:
    return all(_has_numbers(extra[name], 1) for name in names)


def _has_numbers(value: Any, least: int) -> bool:
    text = str(value).strip("[]() ")
    try:
        return len([float(part) for part in text.replace(",", " ").replace("[", " ").replace("]", " ").split()]) >= least
    except ValueError:
        return False
