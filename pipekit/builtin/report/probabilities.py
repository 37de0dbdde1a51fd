"""Section ``probabilities``: calibration. A reliability diagram, and the effect of temperature scaling."""

from __future__ import annotations

from typing import Any

from pipekit.contract import Context, Section
from pipekit.learning.evaluation import Evaluation
from pipekit.learning.temperature import KEY, is_applied, states_temperature
from pipekit.page.plots import COLOURS, plot


def section(ctx: Context, evaluation: Evaluation) -> Section:
    found, temperature = evaluation.metrics["calibration"], evaluation.metrics["temperature"]
    over = found["overconfidence"]
    tendency = "overconfident" if over > 0.01 else "underconfident" if over < -0.01 else "neither over- nor underconfident"
    words = (
        f"Are the predicted probabilities right? On average the model is {tendency}: mean predicted probability "
        f"{evaluation.confidence.mean():.3f}, accuracy {evaluation.correct.mean():.3f}. The expected calibration error is "
        f"{found['expected_error']:.3f}: the mean distance of the dots from the diagonal, weighted by their number of images. "
        + _level(found)
    )
    if temperature:
        verb = "lower" if temperature["expected_error"] < found["expected_error"] else "not lower"
        words += (
            f"\n\nTemperature scaling, fitted on {temperature['num_val_images']:,} val images, gives T = "
            f"{temperature['temperature']}. With `softmax(log p / T)` the calibration error here is "
            f"{temperature['expected_error']:.3f} ({verb}), the log loss {temperature['log_loss']:.3f} instead of "
            f"{evaluation.metrics['log_loss']:.3f}. The predicted classes stay the same."
            + (
                " `--calibrated` of `pipekit predict` and `pipekit export` applies it."
                if states_temperature(evaluation.model)
                else ""
            )
        )
    if is_applied(evaluation.model):
        words += (
            f"\n\nThese probabilities are calibrated: the exported model has the temperature "
            f"{evaluation.model[KEY].get('temperature')} inside."
        )
    return Section("Calibration", words, figures=_figure(found["bins"], temperature))


def _level(found: dict[str, Any]) -> str:
    """The error compared with what chance alone gives a perfectly calibrated model."""
    perfect = found.get("perfect")
    if not perfect:
        return "With few images, chance alone makes it some hundredths."
    beyond = found["expected_error"] > perfect["high"]
    return (
        f"A perfectly calibrated model with these probabilities would show {perfect['mean']:.3f} on average and at most "
        f"{perfect['high']:.3f} in 95 of 100 test sets of this size: "
        + ("the probabilities are off beyond chance." if beyond else "the measured error may be due to chance.")
    )


def _figure(bins: list[dict[str, Any]], temperature: dict[str, Any] | None) -> Any:
    filled = [b for b in bins if b["count"]]

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color="#8b949e", linestyle=":", linewidth=1.2, label="perfect calibration")
        _dots(axes, filled, color=COLOURS[0], marker="o", label="as trained")
        if temperature:
            _dots(axes, temperature["bins"], color=COLOURS[1], marker="D", label=f"with T = {temperature['temperature']}")
        axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.05), xlabel="predicted probability", ylabel="accuracy")
        axes.legend(loc="upper left")

    highest = "; ".join(
        f"{b['confidence']:.2f} predicted, {b['accuracy']:.2f} correct ({b['count']} images)" for b in filled[-4:]
    )
    return plot(
        "reliability",
        draw,
        alt=f"Reliability diagram. The highest bins: {highest}.",
        caption="Reliability diagram. Each dot is a bin of predicted probabilities; its size shows the number of images. "
        "Below the diagonal: overconfident.",
    )


def _dots(axes: Any, bins: list[dict[str, Any]], *, color: str, marker: str, label: str) -> None:
    filled = [b for b in bins if b["count"]]
    largest = max(b["count"] for b in filled)
    sizes = [12 + 110 * b["count"] / largest for b in filled]
    xs, ys = [b["confidence"] for b in filled], [b["accuracy"] for b in filled]
    axes.scatter(xs, ys, s=sizes, color=color, marker=marker, label=label, alpha=0.8, linewidths=0)
