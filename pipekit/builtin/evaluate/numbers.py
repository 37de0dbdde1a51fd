"""Evaluate a model of a number: errors with intervals, residuals, conformal prediction intervals, the worst images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate import intervals, number_intervals, task_slices
from pipekit.builtin.evaluate.of_task import (
    DECIMALS,
    Answered,
    common,
    estimate_words,
    gallery,
    last_columns,
    resamples_of,
    table_of,
)
from pipekit.contract import Context, Section, Table
from pipekit.learning import number_metrics as figures
from pipekit.learning.multilabel_metrics import interval
from pipekit.page.plots import COLOURS, plot

if TYPE_CHECKING:
    from pipekit.builtin.evaluate import EvaluateParams

NAMES = {
    "mae": "mean absolute error (MAE)",
    "rmse": "root of the mean squared error (RMSE)",
    "median_error": "median absolute error",
    "r2": "R²: share of the variance that is explained",
    "mape": "mean absolute percentage error (MAPE), as a fraction",
    "bias": "bias: mean of predicted minus true",
}

ENOUGH = 100
"""Images, or groups of images, from which the intervals of RMSE, R2 and MAPE hold also where errors are skewed."""
MOSTLY = 0.5
"""From this share of the mean absolute error on, a shift of all predictions is most of the error."""


def measure(ctx: Context, found: Answered, params: EvaluateParams) -> dict[str, Any]:
    """The content of ``metrics.json``."""
    true, predicted = truth(found), found.rows[:, 0]
    values = figures.errors_of(true, predicted)
    bounds = number_intervals.measured(true, predicted, found.groups, resamples_of(params), ctx.rng("bootstrap"))
    mean = _training_mean(found)
    about = found.info.get("value", {})
    constant = figures.errors_of(true, np.full(len(true), mean))
    metrics = {
        "task": "regression",
        **common(found),
        "value": {"name": found.classes[0], "unit": about.get("unit", "")},
        **{name: interval(value, *bounds[name]) for name, value in values.items()},
        "baseline": {"rule": "the mean of the training images", "value": mean, **constant},
        "prediction_interval": _coverage(found, about.get("interval")),
        "slices": task_slices.of_numbers(ctx, found, params, true, predicted),
    }
    return metrics | {"doubts": [*doubts(metrics), *few(true, found.groups)]}


def truth(found: Answered) -> NDArray[np.float64]:
    return np.array([sample.value for sample in found.samples], np.float64)


def _training_mean(found: Answered) -> float:
    values = [sample.value for sample in found.dataset.split("train") if sample.value is not None]
    return float(np.mean(values or truth(found)))


def half_widths(found: Answered) -> NDArray[np.float64]:
    """``(N,)``: half of the width of each image's prediction interval, which is another one in each fold; NaN for none."""
    listed = found.of_folds("interval", found.info.get("value", {}).get("interval"))
    return np.array([np.nan if some is None else some["half_width"] for some in listed], np.float64)


def _coverage(found: Answered, fitted: Any) -> dict[str, Any] | None:
    """The interval that was fitted on val, with the share of these images whose number lies in it."""
    half = half_widths(found)
    if not fitted or np.isnan(half).any():
        return None
    inside = np.abs(truth(found) - found.rows[:, 0]) <= half
    return {**fitted, "coverage": intervals.share_of(inside, found.groups)}


def predictions(found: Answered, metrics: dict[str, Any], paths: bool = True) -> str:
    """``predictions.csv``: the number of each image, its prediction, the prediction interval, the error."""
    widths = half_widths(found).tolist()
    head, last = last_columns(found, paths)
    rows = []
    for sample, said, half, more in zip(found.samples, found.rows[:, 0].tolist(), widths, last, strict=True):
        bounds = ["", ""] if np.isnan(half) else [f"{said - half:.{DECIMALS}f}", f"{said + half:.{DECIMALS}f}"]
        true = float(sample.value or 0.0)
        rows.append([sample.id, repr(true), f"{said:.{DECIMALS}f}", *bounds, f"{said - true:.{DECIMALS}f}", *more])
    return table_of(rows, ["id", "value", "predicted", "low", "high", "error", *head])


def _unit(metrics: Mapping[str, Any]) -> str:
    return f" {metrics['value']['unit']}" if metrics["value"]["unit"] else ""


def headline(metrics: dict[str, Any]) -> str:
    """``test MAE 3.21 deg (95 % interval 2.90 to 3.56), R² 0.981, 120 images``"""
    error = estimate_words(metrics["mae"])
    words = f"{metrics['split']} MAE {error}".replace(" (", f"{_unit(metrics)} (", 1)
    return f"{words}, R² {metrics['r2']['value']:.3f}, {metrics['num_images']:,} images"


def facts(metrics: dict[str, Any]) -> dict[str, str]:
    return {
        "images": str(metrics["num_images"]),
        "MAE": f"{metrics['mae']['value']:.4g}{_unit(metrics)}",
        "R²": f"{metrics['r2']['value']:.3f}",
        "baseline MAE": f"{metrics['baseline']['mae']:.4g}{_unit(metrics)}",
    }


def sections(found: Answered, metrics: dict[str, Any], params: EvaluateParams) -> Iterator[tuple[str, Section]]:
    yield "summary", _summary(metrics)
    yield "residuals", _residuals(found, metrics)
    if (slices := task_slices.section(metrics["slices"], _unit(metrics))) is not None:
        yield "slices", slices
    yield "pictures", _worst(found, params)


