"""The stage ``split``: divide a dataset into training, validation (val) and test images.

In every mode:

* images that came with a split keep it; if val or test is missing altogether, it is taken from train;
* duplicates, near duplicates, copies of one original and groups stay in one split, unless they came in two: that is reported;
* the same images with the same parameters give the same split, in any order.

The split file. In mode ``stratified``, a file beside the pipeline remembers the assignment, so that adding images moves none.
That file is state outside the stage's inputs, so its content is part of the cache key (``fingerprint``), and the engine stores
the output under the content that the stage left there. A second run is therefore a cache hit, and rightly so: with every image
assigned, the file decides everything and the stage would change nothing. Whoever edits the file, deletes it or gets another
version of it from a colleague gets what that file says, never an older cached result.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ValidationInfo, field_validator, model_validator

from pipekit.columnar import Few, Revision
from pipekit.contract import Call, Context, Dataset, Embeddings, InputPath, Params, Uses, param, reads_files, stage
from pipekit.corrected import Ledger, read_corrections
from pipekit.errors import StageError, UserError
from pipekit.files import PlainTable
from pipekit.quarantine import Exclusions, read_exclusions
from pipekit.tasks import CLASSES, TASKS, supports

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipekit.builtin.split.fixed_splits import Assignment
    from pipekit.builtin.split.groups import Items
    from pipekit.builtin.split.split_file import SplitFile
    from pipekit.learning.near_copies import Copies

SPLITS = ("train", "val", "test")

MODES = ("stratified", "hash")
"""The splitters of the stage itself."""


class SplitParams(Params):
    fractions: dict[str, float] = param(
        {"train": 0.7, "val": 0.15, "test": 0.15}, "The share of each split; they sum to 1", min_length=1
    )
    mode: Annotated[Call | str, Uses("splitter", names=MODES)] = param(
        "stratified",
        "stratified: divide each class by the fractions, and remember it; hash: each image's content alone decides its split; "
        "or a plugin's splitter",
    )
    duplicates: Literal["near", "exact", "off"] = param(
        "near", "Duplicates that must stay in one split: near and exact ones, exact ones only, or none"
    )
    distance_bits: int = param(
        6, "Largest Hamming distance of near duplicates' perceptual hashes, of 64", unit="bits", ge=0, le=15
    )
    group_column: str = param("", "Keep images with the same value in this column in one split (patient, video, product)")
    group_pattern: str = param("", "Keep images in one split if this regular expression matches the same text in their ids")
    leaks: Literal["warn", "fail", "drop"] = param(
        "warn", "What to do about duplicates that came in two splits: warn, fail, or drop them from train (then from val)"
    )
    folds: int = param(0, "Number of folds for cross-validation, of train and val together; 0 for none", ge=0, le=100)
    fold: int = param(
        1, "The fold that is val, starting at 1; 0: none, all folds are train, for `cross_validate` of the stage `train`", ge=0
    )
    remember: bool = param(True, "Keep the assignment in the split file, so that adding images moves none")
    file: Path = param("split.csv", "The split file, relative to the pipeline file", in_key=False)
    exclude: InputPath | None = param(None, "Leave out the images that this CSV lists by id or sha256 (inspect --quarantine)")
    corrections: InputPath | None = param(
        None, "Change the labels of images, and leave images out, as this CSV says (pipekit corrections)"
    )

    @field_validator("fractions")
    @classmethod
    def _sums_to_one(cls, value: dict[str, float]) -> dict[str, float]:
        for name, share in value.items():
            if name not in SPLITS:
                raise ValueError(f"no split called {name!r}; there are train, val and test")
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is {share:g}, expected a share between 0 and 1")
        if abs(sum(value.values()) - 1) > 1e-6:
            raise ValueError(f"the fractions sum to {sum(value.values()):g}, expected 1")
        return {name: value[name] for name in SPLITS if value.get(name)}

    @field_validator("group_pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value

    @field_validator("file")
    @classmethod
    def _beside_the_pipeline(cls, value: Path, info: ValidationInfo) -> Path:
        base = (info.context or {}).get("base_dir")
        return Path(base) / value if base else value

    @model_validator(mode="after")
    def _fits_together(self) -> SplitParams:
        if self.group_column and self.group_pattern:
            raise ValueError("group_column and group_pattern exclude each other; give one of them")
        if self.folds == 1:
            raise ValueError("one fold leaves nothing to train on; folds must be 0 or at least 2")
        if self.folds and not {"train", "val"} & self.fractions.keys():
            raise ValueError(
                "folds divide train and val, and fractions gives both nothing; with test = 1 there is nothing to fold"
            )
        if self.folds and self.fold > self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds}: expected 1 to {self.folds}, or 0 for none")
        return self


@reads_files(lambda params: [params.file])
def outside_state(params: SplitParams) -> str:
    """The part of the split file that the stage reads."""
    return _file_state(params.file) if _remembers(params) else ""


def _file_state(path: Path) -> str:
    """The split file's content as a hash; "" where there is no file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


