"""The section of the report on rejected images: the share with its interval, which ones, and how the limit was set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipekit import images
from pipekit.builtin.evaluate.none_of_these import measure
from pipekit.builtin.evaluate.outputs import predictions_csv
from pipekit.builtin.exporters.card import card_text
from pipekit.builtin.report.none_of_these import section
from pipekit.contract import Dataset, Sample
from pipekit.learning.evaluation import Evaluation
from pipekit.learning.unknown import expected_share

LOW, HIGH = expected_share(20, 0.05)
STATED = {"share": 0.05, "num_images": 24, "num_originals": 20, "expected_low": LOW, "expected_high": HIGH, "limit": 1.0}
SCORES = np.array([0.4, 1.5, 0.99, 1.0, 1.2, 0.3])
Y_TRUE = np.array([0, 0, 0, 1, 1, 1])


def evaluation(folder: Path | None, scores: Any = SCORES) -> Evaluation:
    """Six images of two classes; the fifth, which is rejected, is predicted wrongly."""
    correct = np.arange(6) != 4
    predicted = np.where(correct, Y_TRUE, 1 - Y_TRUE)
    samples = []
    for number in range(6):
        file = "" if folder is None else str(folder / f"{number}.png")
        if folder is not None:
            images.write(Path(file), np.full((20, 30, 3), 40 * number, np.uint8))
        samples.append(Sample(f"{number}.png", file))
    metrics = {"unknown": None if scores is None else measure(scores, Y_TRUE, correct, ("a", "b"), STATED)}
    dataset = Dataset(Path(), "", {}, lambda _: iter(samples), lambda _: iter(()))
    probabilities = np.eye(2)[predicted]
    return Evaluation(("a", "b"), "test", tuple(samples), Y_TRUE, probabilities, metrics, dataset, unknown_scores=scores)


def test_shares_are_counted_over_all_and_for_each_class() -> None:
    found = evaluation(None).metrics["unknown"]
    assert (found["num_rejected"], found["correct_of_rejected"]) == (2, 1), "a score of 1 is not above the limit"
    assert [row["num_rejected"] for row in found["per_class"]] == [1, 1]
    assert found["accuracy_of_kept"]["value"] == 1
    assert found["share"]["low"] < 2 / 6 < found["share"]["high"]


def test_the_section_shows_the_rejected_images_and_how_sure_the_limit_is(tmp_path: Path) -> None:
    ctx: Any = None
    found = section(ctx, evaluation(tmp_path))
    assert found is not None
    assert "**2 of 6** test images, 33.3 % (95 % interval 4.3 % to 77.7 %)" in found.markdown
    assert "set from 24 training images of 20 originals" in found.markdown
    assert "between 0.1 % and 16.8 % of further ones" in found.markdown
    assert [picture.caption.splitlines()[1] for picture in found.pictures] == ["1.png", "4.png"]
    assert "b, predicted as a, score 1.20" in found.pictures[1].caption
    assert section(ctx, evaluation(None, scores=None)) is None


def test_predictions_have_the_score_only_where_the_model_has_one() -> None:
    head, first, second, *_ = predictions_csv(evaluation(None)).splitlines()
    assert head == "id,true,predicted,correct,confidence,p:a,p:b,unknown,unknown_score,sha256,image"
    assert first.split(",")[7:9] == ["0", "0.400000"]
    assert second.split(",")[7:9] == ["1", "1.500000"]
    assert "unknown" not in predictions_csv(evaluation(None, scores=None))


def test_the_card_says_what_becomes_of_foreign_images() -> None:
    info = {"classes": ["a", "b"], "input_shape_hwc": [4, 4, 3]}
    assert "It always predicts one of its classes" in card_text(info, None)
    card = card_text({**info, "unknown": STATED}, None)
    assert "It always predicts" not in card
    assert "temperature" not in card
    entry = {"temperature": 1.5, "num_val_images": 40}
    assert "`softmax(log p / 1.5)` calibrates them (fitted on 40" in card_text({**info, "calibration": entry}, None)
    assert "not calibrated: no mistake" in card_text(
        {**info, "calibration": {"temperature": None, "reason": "no mistake"}}, None
    )
    assert "set on 24 training images to reject 5% of such images; so many allow 0.1% to 16.8%" in card
