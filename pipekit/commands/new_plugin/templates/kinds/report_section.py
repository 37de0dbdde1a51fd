"""The report section `${component}`."""

import pipekit
from pipekit.learning.evaluation import Evaluation


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    count: int = pipekit.param(10, "Number of images to list", unit="images", ge=1, le=1000)


def ${component}(ctx: pipekit.Context, evaluation: Evaluation, params: ${Component}Params) -> pipekit.Section:
    """The predictions with the lowest confidence."""
    rows = []
    for number in evaluation.confidence.argsort(kind="stable")[: params.count]:
        sample = evaluation.samples[number]
        predicted = evaluation.classes[evaluation.predicted[number]]
        rows.append((sample.id, sample.label, predicted, round(float(evaluation.confidence[number]), 3)))
    return pipekit.Section(
        "Least confident predictions",
        "The images whose predicted class has the lowest probability.",
        tables=(pipekit.Table(("image", "true class", "predicted", "probability"), tuple(rows)),),
    )
