"""The temperature: fitted on val, stated in ``model.json``, applied to probabilities on request."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from pipekit.builtin.evaluate.score import _temperature
from pipekit.builtin.train.temperature import fit_on
from pipekit.errors import UserError
from pipekit.learning.predictor import Predictor
from pipekit.learning.temperature import calibrated, fitted, temperature_of


def drawn(overconfidence: float, count: int = 400) -> tuple[Any, Any]:
    """Logits that are too large by a factor, and classes drawn from the honest probabilities."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (count, 3))
    y_true = np.array([rng.choice(3, p=row) for row in softmax(logits, axis=1)])
    return logits * overconfidence, y_true


def test_the_entry_has_the_temperature_and_the_log_losses_of_a_direct_computation() -> None:
    logits, y_true = drawn(3.0)
    found = fitted(softmax(logits, axis=1).astype(np.float32), y_true)
    assert found["temperature"] == pytest.approx(3.0, rel=0.1)
    assert found["num_val_images"] == 400
    assert found["val_accuracy"] == (logits.argmax(axis=1) == y_true).mean()

    def loss(temperature: float) -> float:
        return float(-log_softmax(logits / temperature, axis=1)[np.arange(400), y_true].mean())

    assert found["val_log_loss"] == pytest.approx(loss(1.0), abs=1e-4)
    assert found["val_log_loss_calibrated"] == pytest.approx(loss(found["temperature"]), abs=1e-5)
    assert loss(found["temperature"]) <= min(loss(found["temperature"] * 1.01), loss(found["temperature"] / 1.01))


@pytest.mark.parametrize(("count", "reason"), [(0, "no val images"), (3, "made no mistake on the 3 val images")])
def test_where_nothing_can_be_fitted_the_entry_says_why(count: int, reason: str) -> None:
    y_true = np.arange(count) % 2
    found = fitted(np.eye(2, dtype=np.float32)[y_true] * 0.8 + 0.1, y_true)
    assert found["temperature"] is None
    assert reason in found["reason"]


def test_train_fits_it_on_the_batches_of_val_as_they_are() -> None:
    logits, y_true = drawn(2.0)
    model = type("Model", (), {"output_shape": (None, 3), "__call__": lambda self, batch, training: softmax(batch, axis=1)})()
    for targets in (y_true, np.eye(3)[y_true]):
        batches = [(logits[:150], targets[:150], None), (logits[150:], targets[150:], None)]
        feed: Any = SimpleNamespace(epoch=lambda number, batches=batches: iter(batches))
        assert fit_on(model, feed)["temperature"] == pytest.approx(
            fitted(softmax(logits, axis=1), y_true)["temperature"], abs=2e-3
        )
    assert fit_on(model, None)["temperature"] is None


def predictor_of(logits: Any, scores: Any = None, **info: Any) -> Predictor:
    """A classifier whose answer to an image of one value is the row of that number."""

    def rows(batch: Any) -> Any:
        return softmax(logits[batch[:, 0, 0, 0]], axis=1).astype(np.float32)

    def with_score(batch: Any) -> Any:
        return np.column_stack([rows(batch), scores[batch[:, 0, 0, 0]]]).astype(np.float32)

    return Predictor(("a", "b", "c"), (1, 1, 3), info, rows, Path("runs/x"), None if scores is None else with_score)


def test_calibrated_probabilities_are_the_softmax_of_divided_logits_and_the_score_stays() -> None:
    logits, _ = drawn(3.0, 40)
    scores = np.linspace(0, 2, 40)
    own = predictor_of(logits, scores, calibration={"temperature": 2.5})
    batch = np.arange(40, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    found = calibrated(own)
    np.testing.assert_allclose(found.probabilities(batch), softmax(logits / 2.5, axis=1), atol=1e-6)
    assert found.with_score is not None
    both = found.with_score(batch)
    np.testing.assert_allclose(both[:, :3], softmax(logits / 2.5, axis=1), atol=1e-6)
    np.testing.assert_array_equal(both[:, 3], scores.astype(np.float32))


def test_an_export_that_is_calibrated_inside_is_not_calibrated_twice() -> None:
    own = predictor_of(np.zeros((1, 3)), calibration={"temperature": 2.5, "applied": True})
    assert calibrated(own) is own


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({}, "model.json has no 'calibration'"),
        ({"calibration": 2.5}, "model.json has no 'calibration'"),
        ({"calibration": {"temperature": None, "reason": "no mistake on val"}}, "can't be calibrated: no mistake on val"),
        ({"calibration": {"temperature": "2"}}, "must be a number from 0.05 to 20, got '2'"),
        ({"calibration": {"temperature": True}}, "must be a number"),
        ({"calibration": {"temperature": 0.0}}, "must be a number"),
        ({"calibration": {"temperature": float("nan")}}, "must be a number"),
    ],
)
def test_a_model_without_a_usable_temperature_is_refused(info: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=r"the model in runs/x\b") as caught:
        temperature_of(info, Path("runs/x"))
    assert said in caught.value.message


def test_evaluate_reports_the_model_s_own_temperature_and_predicts_no_val_for_it() -> None:
    logits, y_true = drawn(3.0)
    params: Any = SimpleNamespace(calibrate=True, split="test", bins=15)

    def measured(entry: Any) -> Any:
        own: Any = SimpleNamespace(predictor=predictor_of(logits, calibration=entry))  # it can't predict: it has no `of`
        return _temperature(own, [], softmax(logits, axis=1), y_true, params)

    found = measured({"temperature": 3.0, "num_val_images": 7, "val_accuracy": 0.5})
    assert (found["temperature"], found["num_val_images"]) == (3.0, 7)
    probabilities = np.round(softmax(logits / 3.0, axis=1), 6)
    assert found["log_loss"] == pytest.approx(float(-np.log(probabilities[np.arange(400), y_true]).mean()), abs=1e-5)
    assert measured({"temperature": 3.0, "applied": True}) is None, "the probabilities are calibrated already"
