"""Losses, metrics, optimizers, schedules and callbacks of plugins in `train`: checked by name, without TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipekit.builtin.train import TrainParams
from pipekit.builtin.train.compiling import base_rate, choose_labels, rate_at
from pipekit.builtin.train.tasks import _fits
from pipekit.contract import Call
from pipekit.engine.keys import Keys
from pipekit.errors import PlanError, PluginError, UserError
from pipekit.pipeline.plan import load_plan
from pipekit.registry.param_rows import type_text
from pipekit.registry.registry import Registry, load_registry
from pipekit.testing import check_schedule

PARTS = '''
"""Parts of a training."""
import pipekit

class GammaParams(pipekit.Params):
    gamma: float = pipekit.param(2.0, "Exponent", ge=0, le=10)

class RateParams(pipekit.Params):
    learning_rate: float = pipekit.param(0.02, "Peak", gt=0, le=1)

class AtParams(pipekit.Params):
    epoch: int = pipekit.param(2, "The epoch after which to stop", ge=1, le=100)

def focal(params: GammaParams):
    """Focal loss."""
    from keras import ops
    def call(y_true, y_pred):
        right = ops.clip(ops.sum(y_true * y_pred, axis=-1), 1e-7, 1.0)
        return -((1 - right) ** params.gamma) * ops.log(right)
    return call

def sure(params: pipekit.Params):
    """Confidence."""
    from keras import ops
    return lambda y_true, y_pred: ops.max(y_pred, axis=-1)

def plain(params: RateParams):
    """Gradient descent."""
    from keras import optimizers
    return optimizers.SGD(params.learning_rate)

def halves(share: float, params: pipekit.Params) -> float:
    """The second half at a tenth."""
    return 1.0 if share < 0.5 else 0.1

def broken(share: float, params: pipekit.Params) -> float:
    """Below 0."""
    return -1.0

def stop(params: AtParams):
    """Stop after an epoch."""
    from keras import callbacks
    class Stop(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert {"loss", "val_loss", "sure", "learning_rate"} <= set(logs)
            self.model.stop_training = epoch + 1 >= params.epoch
    return Stop()

def numbers(params: pipekit.Params):
    """A loss of class numbers."""
numbers.labels = "sparse"
pipekit.tasks.supports("number")(numbers)

@pipekit.hookimpl
def register_losses(register):
    register("focal", focal)
    register("numbers", numbers)
    register("hinge", focal)

@pipekit.hookimpl
def register_metrics(register):
    register("sure", sure)

@pipekit.hookimpl
def register_optimizers(register):
    register("plain", plain, version=3)

@pipekit.hookimpl
def register_schedules(register):
    register("halves", halves)
    register("broken", broken)

@pipekit.hookimpl
def register_callbacks(register):
    register("stop", stop)
'''

ALL: dict[str, Any] = {
    "loss": {"use": "acme:focal", "gamma": 1.5},
    "metrics": ["accuracy", "sure"],
    "optimizer": {"use": "plain", "learning_rate": 0.03},
    "schedule": "halves",
    "callbacks": [{"use": "stop", "epoch": 2}],
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    file = tmp_path_factory.mktemp("parts") / "acme.py"
    file.write_text(PARTS, encoding="utf-8")
    return load_registry((str(file),), installed=False)


def checked(registry: Registry, **values: Any) -> TrainParams:
    found: TrainParams = registry.check_params(TrainParams, values)
    return found


def test_they_are_chosen_by_name_with_parameters_of_their_own(registry: Registry) -> None:
    params = checked(registry, **ALL)
    assert isinstance(params.loss, Call)
    assert params.loss.params.gamma == 1.5  # type: ignore[attr-defined]
    assert params.metrics[0] == "accuracy"
    assert params.model_dump(mode="json")["loss"] == {"use": "acme:focal", "gamma": 1.5}
    assert base_rate(params) == 0.03
    assert base_rate(checked(registry, **ALL, learning_rate=0.5)) == 0.5
    assert [rate_at(params, step, 10) for step in (0, 99, 100, 199)] == pytest.approx([0.03, 0.03, 0.003, 0.003])


def test_the_loss_says_which_labels_it_takes(registry: Registry) -> None:
    assert choose_labels(checked(registry, loss="focal"), ["a", "b", "c"], False).mode == "categorical"
    numbers = checked(registry, loss="numbers")
    assert choose_labels(numbers, ["a", "b", "c"], False).mode == "sparse"
    assert choose_labels(checked(registry, loss="numbers", metrics=["sure"]), ["a", "b"], False).mode == "sparse"
    assert choose_labels(checked(registry, metrics=["sure"]), ["a", "b"], False).mode == "categorical"
    assert [_fits(numbers.loss, (), task) for task in ("number", "multilabel")] == [True, False]  # type: ignore[arg-type]


def test_the_name_of_a_part_of_keras_may_stand_in_a_table(registry: Registry) -> None:
    assert checked(registry, optimizer={"use": "adam"}).optimizer == "adam"
    assert checked(registry, loss={"use": "categorical_crossentropy"}).loss == "categorical_crossentropy"
    assert checked(registry, metrics=[{"use": "accuracy"}]).metrics == ("accuracy",)
    with pytest.raises(UserError, match="'adam' is the stage's own optimizer, which has no parameters of its own; got 'beta'"):
        checked(registry, optimizer={"use": "adam", "beta": 3})


def test_all_mistakes_are_found_before_anything_runs(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    train = {
        "use": "train",
        "loss": "focla",
        "metrics": ["accuracy", {"use": "sure", "at": 3}],
        "optimizer": "plian",
        "schedule": "acme:nothing",
        "callbacks": ["stopp", {"use": "stop", "epoch": 0}],
    }
    stages = {"data": {"use": "import.folders", "path": "images"}, "split": {"use": "split"}, "train": train}
    with pytest.raises(PlanError) as caught:
        load_plan(table={"stages": stages}, base_dir=tmp_path, registry=registry)
    told = {one.path.removeprefix("stages.train."): f"{one.message}. {one.hint}" for one in caught.value.problems}
    assert "no loss called 'focla'. Did you mean 'focal'?" in told["loss"]
    assert told["optimizer"] == "there is no optimizer called 'plian'. Did you mean 'plain'?"
    assert "no schedule called 'acme:nothing'" in told["schedule.use"]
    assert "Did you mean 'stop'?" in told["callbacks[0].use"]
    assert {"metrics[1].at", "callbacks[1].epoch"} <= set(told)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"loss": "focal", "label_smoothing": 0.1}, "label_smoothing is for the losses of Keras"),
        ({"optimizer": "plain", "weight_decay": 0.1}, "weight_decay is for the optimizers of Keras"),
    ],
)
def test_what_a_part_can_not_know_is_refused(registry: Registry, values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        checked(registry, **values)


def test_a_name_of_keras_stays_that_of_keras(registry: Registry) -> None:
    assert checked(registry, loss="hinge").loss == "hinge"
    assert isinstance(checked(registry, loss="acme:hinge").loss, Call)


def test_the_plugin_and_the_version_are_in_the_key_and_no_key_of_before_has_changed(registry: Registry) -> None:
    keys = Keys(0, lambda path: "")
    parts = keys._common(checked(registry, **ALL), (), (), None)["params"]
    assert parts["optimizer"]["component"][:3] == ["optimizer", "plain", 3]
    assert parts["loss"]["component"][3:], "the content of a plugin of one file"
    assert parts["loss"]["params"] == {"gamma": 1.5}
    plain = keys._common(checked(registry), (), (), None)["params"]
    assert (plain["optimizer"], plain["schedule"], plain["loss"], plain["metrics"]) == ("adam", "cosine", None, ["accuracy"])
    assert "callbacks" not in plain


def test_the_schema_has_the_names_of_the_stage_and_those_of_plugins() -> None:
    schema = TrainParams.model_json_schema()["properties"]
    own, table, uses = schema["optimizer"]["anyOf"]
    assert "adamw" in own["enum"]
    assert table["properties"] == {"use": own}, "a table may name it too, without parameters"
    assert not table["additionalProperties"]
    assert uses["x-pipekit-uses"][:2] == ["optimizer", "use"]
    assert schema["metrics"]["items"]["anyOf"][0] == {"type": "string"}, "Keras has more than can be listed"
    assert type_text(TrainParams.model_fields["schedule"].annotation, TrainParams.model_fields["schedule"].metadata).endswith(
        '"plateau" or schedule'
    )


def test_a_schedule_that_gives_no_rate_is_named(registry: Registry) -> None:
    with pytest.raises(PluginError, match=r"schedule 'broken' of plugin 'acme' gave -1.0 at the share 0 of the steps"):
        rate_at(checked(registry, schedule="broken"), 0, 10)
    check_schedule("halves", registry=registry)
    with pytest.raises(AssertionError, match="at the share 0 of the steps it gives -1"):
        check_schedule("broken", registry=registry)
