"""The accuracy that chose the best of several runs is corrected for the choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipekit.commands.run import with_flattery
from pipekit.engine.matrix import Combination, MatrixOutcome


def outcome_of(folder: Path, select: str, models: int) -> MatrixOutcome:
    """Equal models with an accuracy of 0.85, measured on 200 images."""
    rng, rows = np.random.default_rng(1), []
    for number in range(models):
        correct = rng.random(200) < 0.85
        place = folder / str(number)
        place.mkdir()
        lines = [f"{i}.jpg,{int(right)}" for i, right in enumerate(correct)]
        (place / "predictions.csv").write_text("\n".join(["id,correct", *lines]))
        rows.append(Combination(number, {"a": number}, f"m-{number}", float(correct.mean()), selected_in=place))
    return MatrixOutcome(select, tuple(rows), max(rows, key=lambda row: row.score or 0), folder)


def test_the_flattery_of_the_best_of_twenty_is_subtracted(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, "report.accuracy", 20)
    (words,) = with_flattery(outcome).warnings
    assert "the best of 20 runs is measured on the images that chose it" in words
    assert outcome.best is not None
    assert float(words.rpartition("Expect about ")[2].split()[0]) == pytest.approx(0.85, abs=0.025)
    assert (outcome.best.score or 0) > 0.875


def test_a_choice_by_val_is_not_corrected_on_the_test_images(tmp_path: Path) -> None:
    assert with_flattery(outcome_of(tmp_path, "train.val_accuracy", 3)).warnings == ()
