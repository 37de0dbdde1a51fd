"""The comparison metric `${component}`."""

from collections.abc import Mapping, Sequence

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    sure_cost: float = pipekit.param(5.0, "Cost of a mistake that the model makes with confidence; any other costs 1", ge=1, le=1000)
    sure_from: float = pipekit.param(0.9, "Confidence from which the model is sure", gt=0, le=1)


def ${component}(rows: Sequence[Mapping[str, str]], params: ${Component}Params) -> list[float]:
    """Minus the cost of each prediction: confident mistakes cost more.

    A row has the columns of `predictions.csv` as text. Return a number for each row; higher is better.
    """
    sure = [float(row["confidence"]) >= params.sure_from for row in rows]
    return [
        0.0 if row["correct"] == "1" else -params.sure_cost if is_sure else -1.0 for row, is_sure in zip(rows, sure, strict=True)
    ]
