"""Which templates a budget allows, by their estimated costs: what ``model = "auto"`` tries, and what a page says before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipekit.contract import Call
from pipekit.errors import UserError
from pipekit.learning.templates import Work, cost_s, duration
from pipekit.tasks import CLASSES

FEWEST_VAL = 20
"""Validation images below which they can't tell two templates apart: with 20, one standard error is up to 11 points."""


@dataclass(frozen=True)
class Candidate:
    """A template that was tried, or left out for a reason.

    Attributes:
        estimate_s: estimated seconds; None if the template states no cost.
        left_out: why it was not trained; "" if it was.
        num_val: validation images; ``val_accuracy``, its 95 % interval and ``val_loss`` are measured on them.
    """

    template: str
    params: dict[str, Any]
    estimate_s: float | None
    left_out: str = ""
    num_val: int = 0
    val_accuracy: float | None = None
    val_low: float | None = None
    val_high: float | None = None
    val_loss: float | None = None

    @property
    def said(self) -> str:
        """What came of it, in words."""
        if self.val_accuracy is None and self.val_loss is not None:
            return f"{self.template}: loss {self.val_loss:.4f} on val ({self.num_val:,} images)"
        if self.val_accuracy is None:
            return f"{self.template} was trained; there is no val to measure it on"
        return (
            f"{self.template}: accuracy {self.val_accuracy:.3f} on val "
            f"(95 % interval {self.val_low:.3f} to {self.val_high:.3f}, {self.num_val:,} images)"
        )


def within_budget(calls: Sequence[Call], work_of: Callable[[Call], Work], fewest: int, budget_s: float) -> list[Candidate]:
    """Each candidate in its order, with its estimate, and with the reason why it is left out if it is.

    Args:
        fewest: training images of the smallest class; of all, where images have several labels or a number.

    Raises:
        UserError: none can be trained.
    """
    found: list[Candidate] = []
    num_val = 0
    for call in calls:
        work = work_of(call)
        num_val = work.val
        one = Candidate(call.name, call.params.model_dump(mode="json"), None)
        try:
            seconds = cost_s(call.load(), work, call.params)
        except UserError as error:
            found.append(left_out(one, error.message))
            continue
        one = Candidate(one.template, one.params, None if seconds is None else round(seconds, 1))
        found.append(left_out(one, _too_few(call.load(), fewest, work.task)))
    return _within(_told_apart(found, num_val), budget_s)


def exceeds(call: Call, work: Work, budget_s: float) -> bool:
    """Whether a candidate's estimate alone is over the budget; a candidate that can't be trained is left out elsewhere."""
    try:
        seconds = cost_s(call.load(), work, call.params)
    except UserError:
        return False
    return seconds is not None and seconds > budget_s


def _too_few(template: Any, fewest: int, task: str) -> str:
    needed = int(getattr(template, "images_a_class", 0))
    if fewest >= needed:
        return ""
    if task != CLASSES:
        return f"it needs {needed} training images, and there are {fewest}"
    return f"it needs {needed} training images of each class, and one has {fewest}"


def _told_apart(found: Sequence[Candidate], num_val: int) -> list[Candidate]:
    """Only the first usable candidate, if val has too few images to compare it with others."""
    if num_val >= FEWEST_VAL:
        return list(found)
    usable = [one for one in found if not one.left_out]
    reason = f"{num_val} validation images are too few to tell templates apart ({FEWEST_VAL} are needed)"
    return [one if one.left_out or one is usable[0] else left_out(one, reason) for one in found]


def _within(found: Sequence[Candidate], budget_s: float) -> list[Candidate]:
    """The candidates in their order, as long as their estimates fit the budget; the cheapest, if none fits.

    Raises:
        UserError: there is none.
    """
    usable = [one for one in found if not one.left_out]
    if not usable:
        raise UserError(
            "none of the candidates can be trained: " + "; ".join(f"{one.template}: {one.left_out}" for one in found),
            "Name a template: --model simple_cnn. `pipekit models` lists them.",
        )
    spent, kept = 0.0, []
    for one in usable:
        if one.estimate_s is not None and spent + one.estimate_s <= budget_s:
            spent += one.estimate_s
            kept.append(one)
    if not kept:
        kept = [min(usable, key=lambda one: (one.estimate_s is None, one.estimate_s or 0.0))]
    return [one if one.left_out or one in kept else left_out(one, _over(one, budget_s)) for one in found]


def _over(one: Candidate, budget_s: float) -> str:
    if one.estimate_s is None:
        return "it states no cost that could be compared with the budget"
    return f"an estimated {duration(one.estimate_s)} more would exceed the budget of {duration(budget_s)}"


def left_out(one: Candidate, reason: str) -> Candidate:
    """The same, not trained for a reason; "" for none."""
    return Candidate(one.template, one.params, one.estimate_s, reason)
