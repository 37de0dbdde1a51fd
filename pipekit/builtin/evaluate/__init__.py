"""The stage ``evaluate``: measure a model on images that it has not seen, with confidence intervals, and write a report."""

from __future__ import annotations

from typing import Annotated

from pipekit.contract import Call, Context, Dataset, Embeddings, Model, Params, Report, Uses, param, stage
from pipekit.errors import UserError
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, TASKS, require, supports, task_of


class EvaluateParams(Params):
    split: str = param(
        "test",
        "Split to evaluate on; out-of-fold: what the models of a cross-validation predicted for the images they did not see",
        min_length=1,
    )
    top_k: tuple[int, ...] = param((2, 3, 5), "Values of k for top-k accuracy")
    resamples: int = param(
        2000,
        "Number of simulated test sets for the calibration error's level, and of an autoencoder's resamples; 0 omits them",
        ge=0,
        le=100_000,
    )
    group_column: str = param("", "Column of what images share (patient, video); by default the groups that split was given")
    group_pattern: str = param("", "Regular expression of what images share, in their ids: '(patient_[0-9]+)_'")
    bins: int = param(15, "Number of bins for the calibration error", ge=2, le=100)
    calibrate: bool = param(True, "Fit temperature scaling on the val split and report its effect on calibration")
    near_copies: bool = param(True, "Search the train split for near duplicates of the evaluated images")
    slices: tuple[str, ...] = param(
        (), "Dataset columns to report the accuracy, or the error of a number, by (slices); empty: all with few values"
    )
    pictures: int = param(240, "Maximum number of thumbnails in the report", unit="images", ge=0, le=5000)
    thumbnail_px: int = param(160, "Longest side of a thumbnail", unit="px", ge=32, le=1024)
    explain: int = param(
        12, "Number of images explained with attribution maps (saliency) in the report", unit="images", ge=0, le=200
    )
    sections: tuple[Annotated[Call, Uses("report_section")], ...] = param(
        (), "Plugins' report sections to add: names, or tables with parameters"
    )
    projection: Annotated[Call, Uses("projection")] = param(
        "tsne", "How the map of the images is made of their features: its name, or a table with its parameters"
    )
    batch_size: int = param(32, "Batch size for prediction", unit="images", ge=1, le=4096, in_key=False)


@supports(CLASSES, MULTILABEL, NUMBER)
@stage(libraries=("tensorflow", "keras", "onnxruntime", "scikit-learn", "scipy"))
def evaluate(
    ctx: Context,
    model: Model,
    dataset: Dataset,
    params: EvaluateParams,
    baseline: Report | None = None,
    embeddings: Embeddings | None = None,
) -> Report:
    """Evaluate the model on one split and write ``report.html``, ``metrics.json``, ``predictions.csv`` and the figures.

    ``baseline`` is the report of a simpler model on the same images (for example HOG + SVM), which this one should beat.
    With ``embeddings`` of the dataset, near duplicates in train are also found by features, and the report has a map.

    A model of several labels or of a number is evaluated on a dataset of the same task: figures of each label and their
    averages, or errors and prediction intervals.

    An autoencoder is evaluated by its reconstructions: the error of each image, beside that of the mean training image, and
    the images whose error is unusual.

    All metrics are computed from the probabilities as written to ``predictions.csv``, so you can recompute them from it. The
    report's digest covers the metrics and the predictions, without paths and times.
    """
    from dataclasses import replace

    from pipekit.builtin.evaluate.outputs import facts, headline, write_outputs
    from pipekit.builtin.evaluate.score import score
    from pipekit.learning.advice import first_of_evaluation
    from pipekit.learning.embeddings import read_embeddings
    from pipekit.learning.predictor import is_reconstruction

    if is_reconstruction(model.path):
        from pipekit.builtin.evaluate.reconstruction import evaluate_reconstruction

        if baseline is not None:
            raise UserError("an autoencoder can't be compared with a classifier's report", "Omit the baseline.")
        return evaluate_reconstruction(ctx, model.path, dataset, params)

    if (task := task_of(model)) != CLASSES:
        from pipekit.builtin.evaluate.of_task import evaluate_task

        if baseline is not None or embeddings is not None:
            raise UserError(
                f"evaluate does not support baseline and embeddings for {TASKS[task]} yet",
                "Omit them: the report has a baseline.",
            )
        return evaluate_task(ctx, model.path, task, dataset, params)
    require("a model of classes", dataset.task, [CLASSES])
    if baseline is not None:
        require("a baseline of classes", task_of(baseline), [CLASSES])

    evaluation = score(ctx, model.path, dataset, params, baseline, embeddings)
    if embeddings is not None:
        evaluation = replace(evaluation, embedded=read_embeddings(embeddings))
    digest = write_outputs(ctx, evaluation, params)
    return ctx.artifact(
        Report,
        digest=digest,
        facts=facts(evaluation.metrics),
        headline=headline(evaluation),
        advice=first_of_evaluation(ctx, evaluation),
    )
