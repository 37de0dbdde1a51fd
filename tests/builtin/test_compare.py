"""Two models on the same images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipekit.builtin.compare.paired import Answers, verdict
from pipekit.builtin.compare.sections import _learning, differing
from pipekit.cli import main
from pipekit.learning.significance import difference_interval, mcnemar
from pipekit.rng import rng_for


def test_mcnemar_agrees_with_published_values() -> None:
    """Fagerland, Lydersen and Laake 2013, "The McNemar test for binary matched-pairs data", 1 and 7 pairs differ."""
    assert mcnemar(1, 7) == pytest.approx(0.0703, abs=5e-5)
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_symmetric_and_a_probability(one: int, other: int) -> None:
    assert mcnemar(one, other) == pytest.approx(mcnemar(other, one))
    assert 0 < mcnemar(one, other) <= 1


def test_the_interval_of_a_difference_covers_the_truth() -> None:
    rng = np.random.default_rng(8)
    chances, covered, trials = np.array([0.12, 0.07, 0.81]), 0, 1500
    for trial in range(trials):
        gained, lost, _ = rng.multinomial(300, chances)
        low, high = difference_interval(int(gained), int(lost), 300, rng_for(trial, "cover"), 1000)
        covered += low <= 0.05 <= high
    assert 0.93 <= covered / trials <= 0.97


def test_no_change_is_no_proof_of_no_difference() -> None:
    """The exact bound of Clopper and Pearson 1934 for 0 of 72, as scipy gives it."""
    from scipy.stats import binomtest

    low, high = difference_interval(0, 0, 72, rng_for(0, "none"), 1000)
    assert high == -low == pytest.approx(binomtest(0, 72).proportion_ci(0.95, "exact").high)


@pytest.mark.parametrize(
    ("gained", "lost", "words"),
    [
        (30, 6, "B is better than A by 12.0 points (95 % interval 5.0 to 19.0), p < 0.001."),
        (6, 30, "A is better than B by 12.0 points (95 % interval 5.0 to 19.0), p < 0.001."),
        (12, 3, "B is better than A by 4.5 points"),  # p = 0.035
        (10, 3, "B has 3.5 points higher accuracy than A, but the difference may be due to chance"),  # p = 0.092
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
        "p_mcnemar": mcnemar(gained, lost),
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
