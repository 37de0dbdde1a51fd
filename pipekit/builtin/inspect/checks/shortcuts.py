"""Shortcuts: whether a file's format, size, quality, border or colour cast predicts the class, without the object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipekit.builtin.inspect import examples
from pipekit.builtin.inspect.rows import columns_in
from pipekit.contract import Context, Dataset, Finding, Params, param
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

Rows = Sequence[Mapping[str, Any]]


class ShortcutsParams(Params):
    margin: float = param(
        0.2,
        "Report a shortcut from this share of the way between chance and certainty on: 0.2 of two classes is 0.6",
        gt=0,
        lt=1,
    )


@examples.example(examples.shortcuts)
@supports(CLASSES, MULTILABEL, NUMBER)
def shortcuts(rows: Rows, ctx: Context, params: ShortcutsParams, dataset: Dataset | None = None) -> Iterator[Finding]:
    """A small tree on the files' properties, cross-validated; groups of near duplicates are never on both sides.

    A second tree is on the colour casts of a sample of the ``dataset``. With several labels,
    the ten most frequent ones are tried, images with one against those without it; with numbers, their lower against their
    upper half.
    """
    from pipekit.builtin.inspect.shortcut_tree import find, find_cast
    from pipekit.builtin.inspect.two_sides import two_sides

    for view, about in two_sides(columns_in(rows)):
        for finding in find(view, ctx, params.margin):
            yield replace(finding, message=about + finding.message)
        if dataset is not None:
            for finding in find_cast(view, ctx, dataset, params.margin):
                yield replace(finding, message=about + finding.message)
