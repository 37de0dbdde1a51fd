"""A number an image: the range of the numbers, and those far outside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipekit.builtin.inspect import examples
from pipekit.builtin.inspect.rows import columns_in
from pipekit.contract import Context, Finding, Params, param
from pipekit.tasks import NUMBER, supports

FEWEST = 20
"""Minimum number of images for outliers."""


class NumbersParams(Params):
    spreads: float = param(
        3.0,
        "Report numbers farther outside the quartiles than this many times the distance between them (Tukey's fences)",
        gt=0,
    )


@examples.example(examples.outlying_numbers)
@supports(NUMBER)
def outlying_numbers(rows: Sequence[Mapping[str, Any]], ctx: Context, params: NumbersParams) -> Iterator[Finding]:
    """The distribution of the numbers; images whose number lies far outside those of most images."""
    import numpy as np

    found = columns_in(rows)
    column = found.texts["label"]
    at = np.flatnonzero(found.good & (column.codes >= 0))
    if not len(at):
        return
    values = np.array([float(name) for name in column.names])[column.codes[at]]
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    yield Finding(
        "outlying_numbers",
        "info",
        f"{len(values):,} numbers from {values.min():g} to {values.max():g}; median {middle:g}, half of them between {low:g} "
        f"and {high:g}",
        values={"quantiles": np.quantile(values, np.linspace(0, 1, 11)).tolist()},
    )
    reach = params.spreads * (high - low)
    outside = (values < low - reach) | (values > high + reach)
    if len(values) >= FEWEST and outside.any():
        order = np.argsort(-np.abs(values[outside] - middle), kind="stable")
        ids = tuple(found.ids[number] for number in at[outside][order].tolist())
        yield Finding(
            "outlying_numbers",
            "warning",
            f"{len(ids):,} number{'s' if len(ids) > 1 else ''} outside {low - reach:g} to {high + reach:g}, such as "
            f"{values[outside][order][0]:g}: a wrong unit, or a missing value written as a number?",
            ids,
        )
