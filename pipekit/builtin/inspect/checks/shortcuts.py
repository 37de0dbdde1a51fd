"""Shortcuts: whether a file's format, size, quality or border predicts the class, without the object in the picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipekit.contract import Context, Finding, Params, param

Rows = Sequence[Mapping[str, Any]]


class ShortcutsParams(Params):
    margin: float = param(
        0.2,
        "Report a shortcut from this share of the way between chance and certainty on: 0.2 of two classes is 0.6",
        gt=0,
        lt=1,
    )


def shortcuts(rows: Rows, ctx: Context, params: ShortcutsParams) -> Iterator[Finding]:
    """A small tree on the files' properties, cross-validated; groups of near duplicates are never on both sides."""
    from pipekit.builtin.inspect.shortcut_tree import find

    yield from find(rows, ctx, params.margin)
