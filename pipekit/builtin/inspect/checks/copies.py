"""Duplicates: the same image twice, nearly twice, in two splits, or under two labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipekit.builtin.inspect.rows import columns_in
from pipekit.contract import Context, Finding, Params
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, labels_in, several_as_text, supports

Row = Mapping[str, Any]

SPLITS = ("", "train", "val", "test")
"""The order in which images are removed: a duplicate in the first split goes first, one in the last split stays."""

FAR = 0.25
"""Numbers of nearly the same image conflict if they differ by more than this share of the distance between the quartiles."""

MAX_LABELS = 5
"""Maximum number of labels in a message; the finding holds all images with their labels."""


class CopiesParams(Params):
    """No parameters; ``distance_bits`` of the stage sets how near a near duplicate is."""


@supports(CLASSES, MULTILABEL, NUMBER)
def exact_duplicates(rows: Sequence[Row], ctx: Context, params: CopiesParams) -> Iterator[Finding]:
    """The same bytes under several names."""
    for group in _groups(rows, "sha256"):
        yield _finding("exact_duplicates", "warning", "the same file", group, _all_but_one(group))


@supports(CLASSES, MULTILABEL, NUMBER)
def near_duplicates(rows: Sequence[Row], ctx: Context, params: CopiesParams) -> Iterator[Finding]:
    """The same image, resized, saved again, mirrored or brighter; with features also cropped, turned or recoloured, or the
    next in a burst. Files with the same bytes count once."""
    for group in _groups(rows, "group"):
        different = list({row["sha256"]: row for row in group}.values())
        if len(different) > 1:
            finding = _finding("near_duplicates", "warning", "nearly the same image", different, _all_but_one(different))
            yield _with_words(finding, columns_in(rows).differences)


@supports(CLASSES, MULTILABEL, NUMBER)
def leakage(rows: Sequence[Row], ctx: Context, params: CopiesParams) -> Iterator[Finding]:
    """The same or nearly the same image, or copies of one original, in two splits: metrics measured on it are too high."""
    for group in _either(rows):
        splits = sorted({row["split"] for row in group if row["split"]}, key=SPLITS.index)
        if len(splits) > 1:
            remove = [row["id"] for row in group if row["split"] != splits[-1]]
            how = "the same file" if len({row["sha256"] for row in group}) == 1 else "nearly the same image"
            finding = _finding("leakage", "error", f"{how} in {' and '.join(splits)}", group, remove)
            yield _with_words(finding, columns_in(rows).differences)
    for group in _groups(rows, "origin"):
        splits = sorted({row["split"] for row in group if row["split"]}, key=SPLITS.index)
        if len(splits) > 1 and len({row["group"] for row in group}) > 1:
            remove = [row["id"] for row in group if row["split"] != splits[-1]]
            yield _finding("leakage", "error", f"copies of one original in {' and '.join(splits)}", group, remove)


@supports(CLASSES, MULTILABEL, NUMBER)
def label_conflicts(rows: Sequence[Row], ctx: Context, params: CopiesParams) -> Iterator[Finding]:
    """The same or nearly the same image under two labels: one of them is wrong.

    Numbers of images that are nearly the same conflict if they are farther apart than a quarter of the distance between the
    quartiles of all numbers; those of the same file, if they differ.
    """
    far, several = _far_apart(rows), columns_in(rows).task == MULTILABEL
    for group in _either(rows):
        labels = sorted({row["label"] for row in group if row["label"] is not None})
        if len(labels) > 1:
            how = "the same file" if len({row["sha256"] for row in group}) == 1 else "nearly the same image"
            if far is not None:
                labels.sort(key=float)
                if how != "the same file" and float(labels[-1]) - float(labels[0]) <= far and not _same_file_differs(group):
                    continue
            labels = [several_as_text(labels_in(said) or ()) for said in labels] if several else labels
            yield _finding("label_conflicts", "error", f"{how} labelled {_listed(labels)}", group, [r["id"] for r in group])


def _far_apart(rows: Sequence[Row]) -> float | None:
    """The distance from which the numbers of nearly the same images conflict; None for other tasks."""
    import numpy as np

    found = columns_in(rows)
    column = found.texts["label"]
    if found.task != NUMBER:
        return None
    codes = column.codes[found.good & (column.codes >= 0)]
    if not len(codes):
        return 0.0
    low, high = np.quantile(np.array([float(name) for name in column.names])[codes], (0.25, 0.75)).tolist()
    return FAR * float(high - low)


def _same_file_differs(group: Sequence[Row]) -> bool:
    """Whether two rows with the same bytes are labelled differently."""
    said: dict[str, set[str]] = {}
    for row in group:
        if row["label"] is not None:
            said.setdefault(row["sha256"], set()).add(row["label"])
    return any(len(labels) > 1 for labels in said.values())


def _listed(labels: Sequence[str]) -> str:
    if len(labels) <= MAX_LABELS:
        return " and ".join(labels)
    return f"{', '.join(labels[:MAX_LABELS])} and {len(labels) - MAX_LABELS} more"


def _groups(rows: Sequence[Row], name: str) -> list[list[Row]]:
    """Rows that share a value with others, ordered by their first ids."""
    measured = columns_in(rows)
    values = {"sha256": measured.contents, "group": measured.groups, "origin": measured.origins}[name]
    return [[measured[number] for number in group] for group in measured.sharing(values)]


def _either(rows: Sequence[Row]) -> list[list[Row]]:
    """Groups of duplicates and near duplicates; the stage gives rows with the same bytes the same number."""
    return _groups(rows, "group")


def _with_words(finding: Finding, differences: Mapping[tuple[str, str], str]) -> Finding:
    """Say how the images of a finding differ: a sentence for each pair that features found, the first in the message."""
    among = set(finding.samples)
    pairs = [(*pair, words) for pair, words in differences.items() if among.issuperset(pair)]
    if not pairs:
        return finding
    first, second, words = pairs[0]
    said = words if len(among) == 2 else f"{second} beside {first}: {words}"
    return replace(finding, message=f"{finding.message}; {said}", values={**finding.values, "pairs": pairs})


def _all_but_one(group: Sequence[Row]) -> list[str]:
    """All but the most valuable one: in test rather than in train, and with the most pixels."""
    best = max(group, key=lambda row: (SPLITS.index(row["split"]), row["width_px"] * row["height_px"], row["size_bytes"]))
    return [row["id"] for row in group if row is not best]


def _finding(check: str, severity: str, message: str, group: Sequence[Row], remove: Sequence[str]) -> Finding:
    return Finding(check, severity, message, tuple(row["id"] for row in group), {"remove": list(remove), "together": True})
