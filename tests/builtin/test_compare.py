"""Two models on the same images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipekit.builtin.compare.paired import Answers, compare_all, compare_two, verdict
from pipekit.builtin.compare.sections import _learning, differing
from pipekit.cli import main
from pipekit.learning.selection import flattery
from pipekit.learning.significance import difference_interval, holm, paired, score_test
from pipekit.rng import rng_for


def test_the_test_and_the_interval_agree_with_published_values() -> None:
    """Fagerland, Lydersen and Laake 2014, "Recommended tests and confidence intervals for paired binomial proportions"."""
    assert score_test(1, 7) == pytest.approx(0.034, abs=5e-4)
    assert difference_interval(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert score_test(0, 0) == score_test(5, 5) == 1


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 300))
def test_the_interval_excludes_nought_exactly_when_the_test_rejects(one: int, other: int, same: int) -> None:
    low, high = difference_interval(one, other, one + other + same)
    assert (low > 0 or high < 0) == (score_test(one, other) < 0.05)
    assert -1 <= low <= (one - other) / (one + other + same) <= high <= 1
    assert difference_interval(other, one, one + other + same) == pytest.approx((-high, -low))
    assert score_test(one, other) == score_test(other, one)


def test_five_gained_and_none_lost_of_sixty_does_not_contradict_itself() -> None:
    low, _ = difference_interval(5, 0, 60)
    assert low > 0
    assert score_test(5, 0) < 0.05


def test_the_type_one_error_and_the_coverage_are_those_promised() -> None:
    """Exact sums over all results of 100 images: benchmarks/comparison.py has more."""
    from scipy.stats import multinomial

    results = [(wins, losses, 100 - wins - losses) for wins in range(40) for losses in range(40)]
    for gained, lost in ((0.15, 0.15), (0.12, 0.06)):
        rejected = covered = 0.0
        chances = multinomial.pmf(results, 100, [gained, lost, 1 - gained - lost])
        for (wins, losses, _), chance in zip(results, chances.tolist(), strict=True):
            if chance > 1e-5:
                low, high = difference_interval(wins, losses, 100)
                rejected += chance * (score_test(wins, losses) < 0.05)
                covered += chance * (low <= gained - lost <= high)
        assert 0.93 <= covered <= 0.97
        assert gained != lost or 0.03 <= rejected <= 0.06


def test_no_change_is_no_proof_of_no_difference() -> None:
    low, high = difference_interval(0, 0, 72)
    assert high == -low == pytest.approx(0.0507, abs=1e-4)


def test_images_of_one_group_do_not_count_as_independent() -> None:
    first = np.ones(120, np.bool_)
    other = np.arange(120) >= 12
    assert paired(first, other)["p_mcnemar"] < 0.001
    together = paired(first, other, np.arange(120) // 12)
    assert together["p_mcnemar"] > 0.05
    assert together["difference"]["high"] > 0
    assert together["num_groups"] == 10


def test_groups_of_either_report_count_and_say_what_they_are() -> None:
    rows = {str(i): {"true": "a", "sha256": "", "correct": "1"} for i in range(40)}
    metrics = {"accuracy": {"low": 0.8, "value": 0.9}, "baseline": {"accuracy": 0.5}}
    plain = Answers("A", {**metrics, "groups": None}, rows)
    copies = {key: {**row, "group": str(int(key) // 2)} for key, row in rows.items()}
    fours = {key: {**row, "group": str((int(key) + 2) // 4)} for key, row in rows.items()}
    assert compare_two(plain, Answers("B", {**metrics, "groups": None}, rows))["num_groups"] is None
    found = compare_two(plain, Answers("B", {**metrics, "groups": "copies"}, copies))
    assert (found["groups"], found["num_groups"]) == ("copies", 20)
    both = compare_two(
        Answers("A", {**metrics, "groups": "copies"}, copies), Answers("B", {**metrics, "groups": "named"}, fours)
    )
    assert (both["groups"], both["num_groups"]) == ("named", 11)


def test_several_comparisons_are_adjusted_by_holm() -> None:
    """The example of Holm's procedure as statsmodels' multipletests computes it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    first = {str(i): {"true": "a", "sha256": "", "correct": str(int(i >= 10))} for i in range(100)}

    def answers(name: str, better_by: int) -> Answers:
        rows = {key: {**row, "correct": str(int(int(key) >= 10 - better_by))} for key, row in first.items()}
        return Answers(name, {"accuracy": {"low": 0.8, "value": 0.9}, "baseline": {"accuracy": 0.5}}, rows)

    alone = compare_all([answers("A", 0), answers("B", 5)])
    many = compare_all([answers("A", 0), answers("B", 5), answers("C", 0), answers("D", 1)])
    assert alone["pairs"][0]["verdict"].startswith("B is better than A")
    assert "may be due to chance" in many["pairs"][0]["verdict"]
    assert "p = 0.076 after Holm's adjustment for 3 comparisons" in many["pairs"][0]["verdict"]


