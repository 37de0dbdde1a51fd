"""The abstention curve: its area and its table against direct computations, and its section of the report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipekit.builtin.evaluate.abstention import measure
from pipekit.builtin.evaluate.intervals import share
from pipekit.builtin.report.abstention import section
from pipekit.learning.evaluation import Evaluation
from tests.builtin.test_none_of_these import evaluation


def test_the_area_is_the_mean_error_rate_over_all_coverages() -> None:
    rng = np.random.default_rng(2)
    confidence, correct = rng.permutation(np.linspace(0.4, 1, 97)), rng.random(97) < 0.8
    order = np.argsort(-confidence)
    rates = [1 - correct[order[:k]].mean() for k in range(1, 98)]
    found = measure(confidence, correct, None)
    assert found["aurc"] == pytest.approx(np.mean(rates))
    assert found["aurc_random"] == pytest.approx(1 - correct.mean())
    best = np.sort(correct)[::-1]
    assert found["aurc_best"] == pytest.approx(np.mean([1 - best[:k].mean() for k in range(1, 98)]))
    assert found["aurc_best"] <= found["aurc"]


def test_images_of_equal_confidence_are_answered_together() -> None:
    """In any order within them the area would differ; the expected one is taken."""
    correct = np.array([True, False, True, False])
    found = measure(np.full(4, 0.7), correct, None)
    assert found["aurc"] == pytest.approx(0.5) == found["aurc_random"]
    assert [row["num_answered"] for row in found["rows"]] == [4]
    assert found["curve"] == {"coverage": [1.0], "accuracy": [0.5]}


def test_the_table_has_the_accuracy_among_the_most_confident() -> None:
    confidence = np.linspace(0, 1, 100)
    correct = confidence > 0.35
    found = measure(confidence, correct, None)
    for row in found["rows"]:
        kept = confidence >= row["confidence"]
        assert (row["num_answered"], row["coverage"]) == (kept.sum(), kept.mean())
        assert row["accuracy"] == share(int(correct[kept].sum()), int(kept.sum()))
    assert [row["num_answered"] for row in found["rows"]] == [100, 95, 90, 80, 70, 50, 30]
    wide = measure(confidence, correct, np.arange(100) // 5)["rows"][0]["accuracy"]
    assert wide["low"] < found["rows"][0]["accuracy"]["low"], "groups widen the interval"


def test_the_section_says_what_leaving_out_gains() -> None:
    confidence = np.linspace(0.5, 1, 200)
    correct = confidence > 0.6
    made: Evaluation = replace(
        evaluation(None), y_true=np.zeros(200, np.int64), samples=evaluation(None).samples * 40,
        metrics={"abstention": measure(confidence, correct, None)},
    )  # fmt: skip
    ctx: Any = None
    found = section(ctx, made)
    assert found is not None
    assert "Leaving images out at random gives 0.2000" in found.markdown
    assert "88.9 % of the 180 most confident images (90 %) are right, instead of 80.0 % of all" in found.markdown
    assert found.tables[0].rows[0][:2] == ("100 %", 200)
    assert {figure.media_type for figure in found.figures} == {"image/svg+xml", "image/png"}
    assert section(ctx, replace(made, samples=made.samples[:19])) is None
    assert section(ctx, replace(made, metrics={"abstention": measure(confidence, np.ones(200, bool), None)})) is not None
