"""Trainings of one recipe with several seeds as one report, and comparisons of recipes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit.builtin.average import averaged, headline_of, predictions_csv
from pipekit.builtin.compare.paired import Answers, compare_all
from pipekit.errors import UserError
from pipekit.learning.recipes import compare_folds, compare_seeds, interval_of_mean


def metrics(accuracy: float, images: int = 100) -> dict[str, Any]:
    estimate = {"value": accuracy, "low": accuracy - 0.1, "high": accuracy + 0.05}
    return {
        **{"split": "test", "num_images": images, "num_groups": None, "classes": ["a", "b"]},
        **dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1"), estimate),
        **{"matthews": 0.5, "log_loss": 0.3, "brier": 0.2, "calibration": {"expected_error": 0.1}},
        "baseline": {"class": "a", "accuracy": 0.5},
        "per_class": [{"class": "a", "support": 50, "recall": estimate}, {"class": "b", "support": 0, "recall": NOTHING}],
    }


NOTHING = {"value": None, "low": None, "high": None}


def rows_of(correct: Any, fold: Any = None) -> list[dict[str, str]]:
    return [
        {"id": f"{n}", "true": "a", "predicted": "ab"[not right], "correct": f"{int(right)}", "sha256": f"h{n}", "image": "/x"}
        | ({} if fold is None else {"fold": f"{fold[n]}"})
        for n, right in enumerate(correct)
    ]


def recipe(name: str, correct: Any) -> Answers:
    """As `read_answers` reads the report of several trainings, ``(seeds, images)``."""
    text = predictions_csv([rows_of(one) for one in correct])
    found = {row["id"]: dict(row) for row in csv.DictReader(text.splitlines())}
    return Answers(name, averaged([metrics(float(np.mean(one))) for one in correct], range(len(correct))), found)


def test_each_figure_has_its_mean_its_spread_and_an_interval_for_images_and_seeds() -> None:
    found = averaged([metrics(value) for value in (0.80, 0.82, 0.84)], (7, 8, 9))
    accuracy = found["accuracy"]
    assert (accuracy["value"], accuracy["sd"]) == (pytest.approx(0.82), pytest.approx(0.02))
    seeds = 4.302652729696142 * 0.02 / 3**0.5  # Student's t with two degrees of freedom
    assert accuracy["low"] == pytest.approx(0.82 - (0.1**2 + seeds**2) ** 0.5)
    assert accuracy["high"] == pytest.approx(0.82 + (0.05**2 + seeds**2) ** 0.5)
    assert [row["seed"] for row in found["seeds"]["rows"]] == [7, 8, 9]
    assert found["per_class"][1]["recall"]["value"] is None
    assert headline_of(found) == ("mean test accuracy 0.820 (sd 0.020 over 3 seeds, 95 % interval 0.708 to 0.890), 100 images")
    assert interval_of_mean([0.9, 0.9], [0.8, 0.8], [1.0, 1.0]) == pytest.approx(
        {"value": 0.9, "sd": 0, "low": 0.8, "high": 1.0}
    )


def test_an_image_counts_as_correct_if_most_trainings_are() -> None:
    text = predictions_csv([rows_of(one) for one in ([1, 1, 0], [1, 0, 0], [1, 1, 0])], paths=False)
    rows = list(csv.DictReader(text.splitlines()))
    assert [(row["correct"], row["predicted"], row["correct_2"]) for row in rows] == [
        ("1", "a", "1"),
        ("1", "a", "0"),
        ("0", "b", "0"),
    ]
    assert "image" not in rows[0]


def test_two_sets_of_seeds_are_compared_as_recipes() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(size=400)
    one, same, better = (hard + 0.5 * rng.normal(size=(5, 400)) < limit for limit in (0.8, 0.8, 1.6))
    found = compare_all([recipe("one", one), recipe("better", better), recipe("same", same)])
    first, second = found["pairs"]
    assert first["method"] == "seeds"
    assert first["p_holm"] < 0.001
    assert first["sd_first"] == pytest.approx(one.mean(axis=1).std(ddof=1))
    assert "better is better than one by" in first["verdict"]
    assert "(recipes, 5 seeds each)" in first["verdict"]
    assert "may be due to chance" in second["verdict"]
    json.dumps(found)


def test_one_lucky_seed_does_not_make_a_better_recipe() -> None:
    """Trainings that differ much from seed to seed: the images alone would call the second recipe better."""
    from pipekit.learning.significance import paired

    rng = np.random.default_rng(2)
    first = rng.random((3, 2000)) < np.array([[0.80], [0.90], [0.85]])
    other = rng.random((3, 2000)) < np.array([[0.92], [0.82], [0.90]])
    assert paired(first[0], other[0])["p_mcnemar"] < 0.001
    assert compare_seeds(first, other)["p"] > 0.2


def test_groups_widen_the_interval_of_recipes() -> None:
    rng = np.random.default_rng(3)
    shared = np.repeat(rng.random((2, 40)) < 0.7, 10, axis=1)
    noise = rng.random((2, 3, 400)) < 0.05
    first, other = shared[0] ^ noise[0], shared[1] ^ noise[1]
    alone, grouped = compare_seeds(first, other), compare_seeds(first, other, np.arange(400) // 10)
    widths = [found["difference"]["high"] - found["difference"]["low"] for found in (alone, grouped)]
    assert widths[1] > 2 * widths[0]


def test_a_recipe_is_not_compared_with_one_training() -> None:
    single = Answers("single", metrics(0.5), {row["id"]: row for row in rows_of([1, 0])})
    with pytest.raises(UserError, match=r"'several' is a recipe .* and 'single' is a single training"):
        compare_all([recipe("several", [[1, 0], [1, 1]]), single])


def test_two_cross_validations_with_the_same_folds_are_compared_by_the_corrected_test() -> None:
    folds = np.arange(100) % 5 + 1
    gain = np.arange(100) < 20
    about = {"folds": {"rows": [{"fold": n, "num_images": 20, "learned_from": 60} for n in range(1, 6)]}}
    first, other = (
        Answers(name, metrics(0.8) | about, {row["id"]: row for row in rows_of(right, folds)})
        for name, right in (("first", ~gain), ("other", np.ones(100, bool)))
    )
    (pair,) = compare_all([first, other])["pairs"]
    assert (pair["method"], pair["num_folds"]) == ("folds", 5)
    assert pair["difference"]["value"] == pytest.approx(0.2)
    assert "(recipes, 5 folds, corrected t-test)" in pair["verdict"]
    moved = Answers("other", other.metrics, {name: row | {"fold": "1"} for name, row in other.rows.items()})
    assert compare_all([first, moved])["pairs"][0]["method"] == "images"


def test_the_corrected_test_is_that_of_nadeau_and_bengio() -> None:
    """t = mean / sqrt((1/J + n2/n1) s²) with J - 1 degrees of freedom; the ordinary t-test has 1/J alone."""
    from scipy.stats import t

    gains = [0.05, 0.02, 0.04, 0.03, 0.06]
    found = compare_folds(gains, 0.25)
    statistic = np.mean(gains) / np.sqrt((1 / 5 + 0.25) * np.var(gains, ddof=1))
    assert found["p"] == pytest.approx(2 * t.sf(statistic, 4))
    assert found["difference"]["low"] > 0
    assert compare_folds([0.0, 0.0, 0.0], 0.5)["p"] == 1


def test_the_type_one_error_for_equal_recipes_stays_below_six_percent() -> None:
    """benchmarks/comparison.py has more."""
    rng, found = np.random.default_rng(4), 0
    for _ in range(300):
        hard = rng.normal(size=100)
        pair = [
            hard + 0.5 * rng.normal(size=100) + 0.5 * rng.normal(size=(3, 100)) + 0.3 * rng.normal(size=(3, 1)) < 1.2
            for _ in range(2)
        ]
        found += compare_seeds(pair[0], pair[1])["p"] < 0.05
    assert found / 300 <= 0.06


def test_reports_of_several_trainings_are_averaged(colour_project: Any, tmp_path: Path) -> None:
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    colour_project.model("swapped", classes=["red", "green", "blue"])
    little = {"use": "evaluate", "dataset": "data", "resamples": 0, "pictures": 0, "near_copies": False, "explain": 0}
    table = {
        "name": "trial",
        "plugins": ["./by_colour.py"],
        "stages": {
            "data": {"use": "import.folders", "path": "images"},
            "first": {"use": "made_model", "folder": "model"},
            "report_1": {**little, "model": "first"},
            "second": {"use": "made_model", "folder": "swapped"},
            "report_2": {**little, "model": "second"},
            "report": {"use": "average", "reports": ["report_1", "report_2"], "seeds": [3, 4]},
        },
    }
    outcome = run_plan(load_plan(table=table, base_dir=colour_project.path))
    found = json.loads((outcome.artifact("report").path / "metrics.json").read_text())
    values = [row["accuracy"]["value"] for row in found["seeds"]["rows"]]
    assert found["accuracy"]["value"] == pytest.approx(np.mean(values))
    assert found["accuracy"]["low"] < min(values), "two trainings that differ so much say little of the recipe"
    assert outcome.headline.startswith("mean test accuracy")
    page = (outcome.run_dir / "report.html").read_text("utf-8")
    assert "The same recipe was trained with 2 seeds" in page
    table["stages"]["report"] |= {"seeds": [1]}  # type: ignore[index]
    with pytest.raises(Exception, match="2 reports and 1 seeds"):
        run_plan(load_plan(table=table, base_dir=colour_project.path))
