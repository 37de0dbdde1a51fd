"""Open rows as columns without loading NumPy before a check runs: planning imports every check for its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipekit.builtin.inspect.measured import MeasuredRows


def columns_in(rows: Sequence[Mapping[str, Any]]) -> MeasuredRows:
    """The rows that a check receives, as columns; also plain dicts."""
    from pipekit.builtin.inspect.measured import MeasuredRows

    return MeasuredRows.of(rows)
