"""Evaluate an autoencoder: the error of each reconstruction, what a trivial one would reach, and unusual images."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate import number_intervals
from pipekit.builtin.evaluate.outputs import write_page
from pipekit.contract import Context, Dataset, Failure, Picture, Report, Sample, Section, Table
from pipekit.errors import ImageError, UserError
from pipekit.files import PlainTable
from pipekit.learning.multilabel_metrics import interval
from pipekit.learning.predictor import Predictor, load_reconstructor
from pipekit.page.plots import COLOURS, plot

if TYPE_CHECKING:
    from pipekit.builtin.evaluate import EvaluateParams

MOST_TRAINING = 2000
"""Maximum number of training images, evenly spread, whose error is measured for comparison."""
RATES = (0.01, 0.05)
"""Shares of usual images that are called unusual all the same; the first for which enough images are held out."""
DECIMALS = 4


@dataclass(frozen=True)
class Errors:
    """Reconstruction errors of images.

    Attributes:
        rmse: ``(N,) float64``, the root of the mean squared difference of the pixels, 0..255, at the model's input size.
    """

    samples: tuple[Sample, ...]
    rmse: NDArray[np.float64]
    failed: tuple[Failure, ...]


def evaluate_reconstruction(ctx: Context, model: Path, dataset: Dataset, params: EvaluateParams) -> Report:
    """Write ``report.html``, ``metrics.json`` and ``predictions.csv`` (a row for each image: its error).

    Raises:
        UserError: the split has no images.
    """
    network = load_reconstructor(model)
    samples = list(dataset.split(params.split))
    if not samples:
        counts = ", ".join(f"{name or '(undecided)'} {sum(classes.values())}" for name, classes in dataset.counts.items())
        raise UserError(f"there is no image in the split {params.split!r} (found {counts or 'no images at all'})")
    found = _errors(ctx, network, samples, params, f"reconstruct {params.split}")
    ctx.tolerate(found.failed, len(samples))
    if params.sections or params.slices:
        ctx.warn("the report of an autoencoder has no sections of plugins and no slices: they need predicted classes")
    if not len(found.rmse):
        raise UserError(f"none of the {len(samples)} images of the split {params.split!r} can be read")
    training = _errors(ctx, network, _spread(list(dataset.split("train"))), params, "reconstruct train")
    held_out = _errors(ctx, network, list(dataset.split("val")), params, "reconstruct val") if params.split != "val" else None
    unread = [*training.failed, *(held_out.failed if held_out is not None else ())]
    if unread:
        ctx.warn(
            f"{len(unread)} images of train and val can't be read and do not count, such as {unread[0].id}: {unread[0].reason}"
        )
    mean = _mean_image(network, training.samples)
    flat = _errors_of_one(network, found.samples, mean) if mean is not None else None
    metrics = _metrics(ctx, found, training, held_out, flat, params)
    return _write(ctx, network, metrics, found, training, params)


def _errors(ctx: Context, network: Predictor, samples: Sequence[Sample], params: EvaluateParams, label: str) -> Errors:
    kept, values, failed = [], [], []
    stream = network.compare(samples, lambda sample: sample.image, workers=ctx.workers, batch_size=params.batch_size)
    for sample, error in ctx.track(stream, len(samples), label, "images"):
        if isinstance(error, ImageError):
            failed.append(Failure(sample.id, str(error), sample.image))
        else:
            kept.append(sample)
            values.append(round(error, DECIMALS))  # coarser than the rounding by the order of floating-point sums
    return Errors(tuple(kept), np.array(values, np.float64), tuple(failed))


def _spread(samples: list[Sample]) -> list[Sample]:
    places = np.linspace(0, len(samples) - 1, min(len(samples), MOST_TRAINING)).round().astype(int)
    return [samples[place] for place in places.tolist()] if samples else []


def _mean_image(network: Predictor, samples: Sequence[Sample]) -> NDArray[np.float32] | None:
    """The mean training image: what an autoencoder that has learned nothing of single images would return."""
    total, number = np.zeros(network.input_shape_hwc, np.float64), 0
    for sample in samples:
        try:
            total += network.prepare(sample.image)
        except ImageError:
            continue
        number += 1
    return (total / number).astype(np.float32) if number else None


def _errors_of_one(network: Predictor, samples: Sequence[Sample], image: NDArray[np.float32]) -> NDArray[np.float64]:
    """The error of each image if ``image`` were its reconstruction."""
    found = []
    for sample in samples:
        apart = network.prepare(sample.image).astype(np.float64) - image
        found.append(round(float(np.sqrt((apart**2).mean())), DECIMALS))
    return np.array(found)


def unusual_limit(errors: NDArray[np.float64]) -> tuple[float, float] | None:
    """The error above which an image is unusual, and the share of usual images that lie above it all the same.

    A conformal limit (Laxhammar and Falkman 2010): of ``n`` held-out errors, the ``ceil((n + 1) (1 - rate))``-th smallest. If
    an image is drawn as they were, its error exceeds the limit with a probability of at most ``rate``. The errors must not be
    those of training images, which are smaller.

    Returns:
        None if there are too few errors for any rate.

    >>> unusual_limit(np.arange(1.0, 100.0))
    (99.0, 0.01)
    """
    for rate in RATES:
        place = int(np.ceil((len(errors) + 1) * (1 - rate) - 1e-9))
        if 0 < place <= len(errors):
            return float(np.sort(errors)[place - 1]), rate
    return None


def _metrics(
    ctx: Context,
    found: Errors,
    training: Errors,
    held_out: Errors | None,
    flat: NDArray[np.float64] | None,
    params: EvaluateParams,
) -> dict[str, Any]:
    limit, rate = (None if held_out is None else unusual_limit(held_out.rmse)) or (None, None)
    order = np.argsort(-found.rmse, kind="stable").tolist()
    unusual = [found.samples[place].id for place in order if limit is not None and found.rmse[place] > limit]
    labels = sorted({str(sample.label) for sample in found.samples if sample.label is not None})
    return {
        "task": "reconstruction",
        "split": params.split,
        "num_images": len(found.rmse),
        "num_failed": len(found.failed),
        "rmse": _mean_with_interval(ctx, found.rmse, params.resamples),
        "psnr_db": float(20 * np.log10(255 / max(float(np.sqrt((found.rmse**2).mean())), 1e-9))),
        "mean_image_rmse": None if flat is None else float(flat.mean()),
        "better_than_mean_image": None if flat is None else float((found.rmse < flat).mean()),
        "train_rmse": float(training.rmse.mean()) if len(training.rmse) else None,
        "val_rmse": float(held_out.rmse.mean()) if held_out is not None and len(held_out.rmse) else None,
        "unusual_above_rmse": limit,
        "unusual_rate": rate,
        "unusual": unusual,
        "per_class": {
            name: {
                "images": len(of_class := [place for place, sample in enumerate(found.samples) if sample.label == name]),
                "rmse": float(found.rmse[of_class].mean()),
            }
            for name in labels
        },
    }


def _mean_with_interval(ctx: Context, values: NDArray[np.float64], resamples: int) -> dict[str, float | None]:
    """The mean with its 95 % interval, that of a mean absolute error; none for fewer than ten images or without resamples."""
    bounds = number_intervals.measured(np.zeros(len(values)), values, None, resamples, ctx.rng("bootstrap"))
    return interval(float(values.mean()), *bounds["mae"])


# --- outputs -----------------------------------------------------------------------------------------------------------------


def _write(
    ctx: Context, network: Predictor, metrics: dict[str, Any], found: Errors, training: Errors, params: EvaluateParams
) -> Report:
    text = json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (ctx.out_dir / "metrics.json").write_text(text, "utf-8", errors="backslashreplace")
    table = _table(found, metrics)
    (ctx.out_dir / "predictions.csv").write_text(table, "utf-8", errors="surrogateescape", newline="")
    about = {"split": params.split, "seed": ctx.seed, "model": network.info}
    (ctx.out_dir / "about.json").write_text(json.dumps(about, indent=1, ensure_ascii=False, default=str) + "\n", "utf-8")
    sections = [("summary", _summary(metrics)), ("errors", _distribution(found, training, metrics))]
    sections += [("pictures", _gallery(network, found, metrics, params))]
    draw_curves = ctx.component("report_section", "training").load()
    if (curves := draw_curves(ctx, _AboutModel(network.info))) is not None:
        sections.append(("training", curves))
    lead = f"How well does it reconstruct images? {_capital(_headline(metrics))}."
    write_page(ctx.out_dir, "Autoencoder evaluation", sections, lead, "the error of each image")
    facts = {"images": str(metrics["num_images"]), "error": f"{metrics['rmse']['value']:.2f} of 255"}
    if metrics["mean_image_rmse"] is not None:
        facts["mean image"] = f"{metrics['mean_image_rmse']:.2f}"
    if metrics["unusual"]:
        facts["unusual"] = str(len(metrics["unusual"]))
    digest = hashlib.sha256((text + table).encode("utf-8", "surrogatepass")).hexdigest()
    return ctx.artifact(Report, digest=digest, facts=facts, headline=_headline(metrics))


@dataclass(frozen=True)
class _AboutModel:
    """What the report's section about the training reads."""

    model: Any


