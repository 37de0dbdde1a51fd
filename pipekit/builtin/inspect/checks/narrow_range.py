"""Images of 12 bits and fewer in 16-bit files, which are read as nearly black."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipekit.contract import Context, Finding, Params, param

Rows = Sequence[Mapping[str, Any]]


class NarrowParams(Params):
    brightest: int = param(32, "Largest 99th percentile of brightness, of 255, that counts as narrow", ge=0, le=255)


def narrow_range(rows: Rows, ctx: Context, params: NarrowParams) -> Iterator[Finding]:
    """16-bit files whose values end at an eighth of their range or below."""
    found = [
        row["id"]
        for row in rows
        if "problem" not in row and str(row["mode"]).startswith("I;16") and row["bright_level"] <= params.brightest
    ]
    if found:
        words = (
            "a 16-bit file that is nearly black: its values may have fewer bits. State their range in the import: "
            "value_range = [0, 4095] for 12 bits"
        )
        yield Finding("narrow_range", "warning", words, tuple(found), {"remove": []})
