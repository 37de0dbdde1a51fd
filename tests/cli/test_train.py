"""``pipekit train``: a folder of images in, a measured model out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.cli.train import stage_values
from pipekit.commands.train import run_name
from pipekit.errors import UserError

Pipekit = Callable[..., Any]


def test_a_folder_becomes_a_model(pipekit: Pipekit, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, level in (("dark", 40), ("bright", 200)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(12):
            pixels = np.clip(rng.normal(level, 20, (10, 10, 3)), 0, 255).astype(np.uint8)
            images.write(tmp_path / "photos" / label / f"{number}.png", pixels)
    words = (
        "--model",
        "mlp",
        "--epochs",
        "2",
        "--set",
        "model.units=[4]",
        "--set",
        "learning_rate=0.01",
        "--no-report",
        "--quiet",
    )
    result = pipekit("train", "photos", *words)
    assert result.code == 0, result.err
    assert "validation accuracy" in result.out
    info = json.loads((tmp_path / "runs" / "photos" / "model.json").read_text())
    assert (info["template"], info["params"]["units"], len(info["history"])) == ("mlp", [4], 2)
    assert info["classes"] == ["bright", "dark"]
    assert sum(info["images"].values()) < 24  # some are kept for the test


def test_mistakes_are_found_before_anything_runs(pipekit: Pipekit, tmp_path: Path) -> None:
    (tmp_path / "photos" / "a").mkdir(parents=True)
    images.write(tmp_path / "photos" / "a" / "1.png", np.zeros((9, 9, 3), np.uint8))
    for words, said in (
        (("photos", "--model", "simple_cnm"), "Did you mean 'simple_cnn'"),
        (("photos", "--model", "resnet"), "--model pretrained --set model.backbone=ResNet50"),
        (("photos", "--budget", "soon"), "--budget: expected a time such as 90s, 5m or 1h, got 'soon'"),
        (("photos", "--model", "mlp", "--budget", "5m"), "a budget is for model = 'auto'"),
        (("photos", "--set", "model.dropout=0.3"), "no parameter called 'dropout'"),
        (("photos", "--set", "epoch=3"), "Did you mean 'epochs'"),
        (("photos", "--set", "modle.units=[3]"), "only 'model' and 'split' have parameters"),
        (("photos", "--ops", "rotato(3)"), "--ops: no op called 'rotato'"),
        (("photos", "--epochs", "0"), "--epochs: input should be greater than or equal to 1"),
        (("photos", "--fractions", "{ train = 2 }"), "--fractions: train is 2, expected a share between 0 and 1"),
        (("photos", "--set", "split.folds=1"), "one fold leaves nothing to train on"),
        (("nowhere",), "nowhere"),
    ):
        result = pipekit("train", *words)
        assert result.code == 2, (words, result.err)
        assert said in result.err, (words, result.err)
    assert not (tmp_path / "runs").exists()


def test_options_become_parameters() -> None:
    changes = ("model.dropout=0.3", "optimizer=sgd", "metrics=['f1']", "split.duplicates=exact")
    values, split = stage_values(None, changes, "rotate(40)", "28x30", {"epochs": 3})
    assert values == {
        "epochs": 3,
        "input_hw": [28, 30],
        "ops": "rotate(40)",
        "optimizer": "sgd",
        "metrics": ["f1"],
        "model": {"template": "auto", "dropout": 0.3},
    }
    assert split == {"duplicates": "exact"}
    with pytest.raises(UserError, match="--input must be"):
        stage_values(None, (), None, "28", {})


def test_names_of_runs() -> None:
    assert [run_name(data) for data in ("photos/cats dogs", "runs/a:split", "ü")] == ["cats-dogs", "a-split", "train"]
