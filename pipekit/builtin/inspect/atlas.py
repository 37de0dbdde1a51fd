"""The map of a dataset on the page of ``inspect``: images that look alike lie close together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.inspect.measured import MeasuredRows
from pipekit.contract import Context, Finding, Section
from pipekit.learning.mapped import release
from pipekit.learning.projection import FEWEST, MOST, caption_of, project, sample_of
from pipekit.params import Call

if TYPE_CHECKING:
    from pipekit.learning.embeddings import Embedded

MAP = "map"
"""The stage's note of the map that it has drawn."""


def map_section(
    ctx: Context,
    rows: MeasuredRows,
    embedded: Embedded,
    findings: Sequence[Finding],
    paths_of: Callable[[Iterable[int]], Mapping[str, str]],
    projection: Call,
    most: int = MOST,
) -> Section | None:
    """The section; None if there are too few images.

    Args:
        embedded: the features of images, which may be more or fewer than those of ``rows``.
        paths_of: the paths of images by their ids, from their numbers.
        projection: the component that makes points of features.
        most: maximum number of images; more are sampled.
    """
    from pipekit.page.image_map import image_map, sprite

    numbers = rows.number_of
    usable = [at for at, name in enumerate(embedded.ids) if name in numbers and rows.good[numbers[name]]]
    if len(usable) < FEWEST:
        return None
    chosen = [usable[at] for at in sample_of([embedded.ids[at] for at in usable], most).tolist()]
    ids = [embedded.ids[at] for at in chosen]
    table = embedded.table[chosen]
    release(embedded.table)
    points = _remembered(ctx, ids, table, projection)
    paths = paths_of(numbers[name] for name in ids)
    worst = _worst(findings)
    facts = {
        "class": [rows.text("label", numbers[name]) or "" for name in ids],
        "split": [rows.text("split", numbers[name]) or "" for name in ids],
        "finding": [worst.get(name, "") for name in ids],
    }
    pictures = sprite([paths.get(name, "") for name in ids], ctx.workers)
    html = image_map(points, ids, facts, pictures, f"Map of {len(ids):,} images by their features.")
    return Section("Map", caption_of(len(ids), len(usable), projection), html=html)


def _worst(findings: Sequence[Finding]) -> dict[str, str]:
    """The check of the most severe finding of each image; findings that are only information are left out."""
    found: dict[str, str] = {}
    for severity in ("error", "warning"):
        for finding in findings:
            if finding.severity == severity:
                for name in finding.samples:
                    found.setdefault(name, finding.check)
    return found


def _remembered(ctx: Context, ids: Sequence[str], table: NDArray[np.float16], projection: Call) -> NDArray[np.float32]:
    """The points, from the stage's note if it has these images by this projection."""
    made_by = projection.component
    how = f"{projection.to_plain()} {made_by.plugin} {made_by.version} {made_by.source_digest}"
    names = "\n".join([how, *ids]).encode("utf-8", "surrogatepass")
    key = hashlib.sha256(names + b"\0" + np.ascontiguousarray(table).tobytes()).digest()
    note = ctx.recall(MAP)
    if note is not None and note[: len(key)] == key and len(note) == len(key) + 8 * len(ids):
        return np.frombuffer(note, "<f4", offset=len(key)).reshape(len(ids), 2)
    points = project(table, projection)
    ctx.remember(MAP, key + points.astype("<f4").tobytes())
    return points
