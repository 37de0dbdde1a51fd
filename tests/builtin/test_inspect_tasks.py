"""What ``inspect`` finds in datasets of several labels and of numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.inspect.checks.copies import CopiesParams, label_conflicts
from pipekit.builtin.inspect.measured import MeasuredRows
from tests.conftest import Trial


def inspected(trial: Trial, cells: list[str], task: str) -> dict[str, Any]:
    chance = np.random.default_rng(0)
    rows = ["file,label"]
    for number, cell in enumerate(cells):
        images.write(trial.path / f"{number:02}.png", chance.integers(0, 255, (24, 24, 3), np.uint8))
        rows.append(f"{number:02}.png,{cell}")
    (trial.path / "labels.csv").write_text("\n".join(rows) + "\n")
    (trial.path / "00.png").write_bytes((trial.path / "01.png").read_bytes())
    photos = {"use": "import.csv", "path": "labels.csv", "task": task, "label": "label"}
    made = trial.run({"photos": photos, "seen": {"use": "inspect", "dataset": "photos"}}).artifact("seen")
    found: dict[str, Any] = json.loads((made.path / "inspect.json").read_text())
    page = (made.path / "inspect.html").read_text()
    assert "Images per class" in page
    assert task != "multilabel" or ("a|b" in page and "[&quot;a" not in page and '["a' not in page)
    return found


def messages(found: dict[str, Any], check: str) -> list[str]:
    return [finding["message"] for finding in found["findings"] if finding["check"] == check]


def test_labels_that_are_together_rare_and_in_conflict(trial: Trial) -> None:
    cells = ["a|b", "a", *(["a|b"] * 20), "a|b|c", "c|a", "[]"]
    found = inspected(trial, cells, "multilabel")
    said = messages(found, "co_occurrence")
    assert said[0].startswith("1.92 labels an image on average, 5 combinations, 1 images without a label")
    assert "a and b (22)" in said[0]
    assert "labels on fewer than 20 images: 'c' (2)" in said[1]
    assert "'b' is never there without 'a'" in said[2]
    assert said[-1] == "2 combinations of labels are there once"
    assert messages(found, "label_conflicts") == ["the same file labelled a|b and a"]
    assert found["counts"][""] == {"[]": 1, "a": 24, "b": 22, "c": 2}
    assert any("these checks do not support several labels" in one["message"] for one in trial.told("warning"))


def test_numbers_far_outside_the_others(trial: Trial) -> None:
    found = inspected(trial, [*(f"{number / 10}" for number in range(30)), "999"], "number")
    said = messages(found, "outlying_numbers")
    assert said[0].startswith("31 numbers from 0 to 999; median 1.5")
    assert said[1].startswith("1 number outside -3.75 to 6.75, such as 999")
    assert [f["samples"] for f in found["findings"] if f["check"] == "outlying_numbers"][1] == ["30.png"]
    assert messages(found, "label_conflicts") == ["the same file labelled 0.0 and 0.1"]


@pytest.mark.parametrize(("apart", "same_file", "said"), [(2.3, False, False), (2.45, False, True), (0.1, True, True)])
def test_numbers_of_copies_conflict_beyond_a_quarter_of_the_quartiles(apart: float, same_file: bool, said: bool) -> None:
    """The quartiles of these numbers are 9.5 apart: a photograph taken again may have a slightly different number."""
    values = [*np.linspace(0, 20, 41).tolist(), 10.0, 10.0 + apart]
    rows = [
        {"id": f"{at}.png", "label": repr(value), "split": "train", "sha256": f"{at:064x}", "group": min(at, 41)}
        for at, value in enumerate(values)
    ]
    if same_file:
        rows[-1]["sha256"] = rows[-2]["sha256"]
    measured = replace(MeasuredRows.of(rows), task="number")
    found = list(label_conflicts(measured, None, CopiesParams()))  # type: ignore[arg-type]
    assert bool(found) is said
