"""The stage ``filter``: keep the samples that fulfil an expression over their columns."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import field_validator

from pipekit.builtin.filter.columns import Condition, literals_of, unknown
from pipekit.contract import Context, Dataset, Params, Sample, SampleContext, param, stage, unseeded
from pipekit.errors import UserError, did_you_mean
from pipekit.tasks import supports


class FilterParams(Params):
    where: str = param(
        ..., "Keep the samples that fulfil this expression: label in ['cat', 'dog'] and width >= 64", min_length=1
    )

    @field_validator("where")
    @classmethod
    def _can_be_read(cls, value: str) -> str:
        assert Condition(value).expression  # raises a GrammarError, which is a ValueError
        return value


@supports("classes", "multilabel", "number")
@stage
def filter(ctx: Context, dataset: Dataset, params: FilterParams) -> Dataset:
    """Keep the samples that fulfil an expression; the others are left out.

    Raises:
        UserError: no sample has a column that the expression names, or none fulfils it.
    """
    condition = Condition(params.where)
    _check_columns(dataset, condition)
    _warn_of_names(ctx, dataset, condition)
    facts: dict[str, str] = {}
    made = ctx.dataset(ctx.map(select, dataset, params, label="filtering", name="select"), facts=facts)
    num_failed = made.meta["num_failed"] - dataset.meta["num_failed"]
    num_left_out = len(dataset) - len(made) - num_failed
    if not len(made) and not num_failed:
        classes = ", ".join(dataset.classes[:10]) + (" …" if len(dataset.classes) > 10 else "")
        raise UserError(
            f"none of {len(dataset):,} images fulfils: {params.where}",
            f"The classes are: {classes or 'none'}; the splits: {', '.join(map(repr, dataset.counts))}.",
        )
    facts.update(kept=str(len(made)))
    facts["left out"] = str(num_left_out)
    return made


@unseeded
def select(sample: Sample, params: FilterParams, ctx: SampleContext) -> Iterator[Sample]:
    """Yield the sample, if it fulfils the expression."""
    if ctx.once("condition", lambda: Condition(params.where))(sample):
        yield sample


def _check_columns(dataset: Dataset, condition: Condition) -> None:
    """Every further column must be in a row; rows are read until all are found."""
    missing = condition.meta_columns()
    seen: set[str] = set()
    for sample in dataset if missing else ():
        seen.update(sample.extra)
        for name in [name for name in missing if name in seen or name.partition(".")[0] in seen]:
            del missing[name]
        if not missing:
            return
    for name, column in missing.items():
        raise UserError(f"no image has a column {name!r} (where, character {column.at + 1})", unknown(name, sorted(seen)))


def _warn_of_names(ctx: Context, dataset: Dataset, condition: Condition) -> None:
    """A class or split that no image has is probably misspelt."""
    known = {"label": dataset.classes, "labels": dataset.classes, "split": tuple(name for name in dataset.counts if name)}
    for column, names in known.items():
        for value, at in literals_of(condition.expression, column):
            if value not in names:
                near = did_you_mean(value, names) or (f"There are: {', '.join(names[:10])}" if names else "")
                ctx.warn(f"no image has the {column} {value!r} (where, character {at + 1}). {near}".strip())
