"""The templates: what a model promises, freezing and thawing, and a pipeline from a folder to a report."""

import dataclasses

import numpy as np
import pytest
from pipekit_efficientnet_lite.templates import EfficientNetLite0Params, efficientnet_lite0, unfreeze

from pipekit import UserError
from pipekit.learning.efficientnet_lite import LITE0, features_model
from pipekit.testing import check_model

SMALL = (64, 64, 3)


@pytest.mark.parametrize("template", ["efficientnet_lite0", "efficientnet_lite0_probe"])
def test_they_keep_the_promises_of_a_model(template):
    check_model(template, input_shape_hwc=SMALL)


def test_layers_are_frozen_until_their_epoch_and_batch_norm_for_ever():
    params = EfficientNetLite0Params(frozen_epochs=2, fine_tune=9)
    model = efficientnet_lite0(SMALL, 3, params)
    assert [variable.path for variable in model.trainable_weights] == ["probabilities/kernel", "probabilities/bias"]
    assert [unfreeze(model, params, epoch) for epoch in range(4)] == [None, None, 0.1, None]
    learning = {variable.path.split("/")[-2] for variable in model.trainable_weights}
    assert learning == {"block_15_depthwise", "block_15_project", "head", "probabilities"}


def test_all_layers_can_be_freed_and_none():
    params = EfficientNetLite0Params(frozen_epochs=0, fine_tune=-1)
    model = efficientnet_lite0(SMALL, 3, params)
    unfreeze(model, params, 0)
    assert len(model.trainable_weights) == 49 + 2, "every convolution, and the two of the output"
    assert unfreeze(model, EfficientNetLite0Params(fine_tune=0, frozen_epochs=0), 0) is None


def test_grey_images_are_refused():
    with pytest.raises(UserError, match="needs colour images, got 1 channel"):
        efficientnet_lite0((64, 64, 1), 3, EfficientNetLite0Params())


def test_without_the_package_of_the_weights_it_is_named(monkeypatch):
    missing = dataclasses.replace(LITE0, package="no_such_package")
    monkeypatch.setattr(features_model, "__defaults__", (missing,))
    with pytest.raises(UserError, match="no installed package contains no_such_package") as caught:
        efficientnet_lite0(SMALL, 3, EfficientNetLite0Params())
    assert caught.value.hint == "pip install no-such-package"


def test_a_pipeline_learns_in_one_pass_and_others_learn_from_what_the_network_saw(pipekit_project):
    stages = {
        "data": {"use": "import.folders", "path": "images"},
        "split": {"use": "split", "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}},
        "train": {"use": "train", "model": {"template": "efficientnet_lite0_probe"}, "input_hw": [64, 64], "epochs": 9},
        "report": {"use": "evaluate"},
    }
    outcome = pipekit_project.run(stages, seed=7)
    assert outcome.artifact("train").meta["facts"]["epochs"] == "1 (kept 1)"
    rows = (outcome.artifact("report").path / "predictions.csv").read_text().splitlines()
    assert len(rows) > 3

    shards = pipekit_project.path / ".pipekit" / "shards"
    before = sorted(shards.glob("*/*"))
    for change in ({"model": {"template": "efficientnet_lite0_probe", "c": 1}}, {"model": "efficientnet_lite0", "epochs": 1}):
        changed = {"data": stages["data"], "split": stages["split"], "train": {**stages["train"], **change}}
        again = pipekit_project.run(changed, seed=7)
        assert not again.stages[2].cached
        assert again.stages[2].artifact.digest != outcome.artifact("train").digest
    features = {shard for shard in before if "features" in (shard / "rows.jsonl").read_text()}
    assert features
    assert {shard for shard in shards.glob("*/*") if "features" in (shard / "rows.jsonl").read_text()} == features


def test_the_last_layer_is_the_logistic_regression_of_the_features():
    """For two classes and for three, one of which has no images: softmax says what scikit-learn says."""
    import keras
    from pipekit_efficientnet_lite.templates import ProbeParams, efficientnet_lite0_probe, solve
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pixels = np.random.default_rng(3).integers(0, 256, (24, 32, 32, 3)).astype(np.float32)
    pixels[::2] *= 0.5
    for num_classes, y_true in ((2, np.arange(24) % 2), (4, np.arange(24) % 3)):
        model = efficientnet_lite0_probe((32, 32, 3), num_classes, ProbeParams(c=0.1))
        solve(
            model, [(pixels[:16], y_true[:16], np.ones(16)), (pixels[16:], y_true[16:], np.ones(8))], [], ProbeParams(c=0.1), 0
        )
        features = keras.Model(model.input, model.get_layer("features").output).predict(pixels, verbose=0)
        expected = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000, tol=1e-5)).fit(features, y_true)
        said = model.predict(pixels, verbose=0)
        np.testing.assert_allclose(said[:, : y_true.max() + 1], expected.predict_proba(features), atol=2e-3)
        assert (said[:, y_true.max() + 1 :] == 0).all()
        kernel = model.get_layer("probabilities").get_weights()[0]
        assert (np.abs(kernel).sum(axis=0)[: y_true.max() + 1] > 0).all(), "each class has weights that explain it"
