"""Section ``training``: learning curves, the epoch that was kept, and the gap between training and validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipekit.contract import Context, Figure, Section
from pipekit.learning.evaluation import Evaluation
from pipekit.page.plots import COLOURS, plot

PAIRS = (("loss", "val_loss", "loss"), ("accuracy", "val_accuracy", "accuracy"))


def section(ctx: Context, evaluation: Evaluation) -> Section | None:
    history = [epoch for epoch in evaluation.model.get("history") or [] if isinstance(epoch, Mapping)]
    figures = [figure for pair in PAIRS for figure in _figure(history, *pair)]
    if not figures:
        return None
    figures += _range_test(evaluation.model)
    best = kept_epoch(evaluation.model, history)
    words = f"{len(history)} epochs."
    if best is not None:
        epoch = history[best]
        words = f"Epoch {best + 1} of {len(history)} was kept (val loss {epoch['val_loss']:.4f})."
        if "accuracy" in epoch and "val_accuracy" in epoch:
            gap = epoch["accuracy"] - epoch["val_accuracy"]
            words += (
                f" At this epoch, training accuracy is {epoch['accuracy']:.3f} and val accuracy {epoch['val_accuracy']:.3f}: "
                f"a gap of {100 * gap:.1f} points. "
            )
            words += (
                "That is overfitting."
                if gap > 0.1
                else "There is no sign of overfitting, as far as val shows; val can't show whether the model works on images "
                "from elsewhere, or of patients, places and scenes that lie in both splits."
                if gap > -0.05
                else (
                    "The val images are easier than the augmented training images, as is usual with strong augmentation and "
                    "dropout."
                )
            )
    return Section("Learning curves", f"Does the model overfit? {words}", figures=tuple(figures))


def kept_epoch(model: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> int | None:
    """Index of the kept epoch: the model's ``kept_epoch`` (which counts from 1), else the epoch with the lowest val loss."""
    kept = model.get("kept_epoch")
    if isinstance(kept, int) and 1 <= kept <= len(history) and isinstance(history[kept - 1].get("val_loss"), (int, float)):
        return kept - 1
    losses = [
        (epoch["val_loss"], place) for place, epoch in enumerate(history) if isinstance(epoch.get("val_loss"), (int, float))
    ]
    return min(losses)[1] if losses else None


def _figure(history: Sequence[Mapping[str, Any]], name: str, val_name: str, word: str) -> tuple[Figure, ...]:
    series = [
        (label, [(place + 1, epoch[key]) for place, epoch in enumerate(history) if isinstance(epoch.get(key), (int, float))])
        for key, label in ((name, "training"), (val_name, "val"))
    ]
    series = [(label, points) for label, points in series if points]
    if not series:
        return ()

    def draw(axes: Any) -> None:
        for place, (label, points) in enumerate(series):
            marker = "o" if len(points) < 40 else ""
            line = "-" if place == 0 else "--"
            axes.plot(
                *zip(*points, strict=True), linestyle=line, color=COLOURS[place], marker=marker, markersize=3.5, label=label
            )
        axes.set(xlabel="epoch", ylabel=word)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()

    course = ", ".join(f"{label} from {points[0][1]:.3f} to {points[-1][1]:.3f}" for label, points in series)
    return plot(f"training_{word}", draw, alt=f"{word.capitalize()} by epoch: {course}.", size_in=(4.8, 3.4))


def _range_test(model: Mapping[str, Any]) -> tuple[Figure, ...]:
    """The loss at each rate of the learning rate range test; nothing if there was none."""
    test, taken = model.get("range_test"), model.get("found_learning_rate")
    if not isinstance(test, Mapping) or not isinstance(taken, float):
        return ()
    rates, losses, means = test["rates"], test["losses"], test["means"]

    def draw(axes: Any) -> None:
        axes.plot(rates, losses, color=COLOURS[0], alpha=0.35, linewidth=1, label="loss of each batch")
        axes.plot(rates, means, color=COLOURS[0], label="moving average")
        axes.axvline(taken, color="#555555", linestyle=":", label=f"taken: {taken:.2g}")
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        axes.legend()

    why = "" if test.get("clear") else "too noisy to choose a rate; the usual "
    words = f"Learning rate range test: {why}{taken:.2g} was taken."
    return plot("learning_rate", draw, alt=words, caption=words, size_in=(4.8, 3.4))
