"""Predict a split and compute every metric of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate import calibration, near_copies, slices
from pipekit.builtin.evaluate.baseline import against
from pipekit.builtin.evaluate.describe import describe, fingerprints
from pipekit.builtin.evaluate.metrics import measure
from pipekit.contract import Context, Dataset, Embeddings, Failure, Report, Sample
from pipekit.errors import ImageError, UserError
from pipekit.images.origins import origins_of
from pipekit.learning import label_errors
from pipekit.learning.embeddings import embedded_of
from pipekit.learning.evaluation import Evaluation
from pipekit.learning.near_copies import find_copies
from pipekit.learning.predictor import Predictor, load_predictor

if TYPE_CHECKING:
    from pipekit.builtin.evaluate import EvaluateParams

DECIMALS = 6
"""Decimals of the probabilities in ``predictions.csv``: coarser than the rounding by the order of floating-point sums."""


def score(
    ctx: Context,
    model: Path,
    dataset: Dataset,
    params: EvaluateParams,
    baseline: Report | None = None,
    embeddings: Embeddings | None = None,
) -> Evaluation:
    """Predict, measure, and check for what would flatter the metrics: near duplicates, label errors, weak slices."""
    wanted = _labelled(ctx, dataset, params.split)
    predictor = load_predictor(model, ctx.component)
    check_labels(wanted, predictor.classes, params.split)
    samples, probabilities, failed = _predict(ctx, predictor, wanted, params)
    place = {name: i for i, name in enumerate(predictor.classes)}
    y_true = np.array([place[str(sample.label)] for sample in samples], np.int64)
    metrics = {
        "split": params.split,
        "num_failed": len(failed),
        **measure(
            y_true,
            probabilities,
            predictor.classes,
            ctx.rng("bootstrap"),
            baseline_class=_commonest_in_training(dataset, place),
            top_k=params.top_k,
            resamples=params.resamples,
            bins=params.bins,
        ),
        "temperature": _temperature(ctx, predictor, dataset, probabilities, y_true, params) if params.calibrate else None,
        "label_errors": label_errors.suspects([sample.id for sample in samples], y_true, probabilities, predictor.classes),
    }
    described = describe(ctx, wanted, f"describe {params.split}")
    traits = slices.traits_of(samples, described)
    correct = probabilities.argmax(axis=1) == y_true
    metrics["slices"] = slices.by_slice(samples, traits, correct, params.slices)
    metrics["baseline_model"] = against(ctx, baseline, samples, correct, params.resamples) if baseline else None
    metrics["near_copies"] = _near_copies(ctx, dataset, samples, correct, params, embeddings)
    return Evaluation(
        classes=predictor.classes,
        split=params.split,
        samples=tuple(samples),
        y_true=y_true,
        probabilities=probabilities,
        metrics=metrics,
        dataset=dataset,
        traits=traits,
        failed=tuple(failed),
        model=predictor.info,
        predictor=predictor,
    )


def _labelled(ctx: Context, dataset: Dataset, split: str) -> list[Sample]:
    """The split's labelled samples; a clear error if there are none."""
    found = list(dataset.split(split))
    labelled = [sample for sample in found if sample.label is not None]
    if not labelled:
        counts = {name or "(undecided)": sum(classes.values()) for name, classes in dataset.counts.items()}
        there = ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"
        what = (
            f"the {len(found)} images of the split {split!r} have no label" if found else f"the split {split!r} has no images"
        )
        raise UserError(
            f"{what}; there are: {there}", 'Add a `split` stage before `evaluate`, or name another with `split = "val"`.'
        )
    if len(labelled) < len(found):
        ctx.warn(f"{len(found) - len(labelled)} images of the split {split!r} have no label and are not evaluated")
    return labelled


def check_labels(samples: Sequence[Sample], classes: Sequence[str], split: str) -> None:
    """Every label must be one of the model's classes."""
    unknown = Counter(str(sample.label) for sample in samples) - Counter({name: len(samples) for name in classes})
    if unknown:
        listed = ", ".join(f"{name!r} ({count} images)" for name, count in sorted(unknown.items())[:5])
        raise UserError(
            f"the split {split!r} has labels that the model does not know: {listed}; its classes are {', '.join(classes)}",
            "Train the model on this dataset, or remove these classes from it.",
        )