def _headline(metrics: dict[str, Any]) -> str:
    """``test reconstruction error 12.3 of 255 (95 % interval 11.0 to 13.7), 72 images``"""
    found, number = metrics["rmse"], metrics["num_images"]
    span = "" if found["low"] is None else f" (95 % interval {found['low']:.2f} to {found['high']:.2f})"
    images = f"{number:,} image{'s' if number != 1 else ''}"
    return f"{metrics['split']} reconstruction error {found['value']:.2f} of 255{span}, {images}"


NO_MAP = (
    "There is no map of the images here: it would show which answers of a classifier are right, and an autoencoder has none. "
    "`pipekit inspect FOLDER --features` has a map of the images themselves."
)


def _summary(metrics: dict[str, Any]) -> Section:
    words = [
        "The error of an image is the root of the mean squared difference (RMSE) between its pixels and those of its "
        f"reconstruction, at the model's input size. The mean over {metrics['num_images']:,} images is "
        f"{metrics['rmse']['value']:.2f} of 255, a peak signal-to-noise ratio of {metrics['psnr_db']:.1f} dB."
    ]
    if metrics["mean_image_rmse"] is not None:
        share = metrics["better_than_mean_image"]
        words.append(
            f"The mean training image, taken as the reconstruction of every image, has an error of "
            f"{metrics['mean_image_rmse']:.2f}; the model is better for {100 * share:.0f} % of the images."
        )
        if metrics["rmse"]["value"] >= metrics["mean_image_rmse"]:
            words.append("**The model has not learned to reconstruct images**: the mean image is at least as good.")
    if metrics["train_rmse"] is not None:
        words.append(
            f"On the training images, the error is {metrics['train_rmse']:.2f}: "
            + ("a gap that is overfitting." if _overfits(metrics) else "no larger gap than chance explains.")
        )
    if metrics["num_failed"]:
        words.append(f"{metrics['num_failed']} images can't be read and are not counted.")
    words.append(NO_MAP)
    rows = tuple((name, row["images"], round(row["rmse"], 2)) for name, row in metrics["per_class"].items())
    tables = (Table(("class", "images", "error (RMSE)"), rows, "The model was not told the classes."),) if rows else ()
    return Section("Summary", "\n\n".join(words), tables=tables)


