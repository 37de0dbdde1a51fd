"""Embeddings of a dataset: computed once for an image and an embedder, and shared by every stage and run.

A stage asks with :func:`embed_parts`, a shard at a time, or with :func:`embed_dataset`, as one memory-mapped array. Pass the
whole dataset, whatever part of it you need: the shards of a dataset are the same before and after ``split``, while those of a
selection are others.
"""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import (
    Call,
    Context,
    Dataset,
    Embeddings,
    InputPath,
    Params,
    Sample,
    SampleContext,
    Uses,
    param,
    shared,
)
from pipekit.errors import UserError
from pipekit.files import plain_rows
from pipekit.images.choices import Fit
from pipekit.learning.embedders import facts_of, open_embedder
from pipekit.learning.mapped import release

ARRAY, ROWS, EMBEDDER = "embeddings.npy", "images.csv", "embedder.json"
_WEIGHTS = "weights"


class ConvertParams(Params):
    """Parameters of :func:`convert_weights`."""

    embedder: Annotated[Call, Uses("embedder")] = param(..., "The embedder")


class EmbedParams(ConvertParams):
    """Parameters of :func:`embed_image`."""

    fit: Fit = param("stretch", "How an image of another aspect ratio is brought to the embedder's size", in_key="changed")
    network: InputPath | None = param(None, "The network that `convert_weights` made, where the embedder has one")


@shared(version=1, libraries=("numpy",))
def convert_weights(sample: Sample, params: ConvertParams, ctx: SampleContext) -> Iterator[Sample]:
    """The network of an embedder, converted from its file of weights, which stands in for an image; kept in the store."""
    convert = facts_of(params.embedder.load(), params.embedder.params).convert
    assert convert is not None
    yield Sample(sample.id, ctx.write("network", convert(Path(sample.image))))


@shared(version=1, libraries=("numpy", "opencv-python-headless", "pillow", "simplejpeg"))
def embed_image(sample: Sample, params: EmbedParams, ctx: SampleContext) -> Iterator[dict[str, Any]]:
    """The features of one image: float16 as base64.

    By default the image is resized to the embedder's size, proportions not kept, as most models resize theirs.

    Raises:
        ImageError: the image can't be used.
    """
    from pipekit import images

    embedder = params.embedder.load()
    size_hw = facts_of(embedder, params.embedder.params).input_hw
    embed = ctx.once("embed", lambda: open_embedder(embedder, params.embedder.params, params.network))
    pixels = images.fitted(images.read(sample.image, at_least_hw=size_hw), size_hw, params.fit)
    row = np.asarray(embed(pixels[None])[0], "<f2")
    yield {"id": sample.id, "features": base64.b64encode(row.tobytes()).decode("ascii")}


@dataclass(frozen=True)
class EmbeddedPart:
    """The embeddings of one shard of a dataset.

    Attributes:
        digest: of the ids and the bytes of its images: equal digests, equal rows.
        ids: of the images with features, in their order.
        table: ``(N, D) float16``, a row for each of ``ids``.
        problems: why an image has no features, by id.
    """

    digest: str
    ids: tuple[str, ...]
    table: NDArray[np.float16]
    problems: Mapping[str, str]


@dataclass(frozen=True)
class Embedded:
    """The embeddings of a dataset.

    Attributes:
        ids: of the images with features, sorted.
        table: ``(N, D) float16``, memory-mapped, a row for each of ``ids``.
        problems: why an image has no features, by id.
    """

    ids: tuple[str, ...]
    table: NDArray[np.float16]
    problems: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """The numbers of the rows of these images.

        Raises:
            KeyError: an image has no features.
        """
        number = {name: row for row, name in enumerate(self.ids)}
        return np.array([number[name] for name in ids], np.int64)


def embed_parts(
    ctx: Context, dataset: Dataset | Sequence[Sample], embedder: Call, label: str = "features", fit: Fit = "stretch"
) -> Iterator[EmbeddedPart]:
    """The embeddings of a dataset, a shard at a time, in any fixed order; memory holds one shard.

    Args:
        fit: how an image of another aspect ratio is brought to the embedder's size.

    Raises:
        UserError: the embedder's weights are not installed, or are not those that are known.
    """
    dimensions = facts_of(embedder.load(), embedder.params).dimensions
    params = EmbedParams(embedder=embedder, network=_network(ctx, embedder), fit=fit)
    for digest, rows in ctx.map_parts(embed_image, dataset, params, label):
        good = [row for row in rows if "features" in row]
        data = b"".join(base64.b64decode(row["features"]) for row in good)
        yield EmbeddedPart(
            digest,
            tuple(row["id"] for row in good),
            np.frombuffer(data, "<f2").reshape(len(good), dimensions),
            {row["id"]: row["problem"] for row in rows if "problem" in row},
        )