def _predict(
    ctx: Context, predictor: Predictor, samples: Sequence[Sample], params: EvaluateParams
) -> tuple[list[Sample], NDArray[np.float64], list[Failure]]:
    kept: list[Sample] = []
    rows: list[NDArray[np.float32]] = []
    failed: list[Failure] = []
    stream = predictor.stream(samples, lambda sample: sample.image, workers=ctx.workers, batch_size=params.batch_size)
    for sample, prediction in ctx.track(stream, total=len(samples), label="predict", unit="images"):
        if isinstance(prediction, ImageError):
            failed.append(Failure(sample.id, prediction.message, sample.image))
        else:
            kept.append(sample)
            rows.append(prediction)
    if failed:
        examples = "; ".join(f"{failure.id}: {failure.reason}" for failure in failed[:3])
        if not kept:
            raise UserError(
                f"none of {len(samples)} images can be read ({examples})", "Check the files; nothing was evaluated."
            )
        ctx.warn(f"{len(failed)} of {len(samples)} images can't be read and are not evaluated ({examples})")
    probabilities = rounded(rows)
    if not np.isfinite(probabilities).all():
        raise UserError(
            "the model predicts probabilities that are not finite (NaN or infinity)",
            "Its training diverged: train it again with a lower learning rate.",
        )
    return kept, probabilities, failed


def rounded(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    return np.asarray(np.round(np.array(rows, np.float64), DECIMALS), np.float64)


def _near_copies(
    ctx: Context,
    dataset: Dataset,
    samples: Sequence[Sample],
    correct: NDArray[np.bool_],
    params: EvaluateParams,
    embeddings: Embeddings | None,
) -> dict[str, Any] | None:
    if not params.near_copies or params.split == "train" or not dataset.counts.get("train"):
        return None
    every = fingerprints(ctx, dataset, "find near duplicates in train")
    train = {sample.id: every[sample.id] for sample in dataset.split("train") if sample.id in every}
    ids = [sample.id for sample in samples]
    by_features = find_copies(ctx, dataset, embedded_of(ctx, embeddings, dataset)) if embeddings is not None else None
    found = near_copies.find(ids, every, train, correct, _same_origin(dataset, params.split), by_features)
    if found["count"]:
        ctx.warn(
            f"{found['count']} of {len(samples)} images of the split {params.split!r} have a near duplicate in train, or "
            "another copy of the same original, which flatters the accuracy; the report also gives the accuracy without them"
        )
    return found


def _same_origin(dataset: Dataset, split: str) -> dict[str, str]:
    """Image of the split -> an image of train that was made from the same original."""
    of_train: dict[int, str] = {}
    origins, evaluated = origins_of(dataset), []
    for sample, origin in zip(dataset, origins, strict=True):
        if sample.split == "train":
            of_train.setdefault(origin, sample.id)
        elif sample.split == split:
            evaluated.append((sample.id, origin))
    return {name: of_train[origin] for name, origin in evaluated if origin in of_train}


def _commonest_in_training(dataset: Dataset, place: dict[str, int]) -> int | None:
    counts = {name: n for name, n in dataset.counts.get("train", {}).items() if name in place and n}
    return place[max(sorted(counts), key=lambda name: counts[name])] if counts else None


def _temperature(
    ctx: Context,
    predictor: Predictor,
    dataset: Dataset,
    probabilities: NDArray[np.float64],
    y_true: NDArray[np.int64],
    params: EvaluateParams,
) -> dict[str, Any] | None:
    """The effect of temperature scaling, fitted on the val split, on the probabilities of the evaluated split."""
    place = {name: i for i, name in enumerate(predictor.classes)}
    val = [sample for sample in dataset.split("val") if sample.label in place]
    if not val or params.split == "val":
        return None
    rows, labels = [], []
    predictions = predictor.stream(val, lambda sample: sample.image, workers=ctx.workers, batch_size=params.batch_size)
    for sample, prediction in ctx.track(predictions, total=len(val), label="predict val", unit="images"):
        if not isinstance(prediction, ImageError):
            rows.append(prediction)
            labels.append(place[str(sample.label)])
    if not rows:
        return None
    seen, known = rounded(rows), np.array(labels, np.int64)
    if (seen.argmax(axis=1) == known).all():
        return None  # without a mistake on val, the lowest temperature always fits best, which says nothing
    temperature = calibration.fit_temperature(seen, known)
    after = calibration.scaled(probabilities, temperature)
    found = calibration.calibration(after, y_true, params.bins)
    return {
        "temperature": temperature,
        "num_val_images": len(known),
        "val_accuracy": float((seen.argmax(axis=1) == known).mean()),
        "expected_error": found["expected_error"],
        "log_loss": calibration.log_loss(after, y_true),
        "bins": found["bins"],
    }