def _overfits(metrics: dict[str, Any]) -> bool:
    """Whether the training error lies below the interval of the error on new images."""
    low = metrics["rmse"]["low"]
    return low is not None and metrics["train_rmse"] is not None and metrics["train_rmse"] < low


def _distribution(found: Errors, training: Errors, metrics: dict[str, Any]) -> Section:
    limit, unusual = metrics["unusual_above_rmse"], metrics["unusual"]

    def draw(axes: Any) -> None:
        groups = [("training", training.rmse), (metrics["split"], found.rmse)]
        values = np.concatenate([group for _, group in groups])
        edges = np.linspace(0, float(values.max()) * 1.02 + 1e-9, 31)
        for place, (label, group) in enumerate(groups):
            if len(group):
                weights = np.full(len(group), 1 / len(group))
                axes.hist(group, edges, weights=weights, histtype="step", color=COLOURS[place], label=label, linewidth=1.6)
        if limit is not None:
            axes.axvline(limit, color="#555555", linestyle=":", label="unusual from here")
        axes.set(xlabel="reconstruction error (RMSE, 0 to 255)", ylabel="share of the images")
        axes.legend()

    if limit is None:
        words = (
            "Unusual images are not named: that needs at least 19 images of a split val, on which the model was not trained "
            "and which are not those that are evaluated."
        )
    else:
        rate, number = metrics["unusual_rate"], metrics["num_images"]
        words = (
            f"{len(unusual)} of {number:,} images have an error above {limit:.2f}. If they were of the same kind as those "
            f"of val, at most {100 * rate:g} % would be expected there, about {rate * number:.1f}. The column `unusual` of "
            "`predictions.csv` marks them.\n"
        )
        words += "".join(f"\n- {name}" for name in unusual[:20])
        words += f"\n- and {len(unusual) - 20} more" if len(unusual) > 20 else ""
    alt = f"Reconstruction errors of {len(training.rmse)} training images and {len(found.rmse)} {metrics['split']} images."
    return Section("Errors and unusual images", words, figures=plot("reconstruction_errors", draw, alt=alt))