def embed_dataset(
    ctx: Context,
    dataset: Dataset | Sequence[Sample],
    embedder: Call,
    folder: Path,
    label: str = "features",
    fit: Fit = "stretch",
) -> Embedded:
    """The embeddings of a whole dataset, written to ``folder`` as a file that is memory-mapped.

    Args:
        dataset: or samples of one, in the order of their ids.
        folder: ``ctx.out_dir``, or a folder in ``ctx.work_dir``.
        fit: how an image of another aspect ratio is brought to the embedder's size.
    """
    number = {sample.id: row for row, sample in enumerate(dataset)}
    found = np.zeros(len(number), bool)
    problems: dict[str, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(number), facts_of(embedder.load(), embedder.params).dimensions)
    table = np.lib.format.open_memmap(folder / ARRAY, "w+", np.float16, (max(1, shape[0]), shape[1]))
    for part in embed_parts(ctx, dataset, embedder, label, fit):
        places = [number[name] for name in part.ids]
        table[places] = part.table
        release(table)
        found[places] = True
        problems |= part.problems
    ids = [name for name, row in number.items() if found[row]]
    if len(ids) < len(table):
        table = _without_gaps(table, found, folder)
    table.flush()
    return Embedded(tuple(ids), table, dict(sorted(problems.items())))


def _without_gaps(table: NDArray[np.float16], found: NDArray[np.bool_], folder: Path) -> Any:
    """The table without the rows of images that can't be used."""
    rows = np.flatnonzero(found)
    kept = np.lib.format.open_memmap(folder / "kept.npy", "w+", np.float16, (len(rows), table.shape[1]))
    for start in range(0, len(rows), 4096):
        kept[start : start + 4096] = table[rows[start : start + 4096]]
        release(table)
        release(kept)
    kept.flush()
    (folder / "kept.npy").replace(folder / ARRAY)
    return kept


def _network(ctx: Context, embedder: Call) -> InputPath | None:
    """The path of the embedder's converted network in the store, made on its first use."""
    facts = facts_of(embedder.load(), embedder.params)
    if facts.weights is None or facts.convert is None:
        return None
    weights = Sample(_WEIGHTS, str(facts.weights()))
    (made,) = ctx.map(convert_weights, [weights], ConvertParams(embedder=embedder), "network", problems=True)
    if not isinstance(made, Sample):
        raise UserError(
            f"the embedder {embedder.name} can't be used: {made['problem']}", "`pipekit doctor` compares its weights."
        )
    return InputPath(made.image)


# --- the artifact --------------------------------------------------------------------------------------------------------


def read_embeddings(artifact: Embeddings) -> Embedded:
    """The content of an artifact; the array is memory-mapped."""
    ids, problems = list[str](), dict[str, str]()
    with (artifact.path / ROWS).open(encoding="utf-8", newline="", errors="surrogateescape") as file:
        for row in plain_rows(csv.DictReader(file)):
            if row["problem"]:
                problems[row["id"]] = row["problem"]
            else:
                ids.append(row["id"])
    return Embedded(tuple(ids), np.load(artifact.path / ARRAY, mmap_mode="r"), problems)


def embedded_of(ctx: Context, artifact: Embeddings, dataset: Dataset) -> Embedded:
    """The content of an artifact that a stage uses for the images of ``dataset``; warns of images without features."""
    embedded = read_embeddings(artifact)
    known = {*embedded.ids, *embedded.problems}
    missing = [sample.id for sample in dataset if sample.id not in known]
    if missing:
        ctx.warn(
            f"{len(missing):,} of {len(dataset):,} images have no features, such as {missing[0]}: they are not compared by "
            "features. Does `embeddings` name an `embed` stage of the same images?"
        )
    return embedded


def embedder_of(artifact: Embeddings) -> Mapping[str, Any]:
    """What made an artifact: name, version, licence, source, training data, runtime."""
    found: dict[str, Any] = json.loads((artifact.path / EMBEDDER).read_text("utf-8"))
    return found
