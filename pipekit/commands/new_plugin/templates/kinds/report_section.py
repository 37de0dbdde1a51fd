"""The report section `${component}`."""

import pipekit
from pipekit.learning.evaluation import Evaluation


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    count: int = pipekit.param(10, "How many images to list", unit="images", ge=1, le=1000)


def ${component}(ctx: pipekit.Context, evaluation: Evaluation, params: ${Component}Params) -> pipekit.Section:
    """The answers of which the model was least sure."""
    rows = []
    for number in evaluation.confidence.argsort(kind="stable")[: params.count]:
        sample = evaluation.samples[number]
        predicted = evaluation.classes[evaluation.predicted[number]]
        rows.append((sample.id, sample.label, predicted, round(float(evaluation.confidence[number]), 3)))
    return pipekit.Section(
        "Least sure",
        "The images with the lowest probability for the answer given.",
        tables=(pipekit.Table(("image", "true class", "predicted", "probability"), tuple(rows)),),
    )
