"""Parquet files with the images' bytes, in the layout of Hugging Face's ``datasets``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from pipekit.builtin.exporters.common import NO_SPLIT
from pipekit.contract import Dataset, Sample
from pipekit.errors import UserError
from pipekit.files import read_bytes
from pipekit.params import Params, param

CARRIES = {"labels"}
"""What the format holds of a sample besides its image and its split."""


class ParquetParams(Params):
    rows_per_file: int = param(2000, "Maximum number of images per file", unit="images", ge=1)


def write(artifact: Dataset, out_dir: Path, params: ParquetParams) -> None:
    """``data/train-00000-of-00003.parquet``: ``image`` (bytes and path), ``label`` (a class's number), ``id``, ``sha256``."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError("writing Parquet needs pyarrow", 'Install it: pip install "pipekit-vision[parquet]"') from error
    classes = list(artifact.classes)
    numbers = {name: number for number, name in enumerate(classes)}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [("image", image), ("label", pa.int64()), ("id", pa.string()), ("sha256", pa.string())]
    schema = pa.schema(fields, metadata={"huggingface": json.dumps(_features(classes))})
    (out_dir / "data").mkdir()
    for split, count in _sizes(artifact).items():
        rows = (sample for sample in artifact if sample.split == split)
        num_files = -(-count // params.rows_per_file)
        for number in range(num_files):
            name = f"{split or NO_SPLIT}-{number:05}-of-{num_files:05}.parquet"
            with pq.ParquetWriter(out_dir / "data" / name, schema, compression="none") as writer:
                for block in _blocks(islice(rows, params.rows_per_file)):
                    writer.write_table(pa.Table.from_pylist([_row(sample, numbers) for sample in block], schema=schema))


def _row(sample: Sample, numbers: dict[str, int]) -> dict[str, Any]:
    data = {"bytes": read_bytes(sample.image), "path": sample.id.rpartition("/")[2]}
    label = numbers[sample.label] if sample.label is not None else None
    return {"image": data, "label": label, "id": sample.id, "sha256": sample.sha256}


def _features(classes: list[str]) -> dict[str, Any]:
    """The schema as ``datasets`` describes it."""
    text = {"dtype": "string", "_type": "Value"}
    label = {"names": classes, "_type": "ClassLabel"} if classes else {"dtype": "int64", "_type": "Value"}
    return {"info": {"features": {"image": {"_type": "Image"}, "label": label, "id": text, "sha256": text}}}


def _sizes(dataset: Dataset) -> dict[str, int]:
    counts: dict[str, int] = {}
    for sample in dataset:
        counts[sample.split] = counts.get(sample.split, 0) + 1
    return counts


def _blocks(samples: Iterator[Sample], size: int = 64) -> Iterator[list[Sample]]:
    while block := list(islice(samples, size)):
        yield block
