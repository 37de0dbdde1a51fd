"""How an exported model's predictions compare with the original's, and whether they are close enough."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipekit.errors import StageError
from pipekit.learning.decisions import OUTPUT
from pipekit.learning.exported import SCORE
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER


@dataclass(frozen=True)
class Comparison:
    """How an exported model's predictions differ from the original's.

    Attributes:
        largest_difference: over the probabilities of all images; ``mean_difference`` is their mean.
        same_class: number of images for which both predict the same class, by the decision rule if it is exported; the same
            labels; numbers that differ by at most a tenth of the targets' standard deviation.
        largest_cost_difference: of the expected costs, as a share of the largest cost; None if the export does not decide.
        largest_score_difference, same_unknown: of the score for *none of these*, and the number of images that both reject or
            both keep; None if the model has no such score.
        original_right, exported_right: correct predictions among the ``labelled`` images, whose class is known. With several
            labels, all of an image's must be right.
        spread: of a number, the standard deviation of the training targets; the differences are in the number's unit.
        original_error, exported_error: of a number, the mean absolute errors on the ``labelled`` images.
    """

    pictures: str
    count: int
    largest_difference: float
    mean_difference: float
    same_class: int
    labelled: int = 0
    original_right: int = 0
    exported_right: int = 0
    largest_score_difference: float | None = None
    largest_cost_difference: float | None = None
    same_unknown: int | None = None
    task: str = CLASSES
    spread: float | None = None
    original_error: float | None = None
    exported_error: float | None = None

    @property
    def difference(self) -> float:
        """The largest difference that a tolerance is compared with: of a probability, or as a share of the spread."""
        return self.largest_difference / (self.spread or 1.0)

    @property
    def headline(self) -> str:
        of, same = SAID[self.task]
        words = (
            f"checked against the original on {self.pictures}: largest difference of {of} "
            f"{self.largest_difference:.1e}, {same} for {self.same_class} of {self.count}"
        )
        if self.exported_error is not None:
            words += f"; mean absolute error: {self.exported_error:.4g}, the original {self.original_error:.4g}"
        elif self.labelled:
            words += f"; correct: {self.exported_right} of {self.labelled}, the original {self.original_right}"
        if self.same_unknown is not None:
            words += f"; rejected or kept like the original: {self.same_unknown} of {self.count}"
        return words

    @property
    def facts(self) -> dict[str, str]:
        same = {CLASSES: "same class", MULTILABEL: "same labels", NUMBER: "nearly equal"}[self.task]
        found = {"largest difference": f"{self.largest_difference:.1e}", same: f"{self.same_class} of {self.count}"}
        if self.same_unknown is not None:
            found["same rejected"] = f"{self.same_unknown} of {self.count}"
        return found

    def to_plain(self) -> dict[str, Any]:
        """The content of ``check.json``."""
        found = asdict(self)
        if self.task != NUMBER:
            for name in ("spread", "original_error", "exported_error"):
                del found[name]
        if self.task == CLASSES:
            del found["task"]
        return found


SAID = {
    CLASSES: ("a probability", "the same class"),
    MULTILABEL: ("a probability", "the same labels"),
    NUMBER: ("the number", "nearly the same number"),
}
"""What is compared, and what is the same, in the words of the check."""


def within(found: Comparison, tolerance: float, *, name: str = "tolerance", of_score: float | None = None) -> Comparison:
    """Compare the two models, and return the comparison if they agree.

    Args:
        name: the parameter that sets the tolerance.
        of_score: the tolerance of the score for *none of these*; default: the same.

    Raises:
        StageError: a probability, or the score for *none of these*, differs by more than the tolerance.
    """
    hint = f"Nothing was written. Raise `{name}` to accept the difference."
    of_score = tolerance if of_score is None else of_score
    if found.difference > tolerance:
        raise StageError(
            f"the exported model differs from the original: {found.headline}; allowed is {tolerance * (found.spread or 1):g}",
            hint,
        )
    if (found.largest_score_difference or 0.0) > of_score:
        raise StageError(
            f"the exported model differs from the original: its {SCORE} by {found.largest_score_difference:.1e} "
            f"({found.headline}); allowed is {of_score:g}",
            hint,
        )
    if (found.largest_cost_difference or 0.0) > tolerance:
        raise StageError(
            f"the exported model differs from the original: its {OUTPUT} by {found.largest_cost_difference:.1e} of the largest "
            f"cost ({found.headline}); allowed is {tolerance:g}",
            hint,
        )
    return found
