"""What is advised after a weak result: the rule, the commands, and the places that give them."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipekit.builtin.train.loop import State
from pipekit.builtin.train.record import verdict
from pipekit.engine.run import run_plan
from pipekit.errors import UserError
from pipekit.learning import advice, backbones
from pipekit.learning.advice import Case, case_of, remedies
from pipekit.pipeline.plan import load_plan
from pipekit.registry.registry import load_registry


def grows(text: str) -> bool:
    return "larger" in text or "longer" in text


@pytest.mark.parametrize("weak", [True, False])
@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("is_pretrained", [True, False])
@pytest.mark.parametrize("gap", [None, -0.1, 0.05, 0.11, 0.3])
def test_the_rule(weak: bool, few: bool, is_pretrained: bool, gap: float | None) -> None:
    steps = remedies(Case(weak, gap, few, is_pretrained), "pipekit train photos --model logistic_regression")
    names_it = [place for place, step in enumerate(steps) if "logistic_regression" in step]
    assert names_it == ([0] if weak and few and not is_pretrained else [])
    assert any(map(grows, steps)) == (weak and gap is not None and gap <= 0.1)
    assert any("regularisation" in step for step in steps) == (gap is not None and gap > 0.1)
    assert bool(steps) == (weak or (gap or 0) > 0.1)


def test_a_template_without_epochs_is_not_trained_longer() -> None:
    (step,) = remedies(Case(True, 0.0, False, False, in_one_pass=True), "")
    assert "larger" in step
    assert "longer" not in step


@pytest.mark.parametrize(
    ("accuracy", "baseline", "weak"), [(0.53, 0.5, True), (0.74, 0.5, True), (0.76, 0.5, False), (0.6, 0.1, False)]
)
def test_weak_is_more_than_half_of_the_commonest_classs_mistakes(accuracy: float, baseline: float, weak: bool) -> None:
    assert advice.is_weak(accuracy, baseline) == weak


def test_the_gap_is_the_widest_of_the_kept_and_the_last_epoch() -> None:
    early = {"accuracy": 0.55, "val_accuracy": 0.53}
    late = {"accuracy": 0.83, "val_accuracy": 0.53}
    assert advice.overfitting_gap({"history": [early, late], "kept_epoch": 1}) == pytest.approx(0.3)
    assert advice.overfitting_gap({"history": [late, early], "kept_epoch": 1}) == pytest.approx(0.3)
    assert advice.overfitting_gap({"history": [early], "kept_epoch": 1}) == pytest.approx(0.02)
    assert advice.overfitting_gap({"history": [{"accuracy": 0.5}]}) is None


def test_the_command_names_a_template_in_the_box() -> None:
    assert advice.how_to_get() == "`pipekit train FOLDER --model logistic_regression`."
    assert load_registry(installed=False).get("model", advice.TEMPLATE)


def test_a_pipeline_file_is_run_again_with_the_other_template(tmp_path: Path) -> None:
    ctx: Any = SimpleNamespace(pipeline_file=tmp_path / "my pets.toml", project_dir=tmp_path)
    ctx.pipeline_file.write_text('[stages.learn]\nuse = "train"\n[stages.report]\nuse = "evaluate"\n', "utf-8")
    command = "pipekit run 'my pets.toml' --set stages.{}.model=logistic_regression"
    assert advice.train_command(ctx) == command.format("learn")
    assert advice.train_command(ctx, stage="other") == command.format("other")
    ctx.pipeline_file.write_text('[stages.a]\nuse = "train"\n[stages.b]\nuse = "train"\n', "utf-8")
    assert advice.train_command(ctx) == "pipekit train FOLDER --model logistic_regression"


def test_a_weak_result_from_few_images_names_the_template_in_the_report_and_at_the_end(colour_project: Any) -> None:
    overfits = [{"epoch": 1, "accuracy": 0.83, "val_accuracy": 0.53, "val_loss": 1.0}]
    colour_project.model(classes=["green", "red", "blue"], history=overfits, kept_epoch=1, images={"train": 36})
    outcome = colour_project.run()
    said = outcome.stages[-1].artifact.meta["advice"]
    assert "`pipekit train images --model logistic_regression`" in said
    page = (outcome.artifact("report").path / "report.html").read_text("utf-8")
    steps = page.split("What to do next</h2>")[1].split("</ol>")[0]
    assert steps.index("logistic_regression") < steps.index("regularisation")
    assert not grows(steps)


def test_a_good_result_ends_without_advice(colour_project: Any) -> None:
    assert colour_project.run().stages[-1].artifact.meta["advice"] == ""


def test_the_end_of_a_run_is_told_the_last_stages_advice(tmp_path: Path) -> None:
    (tmp_path / "advises.py").write_text(ADVISES, "utf-8")
    events: list[tuple[str, dict[str, Any]]] = []

    def told(*words: str) -> str:
        stages = {f"s{number}": {"use": "advises", "words": word} for number, word in enumerate(words)}
        table = {"name": "trial", "plugins": ["./advises.py"], "stages": stages}
        run_plan(load_plan(table=table, base_dir=tmp_path), lambda event, **values: events.append((event, values)))
        return str(events[-1][1]["advice"])

    assert told("train longer", "use more images") == "use more images"
    assert told("train longer", "") == "", "the later stage measured that all is well"


ADVISES = '''
import pipekit


class AdvisesParams(pipekit.Params):
    words: str = pipekit.param("", "The advice")


@pipekit.stage
def advises(ctx: pipekit.Context, params: AdvisesParams) -> pipekit.Files:
    """A stage with advice."""
    return ctx.artifact(pipekit.Files, advice=params.words)


@pipekit.hookimpl
def register_stages(register):
    register("advises", advises)
'''


def test_pretrained_without_its_package_of_weights_names_another_template() -> None:
    with pytest.raises(UserError) as caught:
        backbones._in_package("package:no_such_package/a.h5")
    assert "--model logistic_regression" in caught.value.hint


def test_more_epochs_are_not_advised_to_a_model_that_overfits() -> None:
    def words(accuracy: float, val_accuracy: float) -> str:
        row = {"loss": 0.5, "val_loss": 0.6, "accuracy": accuracy, "val_accuracy": val_accuracy}
        worse = {**row, "loss": 0.9, "val_loss": 0.9}
        params = SimpleNamespace(keep="best", ops=None, mixes=False, patience=None)
        state = State(history=[worse, row], best_epoch=1)
        result: Any = SimpleNamespace(params=params, state=state, kept=1, counts={"train": 100, "val": 100}, monitor="val_loss")
        return " ".join(verdict(result))

    assert "more epochs may" in words(0.55, 0.53)
    assert "more epochs may" not in words(0.83, 0.53)


@pytest.mark.parametrize(("num_train", "few"), [(2999, True), (3000, False)])
def test_fewer_than_a_thousand_training_images_per_class_are_few(num_train: int, few: bool) -> None:
    assert advice.case_of({}, num_train, num_classes=3, weak=True).few == few


def test_uneven_classes_get_the_command_with_weights(tmp_path: Path) -> None:
    ctx: Any = SimpleNamespace(pipeline_file=None, project_dir=tmp_path)
    counts = {"defect": 20, "fine": 400}
    case = advice.case_of({"training": {"class_weights": "none"}}, 420, 2, weak=False, counts=counts)
    commands = advice.commands_for(ctx, [], {"template": "simple_cnn"})  # type: ignore[arg-type]
    (step,) = remedies(case, commands)
    assert "400 training images of 'fine', 20 of 'defect'" in step
    assert "`pipekit train FOLDER --model simple_cnn --class-weights balanced`" in step
    for training, others in (({"class_weights": "balanced"}, counts), ({"class_weights": "none"}, {"a": 20, "b": 99})):
        assert not remedies(advice.case_of({"training": training}, 420, 2, weak=False, counts=others), commands)
    ctx.pipeline_file = tmp_path / "pets.toml"
    ctx.pipeline_file.write_text('[stages.train]\nmodel = "mlp"\n', "utf-8")
    weighted = advice.commands_for(ctx, [], {"template": "mlp"}).weighted  # type: ignore[arg-type]
    assert weighted == "pipekit run pets.toml --set stages.train.class_weights=balanced"


@pytest.mark.parametrize(
    ("val_accuracy", "num_val", "num_train", "may_pay"),
    [(0.88, 100, 400, True), (0.97, 100, 400, False), (0.88, 20, 400, False), (0.88, 100, 40, False)],
)
def test_fine_tuning_is_advised_where_val_says_that_it_may_pay(
    val_accuracy: float, num_val: int, num_train: int, may_pay: bool, tmp_path: Path
) -> None:
    model = {
        "features": {"embedder": "e"},
        "pretrained": True,
        "history": [{"accuracy": 0.9, "val_accuracy": val_accuracy}],
        "images": {"val": num_val},
    }
    ctx: Any = SimpleNamespace(pipeline_file=None, project_dir=tmp_path)
    steps = remedies(advice.case_of(model, num_train, 2, weak=False), advice.commands_for(ctx, [], model))  # type: ignore[arg-type]
    assert [step for step in steps if "fine-tuning" in step] == (steps if may_pay else [])
    assert bool(steps) == may_pay
    if may_pay:
        assert "12 % of the val images are wrong" in steps[0]
        assert "`pipekit train FOLDER --model pretrained --set model.fine_tune=-1 --epochs 20`" in steps[0]
    assert not advice.case_of({**model, "features": None}, num_train, 2, weak=False).frozen_errors


def test_fine_tuning_in_a_pipeline_file_is_a_plan(tmp_path: Path) -> None:
    ctx: Any = SimpleNamespace(pipeline_file=tmp_path / "pets.toml", project_dir=tmp_path)
    text = '[stages.data]\nuse = "import.folders"\npath = "."\n[stages.train]\nuse = "train"\n'
    text += 'model = { template = "mlp", units = [3] }\n'
    ctx.pipeline_file.write_text(text, "utf-8")
    command = advice.commands_for(ctx, [], {}).tuned  # type: ignore[arg-type]
    words = shlex.split(command)
    assert words[:3] == ["pipekit", "run", "pets.toml"]
    chosen = load_plan(ctx.pipeline_file, overrides=words[4::2]).stage("train").params
    assert (chosen.model.name, chosen.model.params.fine_tune, chosen.epochs) == ("pretrained", -1, 20)


def test_what_auto_has_tried_is_not_advised() -> None:
    tried = {"template": "logistic_regression", "left_out": ""}
    for candidates, advised in (([tried], False), ([{**tried, "left_out": "no budget"}], True), ([], True)):
        steps = remedies(
            case_of({"candidates": candidates}, 20, 2, weak=True), "pipekit train photos --model logistic_regression"
        )
        assert any("logistic_regression" in step for step in steps) == advised
        assert steps
