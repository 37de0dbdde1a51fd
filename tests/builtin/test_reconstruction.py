"""The evaluation of autoencoders: errors of reconstructions, unusual images, the report."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import pipekit
from pipekit import images
from pipekit.builtin.evaluate.reconstruction import unusual_limit
from pipekit.errors import UserError
from pipekit.rng import rng_for


@pytest.mark.parametrize(("number", "rate", "place"), [(18, None, 0), (19, 0.05, 19), (98, 0.05, 95), (99, 0.01, 99)])
def test_the_limit_is_the_smallest_for_which_there_are_enough_errors(number: int, rate: float | None, place: int) -> None:
    found = unusual_limit(np.arange(1.0, number + 1)[::-1])
    assert found == (None if rate is None else (place, rate))


@pytest.mark.parametrize("number", [19, 30, 99, 250])
def test_of_usual_images_no_more_than_the_stated_share_is_called_unusual(number: int) -> None:
    """Whatever the errors' distribution is: here one with a long tail."""
    rng, called, rate = rng_for(3, number), 0, 0.0
    for _ in range(4000):
        errors = rng.lognormal(3, 1, number + 1)
        limit = unusual_limit(errors[1:])
        assert limit is not None
        called, rate = called + int(errors[0] > limit[0]), limit[1]
    assert called / 4000 <= rate + 3 * np.sqrt(rate / 4000)
    assert called / 4000 >= 0.5 * rate  # and the limit is not needlessly high


def stripes(rng: np.random.Generator, noise: bool) -> np.ndarray:
    """Grey stripes of a random place; an unusual image is noise."""
    if noise:
        return rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    place = (np.arange(16) + rng.integers(16)) % 16 < 8
    return np.where(place[:, None, None], 200, 40).repeat(16, 1).repeat(3, 2).astype(np.uint8)


def test_an_autoencoder_is_trained_and_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any class: all images are in folders of splits."""
    monkeypatch.chdir(tmp_path)
    rng = rng_for(5)
    for split, number in (("train", 80), ("val", 24), ("test", 20)):
        (tmp_path / "photos" / split).mkdir(parents=True)
        for place in range(number):
            images.write(tmp_path / "photos" / split / f"{place:03d}.png", stripes(rng, split == "test" and place < 3))
    outcome = pipekit.train(
        "photos", model={"template": "autoencoder", "filters": [16], "code": 8}, epochs=40, learning_rate=0.01, seed=1
    )
    assert "reconstruction error" in outcome.headline
    report = outcome.artifact("report").path
    metrics = json.loads((report / "metrics.json").read_text("utf-8"))
    with (report / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == metrics["num_images"] == 20
    assert metrics["rmse"]["value"] == pytest.approx(np.mean([float(row["rmse"]) for row in rows]), abs=1e-3)
    assert metrics["rmse"]["low"] < metrics["rmse"]["value"] < metrics["rmse"]["high"]
    assert {f"test/{place:03d}.png" for place in range(3)} <= set(metrics["unusual"])
    assert len(metrics["unusual"]) <= 6
    assert [row["id"] for row in rows if row["unusual"] == "1"] == sorted(metrics["unusual"])
    page = (report / "report.html").read_text("utf-8")
    for title in ("Errors and unusual images", "Reconstructions", "Learning curves"):
        assert f">{title}" in page
    assert "There is no map of the images here: it would show which answers of a classifier are right" in page
    again = pipekit.evaluate("runs/photos", seed=1)
    assert again.metrics["unusual"] == metrics["unusual"]
    with pytest.raises(UserError, match="is of an autoencoder"):
        pipekit.compare(["runs/photos", "runs/evaluate-photos"])
    with pytest.raises(UserError, match="`pipekit evaluate` measures its reconstructions"):
        pipekit.predict("runs/photos", "photos/test")
