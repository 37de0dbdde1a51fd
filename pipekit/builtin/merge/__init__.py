"""The stage ``merge``: several datasets as one, with unique ids, one list of classes, and each picture counted once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import field_validator

from pipekit.builtin.merge.classes import CATEGORIES, joined_lists, lists_of, new_mask_values
from pipekit.builtin.merge.matching import Conflict, Matching, match
from pipekit.builtin.merge.remarks import remarks
from pipekit.contract import Context, Dataset, Params, Sample, SampleContext, param, stage, unseeded
from pipekit.errors import StageError, UserError
from pipekit.files import PlainTable
from pipekit.tasks import MULTILABEL, supports


class MergeParams(Params):
    names: tuple[str, ...] = param(
        (), "A name for each dataset, which its ids begin with: studio/cat/1.jpg; without names only ids that clash change"
    )
    duplicates: Literal["once", "keep"] = param(
        "once", "The same file in several datasets: counted once, as in the first of them, or kept in each"
    )
    conflicts: Literal["warn", "fail", "drop"] = param(
        "warn", "The same file with other annotations: keep the first and warn, fail, or drop the picture altogether"
    )

    @field_validator("names")
    @classmethod
    def _can_begin_ids(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not name.strip("/. ") or name != name.strip("/ "):
                raise ValueError(f"{name!r} can't begin an id; write a name such as 'studio'")
        if len(set(value)) < len(value):
            raise ValueError(f"each dataset needs a unique name, got {list(value)}")
        return value


@supports("classes", "multilabel", "number")
@stage
def merge(ctx: Context, datasets: tuple[Dataset, ...], params: MergeParams) -> Dataset:
    """Join datasets. Ids are made unique, classes are joined by their names, and a picture in several datasets is counted once.

    Raises:
        UserError: there are fewer than two datasets, or not as many names as datasets.
        StageError: a picture has other annotations in another dataset, and ``conflicts`` is "fail".
    """
    if len(datasets) < 2:
        raise UserError(f"there is nothing to merge: {len(datasets)} dataset", 'For example: datasets = ["studio", "street"]')
    if params.names and len(params.names) != len(datasets):
        raise UserError(f"{len(datasets)} datasets and {len(params.names)} names", "Give each dataset a name, or none.")
    found = match(ctx, datasets, params.names, params.duplicates == "once")
    _settle(ctx, found, params)
    for remark in remarks(found, params.names):
        ctx.warn(remark)
    if missing := _unasked(datasets):
        ctx.warn(missing)
    lists = [lists_of(dataset.meta) for dataset in datasets]
    joined = joined_lists(lists)
    listed: dict[str, Any] = {CATEGORIES: joined} if joined else {}
    parts = []
    for dataset, change, values in zip(datasets, found.changes, new_mask_values(lists, joined), strict=True):
        samples: Any = dataset
        if values:
            samples = ctx.map(renumber, dataset, RenumberParams(values=values), label="masks", name="renumber")
        parts.append(ctx.revise(samples, change))
    facts: dict[str, str] = {}
    made = ctx.dataset(parts, facts=facts, **listed)
    facts.update(_facts(made, found))
    return made


def _unasked(datasets: Sequence[Dataset]) -> str:
    """What is said of labels that only some of the datasets have: elsewhere nobody looked for them; "" if there are none."""
    sets = [{*dataset.classes} for dataset in datasets if dataset.task == MULTILABEL]
    others = sorted({name for names in sets for name in names if not all(name in one for one in sets)})
    if not others:
        return ""
    return (
        f"{len(others)} labels are not in every dataset, such as {others[0]!r}: the images of the other datasets count as "
        "images without them, though nobody may have looked for them"
    )


def _settle(ctx: Context, found: Matching, params: MergeParams) -> None:
    """Warn of pictures with several annotations, list them, and leave them out if asked."""
    rule = params.conflicts
    if not found.conflicts:
        return
    count, first = len({one.sha256 for one in found.conflicts}), found.conflicts[0]
    pictures = "1 picture has" if count == 1 else f"{count:,} pictures have"
    message = f"{pictures} other annotations in another dataset: {first}"
    if rule == "fail":
        raise StageError(message, 'conflicts = "warn" keeps the first, conflicts = "drop" leaves such pictures out.')
    _list(ctx, found.conflicts)
    if rule == "drop":
        for one in found.conflicts:
            found.leave_out(found.members[one.sha256])
        ctx.warn(f"{message}. They were left out; conflicts.csv lists them")
    else:
        kept = "The annotations of the first dataset" if params.duplicates == "once" else "Both"
        ctx.warn(f"{message}. {kept} are kept; conflicts.csv lists the pictures")


def _list(ctx: Context, conflicts: Sequence[Conflict]) -> None:
    with (ctx.out_dir / "conflicts.csv").open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        table = PlainTable(file)
        table.writerow(("first_dataset", "first_id", "other_dataset", "other_id", "what", "first", "other"))
        for one in conflicts:
            table.writerow((one.names[0][0] + 1, one.names[0][1], one.names[1][0] + 1, one.names[1][1], *one.values))


def _facts(made: Dataset, found: Matching) -> Mapping[str, str]:
    numbers = {
        "images": len(made),
        "classes": len(made.classes),
        "counted once" if found.once else "in several datasets": found.num_duplicates,
        "new ids": found.num_renamed,
        "conflicts": len(found.conflicts),
    }
    return {name: str(number) for name, number in numbers.items() if number}


# --- masks ---------------------------------------------------------------------------------------------------------------


class RenumberParams(Params):
    values: dict[int, int] = param(..., "The new class number for each one that changes")


@unseeded
def renumber(sample: Sample, params: RenumberParams, ctx: SampleContext) -> Iterator[Sample]:
    """Yield the sample, with its mask in the numbers of the joined list of classes."""
    from dataclasses import replace

    from pipekit.images.mask_values import with_values

    if not sample.targets.mask:
        yield sample
        return
    path = ctx.write(f"masks/{sample.id}.png", with_values(sample.targets.mask, params.values))
    yield replace(sample, targets=replace(sample.targets, mask=path, mask_sha256=""))
