"""Masks: those that can't be used, their size, their values, and the value 255."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipekit.builtin.inspect import examples
from pipekit.contract import Context, Dataset, Finding, Params
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

Rows = Sequence[Mapping[str, Any]]

LOOKED_AT = 200
"""If none of so many samples has a mask, none is looked for."""

MAX_LISTED = 12


class MasksParams(Params):
    """No parameters."""


@examples.example(examples.masks)
@supports(CLASSES, MULTILABEL, NUMBER)
def masks(rows: Rows, ctx: Context, params: MasksParams, dataset: Dataset) -> Iterator[Finding]:
    """Masks of another size than their image, colour-coded or with JPEG artefacts; the values of all others."""
    from pipekit.images.mask_checks import look
    from pipekit.images.masks import IGNORE

    if not any(sample.targets.mask for sample in dataset.first(LOOKED_AT)):
        return
    sizes = {row["id"]: (row["height_px"], row["width_px"]) for row in rows if "problem" not in row}
    wrong: dict[str, list[str]] = defaultdict(list)
    masks_with: Counter[int] = Counter()
    plain: list[str] = []
    count = 0
    for found in ctx.map(look, dataset, label="masks", name="masks", problems=True):
        if "problem" in found:
            if found["id"] in sizes:
                wrong[found["problem"]].append(found["id"])
            continue
        count += 1
        masks_with.update(map(int, found["values"]))
        if len(found["values"]) == 1:
            plain.append(found["id"])
        size = sizes.get(found["id"])
        if size is not None and size != (found["height_px"], found["width_px"]):
            wrong["the mask has another size than its image"].append(found["id"])
    for reason, names in sorted(wrong.items()):
        yield Finding("masks", "error", reason, tuple(names))
    if masks_with:
        listed = ", ".join(str(value) for value in sorted(masks_with)[:MAX_LISTED])
        words = f"{count:,} masks with the values {listed}{' …' if len(masks_with) > MAX_LISTED else ''}"
        if set(masks_with) == {0, IGNORE}:
            words += ": 255 is class number 255, not 1"
        elif IGNORE in masks_with:
            words += ": 255 is taken for 'ignore', and `augment` fills new areas of such masks with it"
        values = {str(value): masks_with[value] for value in sorted(masks_with)}
        yield Finding("masks", "info", words, values={"masks_with_value": values})
    if plain and len(plain) < count:
        yield Finding("masks", "info", "the mask has one value only", tuple(plain))