def test_models_that_know_nothing_are_named() -> None:
    found = {
        **{"first": "A", "other": "B", "num_images": 200, "gained": 30, "lost": 6, "p_mcnemar": 0.0001},
        **{"difference": {"value": 0.12, "low": 0.05, "high": 0.19}, "better_than_chance": {"A": False, "B": True}},
    }
    assert verdict(found).endswith("A is not clearly better than always predicting the most frequent class.")


@pytest.mark.parametrize("equal", [5, 20])
def test_the_flattery_of_a_choice_is_estimated(equal: int) -> None:
    """The best of equal models is measured too high; the correction takes most of that away."""
    rng, measured, left = np.random.default_rng(1), [], []
    for trial in range(30):
        correct = rng.normal(size=300) + rng.normal(size=(equal, 300)) < 1.5
        measured.append(correct.mean(axis=1).max() - 0.8556)
        left.append(measured[-1] - flattery(correct, rng_for(trial, "flattery")))
    assert np.mean(measured) > 0.012
    assert abs(np.mean(left)) < 0.008


@pytest.mark.parametrize(
    ("gained", "lost", "words"),
    [
        (30, 6, "B is better than A by 12.0 points (95 % interval 5.0 to 19.0), p < 0.001."),
        (6, 30, "A is better than B by 12.0 points (95 % interval 5.0 to 19.0), p < 0.001."),
        (12, 3, "B is better than A by 4.5 points"),  # p = 0.020
        (10, 3, "B has 3.5 points higher accuracy than A, but the difference may be due to chance"),  # p = 0.052
        (7, 5, "B has 1.0 points higher accuracy than A, but the difference may be due to chance"),
        (4, 4, "A and B have the same accuracy"),
        (0, 0, "A and B are correct on exactly the same of the 200 images; on other images they may still differ by up to"),
    ],
)
def test_the_verdict_in_words(gained: int, lost: int, words: str) -> None:
    value = (gained - lost) / 200
    low, high = (0.05, 0.19) if value > 0 else (-0.19, -0.05)
    found = {
        "first": "A",
        "other": "B",
        "num_images": 200,
        "gained": gained,
        "lost": lost,
        "difference": {"value": value, "low": low, "high": high},
        "p_mcnemar": score_test(gained, lost),
    }
    assert verdict(found).startswith(words)


@pytest.fixture
def two_runs(colour_project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``good`` tells all three colours apart; ``poor`` takes red for blue and blue for red."""
    monkeypatch.chdir(colour_project.path)
    colour_project.run(name="good")
    colour_project.model("swapped", classes=["red", "green", "blue"], history=[{"val_loss": 1.0}])
    colour_project.run(model="swapped", name="poor")
    return colour_project


def test_the_better_run_is_named(two_runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "runs/poor", "runs/good"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("good is better than poor by ")
    page = Path("compare.html").read_text("utf-8")
    assert "Disagreements" in page
    assert "data:image/jpeg" in page


def test_the_comparison_as_json(two_runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "runs/poor", "runs/good", "--json"]) == 0
    (pair,) = json.loads(capsys.readouterr().out)["pairs"]
    good = json.loads(Path("runs/good/metrics.json").read_text("utf-8"))
    assert pair["num_images"] == 24
    assert pair["accuracy_other"] == good["accuracy"]["value"]
    assert pair["gained"] - pair["lost"] == round(24 * pair["difference"]["value"])
    assert len(pair["changed"]) == pair["gained"] + pair["lost"]
    assert pair["difference"]["low"] <= pair["difference"]["value"] <= pair["difference"]["high"]
    assert not Path("compare.html").exists()


@pytest.mark.parametrize(
    ("words", "said"), [(["runs/good"], "at least two runs"), (["runs/good", "images"], "no report in images")]
)
def test_what_can_not_be_compared_is_said(
    two_runs: Any, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["compare", *words]) == 2
    assert said in capsys.readouterr().err


def test_what_was_done_differently_and_no_results() -> None:
    def answers(name: str, dropout: float, ops: list[Any], kept: int) -> Answers:
        model = {
            "template": "simple_cnn",
            "params": {"dropout": dropout},
            "training": {"model": {"template": "simple_cnn", "dropout": dropout}, "ops": ops, "epochs": 4},
            "kept_epoch": kept,
            "weights_sha256": name,
            "words": [name],
            "history": [{"loss": 1.0 / place, "val_loss": 0.5, "val_accuracy": 0.9} for place in range(1, 5)],
            "versions": {"keras": "3"},
        }
        return Answers(name, {}, {}, {"model": model})

    ops = [{"op": "rotate", "p": 1.0, "limit_deg": 10.0, "fill_mode": None}, {"op": "hflip", "p": 0.5}]
    both = [answers("A", 0.0, [], 4), answers("B", 0.3, ops, 2)]
    assert differing(both) == [("model.dropout", "0.0", "0.3"), ("ops", "[]", "rotate limit_deg = 10.0, hflip p = 0.5")]
    (table,) = _learning(both)
    assert [row[:5] for row in table.rows] == [("A", 4, 4, 0.25, 0.5), ("B", 4, 2, 0.5, 0.5)]
    assert differing([both[0], both[0]]) == []
