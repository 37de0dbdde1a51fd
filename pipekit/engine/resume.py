"""What resumes a stopped or killed run: finished stages and shards are taken from the store by their keys, the rest is made.

There is no record of how far a run came. A stage or a shard is finished if the store has a whole folder for its key, whoever
made it, so the same command continues a run that was killed. A training continues from its checkpoint, which lies in the
stage's folder below ``work/`` (``ctx.work_dir``).

``--resume`` adds a check only: no run starts over by mistake. Another number of epochs, another seed or a changed image is
another training, which has no checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pipekit.engine.forecast import Forecast
from pipekit.errors import DamagedError, UserError
from pipekit.store.store import Store
from pipekit.store.wholeness import guard

DONE_HINT = "Without --resume the same command shows the results again; --again STAGE runs a stage again."


def finished_stage(store: Store, key: str, again: bool = False) -> dict[str, Any] | None:
    """The manifest of a stage's result, if the store has it whole; None if the stage must run.

    With ``again`` the result is removed first.
    """
    if again:
        store.discard(key)
    return store.manifest(key)


def take_finished_shard(store: Store, key: str, take: Callable[[Path], None], again: bool = False) -> bool:
    """Call ``take`` with a shard's folder, if the store has it whole. Returns whether it has; if not, the shard must run.

    A shard in which ``take`` finds damage is set aside. With ``again`` the shard is removed first.
    """
    place = store.shard_dir(key)
    if again:
        store.remove(place)
    if not store.has_shard(key):
        return False
    try:
        take(place)
    except DamagedError as error:
        store.set_aside(place, error.problem)
        guard.take_noted()
        return False
    return True


def check_resumable(name: str, steps: Sequence[Forecast]) -> None:
    """Check that the run of this name was stopped before its end; ``steps`` is its forecast.

    Raises:
        UserError: it is finished, or its next stage was never begun with these inputs and parameters.
    """
    todo = _next(steps)
    if todo is None:
        raise UserError(f"there is nothing to resume: {name!r} is finished", DONE_HINT)
    if not todo.begun and todo.state != "fails":  # a failed stage reports its own error
        raise UserError(
            f"there is nothing to resume: stage {todo.stage!r} was never begun with these inputs and parameters: {todo.reason}",
            "Give the values of the run that was stopped, or leave --resume out to begin this one.",
        )


def check_any_resumable(name: str, combinations: Iterable[Sequence[Forecast]]) -> None:
    """Check the same for a matrix: some of its combinations were begun or finished, and not all are finished."""
    todo = [_next(steps) for steps in combinations]
    if all(step is None for step in todo):
        raise UserError(f"there is nothing to resume: all combinations of {name!r} are finished", DONE_HINT)
    if not any(step is None or step.begun for step in todo):
        raise UserError(
            f"there is nothing to resume: no combination of {name!r} was begun with these inputs and parameters",
            "Leave --resume out to begin.",
        )


def _next(steps: Sequence[Forecast]) -> Forecast | None:
    """The first stage that is not done."""
    return next((step for step in steps if step.state != "cached"), None)
