"""Promises of searches for ``[matrix]``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pipekit.contract import Call, Trial, ValueRange
from pipekit.errors import PipekitError
from pipekit.testing.checks.core import Subject, promise

RATE = ValueRange(low=1e-4, high=1e-1, log=True)

SPACES: Mapping[str, Mapping[str, Any]] = {
    "lists": {"train.model": ["small", "large"], "train.dropout": [0.0, 0.25, 0.5], "train.ops": [[], "light"]},
    "ranges": {"train.rate": RATE, "train.epochs": ValueRange(low=1, high=20, whole=True)},
    "lists and ranges": {"train.rate": RATE, "train.warm": [True, False]},
    "one value": {"train.rate": [0.1]},
}

SCORED = {"as the combinations deserve": True, "not at all, since each run fails": False}


@promise("search")
def _searches(subject: Subject) -> str:
    """it proposes values that are among those given, and the same twice, whatever comes of the runs"""
    for what, values in SPACES.items():
        for trials in (1, 7):
            for scored, is_scored in SCORED.items():
                try:
                    first, second = (list(_proposed(subject, values, trials, is_scored)) for _ in range(2))
                except PipekitError as error:
                    return f"{what}, {trials} trial{'s' * (trials > 1)}, scored {scored}: {error.message}"
                if first != second:
                    return f"{what}: two searches with the same results differ; draw from `rng` alone"
    return ""


def _proposed(subject: Subject, values: Mapping[str, Any], trials: int, is_scored: bool) -> Iterator[dict[str, Any]]:
    """What a search proposes for a matrix whose runs have scores, or all fail."""
    from pipekit.engine.searches import Search
    from pipekit.pipeline.matrix_table import Matrix

    call = Call("search", subject.component.name, subject.params, {}, subject.component)
    search = Search(Matrix(values=dict(values), search=call, trials=trials), seed=3)
    made: list[Trial] = []
    for proposed in search.run(made):
        yield proposed
        made.append(Trial(proposed, _score(proposed), "") if is_scored else Trial(proposed, None, "out of memory"))


def _score(values: Mapping[str, Any]) -> float:
    """A score with one best rate, so that there is something to find."""
    rate = values.get("train.rate", 1e-2)
    return 1 - abs(math.log10(rate) + 2) / 4 - len(str(values)) / 1e4
