"""The stage ``similar``: the images of a dataset that are most alike to given ones, by the features of an embedder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from pipekit.contract import Call, Context, Dataset, Files, Params, Sample, Uses, param, stage
from pipekit.errors import ImageError, UserError
from pipekit.files import PlainTable
from pipekit.learning.embeddings import embed_parts
from pipekit.learning.nearest import Nearest, Vectors
from pipekit.tasks import stated, supports, written

COLUMNS = ("query", "rank", "id", "label", "split", "similarity", "same_file", "sha256")

ON_A_ROW = 12
"""Maximum number of neighbours of an image on the contact sheet."""


@dataclass(frozen=True)
class SimilarFiles(Files):
    """``similar.csv``, ``similar.json`` and the contact sheet ``similar.jpg``."""

    kind: ClassVar[str] = "similar"
    headline: ClassVar[tuple[str, ...]] = ("similar.jpg", "similar.csv")


class SimilarParams(Params):
    embedder: Annotated[Call, Uses("embedder")] = param(
        "efficientnet_lite0", "The embedder: its name, or a table with its parameters"
    )
    nearest: int = param(12, "Number of images to find for each one", unit="images", ge=1, le=1000)
    thumbnail_px: int = param(160, "Longer side of the images on the contact sheet", unit="px", ge=32, le=1024)


@supports("classes", "multilabel", "number")
@stage
def similar(ctx: Context, queries: tuple[Dataset, ...], dataset: Dataset, params: SimilarParams) -> SimilarFiles:
    """Find the images of a dataset that are nearest to each query image, by the cosine of their features.

    Raises:
        UserError: a query image can't be read, or the dataset has no image that can.
    """
    asked = [(number, sample) for number, query in enumerate(queries) for sample in query]
    vectors = _vectors(ctx, queries, asked, params.embedder)
    nearest: Nearest[str] = Nearest(vectors, params.nearest)
    problems: dict[str, str] = {}
    for part in embed_parts(ctx, dataset, params.embedder):
        nearest.add(part.ids, part.table)
        problems |= part.problems
    if problems:
        name, reason = min(problems.items())
        ctx.warn(f"{len(problems):,} images can't be read and are not compared, such as {name}: {reason}")
    if not nearest.num_seen:
        raise UserError("there is no image to compare with", "Is the dataset empty?")
    wanted = {name for found in nearest.found for name, _ in found}
    there = {sample.id: sample for sample in dataset if sample.id in wanted}
    rows = list(_rows(asked, nearest, there))
    _write(ctx, rows, params)
    _draw(ctx, asked, nearest, there, params.thumbnail_px)
    best = rows[0]
    return ctx.artifact(
        SimilarFiles,
        facts={"compared with": f"{nearest.num_seen:,} images"},
        headline=f"nearest to {asked[0][1].id}: {best['id']}, similarity {best['similarity']:.3f}",
    )


def _vectors(ctx: Context, queries: Sequence[Dataset], asked: Sequence[tuple[int, Sample]], embedder: Call) -> Vectors:
    """The features of the query images, in their order."""
    found: dict[tuple[int, str], Any] = {}
    for number, query in enumerate(queries):
        for part in embed_parts(ctx, query, embedder, "query"):
            if part.problems:
                name, reason = min(part.problems.items())
                raise UserError(f"{name} can't be compared: {reason}", "Give another image.")
            found |= {(number, name): row for name, row in zip(part.ids, part.table, strict=True)}
    if not asked:
        raise UserError("there is no image to find others for", "Give at least one.")
    return np.stack([found[number, sample.id] for number, sample in asked]).astype(np.float32)


def _rows(asked: Sequence[tuple[int, Sample]], nearest: Nearest[str], there: Mapping[str, Sample]) -> Any:
    for (_, query), found in zip(asked, nearest.found, strict=True):
        for rank, (name, cosine) in enumerate(found, 1):
            sample = there[name]
            values = (query.id, rank, name, stated(sample) or "", sample.split, cosine, sample.sha256 == query.sha256)
            yield dict(zip(COLUMNS, (*values, sample.sha256), strict=True))


def _write(ctx: Context, rows: Sequence[Mapping[str, Any]], params: SimilarParams) -> None:
    with (ctx.out_dir / "similar.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = PlainTable(file)
        table.writerow(COLUMNS)
        for row in rows:
            table.writerow(
                [*(row[name] for name in COLUMNS[:5]), f"{row['similarity']:.4f}", int(row["same_file"]), row["sha256"]]
            )
    found = {"embedder": params.embedder.name, "similarity": "cosine of the features", "nearest": rows}
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (ctx.out_dir / "similar.json").write_text(text, "utf-8", errors="surrogateescape")


def _draw(
    ctx: Context, asked: Sequence[tuple[int, Sample]], nearest: Nearest[str], there: Mapping[str, Sample], tile_px: int
) -> None:
    """A row for each query image, with its nearest images."""
    from pipekit import images
    from pipekit.images.draw import contact_sheet

    columns = 1 + min(ON_A_ROW, max(len(found) for found in nearest.found))
    blank = np.full((tile_px, tile_px, 3), 255, np.uint8)

    def tile(path: str) -> Any:
        try:
            return images.thumbnail(images.read(path, at_least_hw=(tile_px, tile_px)), tile_px)
        except (ImageError, OSError):
            return blank

    tiles, captions = [], []
    for (_, query), found in zip(asked, nearest.found, strict=True):
        shown = found[: columns - 1]
        tiles += [tile(query.image), *(tile(there[name].image) for name, _ in shown)]
        captions += [f"nearest to\n{query.id}", *(_caption(there[name], cosine, query) for name, cosine in shown)]
        tiles += [blank] * (columns - 1 - len(shown))
        captions += [""] * (columns - 1 - len(shown))
    images.write(ctx.out_dir / "similar.jpg", contact_sheet(tiles, captions, columns, tile_px=tile_px), quality=88)


def _caption(sample: Sample, cosine: float, query: Sample) -> str:
    same = ", the same file" if sample.sha256 == query.sha256 else ""
    return f"{cosine:.3f} {written(sample) or ''}{same}\n{sample.id}"
