"""Cells of tables that hold several labels or a number."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from typing import Any

MISSING = frozenset({"", "nan", "null", "n/a", "#n/a", "<na>", "nat"})
"""What programs write for a value that is not there, in lower case."""

ONES, ZEROS = ("1", "1.0", "true"), ("0", "0.0", "false", "")


def text_of(value: Any) -> str:
    return "" if value is None else str(value).strip().encode("utf-8", "replace").decode("utf-8")


def is_missing(text: str) -> bool:
    """Whether a cell has no value: it is empty, or ``nan`` and the like."""
    return text.lower() in MISSING


def labels_of(value: Any, separator: str) -> tuple[str, ...] | None:
    """The labels in a cell, sorted; ``()`` for an empty list, None for an empty cell, which says nothing.

    Raises:
        ValueError: the cell looks like a list and is none.

    >>> labels_of("mass|effusion", "|"), labels_of("['b', 'a', 'b']", ""), labels_of("[]", "|"), labels_of("", "|")
    (('effusion', 'mass'), ('a', 'b'), (), None)
    """
    if isinstance(value, (list, tuple)):
        return _unique(value)
    text = text_of(value)
    if text.startswith("[") and text.endswith("]"):
        return _unique(listed(text))
    if is_missing(text):
        return None
    return _unique(text.split(separator) if separator else [text])


def _unique(values: Any) -> tuple[str, ...]:
    return tuple(sorted({text for text in map(text_of, values) if text}))


def listed(text: str) -> list[Any]:
    """A list as Python or JSON writes it. Raises ValueError."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise ValueError(f'{text[:60]!r} is not a list of labels; write ["a", "b"], or set the separator')
    return found


def ones_of(cells: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names of the columns that are 1, sorted; None if all are empty.

    Raises:
        ValueError: a cell is neither 0 nor 1.

    >>> ones_of({"cat": "1", "dog": 0, "fox": 1.0}), ones_of({"cat": "0"}), ones_of({"cat": ""})
    (('cat', 'fox'), (), None)
    """
    texts = {name: text_of(value).lower() for name, value in cells.items()}
    if all(map(is_missing, texts.values())):
        return None
    for name, text in texts.items():
        if text not in ONES and text not in ZEROS:
            raise ValueError(f"{text[:60]!r} in column {name!r}, expected 0 or 1")
    return tuple(sorted(name for name, text in texts.items() if text in ONES))


def number_of(value: Any, column: str) -> float | None:
    """The number in a cell; None for an empty one.

    Raises:
        ValueError: it holds something else, or a number that is not finite.

    >>> number_of("-12.5", "angle"), number_of("nan", "angle"), number_of(3, "angle")
    (-12.5, None, 3.0)
    """
    text = text_of(value)
    if is_missing(text):
        return None
    try:
        found = float(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} in column {column!r} is not a number") from None
    if not math.isfinite(found):
        raise ValueError(f"{text!r} in column {column!r} is not finite")
    return found
