"""The searches of ``[matrix]`` in the box besides the grid: at random, and by Optuna."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any, Literal

from pipekit.contract import Params, SearchSpace, Trial, ValueRange
from pipekit.errors import UserError
from pipekit.rng import Rng, rng_for


def at_random(space: SearchSpace, params: Params, rng: Rng) -> list[dict[str, Any]]:
    """`trials` combinations drawn at random, each value by itself."""
    return [space.draw(rng_for(space.seed, "matrix", number)) for number in range(space.trials)]


def by_optuna(space: SearchSpace, params: Params, rng: Rng) -> Generator[dict[str, Any], Trial, None]:
    """`trials` combinations, each proposed from the results so far.

    Optuna's sampler TPE: J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011.
    """
    try:
        import optuna
    except ImportError:
        raise UserError(
            "matrix.search is 'optuna', which is not installed",
            "Install it: pip install 'pipekit-vision[optuna]'; or draw: random",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction: Literal["maximize", "minimize"] = "maximize" if space.goal == "max" else "minimize"
    study = optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=space.seed))
    for _ in range(space.trials):
        asked = study.ask()
        made = yield {name: _suggested(asked, name, choices) for name, choices in space.values.items()}
        if made.score is None:
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(asked, made.score)


def _suggested(trial: Any, name: str, choices: Any) -> Any:
    if not isinstance(choices, ValueRange):
        return choices[trial.suggest_categorical(name, list(range(len(choices))))]
    if choices.whole:
        return trial.suggest_int(name, math.ceil(choices.low), math.floor(choices.high), log=choices.log)
    value = float(f"{trial.suggest_float(name, choices.low, choices.high, log=choices.log):.4g}")
    return min(max(value, choices.low), choices.high)
