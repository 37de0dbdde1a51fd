"""Predict a split and compute every metric of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.evaluate import (
    abstention,
    calibration,
    decision,
    folds,
    label_conflicts,
    named_alike,
    near_copies,
    none_of_these,
    ordinal,
    slices,
)
from pipekit.builtin.evaluate.baseline import against
from pipekit.builtin.evaluate.describe import describe, fingerprints
from pipekit.builtin.evaluate.grouping import Grouping, groups_of
from pipekit.builtin.evaluate.metrics import measure
from pipekit.contract import Context, Dataset, Embeddings, Failure, Report, Sample
from pipekit.errors import ImageError, UserError
from pipekit.images.origins import origins_of
from pipekit.learning import label_errors
from pipekit.learning.answers import Answer, Answers
from pipekit.learning.cross_validation import OUT_OF_FOLD, HeldOut, fold_of
from pipekit.learning.embeddings import embedded_of
from pipekit.learning.evaluation import Evaluation
from pipekit.learning.linear_head import read_head
from pipekit.learning.near_copies import find_copies
from pipekit.learning.predictor import load_predictor, read_model_info
from pipekit.learning.temperature import KEY, fitted, is_applied, states_temperature

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
    held = HeldOut.read(model) if params.split == OUT_OF_FOLD else None
    dataset = dataset if held is None else held.view(dataset)
    wanted = _labelled(ctx, dataset, params.split)
    head = read_head(model, read_model_info(model), ctx.component)
    predictor = load_predictor(model, ctx.component, lazy=head is not None)
    check_labels(wanted, predictor.classes, params.split)
    fits = params.calibrate and params.split not in ("val", OUT_OF_FOLD) and not states_temperature(predictor.info)
    val = _val(dataset, predictor.classes) if fits else []
    answers = Answers(ctx, predictor, head, dataset, [*wanted, *val], params.batch_size)
    found = answers.of(wanted, "predict") if held is None else held.of_samples(wanted)
    samples, unrounded, scores, failed = _predict(ctx, found, len(wanted), len(predictor.classes))
    probabilities = rounded(unrounded)
    place = {name: i for i, name in enumerate(predictor.classes)}
    y_true = np.array([place[str(sample.label)] for sample in samples], np.int64)
    prints = _fingerprints(ctx, dataset, samples, params)
    clusters = _clusters(ctx, dataset, samples, params, embeddings, prints)
    grouping = _groups(dataset, samples, params, clusters)
    groups = grouping.groups
    metrics = {
        "split": params.split,
        "num_failed": len(failed),
        "num_groups": None if groups is None else int(groups.max()) + 1,
        "groups": grouping.kind,
        "name_groups": _named_alike(ctx, dataset, samples, params, prints) if grouping.kind != "named" else None,
        **measure(
            y_true,
            probabilities,
            predictor.classes,
            ctx.rng("calibration"),
            baseline_class=_commonest_in_training(dataset, place),
            top_k=params.top_k,
            resamples=params.resamples,
            bins=params.bins,
            groups=groups,
        ),
        "temperature": _temperature(answers, val, unrounded, y_true, params),
        "abstention": abstention.measure(probabilities.max(axis=1), probabilities.argmax(axis=1) == y_true, groups),
        "decision": decision.measure(predictor.info, unrounded, y_true, groups) if predictor.info.get("decision") else None,
        "label_errors": label_errors.suspects([sample.id for sample in samples], y_true, probabilities, predictor.classes),
    }
    described = describe(ctx, wanted, f"describe {params.split}")
    traits = slices.traits_of(samples, described)
    correct = probabilities.argmax(axis=1) == y_true
    metrics["slices"] = slices.by_slice(samples, traits, correct, params.slices, groups)
    metrics["unknown"] = (
        None if scores is None else none_of_these.measure(scores, y_true, correct, predictor.classes, predictor.info["unknown"])
    )
    metrics["baseline_model"] = against(baseline, samples, correct, groups) if baseline else None
    metrics["near_copies"] = _near_copies(ctx, dataset, samples, correct, params, groups, clusters)
    metrics["folds"] = None if held is None else folds.measure(samples, correct, groups, predictor.info)
    metrics["label_conflicts"] = label_conflicts.find(dataset, params.split)
    if dataset.order:
        predicted = probabilities.argmax(axis=1)
        metrics["order"] = ordinal.measure(y_true, predicted, predictor.classes, dataset.order, groups, ctx.rng("order"))
    return Evaluation(
        classes=predictor.classes,
        split=params.split,
        samples=tuple(samples),
        y_true=y_true,
        probabilities=probabilities,
        metrics=metrics,
        dataset=dataset,
        traits=traits,
        groups=groups,
        failed=tuple(failed),
        model=predictor.info,
        predictor=predictor if held is None else None,  # the model of all images did not make these predictions
        unknown_scores=scores,
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
    ctx: Context, answers: Iterable[Answer], number: int, num_classes: int
) -> tuple[list[Sample], NDArray[np.float64], NDArray[np.float64] | None, list[Failure]]:
    """The samples that can be read, their probabilities, their scores for *none of these* if the model has one, the others."""
    kept: list[Sample] = []
    rows: list[NDArray[np.float32]] = []
    failed: list[Failure] = []
    for sample, prediction in answers:
        if isinstance(prediction, ImageError):
            failed.append(Failure(sample.id, prediction.message, sample.image))
        else:
            kept.append(sample)
            rows.append(prediction)
    if failed:
        examples = "; ".join(f"{failure.id}: {failure.reason}" for failure in failed[:3])
        if not kept:
            raise UserError(f"none of {number} images can be read ({examples})", "Check the files; nothing was evaluated.")
        ctx.warn(f"{len(failed)} of {number} images can't be read and are not evaluated ({examples})")
    found = np.array(rows, np.float64)
    probabilities, scores = found[:, :num_classes], rounded(found[:, num_classes:])
    if not np.isfinite(probabilities).all():
        raise UserError(
            "the model predicts probabilities that are not finite (NaN or infinity)",
            "Its training diverged: train it again with a lower learning rate.",
        )
    return kept, probabilities, scores[:, 0] if scores.shape[1] else None, failed


def rounded(rows: Sequence[NDArray[np.float32]] | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.round(np.array(rows, np.float64), DECIMALS), np.float64)


def _has_train(dataset: Dataset, params: EvaluateParams) -> bool:
    """Whether there are training images to compare with."""
    return params.split != "train" and bool(dataset.counts.get("train"))


def _fingerprints(
    ctx: Context, dataset: Dataset, samples: Sequence[Sample], params: EvaluateParams
) -> Mapping[str, str] | None:
    """Fingerprints of the dataset, or of the evaluated images if there is no train split; None without a search for copies."""
    if not params.near_copies:
        return None
    if not _has_train(dataset, params):
        return fingerprints(ctx, samples, "find near duplicates")
    return fingerprints(ctx, dataset, "find near duplicates in train")


def _named_alike(
    ctx: Context, dataset: Dataset, samples: Sequence[Sample], params: EvaluateParams, prints: Mapping[str, str] | None
) -> dict[str, Any] | None:
    folds = [fold_of(sample) for sample in samples] if params.split == OUT_OF_FOLD else None
    found = named_alike.find(dataset, samples, params.split, prints or {}, folds)
    if found and found["in_train"]:
        images = "images" if folds else f"{params.split} images"
        ctx.warn(
            f"{found['words']}: {found['in_train']:,} of {len(samples):,} {images} have the stem of a training image. If a "
            f"stem is a patient, a video or a scene, the accuracy is too high: split with {found['option']}"
        )
    return found


def _clusters(
    ctx: Context,
    dataset: Dataset,
    samples: Sequence[Sample],
    params: EvaluateParams,
    embeddings: Embeddings | None,
    prints: Mapping[str, str] | None,
) -> near_copies.Clusters | None:
    """The near duplicates among the evaluated images, and in train if there is a train split."""
    if prints is None:
        return None
    ids = [sample.id for sample in samples]
    has_train = _has_train(dataset, params)
    wanted = embeddings if has_train or params.split == OUT_OF_FOLD else None
    by_features = find_copies(ctx, dataset, embedded_of(ctx, wanted, dataset)) if wanted is not None else None
    train = {sample.id: prints[sample.id] for sample in dataset.split("train") if sample.id in prints} if has_train else {}
    return near_copies.search(ids, prints, train, by_features)


def _near_copies(
    ctx: Context,
    dataset: Dataset,
    samples: Sequence[Sample],
    correct: NDArray[np.bool_],
    params: EvaluateParams,
    groups: NDArray[np.int64] | None,
    clusters: near_copies.Clusters | None,
) -> dict[str, Any] | None:
    if clusters is None or params.split == "train":
        return None
    ids = [sample.id for sample in samples]
    if params.split == OUT_OF_FOLD:
        numbers = np.array([fold_of(sample) for sample in samples], np.int64)
        found = near_copies.across_folds(ids, clusters, numbers, origins_of(samples), correct, groups)
        what = "images have a copy in another fold"
    elif _has_train(dataset, params):
        found = near_copies.find(ids, clusters, correct, _same_origin(dataset, params.split), groups)
        what = f"{params.split} images have a copy in train"
    else:
        return None
    if found["count"]:
        ctx.warn(
            f"{found['count']} of {len(samples)} {what} (a near duplicate, or another copy of the same original), which "
            "flatters the accuracy; the report also gives the accuracy without them"
        )
    return found


def _groups(
    dataset: Dataset, samples: Sequence[Sample], params: EvaluateParams, clusters: near_copies.Clusters | None
) -> Grouping:
    origin = dict(zip((sample.id for sample in dataset), origins_of(dataset), strict=True))
    copies = [] if clusters is None else clusters.among([sample.id for sample in samples])
    origins = [origin[sample.id] for sample in samples]
    return groups_of(samples, origins, params.group_column, params.group_pattern, copies)


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


def _val(dataset: Dataset, classes: Sequence[str]) -> list[Sample]:
    known = set(classes)
    return [sample for sample in dataset.split("val") if sample.label in known]


def _temperature(
    answers: Answers,
    val: Sequence[Sample],
    probabilities: NDArray[np.float64],
    y_true: NDArray[np.int64],
    params: EvaluateParams,
) -> dict[str, Any] | None:
    """The effect of temperature scaling on the evaluated split: by the model's own temperature, else by one fitted on val."""
    info = answers.predictor.info
    if not params.calibrate or params.split == "val" or is_applied(info):
        return None
    found = info[KEY] if states_temperature(info) else _fitted(answers, val)
    return calibration.effect_of(found, probabilities, y_true, params.bins, DECIMALS)


def _fitted(answers: Answers, val: Sequence[Sample]) -> dict[str, Any]:
    place = {name: i for i, name in enumerate(answers.predictor.classes)}
    rows, labels = [], []
    for sample, prediction in answers.of(val, "predict val"):
        if not isinstance(prediction, ImageError):
            rows.append(prediction[: len(place)])
            labels.append(place[str(sample.label)])
    return fitted(np.array(rows, np.float64).reshape(-1, len(place)), np.array(labels, np.int64))
