"""``--resume``: resume a stopped run, or report that there is nothing to resume.

The same command resumes without it too. With it, no run starts over by mistake: another number of epochs, another seed or a
changed image is another training, which has no checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipekit.engine.forecast import Forecast
from pipekit.engine.run import forecast
from pipekit.errors import UserError
from pipekit.pipeline.plan import Plan

DONE_HINT = "Without --resume the same command shows the results again; --again STAGE runs a stage again."


def check_resumable(plan: Plan, until: str | None = None) -> None:
    """Check that a run of this plan was stopped before its end.

    Raises:
        UserError: it is finished, or its next stage was never begun with these inputs and parameters.
    """
    todo = _next(plan, until)
    if todo is None:
        raise UserError(f"there is nothing to resume: {plan.name!r} is finished", DONE_HINT)
    if not todo.begun and todo.state != "fails":  # a failed stage reports its own error
        raise UserError(
            f"there is nothing to resume: stage {todo.stage!r} was never begun with these inputs and parameters: {todo.reason}",
            "Give the values of the run that was stopped, or leave --resume out to begin this one.",
        )


def check_any_resumable(plans: Iterable[Plan], name: str) -> None:
    """Check the same for a matrix: some of its combinations were begun or finished, and not all are finished."""
    todo = [_next(plan, None) for plan in plans]
    if all(step is None for step in todo):
        raise UserError(f"there is nothing to resume: all combinations of {name!r} are finished", DONE_HINT)
    if not any(step is None or step.begun for step in todo):
        raise UserError(
            f"there is nothing to resume: no combination of {name!r} was begun with these inputs and parameters",
            "Leave --resume out to begin.",
        )


def _next(plan: Plan, until: str | None) -> Forecast | None:
    """The first stage that is not done."""
    return next((step for step in forecast(plan, until) if step.state != "cached"), None)
