"""Section ``next_steps``: what to do next, most urgent first."""

from __future__ import annotations

from pipekit.builtin.report.phrasing import count, points
from pipekit.contract import Context, Section
from pipekit.learning import advice
from pipekit.learning.chance import knows_something
from pipekit.learning.evaluation import Evaluation
from pipekit.learning.temperature import states_temperature
from pipekit.page.markdown import literal

WIDE = 0.1
"""An interval wider than ten points needs more images."""


def section(ctx: Context, evaluation: Evaluation) -> Section:
    steps = [f"{place}. {step}" for place, step in enumerate(next_steps(evaluation, _commands(ctx, evaluation)), 1)]
    return Section("What to do next", "\n".join(steps))


def next_steps(evaluation: Evaluation, command: advice.Commands | str = "") -> list[str]:
    """The few steps that would help most, most urgent first."""
    metrics = evaluation.metrics
    found = metrics["accuracy"]
    case = advice.case_of_evaluation(evaluation)
    remedies = advice.remedies(case, command)
    first = remedies[:1] if case.weak else []
    steps = list(first)
    if alike := metrics.get("name_groups"):
        steps.insert(0, f"If each stem is a patient, a video or a scene, split with `{alike['option']}`, and train again.")
    if metrics["near_copies"] and metrics["near_copies"]["count"]:
        steps.append("Keep near duplicates on one side of the split (by a group column, or by removing them), and train again.")
    if knows_something(metrics) and metrics["label_errors"]:
        suspected = count(len(metrics["label_errors"]), "suspected label error")
        steps.append(f"Check the {suspected}: each wrong label lowers the measured accuracy of a correct prediction.")
    steps += remedies[len(first) :]
    if metrics["confused_most"] and found["value"] < 0.99:
        pair = metrics["confused_most"][0]
        steps.append(
            f"Look at the images of *{literal(pair['true'])}* predicted as *{literal(pair['predicted'])}*, and collect more "
            "like them for training."
        )
    if found["high"] - found["low"] > WIDE:
        steps.append(
            f"Collect more {literal(evaluation.split)} images: four times as many ({4 * len(evaluation):,}) would halve the "
            f"95 % interval of {points(found['high'] - found['low'])}."
        )
    temperature = metrics["temperature"]
    if temperature and temperature["expected_error"] < 0.8 * metrics["calibration"]["expected_error"] - 0.005:
        steps.append(
            f"If you use the probabilities, divide the logits by {temperature['temperature']} (temperature scaling"
            f"{', `--calibrated` of `pipekit predict` and `pipekit export`' if states_temperature(evaluation.model) else ''}): "
            f"the calibration error falls from {metrics['calibration']['expected_error']:.3f} "
            f"to {temperature['expected_error']:.3f}."
        )
    if found["value"] == 1:
        steps.append(
            "Make sure that the test set is hard enough: use images from another place, day or camera than the training images."
        )
    return steps or [
        "Test it on images from elsewhere: another camera, place or day than those it was trained and evaluated on."
    ]


def _commands(ctx: Context, evaluation: Evaluation) -> advice.Commands:
    return advice.commands_for(ctx, evaluation.dataset, evaluation.model)
