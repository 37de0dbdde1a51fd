"""Cross-validation of the stage ``train``: what is trained, what is chosen, and what is published."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipekit.builtin.train.folds import cross_validate
from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Sample
from pipekit.errors import UserError
from pipekit.learning.cross_validation import OUT_OF_FOLD, HeldOut, leaving_out
from pipekit.registry.registry import load_registry
from tests.learning.test_cross_validation import dataset_of

REGISTRY = load_registry(installed=False)


def params(**values: Any) -> TrainParams:
    found: TrainParams = REGISTRY.check_params(TrainParams, {"cross_validate": True, **values})
    return found


def images(each: int = 3, folds: int = 3) -> Any:
    """As many images of a as of b in each fold."""
    samples = [
        Sample(f"{label}{fold}{n}", f"/{label}", f"{label}{fold}{n}", label, split="train", extra={"fold": fold})
        for label in "ab"
        for fold in range(1, folds + 1)
        for n in range(each)
    ]
    dataset = dataset_of(samples)
    dataset.meta["classes"] = ["a", "b"]
    dataset.meta["counts"] = {"train": {"a": each * folds, "b": each * folds}}
    return dataset


class Trainer:
    """A context whose variants are models that call every image ``a`` but those of b with a number above 0."""

    def __init__(self, folder: Path, dataset: Any, epochs: tuple[int, ...] = (4, 9, 6)) -> None:
        self.out_dir, self.folder, self.data, self.epochs = folder / "out", folder, dataset, epochs
        self.out_dir.mkdir()
        self.trained: list[TrainParams] = []
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def event(self, name: str, **values: Any) -> None:
        self.notes.append(values["message"])

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def variant(self, given: TrainParams) -> Any:
        self.trained.append(given)
        folder = self.folder / f"{len(self.trained)}"
        folder.mkdir()
        fold = given.fold
        info: dict[str, Any] = {"template": given.model.name, "classes": ["a", "b"], "input_shape_hwc": [8, 8, 3]}
        info |= {"kept_epoch": self.epochs[(fold or 1) - 1], "images": {"train": 6, "val": 6}}
        if given.model.name == "auto":
            info |= {"template": "hog_svm", "candidates": self.candidates(fold or 0)}
        if fold is not None:
            held = leaving_out(self.data, fold).split(OUT_OF_FOLD)
            HeldOut.of((one, self.answer(one)) for one in held).write(folder)
        (folder / "model.json").write_text(json.dumps(info))
        (folder / "model.keras").write_bytes(b"trained")
        return SimpleNamespace(path=folder, digest=str(fold), meta={"headline": "h", "facts": {"epochs": "6"}, "words": []})

    @staticmethod
    def answer(one: Sample) -> Any:
        is_b = one.label == "b" and one.id[-1] != "0"
        return np.array([0.1, 0.9] if is_b else [0.8, 0.2], np.float32)

    @staticmethod
    def candidates(fold: int) -> list[dict[str, Any]]:
        """On val, hog_svm is best in all folds together, and worst in the third."""
        accuracies = {"logistic_regression": (0.8, 0.8, 0.8), "hog_svm": (1.0, 1.0, 0.7), "simple_cnn": (1.0, 1.0, 1.0)}
        made = [
            {"template": name, "params": {}, "estimate_s": 1.0, "num_val": 100, "val_accuracy": of[fold - 1], "val_loss": 0.5}
            for name, of in accuracies.items()
        ]
        if fold == 2:
            made[2] = {"template": "simple_cnn", "params": {}, "estimate_s": 1.0, "left_out": "too slow"}
        return made

    def artifact(self, kind: Any, **meta: Any) -> Any:
        return SimpleNamespace(**meta)


def test_a_model_for_each_fold_and_one_of_all_images(tmp_path: Path) -> None:
    ctx: Any = Trainer(tmp_path, data := images())
    made: Any = cross_validate(ctx, data, params(model="mlp", epochs=20, patience=5, batch_size=4))
    assert [(one.fold, one.cross_validate) for one in ctx.trained] == [(1, True), (2, True), (3, True), (None, False)]
    assert all((one.epochs, one.keep, one.patience, one.batch_size) == (20, "best", 5, 4) for one in ctx.trained[:3])
    final = ctx.trained[3]
    assert (final.epochs, final.keep, final.patience) == (6, "last", None), "the middle of the kept epochs, without val"
    held = HeldOut.read(ctx.out_dir)
    assert held.ids == tuple(one.id for one in data)
    assert (held.rows[:, 1] > 0.5).tolist() == [False] * 9 + [False, True, True] * 3
    info = json.loads((ctx.out_dir / "model.json").read_text())
    rows = info["cross_validation"]["folds"]
    assert [(row["fold"], row["images"], row["correct"]) for row in rows] == [(1, 6, 5), (2, 6, 5), (3, 6, 5)]
    assert (ctx.out_dir / "model.keras").read_bytes() == b"trained"
    assert made.facts["out of fold accuracy"] == "0.833"
    assert made.headline == "mlp, trained on all images; accuracy 0.833 out of fold, in 3 folds"


def test_what_a_template_without_epochs_learns_is_left_as_it_is(tmp_path: Path) -> None:
    ctx: Any = Trainer(tmp_path, data := images())
    cross_validate(ctx, data, params(model="hog_svm"))
    assert (ctx.trained[3].epochs, ctx.trained[3].keep) == (20, "last")


def test_auto_shares_its_budget_and_chooses_by_the_val_images_of_all_folds(tmp_path: Path) -> None:
    ctx: Any = Trainer(tmp_path, data := images())
    cross_validate(ctx, data, params(model={"template": "auto", "budget": "6m"}, epochs=7))
    assert [one.model.params.budget_s for one in ctx.trained[:3]] == [120.0] * 3
    assert (ctx.trained[3].model.name, ctx.trained[3].epochs) == ("hog_svm", 20), "0.9 on 300 images, against 0.8"
    info = json.loads((ctx.out_dir / "model.json").read_text())
    assert (info["chosen_by"], info["budget_s"]) == ("auto", 360)
    assert [one["left_out"] for one in info["candidates"]] == ["", "", "too slow"]
    assert info["candidates"][1]["val_accuracy"] == pytest.approx(0.9)
    assert info["candidates"][1]["num_val"] == 300


def test_a_dataset_with_val_trains_the_last_model_as_usual(tmp_path: Path) -> None:
    ctx: Any = Trainer(tmp_path, data := images())
    data.meta["counts"]["val"] = {"a": 1}
    cross_validate(ctx, data, params(model="mlp", epochs=20))
    assert (ctx.trained[3].epochs, ctx.trained[3].keep) == (20, "best")


def test_more_folds_than_images_of_a_class_is_an_error_before_anything_is_trained(tmp_path: Path) -> None:
    few = dataset_of([one for one in images(1, 5) if one.id not in ("b30", "b40")])
    ctx: Any = Trainer(tmp_path, few)
    with pytest.raises(UserError, match="5 folds are more than the images of the class 'b', which has 3") as raised:
        cross_validate(ctx, few, params(model="mlp"))
    assert "at most 3 folds" in str(raised.value.hint)
    assert not ctx.trained


def test_a_class_whose_groups_are_too_few_is_named(tmp_path: Path) -> None:
    ctx: Any = Trainer(tmp_path, data := dataset_of([one for one in images(3, 3) if one.id[:2] != "b2"]))
    data.meta["counts"] = {"train": {"a": 9, "b": 6}}
    cross_validate(ctx, data, params(model="mlp"))
    assert "not all of the 3 folds have images of 'b' (in 2)" in ctx.warnings[0]


def test_an_autoencoder_is_refused(tmp_path: Path) -> None:
    ctx: Any = Trainer(tmp_path, data := images())
    with pytest.raises(UserError, match="measures predictions"):
        cross_validate(ctx, data, params(model="autoencoder"))
