"""The stage ``rename_classes``: rename, merge and drop classes, of images, of their boxes and of their masks alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import field_validator, model_validator

from pipekit.contract import Box, Context, Dataset, Params, Sample, SampleContext, Targets, param, stage, unseeded
from pipekit.errors import UserError, did_you_mean
from pipekit.images.mask_values import with_values
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports


class RenameClassesParams(Params):
    classes: dict[str, str] = param(
        {}, 'New names: { kitten = "cat", cat = "cat", puppy = "dog" }; equal new names merge classes'
    )
    drop: tuple[str, ...] = param(
        (), "Classes to drop: images with such a class are left out; of several labels, and of boxes, such ones are removed"
    )
    others: Literal["keep", "drop"] = param("keep", "What to do with the classes that neither classes nor drop names")
    drop_empty: bool = param(
        False, "Leave out images whose last box, or last of several labels, was dropped; otherwise they are kept"
    )

    @field_validator("classes")
    @classmethod
    def _are_names(cls, value: dict[str, str]) -> dict[str, str]:
        for old, new in value.items():
            if not new.strip():
                raise ValueError(f"the new name of {old!r} is empty; to drop a class, write drop = [{old!r}]")
        return value

    @model_validator(mode="after")
    def _does_something(self) -> RenameClassesParams:
        if both := [name for name in self.drop if name in self.classes]:
            raise ValueError(f"{both[0]!r} is in classes and in drop; remove it from one of them")
        if not self.classes and not self.drop:
            raise ValueError('names no class; write classes = { old = "new" } or drop = ["old"]')
        return self

    def named(self, name: str) -> str | None:
        """The new name of a class; None if it is dropped."""
        if name in self.drop:
            return None
        return self.classes.get(name, name if self.others == "keep" else None)


class RenameParams(RenameClassesParams):
    """The stage's parameters, and what follows from them for the dataset's masks."""

    values: dict[int, int] = param({}, "The new class number for each one of the masks that changes")


CATEGORIES = "categories"
"""In the ``meta`` of a dataset whose source lists its classes: ``{"masks": [{"name": ..., "number": ...}], "boxes": ...}``."""

BACKGROUND = 0
"""The class number that the pixels of dropped classes of masks get."""


@supports(CLASSES, MULTILABEL, why={NUMBER: "a number has no classes to rename"})
@stage
def rename_classes(ctx: Context, dataset: Dataset, params: RenameClassesParams) -> Dataset:
    """Rename, merge and drop classes; all names change at once, so that two classes may swap theirs.

    Raises:
        UserError: the dataset has no class that the parameters name, or no image is left.
    """
    labels, boxes = _classes_of(ctx, dataset)
    lists: Mapping[str, Sequence[Mapping[str, Any]]] = dataset.meta.get(CATEGORIES, {})
    known = sorted({*labels, *boxes, *(str(entry["name"]) for entries in lists.values() for entry in entries)})
    _check_names(params, known)
    facts: dict[str, str] = {}
    own = RenameParams(**params.model_dump(), values=mask_values(lists.get("masks", ()), params))
    listed: dict[str, Any] = {CATEGORIES: {of: renamed_list(entries, params) for of, entries in lists.items()}} if lists else {}
    made = ctx.dataset(ctx.map(rename, dataset, own, label="renaming", name="rename"), facts=facts, **listed)
    if not len(made):
        raise UserError("no image is left, since all their classes are dropped", f"The classes are: {', '.join(known)}.")
    new = {params.named(old) for old in known} - {None}
    facts["classes"] = f"{len(known)} to {len(new)}"
    if left_out := len(dataset) - len(made) - (made.meta["num_failed"] - dataset.meta["num_failed"]):
        facts["left out"] = str(left_out)
    if dropped := sum(number for name, number in boxes.items() if params.named(name) is None):
        facts["boxes dropped"] = str(dropped)
    return made


def _check_names(params: RenameClassesParams, known: Sequence[str]) -> None:
    for name in (*params.classes, *params.drop):
        if name not in known:
            near = did_you_mean(name, known)
            listed = ", ".join(known[:20]) + (" …" if len(known) > 20 else "")
            hint = f"{near} The classes are: {listed or 'none'}.".strip()
            raise UserError(f"no image, box or mask has the class {name!r}", hint)


def _classes_of(ctx: Context, dataset: Dataset) -> tuple[Counter[str], Counter[str]]:
    """The number of images of each class, and of boxes."""
    labels: Counter[str] = Counter()
    for of_split in dataset.counts.values():
        labels.update(of_split)
    boxes: Counter[str] = Counter()
    for sample in ctx.track(dataset, label="reading classes", unit="images"):
        boxes.update(box.label for box in sample.targets.boxes)
    return labels, boxes


def renamed_list(entries: Sequence[Mapping[str, Any]], params: RenameClassesParams) -> list[dict[str, Any]]:
    """A list of classes with the new names: the order stays, and of merged classes the first decides about the rest.

    A class that has its new name already comes before those that join it.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if (name := params.named(str(entry["name"]))) is not None and (name not in found or name == entry["name"]):
            found[name] = {**entry, "name": name}
    return list(found.values())


def mask_values(entries: Sequence[Mapping[str, Any]], params: RenameClassesParams) -> dict[int, int]:
    """The class numbers of masks that change, by the list of their classes."""
    numbers = {str(entry["name"]): entry.get("number") for entry in renamed_list(entries, params)}
    found = {}
    for entry in entries:
        name = params.named(str(entry["name"]))
        old, new = entry.get("number"), BACKGROUND if name is None else numbers[name]
        if old is not None and new is not None and old != new and 0 <= old <= 255:
            found[int(old)] = int(new)
    return found


@unseeded
def rename(sample: Sample, params: RenameParams, ctx: SampleContext) -> Iterator[Sample]:
    """Yield the sample with the new names, unless it is left out."""
    label = sample.label
    if label is not None and (label := params.named(label)) is None:
        return
    labels = sample.labels
    if labels is not None:
        labels = tuple(sorted({name for old in labels if (name := params.named(old)) is not None}))
        if params.drop_empty and sample.labels and not labels:
            return
    targets = renamed_targets(sample.targets, params)
    if params.drop_empty and sample.targets.boxes and not targets.boxes:
        return
    if targets.mask and params.values:
        path = ctx.write(f"masks/{sample.id}.png", with_values(targets.mask, params.values))
        targets = replace(targets, mask=path, mask_sha256="")
    yield replace(sample, label=label, labels=labels, targets=targets)


def renamed_targets(targets: Targets, params: RenameClassesParams) -> Targets:
    """The boxes with their new names; keypoints follow their boxes, and go with those that are dropped."""
    boxes, places = list[Box](), dict[int, int]()
    for number, box in enumerate(targets.boxes):
        if (label := params.named(box.label)) is not None:
            places[number] = len(boxes)
            boxes.append(replace(box, label=label))
    keypoints = tuple(
        point if point.of is None else replace(point, of=places[point.of])
        for point in targets.keypoints
        if point.of is None or point.of in places
    )
    return replace(targets, boxes=tuple(boxes), keypoints=keypoints)
