"""What the import of a dataset left behind: files that it passed over, too few classes, and one class under two names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipekit.builtin.inspect import examples
from pipekit.builtin.inspect.rows import columns_in
from pipekit.contract import Context, Dataset, Finding, Params
from pipekit.passed_over import META, PICTURES, sentence
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

Rows = Sequence[Mapping[str, Any]]


class ImportedParams(Params):
    """No parameters."""


@examples.example(examples.passed_over)
@supports(CLASSES, MULTILABEL, NUMBER)
def passed_over(rows: Rows, ctx: Context, params: ImportedParams, dataset: Dataset) -> Iterator[Finding]:
    """Files that the import did not read, by suffix, and empty folders; a warning for photographs, videos and folders."""
    found = dataset.meta.get(META)
    if found:
        lost = found["folders"] or found.get("num_empty") or any(suffix in PICTURES for suffix in found["counts"])
        yield Finding("passed_over", "warning" if lost else "info", f"the import {sentence(found)}", values=dict(found))


@examples.example(examples.one_class)
@supports(CLASSES, why={MULTILABEL: "one label is enough to learn from", NUMBER: "numbers have no classes"})
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


@examples.example(examples.similar_names)
@supports(CLASSES, MULTILABEL, why={NUMBER: "numbers have no names"})
def similar_names(rows: Rows, ctx: Context, params: ImportedParams) -> Iterator[Finding]:
    """Classes whose names differ only in capitals, in spaces, hyphens and underscores, or in how their letters are encoded."""
    measured = columns_in(rows)
    spelt: dict[str, list[str]] = {}
    for name in sorted({label for _, label in measured.label_counts()} - {"", "[]"}):
        spelt.setdefault(" ".join(re.split(r"[\s_-]+", unicodedata.normalize("NFKC", name).casefold())).strip(), []).append(
            name
        )
    alike = [names for names in spelt.values() if len(names) > 1]
    if alike:
        shown = "; ".join(" and ".join(map(_shown(names), names)) for names in alike[:4]) + (" …" if len(alike) > 4 else "")
        message = f"names that may mean one class: {shown}. The stage rename_classes makes them one"
        yield Finding("similar_names", "warning", message, values={"classes": alike})


def _shown(names: Sequence[str]) -> Callable[[str], str]:
    """How to write names; with escapes where they look equal, since their accents are encoded in different ways."""
    return repr if len({unicodedata.normalize("NFC", name) for name in names}) == len(names) else ascii