def _gallery(network: Predictor, found: Errors, metrics: dict[str, Any], params: EvaluateParams) -> Section:
    pictures = tuple(_pictures(network, found, set(metrics["unusual"]), params))
    words = (
        "Each picture: the image as the model sees it, its reconstruction, and their difference, doubled. Largest errors first."
    )
    if len(pictures) < len(found.rmse):
        words += f" {len(pictures):,} of {len(found.rmse):,} images are shown: the largest and the smallest errors."
    return Section("Reconstructions", words if pictures else "", pictures=pictures)


def _pictures(network: Predictor, found: Errors, unusual: set[str], params: EvaluateParams) -> Iterator[Picture]:
    from pipekit import images

    order = np.argsort(-found.rmse, kind="stable").tolist()
    most = min(params.pictures, len(order))
    shown = [*order[: most - most // 3], *order[len(order) - most // 3 :]]
    for place in shown:
        sample = found.samples[place]
        image = network.prepare(sample.image)
        again = network.probabilities(image[None])[0]
        apart = np.abs(again - image.astype(np.float32)) * 2
        parts = [np.clip(np.rint(part), 0, 255).astype(np.uint8) for part in (image, again, apart)]
        strip = np.concatenate([part if part.shape[2] == 3 else part.repeat(3, axis=2) for part in parts], axis=1)
        smallest = min(image.shape[:2])
        times = max(1, params.thumbnail_px // max(1, smallest))  # small inputs are enlarged by whole pixels
        strip = strip.repeat(times, axis=0).repeat(times, axis=1)
        kind = "unusual" if sample.id in unusual else "usual"
        error = float(found.rmse[place])
        tags = {"error": kind, **({"class": sample.label} if sample.label is not None else {})}
        yield Picture(
            images.encode(strip, "jpg", quality=85),
            alt=f"{sample.id}: error {error:.2f}, {kind}",
            caption=f"error {error:.2f}{' (unusual)' if kind == 'unusual' else ''}\n{sample.id}",
            tags=tags,
            values={"error": round(error, DECIMALS)},
        )


def _table(found: Errors, metrics: dict[str, Any]) -> str:
    """One row for each image, without its path: id, class if known, error, whether it is unusual."""
    unusual = set(metrics["unusual"])
    text = io.StringIO(newline="")
    writer = PlainTable(text)
    writer.writerow(["id", "label", "rmse", "unusual", "sha256"])
    for sample, error in zip(found.samples, found.rmse, strict=True):
        writer.writerow([sample.id, sample.label or "", f"{error:.{DECIMALS}f}", int(sample.id in unusual), sample.sha256])
    return text.getvalue()


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
