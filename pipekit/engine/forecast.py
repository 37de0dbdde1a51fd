"""The forecast of a run: what it would do with each stage, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Forecast:
    """What a run would do with a stage.

    Attributes:
        state: ``cached``, ``run``, ``depends`` on the result of an input, or ``fails``: the stored result has more
            failed samples than ``max_failed`` allows.
        begun: whether it was started before with the same inputs and parameters, and stopped before its end.
    """

    stage: str
    use: str
    state: str
    reason: str = ""
    begun: bool = False