@supports("classes", "multilabel", "number")
@stage(fingerprint=outside_state)
def split(ctx: Context, dataset: Dataset, params: SplitParams, embeddings: Embeddings | None = None) -> Dataset:
    """Assign every sample to a split.

    With ``embeddings`` of these images, near duplicates that hashes miss stay together too: mirrored, cropped, turned,
    recoloured ones, and neighbours in a burst.

    Raises:
        UserError: a split would be empty, or no image has the group column or matches the pattern.
        StageError: duplicates lie in two splits and ``leaks`` is "fail".
    """
    from pipekit.builtin.split.fixed_splits import Request, assign
    from pipekit.builtin.split.groups import (
        corrected,
        groups_of,
        items_of,
        label_conflicts,
        same_content,
        suggested_groups,
    )
    from pipekit.builtin.split.split_file import SplitFile

    path = ctx.project_dir / params.file
    notes = ctx.recall(FILE) if _remembers(params) else None
    memory = SplitFile.read(path, notes) if _remembers(params) else SplitFile.of([])
    excluded = read_exclusions(params.exclude) if params.exclude else Exclusions()
    items = items_of(dataset, excluded, params.group_column, params.group_pattern)
    num_excluded = len(dataset) - len(items)
    ledger = Ledger(read_corrections(params.corrections) if params.corrections else (), excluded)
    if params.corrections:
        if dataset.task != CLASSES:
            raise UserError(
                f"'corrections' of the stage 'split' does not support {TASKS[dataset.task]}",
                "Give the file to the import: its stage takes `corrections` too, for every task.",
            )
        items = corrected(items, ledger)
        for warning in ledger.warnings(params.corrections.name):
            ctx.warn(warning)
    if not len(items):
        raise UserError(
            "there is no image to split", "Is the dataset empty, or do 'exclude' and 'corrections' name every image?"
        )
    same = same_content(items)
    if conflicts := label_conflicts(items, same):
        one, other = conflicts[0]
        ctx.warn(
            f"{len(conflicts):,} image{'s are' if len(conflicts) > 1 else ' is'} there again under another label: "
            f"{items.ids[other]} ({items.label(other)}) is the same file as {items.ids[one]} ({items.label(one)}). "
            "One label is wrong; `pipekit inspect` lists all"
        )
    copies = _copies(ctx, dataset, embeddings) if embeddings is not None and params.duplicates == "near" else None
    groups = groups_of(ctx, items, dataset, same, params.duplicates, params.distance_bits, copies)
    ungrouped = not (params.group_column or params.group_pattern) and params.duplicates != "off"
    if ungrouped and (suggestion := suggested_groups(ctx, items, dataset, groups)):
        ctx.warn(
            f"{suggestion}. If they show one patient, video or scene, the metrics will be too high: keep each group in one "
            f"split with group_pattern = {json.dumps(suggestion.pattern)}, or {suggestion.option}"
        )
    splitter = params.mode if isinstance(params.mode, Call) else None
    mode = params.mode if isinstance(params.mode, str) else "stratified"
    request = Request(params.fractions, mode, ctx.seed, params.folds, params.fold, splitter)
    found = assign(items, groups, memory, request)
    for warning in found.warnings:
        ctx.warn(warning)
    dropped = _settle_leaks(ctx, found, params.leaks)
    if _remembers(params):
        _remember(ctx, path, memory, found, notes)
    if dropped:
        _list_left_out(ctx.out_dir / "left_out.csv", {items.ids[number]: reason for number, reason in dropped.items()})
    counts = found.counts(dropped)
    facts = {name: str(count) for name, count in counts.items()}
    if found.num_copies:
        facts["kept together"] = f"{found.num_copies} images"
    if copies is not None:
        facts |= {"near duplicates by features": f"{len(copies.copies):,} pairs", "similarity limit": f"{copies.limit:.2f}"}
    if num_excluded:
        facts["excluded"] = str(num_excluded)
    facts |= ledger.facts()
    if dropped:
        facts["left out"] = str(len(dropped))
    headline = ", ".join(f"{name} {count}" for name, count in counts.items())
    revision = _revision(found, dropped, groups)
    del items, found, memory, groups, same  # columns of all images: 250 bytes an image, while parts are written
    revised = ctx.revise(dataset, revision)
    return ctx.dataset(revised, facts=facts, headline=f"{sum(counts.values())} images: {headline}")


def _copies(ctx: Context, dataset: Dataset, embeddings: Embeddings) -> Copies:
    from pipekit.learning.embeddings import embedded_of
    from pipekit.learning.near_copies import find_copies

    return find_copies(ctx, dataset, embedded_of(ctx, embeddings, dataset))


GROUP = "split_group"
"""The column in which each sample's group travels on: `evaluate` and `compare` then count groups, not images."""

