"""The stage ``evaluate``: how good a model is on images that it has not seen, how sure that is, and a report of it all."""

from __future__ import annotations

from pipekit.contract import Context, Dataset, Model, Params, Report, param, stage


class EvaluateParams(Params):
    split: str = param("test", "Which split to measure on", min_length=1)
    top_k: tuple[int, ...] = param((2, 3, 5), "For which k the top-k accuracy is given")
    resamples: int = param(2000, "Bootstrap resamples for the intervals; 0 leaves them out", ge=0, le=100_000)
    bins: int = param(15, "Bins of the calibration error", ge=2, le=100)
    calibrate: bool = param(True, "Fit a temperature on the val split and say what it would change")
    near_copies: bool = param(True, "Look for test images that have a near copy in the train split")
    slices: tuple[str, ...] = param((), "Columns of the dataset to report the accuracy by; none: all with few values")
    pictures: int = param(240, "Most thumbnails in the report", unit="images", ge=0, le=5000)
    thumbnail_px: int = param(160, "Longest side of a thumbnail", unit="px", ge=32, le=1024)
    explain: int = param(
        12, "How many of the most instructive pictures are shown with what speaks for the answer", unit="images", ge=0, le=200
    )
    sections: tuple[str, ...] = param((), "Report sections of plugins to add, by name")
    batch_size: int = param(32, "Images that the model takes at a time", unit="images", ge=1, le=4096, in_key=False)


@stage(libraries=("tensorflow", "keras", "scikit-learn"))
def evaluate(ctx: Context, model: Model, dataset: Dataset, params: EvaluateParams, baseline: Report | None = None) -> Report:
    """Measure the model on one split and write ``report.html``, ``metrics.json``, ``predictions.csv`` and the figures.

    ``baseline`` is the report of a simpler model on the same images (HOG + SVM), which this one should beat.

    All figures are computed from the probabilities as they stand in ``predictions.csv``, so they can be checked with it. The
    report's digest is that of the metrics and the predictions; paths and times are not in it.
    """
    from pipekit.builtin.evaluate.outputs import facts, headline, write_outputs
    from pipekit.builtin.evaluate.score import score
    from pipekit.learning.advice import first_of_evaluation

    evaluation = score(ctx, model.path, dataset, params, baseline)
    digest = write_outputs(ctx, evaluation, params)
    return ctx.artifact(
        Report,
        digest=digest,
        facts=facts(evaluation.metrics),
        headline=headline(evaluation),
        advice=first_of_evaluation(ctx, evaluation),
    )
