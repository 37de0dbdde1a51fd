"""The stage ``rename_classes``: rename, merge and drop classes, of images and of their boxes alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from pydantic import field_validator, model_validator

from pipekit.contract import Box, Context, Dataset, Params, Sample, SampleContext, Targets, param, stage, unseeded
from pipekit.errors import UserError, did_you_mean


class RenameClassesParams(Params):
    classes: dict[str, str] = param(
        {}, 'New names: { kitten = "cat", cat = "cat", puppy = "dog" }; equal new names merge classes'
    )
    drop: tuple[str, ...] = param((), "Classes to drop: images with such a label are left out, such boxes are removed")
    others: Literal["keep", "drop"] = param("keep", "What to do with the classes that neither classes nor drop names")
    drop_empty: bool = param(False, "Leave out images of which the last box was dropped; otherwise they are kept without boxes")

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


@stage
def rename_classes(ctx: Context, dataset: Dataset, params: RenameClassesParams) -> Dataset:
    """Rename, merge and drop classes; all names change at once, so that two classes may swap theirs.

    Raises:
        UserError: no image and no box has a class that the parameters name, or no image is left.
    """
    labels, boxes = _classes_of(ctx, dataset)
    known = sorted(labels | boxes)
    for name in (*params.classes, *params.drop):
        if name not in known:
            listed = ", ".join(known[:20]) + (" …" if len(known) > 20 else "")
            near = did_you_mean(name, known)
            raise UserError(
                f"no image and no box has the class {name!r}", f"{near} The classes are: {listed or 'none'}.".strip()
            )
    facts: dict[str, str] = {}
    made = ctx.dataset(ctx.map(rename, dataset, params, label="renaming", name="rename"), facts=facts)
    if not len(made):
        raise UserError("no image is left, since all their classes are dropped", f"The classes are: {', '.join(known)}.")
    new = {params.named(old) for old in known} - {None}
    facts["classes"] = f"{len(known)} to {len(new)}"
    if left_out := len(dataset) - len(made):
        facts["left out"] = str(left_out)
    if dropped := sum(number for name, number in boxes.items() if params.named(name) is None):
        facts["boxes dropped"] = str(dropped)
    return made


def _classes_of(ctx: Context, dataset: Dataset) -> tuple[Counter[str], Counter[str]]:
    """The number of images of each class, and of boxes."""
    labels: Counter[str] = Counter()
    for of_split in dataset.counts.values():
        labels.update(of_split)
    boxes: Counter[str] = Counter()
    for sample in ctx.track(dataset, label="reading classes", unit="images"):
        boxes.update(box.label for box in sample.targets.boxes)
    return labels, boxes


@unseeded
def rename(sample: Sample, params: RenameClassesParams, ctx: SampleContext) -> Iterator[Sample]:
    """Yield the sample with the new names, unless it is left out."""
    label = sample.label
    if label is not None and (label := params.named(label)) is None:
        return
    targets = renamed_targets(sample.targets, params)
    if params.drop_empty and sample.targets.boxes and not targets.boxes:
        return
    yield replace(sample, label=label, targets=targets)


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