COPIES = "split_copies"
"""The column of images that were kept together since they are copies: the same file, near duplicates, of one original."""

FILE = "split file"
"""The stage's note of the lines of the split file."""


def _remember(ctx: Context, path: Path, memory: SplitFile, found: Assignment, notes: bytes | None) -> None:
    """Write the split file, if it changes; and note its lines."""
    changed, new = memory.write(path, found.to_remember)
    if changed:
        ctx.event("note", message=f"the split is kept in {_shown(path)}, so that adding images moves none")
    if new is not None and new != notes:
        ctx.remember(FILE, new)


def _revision(found: Assignment, dropped: Collection[int], groups: Sequence[Sequence[int]]) -> Revision:
    """The assignment as changes to the samples, in the order of the dataset's columns.

    Args:
        groups: the items that stay together, several each.
    """
    import numpy as np

    from pipekit.builtin.split.fixed_splits import PLACES

    items = found.items
    columns, number = items.columns, items.columns.num_rows
    splits, folds, keep = np.full(number, -1, np.int32), np.full(number, -1, np.int64), np.zeros(number, np.bool_)
    splits[items.order] = found.places
    folds[items.order] = np.where(found.folds > 0, found.folds, -1)
    keep[items.order] = True
    keep[items.order[list(dropped)]] = False
    fields = {"split": Few(splits, PLACES)} | ({"extra.fold": folds} if found.folds.any() else {})
    if items.relabelled is not None:
        labels = np.full(number, -1, np.int32)
        labels[items.order] = np.where(items.relabelled, items.labels.codes, -1)
        fields["label"] = Few(labels, items.labels.names)
    if any(items.groups.names):
        numbers = np.full(number, -1, np.int64)
        numbers[items.order] = _group_numbers(items)
        fields |= {f"extra.{GROUP}": numbers}
    copies = [list(group) for group in groups if not _is_one_group(items, group)]
    if copies:
        numbers = np.full(number, -1, np.int64)
        for group in copies:
            numbers[items.order[group]] = _copies_number(items, group)
        fields |= {f"extra.{COPIES}": numbers}
    return Revision(columns["id"], columns.counts, fields, keep)


def _group_numbers(items: Items) -> NDArray[np.int64]:
    """A number for each group, made from its name, so that further images change none; -1 for an image without a group."""
    import numpy as np

    from pipekit.columnar import short_hashes

    numbers = (short_hashes(str(name) for name in items.groups.names)[:, 0] >> np.uint64(12)).astype(np.int64)
    return np.where(numbers > 0, numbers, -1)[items.groups.codes]


def _is_one_group(items: Items, group: Sequence[int]) -> bool:
    """Whether the images have one group by column or pattern, which says as much."""
    codes = {int(items.groups.codes[number]) for number in group}
    return len(codes) == 1 and bool(items.groups.names[codes.pop()])


def _copies_number(items: Items, group: list[int]) -> int:
    """A number for images that are copies, made from their content, so that it changes only if a further copy is there."""
    names, contents = items.hashes_of(group)
    return min(int((content if content.any() else name)[0]) for content, name in zip(contents, names, strict=True)) >> 12


def _shown(path: Path) -> str:
    """The path as somebody in the current folder would write it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _list_left_out(path: Path, reasons: Mapping[str, str]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        table = PlainTable(file)
        table.writerow(("id", "reason"))
        table.writerows(sorted(reasons.items()))


def _remembers(params: SplitParams) -> bool:
    return params.remember and (params.mode != "hash" or params.folds > 0)


def _settle_leaks(ctx: Context, found: Assignment, rule: str) -> dict[int, str]:
    """Report or repair groups that lie in two splits; returns the dropped images with the reasons.

    Dropped images are listed in ``left_out.csv`` and not among the failures: nothing is wrong with them.
    """
    if not found.leaks:
        return {}
    first = found.leaks[0][0]
    second = next(number for number in found.leaks[0] if found.place(number) != found.place(first))
    ids = found.items.ids
    pair = f"{ids[first]} ({found.place(first)}) and {ids[second]} ({found.place(second)})"
    number = sum(map(len, found.leaks))
    message = f"{number} images that belong together ({len(found.leaks)} groups) lie in more than one split, such as {pair}"
    hint = 'leaks = "drop" leaves them out of train; `pipekit inspect` shows them side by side.'
    if rule == "fail":
        raise StageError(message, hint)
    if rule == "warn":
        ctx.warn(f"{message}: metrics measured on them are too high. {hint}")
        return {}
    dropped = {}
    for group in found.leaks:
        keep = max((found.place(number) for number in group), key=SPLITS.index)
        example = next(number for number in group if found.place(number) == keep)
        for number in group:
            if found.place(number) != keep:
                dropped[number] = f"belongs together with {ids[example]} in {keep}"
    return dropped
