"""What the logged model answers for each task."""

import numpy as np
import pytest
from pipekit_mlflow.pyfunc import Classifier

from pipekit.learning.predictor import Predictor

IMAGES = np.zeros((2, 4, 5, 3), np.uint8)
NAMES = ("cat", "dog")


def model(rows, classes=NAMES, **info):
    found = np.array(rows, np.float32)
    return Classifier(Predictor(classes, (4, 5, 3), info, lambda batch: found[: len(batch)]))


def test_a_class():
    (cat, dog) = model([[0.75, 0.25], [0.25, 0.75]]).predict(IMAGES)
    assert cat == {"label": "cat", "confidence": 0.75, "probabilities": {"cat": 0.75, "dog": 0.25}}
    assert (dog["label"], dog["confidence"]) == ("dog", 0.75)


def test_several_labels_are_those_above_their_thresholds():
    found = model([[0.75, 0.25], [0.5, 0.125]], task="multilabel", thresholds={"cat": 0.625, "dog": 0.2}).predict(IMAGES)
    assert [one["labels"] for one in found] == [["cat", "dog"], []]
    assert found[0]["probabilities"] == {"cat": 0.75, "dog": 0.25}
    assert "label" not in found[0]


@pytest.mark.parametrize("half", [None, 2.0])
def test_a_number_has_its_unit_and_its_interval(half):
    about = {"unit": "deg", **({} if half is None else {"interval": {"half_width": half}})}
    found = model([[41.5], [-3.25]], ("angle",), task="number", value=about).predict(IMAGES)
    bounds = {} if half is None else {"low": 39.5, "high": 43.5}
    assert found[0] == {"value": 41.5, "unit": "deg", **bounds}
    assert found[1]["value"] == -3.25
