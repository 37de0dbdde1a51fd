"""Images of 12 bits and fewer in 16-bit files, which are read as nearly black."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipekit.builtin.inspect import examples
from pipekit.builtin.inspect.rows import columns_in
from pipekit.contract import Context, Finding, Params, param
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

Rows = Sequence[Mapping[str, Any]]


class NarrowParams(Params):
    brightest: int = param(32, "Largest 99th percentile of brightness, of 255, that counts as narrow", ge=0, le=255)


@examples.example(examples.narrow_range)
@supports(CLASSES, MULTILABEL, NUMBER)
def narrow_range(rows: Rows, ctx: Context, params: NarrowParams) -> Iterator[Finding]:
    """16-bit files whose values end at an eighth of their range or below."""
    measured = columns_in(rows)
    modes = measured.texts["mode"]
    deep = [code for code, name in enumerate(modes.names) if str(name).startswith("I;16")]
    if not deep:
        return
    among = measured.good & (measured.numbers["bright_level"] <= params.brightest)
    found = measured.ids_at(among & sum((modes.codes == code for code in deep), start=among & False))
    if found:
        words = (
            "a 16-bit file that is nearly black: its values may have fewer bits. State their range in the import: "
            "value_range = [0, 4095] for 12 bits"
        )
        yield Finding("narrow_range", "warning", words, found, {"remove": []})
