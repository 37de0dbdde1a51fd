"""The template ``auto``: the train stage trains several templates, and keeps the one that val speaks for.

The choice depends on the data, the parameters and the estimated costs of the candidates alone, never on a clock: the same
images with the same seed give the same model on a fast and on a slow machine.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import field_validator

from pipekit.contract import Call, Params, Uses, param

_UNITS = {"s": 1, "m": 60, "h": 3600}

Candidate = Annotated[Call, Uses("model", key="template")]


class AutoParams(Params):
    candidates: tuple[Candidate, ...] = param(
        ("logistic_regression", "hog_svm", "simple_cnn"),
        "The templates to try: names, or tables with their parameters. Of equally good ones, the first is chosen",
        min_length=1,
    )
    budget: str = param(
        "3m",
        "Estimated time that the candidates may take together, such as 90s, 5m or 1h; estimates are for two cores",
        pattern=r"^\d+(\.\d+)?[smh]$",
    )

    @property
    def budget_s(self) -> float:
        return seconds_of(self.budget)

    @field_validator("budget", mode="before")
    @classmethod
    def _is_a_time(cls, value: Any) -> Any:
        if isinstance(value, str):
            seconds_of(value)
        return value

    @field_validator("candidates")
    @classmethod
    def _distinct(cls, value: tuple[Call, ...]) -> tuple[Call, ...]:
        for call in value:
            if hasattr(call.load(), "candidates"):
                raise ValueError(f"{call.name!r} chooses between templates and can't be a candidate")
        if len({str(call.to_plain()) for call in value}) < len(value):
            raise ValueError("the same candidate is named twice")
        return value


def seconds_of(text: str) -> float:
    """``"5m"`` -> 300.0.

    >>> seconds_of("90s"), seconds_of("1.5h")
    (90.0, 5400.0)

    Raises:
        ValueError: it is no such text.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if found is None:
        raise ValueError(f"expected a time such as 90s, 5m or 1h, got {text!r}")
    return float(found[1]) * _UNITS[found[2]]


def build(input_shape_hwc: tuple[int, int, int], num_classes: int, params: AutoParams) -> Any:
    """The model of the first candidate. The train stage does not ask for it: it trains the candidates themselves."""
    first = params.candidates[0]
    return first.load()(input_shape_hwc, num_classes, first.params)


build.candidates = lambda params: params.candidates  # type: ignore[attr-defined]
build.budget_s = lambda params: params.budget_s  # type: ignore[attr-defined]
build.reconstructs = False  # type: ignore[attr-defined]
