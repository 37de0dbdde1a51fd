"""The short text of a verb's result, which Jupyter stores beside its HTML: no arrays, and no folders of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST = 60
"""Most characters of a value."""


class Brief:
    """A result whose text in IPython is short; ``repr`` and ``print`` have all of it."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._repr_pretty_ = Brief._repr_pretty_  # type: ignore[method-assign]  # IPython prefers a dataclass' own repr otherwise

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(brief(self))


def brief(found: Any) -> str:
    """``Split(counts=…, file=split.csv, path=None)``; of a tuple or a mapping its length."""
    name = type(found).__name__.removeprefix("Shown")
    if isinstance(found, (tuple, dict)):
        return f"{name}({len(found)})"
    return f"{name}({', '.join(_values(found))})"


def _values(found: Any) -> Iterator[str]:
    for name in getattr(found, "__dataclass_fields__", ()):
        value = getattr(found, name)
        if isinstance(value, Path):
            value = value.name
        said = str(value) if isinstance(value, (str, int, float)) or value is None else "…"
        yield f"{name}={said if len(said) <= MOST else '…'}"
