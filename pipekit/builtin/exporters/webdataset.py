"""WebDataset tar shards: ``000123.jpg``, ``000123.cls``, ``000123.json``. https://github.com/webdataset/webdataset"""

from __future__ import annotations

import io
import json
import tarfile
from itertools import islice
from pathlib import Path
from typing import Any

from pipekit.builtin.exporters.common import NO_SPLIT, label_names, suffix_of
from pipekit.contract import Dataset, Sample
from pipekit.files import read_bytes
from pipekit.params import Params, param

CARRIES = {"labels", "boxes", "mask", "extra"}
"""What the format holds of a sample besides its image and its split."""


class WebdatasetParams(Params):
    shard_size: int = param(1000, "Maximum number of images per shard", unit="images", ge=1)


def write(artifact: Dataset, out_dir: Path, params: WebdatasetParams) -> None:
    """``train-000000.tar`` and so on, and ``classes.txt``. The same dataset always gives the same bytes.

    A sample has its image, ``cls`` (the position in ``classes.txt``), ``json`` (id, class, hash, boxes, further values) and
    ``mask.png`` if it has a mask.
    """
    names = label_names(artifact)
    numbers = {name: number for number, name in enumerate(names)}
    for split in sorted({sample.split for sample in artifact}):
        rows = enumerate(sample for sample in artifact if sample.split == split)
        shard = 0
        while block := list(islice(rows, params.shard_size)):
            with tarfile.open(out_dir / f"{split or NO_SPLIT}-{shard:06}.tar", "w", format=tarfile.PAX_FORMAT) as tar:
                for number, sample in block:
                    _write_sample(tar, f"{number:08}", sample, numbers)
            shard += 1
    (out_dir / "classes.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")


def _write_sample(tar: tarfile.TarFile, key: str, sample: Sample, numbers: dict[str, int]) -> None:
    _add(tar, f"{key}{suffix_of(sample) or '.jpg'}", read_bytes(sample.image))
    if sample.label is not None:
        _add(tar, f"{key}.cls", str(numbers[sample.label]).encode())
    if sample.targets.mask:
        _add(tar, f"{key}.mask.png", read_bytes(sample.targets.mask))
    described: dict[str, Any] = {"id": sample.id, "label": sample.label, "sha256": sample.sha256}
    if sample.targets.boxes:
        described["boxes"] = [[box.x_min, box.y_min, box.x_max, box.y_max, box.label] for box in sample.targets.boxes]
    if sample.extra:
        described["extra"] = dict(sample.extra)
    _add(tar, f"{key}.json", json.dumps(described, sort_keys=True).encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mtime = 0
    tar.addfile(info, io.BytesIO(data))
