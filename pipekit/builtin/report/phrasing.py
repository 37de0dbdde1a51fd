"""Numbers as text: percentages, intervals, counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def points(value: float) -> str:
    """``12 points``: a difference of shares."""
    return f"{100 * value:.0f} point{'' if round(100 * value) == 1 else 's'}"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def percent(value: float, fine: bool = False) -> str:
    """``8 %``; with one decimal if ``fine``, or if rounding would say 0 % or 100 % of a share that is neither."""
    rounded = f"{100 * value:.0f}"
    return f"{100 * value:.1f} %" if fine or (rounded in ("0", "100") and 0 < value < 1) else f"{rounded} %"


def is_fine(found: Mapping[str, Any]) -> bool:
    """Whether an interval is narrow enough for a decimal: "67 % to 68 %" says less than "66.6 % to 68.4 %"."""
    return bool(found["high"] - found["low"] < 0.04)


def estimate(found: Mapping[str, Any]) -> str:
    """``0.958 (0.89 to 0.99)``; a dash if undefined."""
    if found["value"] is None:
        return "–"
    if found["low"] is None:
        return number(found["value"])
    return f"{found['value']:.3f} ({found['low']:.2f} to {found['high']:.2f})"


def count(n: int, one: str, many: str = "") -> str:
    """``1 image``, ``1,200 images``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
