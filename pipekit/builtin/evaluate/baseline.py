"""Compare the model with a baseline, a simpler model evaluated on the same images (raw pixels or gradient histograms)."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Report, Sample
from pipekit.errors import UserError
from pipekit.files import plain_rows
from pipekit.learning.significance import paired


def against(
    report: Report, samples: Sequence[Sample], correct: NDArray[np.bool_], groups: NDArray[np.int64] | None
) -> dict[str, Any]:
    """The baseline's accuracy, and a paired comparison of this model with it on the images that both reports contain.

    Returns:
        the dict of :func:`pipekit.learning.significance.paired` with the baseline as the first model, plus its ``name`` and
        ``num_images``.

    Raises:
        UserError: the two reports have no image in common.
    """
    rows = _rows(report)
    shared = [place for place, sample in enumerate(samples) if _measured(rows.get(sample.id), sample)]
    if not shared:
        raise UserError(
            "the baseline's report has no image in common with the evaluated split",
            "Evaluate the baseline on the same split of the same dataset.",
        )
    theirs = np.array([rows[samples[place].id]["correct"] == "1" for place in shared], np.bool_)
    found = paired(theirs, correct[shared], None if groups is None else groups[shared])
    return {"name": _name(report), "num_images": len(shared), **found}


def _measured(row: Mapping[str, str] | None, sample: Sample) -> bool:
    return row is not None and (row["true"], row["sha256"]) == (sample.label, sample.sha256)


def _rows(report: Report) -> dict[str, dict[str, str]]:
    with (report.path / "predictions.csv").open(encoding="utf-8", newline="", errors="surrogateescape") as file:
        return {row["id"]: row for row in plain_rows(csv.DictReader(file))}


def _name(report: Report) -> str:
    """The baseline's template, as named in the report's ``about.json``."""
    model = json.loads((report.path / "about.json").read_text("utf-8")).get("model", {})
    return str(model.get("template") or "the baseline")
