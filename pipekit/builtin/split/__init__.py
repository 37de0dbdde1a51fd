"""The stage ``split``: which images are for training, which for choosing (val) and which for the verdict (test).

What holds in every mode:

* images that came with a split keep it; where val or test is missing altogether, it is cut from train;
* copies, near copies and groups stay on one side, unless they came on two: that is reported;
* the same images with the same parameters give the same split, in whatever order they come.

The split file. In mode ``stratified`` the assignment is remembered in a file beside the pipeline, so that adding images moves
none. That file is state outside the stage's inputs, so its content is part of the cache key (``fingerprint``), and the engine
files what the stage made under the content that the stage left there. So a second run is a cache hit, which is right: with
every image assigned, the file decides everything and the stage would change nothing. Whoever edits the file, deletes it or
gets another version of it from a colleague gets what that file says, never an older cached answer.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import ValidationInfo, field_validator, model_validator

from pipekit.builtin.split.fixed_splits import SPLITS, Assignment, Request, assign
from pipekit.builtin.split.groups import items_of, roots_of
from pipekit.builtin.split.split_file import SplitFile, file_state
from pipekit.contract import Context, Dataset, InputPath, Params, Sample, param, stage
from pipekit.errors import StageError, UserError
from pipekit.quarantine import Exclusions, read_exclusions


class SplitParams(Params):
    fractions: dict[str, float] = param(
        {"train": 0.7, "val": 0.15, "test": 0.15}, "The share of each split; they sum to 1", min_length=1
    )
    mode: Literal["stratified", "hash"] = param(
        "stratified",
        "stratified: each class is divided by the fractions, and remembered; hash: an image's own content decides alone",
    )
    duplicates: Literal["near", "exact", "off"] = param(
        "near", "Which copies must stay on one side: exact ones and near ones, exact ones, or none"
    )
    distance_bits: int = param(6, "Largest distance of the perceptual hashes of near copies, of 64", unit="bits", ge=0, le=15)
    group_column: str = param("", "Keep images together that have the same value in this column (patient, video, product)")
    group_pattern: str = param("", "Keep images together for which this regular expression finds the same text in the id")
    leaks: Literal["warn", "fail", "drop"] = param(
        "warn", "What to do about copies that came on two sides: say so, stop, or leave them out of train (then of val)"
    )
    folds: int = param(0, "Divide train and val into this many folds for cross-validation; 0 for none", ge=0, le=100)
    fold: int = param(1, "The fold that is val, from 1 on", ge=1)
    remember: bool = param(True, "Keep the assignment in the split file, so that adding images moves none")
    file: Path = param("split.csv", "The split file, beside the pipeline file", in_key=False)
    exclude: InputPath | None = param(None, "Leave out the images that this CSV lists by id or sha256 (inspect --quarantine)")

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
            raise ValueError("group_column and group_pattern are two ways to say the same; give one of them")
        if self.folds == 1:
            raise ValueError("one fold leaves nothing to train on; folds must be 0 or at least 2")
        if self.folds and self.fold > self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds}: expected 1 to {self.folds}")
        return self


def outside_state(params: SplitParams) -> str:
    """The split file's content, as far as the stage looks at it."""
    return file_state(params.file) if _remembers(params) else ""


@stage(fingerprint=outside_state)
def split(ctx: Context, dataset: Dataset, params: SplitParams) -> Dataset:
    """Give every sample a split.

    Raises:
        UserError: a split would be empty, or nothing fits the group column or pattern.
        StageError: copies lie in two splits and ``leaks`` is "fail".
    """
    path = ctx.project_dir / params.file
    memory = SplitFile.read(path) if _remembers(params) else SplitFile()
    excluded = read_exclusions(params.exclude) if params.exclude else Exclusions()

    def samples() -> Iterator[Sample]:
        return (sample for sample in dataset if not excluded.leaves_out(sample.id, sample.sha256))

    items = items_of(samples(), params.group_column, params.group_pattern)
    if not items:
        raise UserError("there is no image to split", "Is the dataset empty, or does 'exclude' name every image?")
    roots = roots_of(ctx, items, samples(), params.duplicates, params.distance_bits)
    known = {sample.id: line for sample in samples() if (line := memory.find(sample))} if memory.lines else {}
    request = Request(params.fractions, params.mode, ctx.seed, params.folds, params.fold)
    found = assign(items, roots, known, request)
    for warning in found.warnings:
        ctx.warn(warning)
    dropped = _settle_leaks(ctx, found, params.leaks)
    if _remembers(params):
        memory.write(path, found.to_remember)

    def rows() -> Iterator[Sample]:
        for number, sample in enumerate(samples()):
            if number not in dropped:
                extra = {**sample.extra, "fold": found.folds[number]} if found.folds[number] else sample.extra
                yield replace(sample, split=found.places[number], extra=extra)

    if dropped:
        _list_left_out(ctx.out_dir / "left_out.csv", {items[number].id: reason for number, reason in dropped.items()})
    counts = {name: found.count(name, dropped) for name in SPLITS if found.count(name, dropped)}
    facts = {name: str(count) for name, count in counts.items()}
    if found.num_copies:
        facts["kept together"] = f"{found.num_copies} images"
    if num_excluded := len(dataset) - len(items):
        facts["excluded"] = str(num_excluded)
    if dropped:
        facts["left out"] = str(len(dropped))
    headline = ", ".join(f"{name} {count}" for name, count in counts.items())
    return ctx.dataset(rows(), facts=facts, headline=f"{sum(counts.values())} images: {headline}")


def _list_left_out(path: Path, reasons: Mapping[str, str]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("id", "reason"))
        table.writerows(sorted(reasons.items()))


def _remembers(params: SplitParams) -> bool:
    return params.remember and (params.mode == "stratified" or params.folds > 0)


def _settle_leaks(ctx: Context, found: Assignment, rule: str) -> dict[int, str]:
    """Say or mend that what belongs together lies in two splits; returns what is left out, and why.

    What is left out is listed in ``left_out.csv`` and not among the failures: nothing is wrong with these images.
    """
    if not found.leaks:
        return {}
    first = found.leaks[0][0]
    second = next(number for number in found.leaks[0] if found.places[number] != found.places[first])
    pair = f"{found.items[first].id} ({found.places[first]}) and {found.items[second].id} ({found.places[second]})"
    number = sum(map(len, found.leaks))
    message = f"{number} images that belong together ({len(found.leaks)} groups) lie in more than one split, such as {pair}"
    hint = 'leaks = "drop" leaves them out of train; `pipekit inspect` shows them side by side.'
    if rule == "fail":
        raise StageError(message, hint)
    if rule == "warn":
        ctx.warn(f"{message}: what is measured on them is too good. {hint}")
        return {}
    dropped = {}
    for group in found.leaks:
        keep = max((found.places[number] for number in group), key=SPLITS.index)
        example = next(number for number in group if found.places[number] == keep)
        for number in group:
            if found.places[number] != keep:
                dropped[number] = f"belongs together with {found.items[example].id} in {keep}"
    return dropped
