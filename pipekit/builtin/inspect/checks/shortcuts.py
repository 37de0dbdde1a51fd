"""Shortcuts: whether a file's format, size, quality, border or colour cast predicts the class, without the object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipekit.builtin.inspect import examples
from pipekit.contract import Context, Dataset, Finding, Params, param

Rows = Sequence[Mapping[str, Any]]


class ShortcutsParams(Params):
    margin: float = param(
        0.2,
        "Report a shortcut from this share of the way between chance and certainty on: 0.2 of two classes is 0.6",
        gt=0,
        lt=1,
    )


@examples.example(examples.shortcuts)
def shortcuts(rows: Rows, ctx: Context, params: ShortcutsParams, dataset: Dataset | None = None) -> Iterator[Finding]:
    """A small tree on the files' properties, cross-validated; groups of near duplicates are never on both sides.

    A second tree is on the colour casts of a sample of the ``dataset``.
    """
    from pipekit.builtin.inspect.shortcut_tree import find, find_cast

    yield from find(rows, ctx, params.margin)
    if dataset is not None:
        yield from find_cast(rows, ctx, dataset, params.margin)
