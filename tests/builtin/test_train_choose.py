"""``model = "auto"``: which templates are tried, which one is chosen, and what is published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image as PillowImage

from pipekit.builtin.models.auto import seconds_of
from pipekit.builtin.report import candidates as report
from pipekit.builtin.train import ahead, choose
from pipekit.builtin.train.choose import plan, train_best, variant_params
from pipekit.builtin.train.params import TrainParams
from pipekit.builtin.train.stage import _pretrained_on, precision_of
from pipekit.commands.train import model_of
from pipekit.contract import Sample
from pipekit.errors import PlanError, UserError
from pipekit.learning import candidates
from pipekit.learning.candidates import Candidate
from pipekit.learning.input_size import size_for
from pipekit.learning.templates import Work, cost_s
from pipekit.pipeline.plan import load_plan
from pipekit.registry.registry import load_registry

REGISTRY = load_registry(installed=False)


def params(**values: Any) -> TrainParams:
    found: TrainParams = REGISTRY.check_params(TrainParams, {"model": "auto", "input_hw": [64, 64], **values})
    return found


class Images(SimpleNamespace):
    """As much of a dataset as a plan needs."""

    task = "classes"

    def __len__(self) -> int:
        return int(self.num)

    def split(self, name: str) -> tuple[()]:
        return ()


def images(train: int, val: int, num_classes: int = 2) -> Any:
    """A dataset with so many training images of each class, and so many validation images altogether."""
    names = [f"c{number}" for number in range(num_classes)]
    counts = {"train": dict.fromkeys(names, train), "val": {**dict.fromkeys(names, 0), "c0": val}}
    return Images(counts=counts, classes=names, num=num_classes * train + val)


class Trainer:
    """A context whose variants are models with the given accuracies on val."""

    def __init__(self, folder: Path, accuracies: dict[str, float], num_val: int = 100) -> None:
        self.out_dir, self.folder, self.accuracies, self.num_val = folder / "out", folder, accuracies, num_val
        self.out_dir.mkdir()
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.trained: list[TrainParams] = []

    def event(self, name: str, **values: Any) -> None:
        if name == "note":
            self.notes.append(values["message"])

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def variant(self, params: TrainParams) -> Any:
        name = params.model.name
        if name not in self.accuracies:
            raise UserError(f"{name} can't be built")
        self.trained.append(params)
        folder = self.folder / name
        folder.mkdir()
        row = {"epoch": 1, "val_accuracy": self.accuracies[name], "val_loss": 0.5}
        info = {"template": name, "history": [row], "kept_epoch": 1, "images": {"val": self.num_val}}
        (folder / "model.json").write_text(json.dumps(info))
        (folder / "model.keras").write_bytes(name.encode())
        (folder / "manifest.json").write_text("{}")
        return SimpleNamespace(path=folder, digest=name, meta={"headline": f"the headline of {name}", "facts": {"epochs": "1"}})

    def artifact(self, kind: Any, **meta: Any) -> Any:
        return SimpleNamespace(**meta)


# --- what is tried -------------------------------------------------------------------------------------------------------


def left_out(found: list[Candidate]) -> dict[str, str]:
    return {one.template: one.left_out for one in found if one.left_out}


def planned(data: Any, given: TrainParams, budget_s: float = 180.0) -> list[Candidate]:
    return plan(SimpleNamespace(), data, given, given.model.params.candidates, budget_s)  # type: ignore[arg-type]


def test_few_images_leave_one_template_and_the_reasons_are_named() -> None:
    found = left_out(planned(images(8, 4), params()))
    assert "4 validation images are too few" in found["hog_svm"]
    assert "needs 100 training images of each class, and one has 8" in found["simple_cnn"]


def test_too_few_images_without_classes_are_said_to_be_too_few_images() -> None:
    found = candidates._too_few(SimpleNamespace(images_a_class=100), 60, "number")
    assert found == "it needs 100 training images, and there are 60"


def test_the_budget_decides_by_estimates_alone() -> None:
    many = images(400, 100)
    assert left_out(planned(many, params(), 600)) == {}
    found = left_out(planned(many, params(), 60))
    assert list(found) == ["simple_cnn"]
    assert "would exceed the budget of 60 s" in found["simple_cnn"]
    assert set(left_out(planned(many, params(), 1))) == {"hog_svm", "simple_cnn"}, "the cheapest is always tried"
    assert planned(many, params(), 60) == planned(many, params(), 60)


def test_grey_images_leave_the_pretrained_network_out() -> None:
    assert "needs colour images" in left_out(planned(images(400, 100), params(channels=1), 600))["logistic_regression"]
    only = params(channels=1, model={"template": "auto", "candidates": ["logistic_regression"]})
    with pytest.raises(UserError, match="none of the candidates can be trained"):
        planned(images(400, 100), only)


# --- parameters that suit the images -----------------------------------------------------------------------------------------


class Photographs(Images):
    """Images with files."""

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def split(self, name: str) -> Any:
        return self.samples


def photographs(folder: Path, *sizes: tuple[int, int]) -> Any:
    files = [folder / f"{number}.png" for number in range(len(sizes))]
    for file, (width, height) in zip(files, sizes, strict=True):
        PillowImage.new("RGB", (width, height)).save(file)
    samples = [Sample(file.name, str(file)) for file in files]
    counts = {"train": {"a": 400, "b": 400}, "val": {"a": 50, "b": 50}}
    return Photographs(samples=samples, counts=counts, classes=["a", "b"], num=len(samples))


def sides(dataset: Any, given: TrainParams) -> list[Any]:
    """The size that the stage chooses for each candidate."""
    return [size_for(call.load(), call.params, lambda: dataset.samples) for call in given.model.params.candidates]


def test_photographs_enter_the_pretrained_network_in_a_finer_size(tmp_path: Path) -> None:
    """The median of the shorter sides decides, from 320 px on; a stated side is kept."""
    given = params(input_hw=None)
    large = photographs(tmp_path, (320, 400), (400, 320), (90, 90))
    assert sides(large, given) == [(320, 320), (160, 160), (160, 160)]
    probe = {"template": "logistic_regression", "embedder": {"use": "efficientnet_lite0", "side": 96}}
    assert sides(large, params(input_hw=None, model={"template": "auto", "candidates": [probe]})) == [(96, 96)]
    assert sides(photographs(tmp_path, (319, 400), (400, 319), (900, 900)), given)[0] == (224, 224)


def test_a_finer_size_is_estimated_and_left_where_the_budget_is_too_small(tmp_path: Path) -> None:
    large, given = photographs(tmp_path, *[(320, 320)] * 4), params(input_hw=None)
    large.num = 10_000
    few, many = (planned(large, given, budget_s)[0].estimate_s or 0 for budget_s in (200, 400))
    assert few < 200 < many
    ctx: Any = Trainer(tmp_path, {"logistic_regression": 0.9})
    train_best(ctx, large, params(input_hw=None, model={"template": "auto", "budget": "200s"}))
    assert [one.input_hw for one in ctx.trained] == [(224, 224)]
    (tmp_path / "more").mkdir()
    ctx = Trainer(tmp_path / "more", {"logistic_regression": 0.9})
    train_best(ctx, large, params(input_hw=None, model={"template": "auto", "budget": "230s"}))
    assert [one.input_hw for one in ctx.trained] == [None], "the key that the template has by its name"


def test_costs_grow_with_the_work() -> None:
    for name in ("logistic_regression", "hog_svm", "simple_cnn"):
        component = REGISTRY.get("model", name)
        values = REGISTRY.check_params(component.params_type(), {})

        def cost(component: Any = component, values: Any = values, **more: Any) -> float:
            work = {"images": 100, "train": 80, "val": 20, "classes": 2, "shape_hwc": (64, 64, 3), "epochs": 20, **more}
            found = cost_s(component.load(), Work(**work), values)
            assert found is not None
            return found

        assert cost() < cost(images=1000, train=800, val=200)
        assert cost() < cost(shape_hwc=(128, 128, 3))


@pytest.mark.parametrize("task", ["classes", "multilabel", "number"])
def test_a_probe_costs_more_where_more_is_solved(task: str) -> None:
    """Few val images ask for folds of train, a given `c` for one solution, and a class more for its coefficients."""
    component = REGISTRY.get("model", "logistic_regression")

    def cost(train: int = 2000, val: int = 400, classes: int = 10, **values: Any) -> float:
        params = REGISTRY.check_params(component.params_type(), values)
        work = Work(3000, train, val, 1 if task == "number" else classes, (32, 32, 3), 20, task)
        found = cost_s(component.load(), work, params)
        assert found is not None
        return found

    assert cost(c=1.0) < cost() < cost(val=49)
    assert cost(val=50) == cost()
    assert cost(val=0) < cost(val=49)
    assert cost(train=1000) < cost()
    if task != "number":
        assert cost(classes=5) < cost()


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1h", 3600), ("1.5m", 90)])
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


# --- what is chosen ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accuracies", "num_val", "chosen"),
    [
        ((0.90, 0.95), 20, 0),  # a standard error of 6 points
        ((0.90, 0.95), 400, 1),  # of 1.1 points
        ((0.95, 0.90), 400, 0),
        ((0.80, 0.97, 0.98), 400, 2),
        ((0.80, 0.975, 0.98), 400, 1),
        ((0.96, 1.00), 100, 1),
        ((1.00, 1.00), 100, 0),
        ((0.5,), 0, 0),
    ],
)
def test_the_first_within_one_standard_error_of_the_best(accuracies: tuple[float, ...], num_val: int, chosen: int) -> None:
    tried = [Candidate(f"t{n}", {}, 1.0, num_val=num_val, val_accuracy=value) for n, value in enumerate(accuracies)]
    assert choose.choose(tried) == chosen


def test_the_chosen_model_is_published_with_the_account(tmp_path: Path) -> None:
    ctx: Any = Trainer(tmp_path, {"logistic_regression": 0.70, "hog_svm": 0.95, "simple_cnn": 0.96})
    made: Any = train_best(ctx, images(400, 100), params(model={"template": "auto", "budget": "10m"}, epochs=7, batch_size=8))
    info = json.loads((ctx.out_dir / "model.json").read_text())
    assert (info["template"], info["chosen_by"], info["budget_s"]) == ("hog_svm", "auto", 600)
    assert (ctx.out_dir / "model.keras").read_bytes() == b"hog_svm"
    assert not (ctx.out_dir / "manifest.json").exists()
    assert [one["val_accuracy"] for one in info["candidates"]] == [0.70, 0.95, 0.96]
    assert made.headline == "hog_svm, the headline of hog_svm"
    assert made.facts == {"model": "hog_svm", "epochs": "1"}
    said = " ".join(ctx.notes)
    assert "hog_svm: accuracy 0.950 on val (95 % interval 0.887 to 0.984, 100 images)" in said
    assert "hog_svm was chosen: the first, in this order, whose accuracy on val is within one standard error" in said
    assert not ctx.warnings
    evaluation: Any = SimpleNamespace(model=info)
    section = report.section(ctx, evaluation)
    assert section is not None
    assert "Of 3 templates, *hog\\_svm* is the first" in section.markdown
    assert [row[-1] for row in section.tables[0].rows] == ["", "chosen", ""]


def test_a_template_that_cannot_be_built_is_left_out(tmp_path: Path) -> None:
    ctx: Any = Trainer(tmp_path, {"logistic_regression": 0.9, "simple_cnn": 0.9})
    train_best(ctx, images(400, 100), params(model={"template": "auto", "budget": "10m"}))
    assert ctx.warnings == ["hog_svm is left out: hog_svm can't be built"]
    info = json.loads((ctx.out_dir / "model.json").read_text())
    assert [one["left_out"] for one in info["candidates"]] == ["", "hog_svm can't be built", ""]
    nothing: Any = Trainer(tmp_path / "out", {})
    with pytest.raises(UserError, match="can't be built"):
        train_best(nothing, images(400, 100), params())


# --- parameters ----------------------------------------------------------------------------------------------------------


def test_a_candidate_is_trained_as_if_it_had_been_named() -> None:
    given = params(epochs=7, ops="hflip", optimizer="sgd", class_weights="balanced")
    linear, _, network = [variant_params(given, call) for call in given.model.params.candidates]
    assert linear == params(model="logistic_regression", class_weights="balanced")
    assert network == params(model="simple_cnn", epochs=7, ops="hflip", optimizer="sgd", class_weights="balanced")


def test_parameters_without_effect_are_named(tmp_path: Path) -> None:
    ctx: Any = Trainer(tmp_path, {"logistic_regression": 0.9}, num_val=4)
    train_best(ctx, images(8, 4), params(epochs=50, ops="hflip"))
    (warning,) = ctx.warnings
    assert warning.startswith("ops, epochs had no effect: logistic_regression is not trained in epochs; name a template")
    assert not any("was chosen" in note for note in ctx.notes)


@pytest.mark.parametrize(
    ("values", "said"),
    [({"label_mode": "input"}, "asks for an autoencoder"), ({"metrics": ["f1"]}, "chooses by the accuracy on val")],
)
def test_parameters_that_do_not_fit_are_refused(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    ctx: Any = Trainer(tmp_path, {})
    with pytest.raises(UserError, match=said):
        train_best(ctx, images(8, 4), params(**values))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"template": "auto", "budget": "3"}, "budget"),
        ({"template": "auto", "budget": "three minutes"}, "budget"),
        ({"template": "auto", "candidates": ["auto"]}, "chooses between templates"),
        ({"template": "auto", "candidates": ["mlp", "mlp"]}, "named twice"),
        ({"template": "auto", "candidates": [{"template": "mlp", "units": "x"}]}, "units"),
        ({"template": "auto", "dropout": 0.3}, "dropout"),
    ],
)
def test_mistakes_are_found_before_anything_runs(model: dict[str, Any], said: str, tmp_path: Path) -> None:
    table = {"stages": {"data": {"use": "import.folders", "path": "."}, "train": {"use": "train", "model": model}}}
    with pytest.raises(PlanError) as caught:
        load_plan(table=table, base_dir=tmp_path, registry=REGISTRY)
    assert said in str(caught.value)


def test_a_budget_is_for_auto() -> None:
    assert model_of("auto", "") == "auto"
    assert model_of("auto", "5m") == {"template": "auto", "budget": "5m"}
    for model in ("mlp", {"template": "mlp"}):
        with pytest.raises(UserError, match="a budget is for model = 'auto'"):
            model_of(model, "5m")


# --- what is said before a long training ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epochs", "patience", "said"),
    [
        (1, None, []),
        (20, None, ["20 epochs of 1,000 images: about 9 min on two cores, and at least 1.5 GB of memory (estimated)"]),
        (20, 3, ["20 epochs of 1,000 images: at most about 9 min on two cores, and at least 1.5 GB of memory (estimated)"]),
    ],
)
def test_a_long_training_is_announced(
    epochs: int, patience: int | None, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = SimpleNamespace(multiply_adds=8e7, training_bytes=lambda batch_size: batch_size * 5e7)
    monkeypatch.setattr(ahead, "summarize_model", lambda model: summary)
    ctx: Any = Trainer(tmp_path, {})
    work = Work(1200, 1000, 200, 2, (64, 64, 3), epochs)
    ahead.tell(ctx, None, params(model="simple_cnn", epochs=epochs, patience=patience), work, 30)
    assert ctx.notes == said
    monkeypatch.setattr(ahead, "summarize_model", lambda model: model.layers)
    ahead.tell(ctx, None, params(model="simple_cnn"), work, 30)
    assert ctx.notes == said, "an unusual network is trained without"


@pytest.mark.parametrize(("template", "taken"), [("hog_svm", "float32"), ("simple_cnn", "mixed_float16")])
def test_a_model_that_is_solved_is_solved_in_float32(template: str, taken: str) -> None:
    """In 16 bits, squares of gradients overflow, and the solver is given NaN."""
    said: list[str] = []
    ctx: Any = SimpleNamespace(warn=said.append)
    given = params(model=template, precision="mixed_float16")
    assert precision_of(ctx, given.model.load(), given) == taken
    assert len(said) == (taken == "float32")
    assert precision_of(ctx, given.model.load(), params(model=template)) == "float32"
    assert len(said) == (taken == "float32")


def test_the_weights_are_stated_with_the_size_of_the_images_that_they_got() -> None:
    call = params().model.params.candidates[0]
    found = _pretrained_on(call.load(), params(model=call.to_plain()), (320, 320, 3))
    assert found is not None
    assert (found["embedder"], found["input_hw"]) == ("efficientnet_lite0", [320, 320])
