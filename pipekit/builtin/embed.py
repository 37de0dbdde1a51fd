"""The stage ``embed``: a vector of features for every image, by a pretrained network."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pipekit import contract
from pipekit.contract import Call, Context, Dataset, Embeddings, Params, Uses, param
from pipekit.tasks import stated, supports


class EmbedStageParams(Params):
    embedder: Annotated[Call, Uses("embedder")] = param(
        "efficientnet_lite0", "The embedder: its name, or a table with its parameters"
    )
    table: Literal["none", "npz", "parquet"] = param(
        "none", "Also write one file for people and other programs: ids, labels, splits and vectors"
    )


@supports("classes", "multilabel", "number")
@contract.stage
def embed(ctx: Context, dataset: Dataset, params: EmbedStageParams) -> Embeddings:
    """Compute the features of every image with an embedder; each image is computed once for all stages and runs."""
    from pipekit.learning.embedders import describe
    from pipekit.learning.embeddings import EMBEDDER, embed_dataset

    call = params.embedder
    embedded = embed_dataset(ctx, dataset, call, ctx.out_dir)
    facts = {**describe(call.component, call.params), "params": call.params.model_dump(mode="json"), "runtime": _versions(call)}
    (ctx.out_dir / EMBEDDER).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", "utf-8")
    samples = _write_rows(ctx, dataset, embedded.problems)
    if params.table == "npz":
        _write_npz(ctx, samples, embedded)
    elif params.table == "parquet":
        _write_parquet(ctx, samples, embedded)
    if embedded.problems:
        shown = "; ".join(f"{name}: {reason}" for name, reason in list(embedded.problems.items())[:3])
        number = len(embedded.problems)
        what = "1 image can't be read and has" if number == 1 else f"{number:,} images can't be read and have"
        ctx.warn(f"{what} no features ({shown}); images.csv lists all")
    ctx.tolerate([contract.Failure(name, reason) for name, reason in embedded.problems.items()], len(dataset))
    return ctx.artifact(
        Embeddings,
        digest=_digest(ctx, params),
        facts={"images": f"{len(embedded):,}", "features": f"{facts['dimensions']:,}"},
        headline=f"{call.name}: {facts['dimensions']:,} features of each of {len(embedded):,} images",
    )


def _digest(ctx: Context, params: EmbedStageParams) -> str:
    """The digest of the vectors and rows: a table has the same content, and an archive contains the time."""
    from hashlib import sha256

    from pipekit.files import hash_file
    from pipekit.learning.embeddings import ARRAY, EMBEDDER, ROWS

    hashes = [hash_file(ctx.out_dir / name) for name in (ARRAY, ROWS, EMBEDDER)]
    return sha256(json.dumps([*hashes, params.table]).encode()).hexdigest()


def _versions(call: Call) -> dict[str, str]:
    """The versions of the libraries that the embedder names."""
    from importlib.metadata import version

    return {name: version(name) for name in call.component.libraries}


def _write_rows(ctx: Context, dataset: Dataset, problems: Any) -> list[contract.Sample]:
    """Write ``images.csv``, in the order of the array's rows; returns the samples with features."""
    from pipekit.files import PlainTable
    from pipekit.learning.embeddings import ROWS

    good = []
    with (ctx.out_dir / ROWS).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = PlainTable(file)
        table.writerow(["id", "label", "split", "sha256", "problem"])
        for sample in dataset:
            problem = problems.get(sample.id, "")
            table.writerow([sample.id, stated(sample), sample.split, sample.sha256, problem])
            if not problem:
                good.append(sample)
    return good


def _columns(samples: list[contract.Sample]) -> dict[str, list[str]]:
    rows = [(sample.id, stated(sample) or "", sample.split, sample.sha256) for sample in samples]
    return {name: [_text(row[place]) for row in rows] for place, name in enumerate(("id", "label", "split", "sha256"))}


def _text(name: str) -> str:
    """A name that any file format can hold: bytes that are not UTF-8 as escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _write_npz(ctx: Context, samples: list[contract.Sample], embedded: Any) -> None:
    """``embeddings.npz``: arrays ``id``, ``label``, ``split``, ``sha256`` and ``embedding`` (N, D)."""
    import numpy as np

    columns = {name: np.array(values, str) for name, values in _columns(samples).items()}
    np.savez(ctx.out_dir / "embeddings.npz", allow_pickle=False, **columns, embedding=embedded.table)


def _write_parquet(ctx: Context, samples: list[contract.Sample], embedded: Any) -> None:
    """``embeddings.parquet``: the same columns; ``embedding`` is a list of fixed length, float16."""
    from pipekit.errors import UserError

    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        raise UserError("table = 'parquet' needs the package pyarrow", "pip install pyarrow, or take table = 'npz'.") from None
    size = embedded.table.shape[1]
    schema = pa.schema([(name, pa.string()) for name in _columns([])] + [("embedding", pa.list_(pa.float16(), size))])
    with ParquetWriter(ctx.out_dir / "embeddings.parquet", schema) as out:
        for start in range(0, len(samples), 4096):
            columns = _columns(samples[start : start + 4096])
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(embedded.table[start : start + 4096].ravel()), size)
            out.write_table(pa.table([*columns.values(), vectors], schema=schema))
