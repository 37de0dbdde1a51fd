"""What the import of a dataset left behind: files that it passed over, and a dataset without classes to distinguish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipekit.builtin.inspect.rows import columns_in
from pipekit.contract import Context, Dataset, Finding, Params
from pipekit.passed_over import META, PICTURES, sentence

Rows = Sequence[Mapping[str, Any]]


class ImportedParams(Params):
    """No parameters."""


def passed_over(rows: Rows, ctx: Context, params: ImportedParams, dataset: Dataset) -> Iterator[Finding]:
    """Files that the import did not read, by suffix; a warning for photographs, videos, and folders without an image."""
    found = dataset.meta.get(META)
    if found:
        lost = found["folders"] or any(suffix in PICTURES for suffix in found["counts"])
        yield Finding("passed_over", "warning" if lost else "info", f"the import {sentence(found)}", values=dict(found))


def one_class(rows: Rows, ctx: Context, params: ImportedParams, dataset: Dataset) -> Iterator[Finding]:
    """Fewer than two classes. A dataset of boxes, keypoints or masks needs none."""
    measured = columns_in(rows)
    labels = sorted(measured.tally("label", measured.good))
    if len(labels) > 1 or len(rows) < 2:
        return
    if labels:
        yield Finding("one_class", "warning", f"all images have one class, {labels[0]!r}; a classifier needs at least two")
    elif not any(sample.targets.boxes or sample.targets.keypoints or sample.targets.mask for sample in dataset):
        yield Finding("one_class", "info", "no image has a class, boxes, keypoints or a mask; a classifier needs classes")
