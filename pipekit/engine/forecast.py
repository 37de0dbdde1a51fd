"""The forecast of a run: what it would do with each stage, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Forecast:
    """What a run would do with a stage.

    Attributes:
        state: ``cached``, ``run``, ``depends`` on what an input turns out to be, or ``fails``: it is in the store, with more
            failed samples than ``max_failed`` allows.
        begun: it ran before with the same inputs and parameters, and was stopped before its end.
    """

    stage: str
    use: str
    state: str
    reason: str = ""
    begun: bool = False
