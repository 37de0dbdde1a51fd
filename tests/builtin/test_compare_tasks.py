"""Two models of several labels, or of a number, on the same images; reports are written as `evaluate` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipekit.builtin.compare import of_task
from pipekit.builtin.compare.paired import Answers, read_answers
from pipekit.builtin.compare.sections import build_sections, top_of
from pipekit.builtin.evaluate import numbers, several
from pipekit.builtin.evaluate.of_task import Answered
from pipekit.contract import Dataset, Sample
from pipekit.errors import UserError
from pipekit.learning.multilabel_metrics import average_precision, resampled_precision
from pipekit.learning.significance import of_resamples, paired_mean
from pipekit.rng import rng_for

LABELS = ("blue", "red")
PARAMS: Any = SimpleNamespace(resamples=50, pictures=0, thumbnail_px=32, slices=())
CONTEXT: Any = SimpleNamespace(rng=lambda *names: rng_for(0, *names), map=lambda *shards, **about: iter(()))


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_task, "RESAMPLES", 399)


def report(folder: Path, samples: list[Sample], rows: Any, info: dict[str, Any], groups: Any = None) -> Answers:
    """A report of these predictions, read back."""
    dataset = Dataset(Path(), "", {"splits": {}, "classes": [], "counts": {}}, lambda _: iter(samples), lambda _: iter(()))
    found = Answered(tuple(samples), np.round(rows, 6), groups, (), info, dataset, "test")
    module: Any = several if info["task"] == "multilabel" else numbers
    metrics = module.measure(CONTEXT, found, PARAMS)
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "predictions.csv").write_text(module.predictions(found, metrics))
    (folder / "about.json").write_text(json.dumps({"model": info}))
    return read_answers(folder.name, folder)


def of_labels(folder: Path, skill: float, count: int = 120, labels: tuple[str, ...] = LABELS, groups: Any = None) -> Answers:
    chance = np.random.default_rng(0)
    true = chance.random((count, len(labels))) < 0.4
    noise = np.random.default_rng(int(10 * skill)).normal(size=true.shape)
    samples = [
        Sample(
            f"{at:03}", f"{at:03}.png", labels=tuple(name for name, has in zip(labels, row, strict=True) if has), split="test"
        )
        for at, row in enumerate(true)
    ]
    scores = 1 / (1 + np.exp(-(skill * (true - 0.5) + noise)))
    return report(folder, samples, scores, {"task": "multilabel", "classes": list(labels), "thresholds": {}}, groups)


def of_number(folder: Path, error: float, unit: str = "deg", groups: Any = None) -> Answers:
    true = np.random.default_rng(0).uniform(-40, 40, 100)
    samples = [Sample(f"{at:03}", f"{at:03}.png", value=float(value), split="test") for at, value in enumerate(true)]
    noise = np.random.default_rng(1).normal(size=100)
    info = {"task": "regression", "classes": ["angle"], "value": {"name": "angle", "unit": unit, "interval": None}}
    return report(folder, samples, (true + error * noise)[:, None], info, groups)


def test_a_better_model_of_several_labels_is_called_better(tmp_path: Path) -> None:
    weak, strong, same = (
        of_labels(tmp_path / "weak", 1.0),
        of_labels(tmp_path / "strong", 4.0),
        of_labels(tmp_path / "same", 1.0),
    )
    found = of_task.compare_all([weak, strong, same], "multilabel")
    better, equal = found["pairs"]
    gain = strong.metrics["mean_average_precision"]["value"] - weak.metrics["mean_average_precision"]["value"]
    assert better["difference"]["value"] == pytest.approx(gain, abs=1e-9)
    assert better["difference"]["low"] > 0 < 0.05 - better["p_holm"]
    assert better["differences"]["macro_f1"]["value"] == pytest.approx(
        strong.metrics["macro_f1"]["value"] - weak.metrics["macro_f1"]["value"]
    )
    assert better["verdict"].startswith(f"strong is better than weak by {gain:.3f} mAP (95 % interval ")
    assert better["gained"] - better["lost"] == round(
        120 * (strong.metrics["subset_accuracy"]["value"] - weak.metrics["subset_accuracy"]["value"])
    )
    assert equal["verdict"] == (
        "weak and same have the same mAP on these 120 images; by how much they differ on other images can't be told from them."
    )

    sections = dict(build_sections([weak, strong, same], found, PARAMS))
    summary, metrics = sections["verdict"], sections["figures"]
    assert [row[1] for row in summary.tables[0].rows][:4] == list(of_task.SCORES.values())
    assert {table.caption for table in metrics.tables} >= {"Average precision of each label", "Recall of each label"}
    assert top_of(found, sections).verdict == found["headline"]


def test_a_smaller_error_is_better(tmp_path: Path) -> None:
    rough, fine = of_number(tmp_path / "rough", 4.0), of_number(tmp_path / "fine", 1.0)
    (pair,) = of_task.compare_all([rough, fine], "number")["pairs"]
    assert pair["difference"]["value"] == pytest.approx(fine.metrics["mae"]["value"] - rough.metrics["mae"]["value"], abs=1e-5)
    assert pair["difference"]["high"] < 0
    assert pair["verdict"].startswith(
        f"fine is better than rough by {-pair['difference']['value']:.3g} deg of mean absolute error"
    )
    (back,) = of_task.compare_all([fine, rough], "number")["pairs"]
    assert back["verdict"] == pair["verdict"]
    assert pair["gained"] == 100
    words = dict(build_sections([rough, fine], {"task": "number", **of_task.compare_all([rough, fine], "number")}, PARAMS))
    assert words["verdict"].tables[0].rows[0][1] == "MAE"


def test_images_of_one_group_count_less(tmp_path: Path) -> None:
    groups = np.arange(100) // 20
    alone = of_task.compare_all([of_number(tmp_path / "a", 1.05), of_number(tmp_path / "b", 1.0)], "number")["pairs"][0]
    together = of_task.compare_all(
        [of_number(tmp_path / "c", 1.05, groups=groups), of_number(tmp_path / "d", 1.0, groups=groups)], "number"
    )["pairs"][0]
    assert (alone["num_groups"], together["num_groups"]) == (None, 5)
    assert together["difference"]["high"] != alone["difference"]["high"]
    grouped = [of_labels(tmp_path / name, skill, groups=np.arange(120) // 30) for name, skill in (("e", 1.0), ("f", 1.5))]
    assert of_task.compare_all(grouped, "multilabel")["pairs"][0]["num_groups"] == 4
    without = Answers("g", grouped[0].metrics, {key: {**row} for key, row in grouped[0].rows.items()})
    for row in without.rows.values():
        del row["group"]
    with pytest.raises(UserError, match="no column 'group'"):
        of_task.compare_all([without, grouped[1]], "multilabel")


def test_what_can_not_be_compared_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'A' is about several labels for each image, and 'B' about a number for each image"):
        of_task.one_task(["A", "B"], ["multilabel", "number"])
    with pytest.raises(UserError, match="have other labels: green, red"):
        of_task.compare_all(
            [of_labels(tmp_path / "a", 1), of_labels(tmp_path / "b", 1, labels=("blue", "green"))], "multilabel"
        )
    with pytest.raises(UserError, match=r"other numbers \('c': angle deg, 'd': angle rad\)"):
        of_task.compare_all([of_number(tmp_path / "c", 1), of_number(tmp_path / "d", 1, "rad")], "number")


def test_average_precision_of_resampled_images_equals_that_of_repeated_rows() -> None:
    chance = np.random.default_rng(0)
    true, scores = chance.random(50) < 0.4, np.round(chance.random(50), 1)  # with ties
    of = resampled_precision(true, scores)
    for _ in range(5):
        some = chance.integers(0, 50, 50)
        assert of(np.bincount(some, minlength=50)) == pytest.approx(average_precision(true[some], scores[some]), abs=1e-12)
    assert np.isnan(of(np.where(true, 0, 1)))


def test_the_paired_mean_is_that_of_the_t_test() -> None:
    from scipy.stats import ttest_1samp

    values = np.random.default_rng(0).normal(0.2, 1, 30)
    theirs = ttest_1samp(values, 0)
    found = paired_mean(values)
    assert found["p"] == pytest.approx(theirs.pvalue)
    assert (found["difference"]["low"], found["difference"]["high"]) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    # Equal values within groups of one size: as many observations as groups.
    assert paired_mean(np.repeat(values, 3), np.repeat(np.arange(30), 3))["p"] == pytest.approx(theirs.pvalue)
    assert paired_mean(np.ones(4), np.zeros(4, np.int64))["difference"]["low"] is None
    assert paired_mean(np.zeros(4))["p"] == 1.0


@pytest.mark.parametrize("shift", [-0.4, -0.02, 0.0, 0.015, 0.06, 0.3])
def test_the_interval_of_resamples_excludes_nought_exactly_when_p_is_small(shift: float) -> None:
    resampled = np.random.default_rng(0).normal(shift, 0.1, 1999)
    for units in (5, 40, 1000):
        found = of_resamples(shift, resampled, units)
        assert (found["difference"]["low"] > 0 or found["difference"]["high"] < 0) == (found["p"] <= 0.05)
    assert of_resamples(shift, resampled[:50], 40)["p"] == 1.0
