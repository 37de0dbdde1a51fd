"""The search `${component}`."""

from collections.abc import Iterator, Mapping
from typing import Any

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    first: int = pipekit.param(5, "Number of combinations drawn at random before the best one is changed", ge=1, le=1000)
    reach: float = pipekit.param(0.2, "Largest step from the best value, as a share of its range", gt=0, le=1)


def ${component}(space: pipekit.SearchSpace, params: ${Component}Params, rng: pipekit.Rng) -> Iterator[Mapping[str, Any]]:
    """Change one value of the best combination so far.

    `space.values` has the values of each name, or their `pipekit.ValueRange`. Each `yield` gives a combination to run and receives its
    `pipekit.Trial`, whose `score` is None if the run failed. At most `space.trials` combinations run. Draw from `rng` alone.
    """
    trials = []
    while True:
        best = space.best(trials)
        if best is None or len(trials) < params.first:
            proposed = space.draw(rng)
        else:
            name = list(space.values)[int(rng.integers(len(space.values)))]
            proposed = {**best.values, name: _near(space.values[name], best.values[name], params.reach, rng)}
        trials.append((yield proposed))


def _near(choices: Any, value: Any, reach: float, rng: pipekit.Rng) -> Any:
    """Another value near one: any of a list, or one within reach of a range."""
    if not isinstance(choices, pipekit.ValueRange):
        return choices[int(rng.integers(len(choices)))]
    return choices.at(min(max(choices.share_of(value) + rng.uniform(-reach, reach), 0), 1))