def _summary(metrics: dict[str, Any]) -> Section:
    base, unit = metrics["baseline"], _unit(metrics)
    in_unit = f", in{unit}" if unit else ""
    rows = tuple((words, estimate_words(metrics[name], 4), f"{base[name]:.4f}") for name, words in NAMES.items())
    words = (
        f"{metrics['num_images']:,} images; the number is {metrics['value']['name']}{in_unit}. "
        f"The baseline always predicts {base['rule']}, {base['value']:.4g}."
    )
    if metrics["mae"]["value"] >= base["mae"]:
        words += " **The model is no better than the baseline.**"
    if found := metrics["prediction_interval"]:
        words += (
            f"\n\nThe prediction interval is the prediction plus or minus {found['half_width']:.4g}{unit} (split conformal, "
            f"{found['images']:,} images {'out of fold' if found.get('from') == 'folds' else 'of val'}): {found['level']:.0%} "
            f"of new images like these should lie in it, and of the evaluated ones {estimate_words(found['coverage'])} did"
            + (", each with the interval of its fold's model." if "folds" in metrics else ".")
        )
    else:
        words += "\n\nThere is no prediction interval: it needs at least 9 labelled images of val."
    for doubt in metrics["doubts"]:
        words += f"\n\n**{doubt[0].upper()}{doubt[1:]}.**"
    if metrics["num_failed"]:
        words += f" {metrics['num_failed']} images can't be read and are not counted."
    return Section("Summary", words, tables=(Table(("figure", "model", "baseline"), rows, "Errors"),))


def doubts(metrics: Mapping[str, Any]) -> list[str]:
    """What contradicts the figures: a prediction interval that holds less often than promised, errors that are mostly a shift.

    Both compare with the end of a 95 % interval, so that few images raise no doubt by chance.
    """
    said = []
    interval, shift = metrics["prediction_interval"], metrics["bias"]
    if interval and (high := interval["coverage"]["high"]) is not None and high < interval["level"]:
        said.append(
            f"the prediction interval holds for {estimate_words(interval['coverage'])} of the images, "
            f"not for {interval['level']:.0%}: they differ from those of val, from which its width comes"
        )
    low, high = shift["low"], shift["high"]
    if low is not None and high is not None and low * high > 0 and abs(shift["value"]) >= MOSTLY * metrics["mae"]["value"]:
        by = f"{abs(shift['value']):.4g}{_unit(metrics)} too {'much' if shift['value'] > 0 else 'little'}"
        said.append(f"the predictions are {by} on average: most of the error is this shift")
    return said


def few(true: NDArray[np.float64], groups: NDArray[np.int64] | None) -> list[str]:
    """Where the intervals don't hold: none for few images or groups, and some that rarely large errors make too narrow."""
    number, counted = len(true), len(true) if groups is None else len(np.unique(groups))
    if counted < intervals.FEWEST_GROUPS and groups is not None:
        return [f"no figure has an interval: the images come in {counted} groups, and {intervals.FEWEST_GROUPS} are needed"]
    if number < number_intervals.FEWEST:
        return [f"no figure has an interval: there are {number} images, and {number_intervals.FEWEST} are needed"]
    if counted < ENOUGH:
        what = f"{number} images" if groups is None else f"{counted} groups of images"
        return [
            f"with {what}, the intervals of RMSE, R² and MAPE are too narrow if large errors are rare; from {ENOUGH} on "
            "they hold"
        ]
    return []


def _residuals(found: Answered, metrics: dict[str, Any]) -> Section:
    true, predicted = truth(found), found.rows[:, 0]
    unit = _unit(metrics).strip()
    name = f"{metrics['value']['name']} ({unit})" if unit else str(metrics["value"]["name"])

    def draw_both(axes: Any) -> None:
        ends = [float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))]
        axes.plot(ends, ends, color="#8b949e", linewidth=1)
        axes.scatter(true, predicted, s=12, color=COLOURS[0], alpha=0.7)
        axes.set(xlabel=f"true {name}", ylabel="predicted")

    def draw_residuals(axes: Any) -> None:
        axes.axhline(0, color="#8b949e", linewidth=1)
        axes.scatter(true, predicted - true, s=12, color=COLOURS[1], alpha=0.7)
        axes.set(xlabel=f"true {name}", ylabel="predicted minus true")

    bins = np.array_split(np.argsort(true, kind="stable"), min(5, len(true)))
    rows = tuple(
        (
            f"{true[some].min():.4g} to {true[some].max():.4g}",
            len(some),
            round(float(np.abs(predicted - true)[some].mean()), 4),
            round(float((predicted - true)[some].mean()), 4),
        )
        for some in bins
    )
    figures_of = (
        *plot("predicted", draw_both, alt=f"Predicted against true numbers of {len(true)} images."),
        *plot("residuals", draw_residuals, alt=f"Errors against true numbers of {len(true)} images."),
    )
    table = Table((name, "images", "MAE", "bias"), rows, "Errors by the true number")
    return Section(
        "Residuals", "A trend of the errors along the numbers is a systematic one.", figures=figures_of, tables=(table,)
    )


def _worst(found: Answered, params: EvaluateParams) -> Section:
    true, predicted = truth(found), found.rows[:, 0]
    order = np.argsort(-np.abs(predicted - true), kind="stable").tolist()
    captions = [f"predicted {predicted[at]:.4g}, true {true[at]:.4g}" for at in order]
    return Section("Images, largest errors first", "", pictures=tuple(gallery(found, order, captions, params)))
