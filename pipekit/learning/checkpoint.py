"""Read the tensors of a PyTorch checkpoint without PyTorch, and without running code from the file.

A checkpoint of the format before 1.6 is five pickles (a magic number, the protocol, the machine, the tensors' descriptions, the
storages' keys) followed by the storages: for each key the number of its values as int64, and the values. See
``_legacy_load`` in ``torch/serialization.py``.

The pickles are read by :mod:`pipekit.learning.plain_pickle`, which calls nothing. What the file claims is compared
with what it holds before memory is reserved: a file of a few bytes may describe a tensor of terabytes, by a stride of 0.
"""

from __future__ import annotations

import hashlib
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.errors import UserError
from pipekit.learning.plain_pickle import RefusedError, Tensor, load

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
LITTLE: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}

MAX_SHARED = 4
"""All tensors together may be this many times as large as the file: several tensors may share a storage."""


def read_checkpoint(path: Path, sha256: str = "") -> dict[str, NDArray[Any]]:
    """Read the tensors of a state dict by their names, as float32 or int64 arrays.

    Args:
        sha256: the SHA-256 that the file must have, compared before anything in it is interpreted; default: the first eight
            digits, where the file's name ends with them, as is PyTorch's custom.

    Raises:
        UserError: the file is damaged, of another format, contains anything but tensors, or claims more than it holds.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror or error}") from error
    claimed = sha256 or path.stem.rpartition("-")[2]
    if len(claimed) in (8, 64) and not hashlib.sha256(data).hexdigest().startswith(claimed):
        raise UserError(f"{path} is damaged: its SHA-256 does not begin with {claimed[:8]}", "Install its package again.")
    try:
        return _read(io.BytesIO(data), len(data))
    except RefusedError as error:
        raise UserError(
            f"{path} can't be read as a PyTorch checkpoint: {error}", "Install the package that it comes from again."
        ) from error


def _read(file: io.BytesIO, size_bytes: int) -> dict[str, NDArray[Any]]:
    if load(file) != MAGIC_NUMBER or load(file) != PROTOCOL_VERSION:
        raise RefusedError("it is not of the format that PyTorch wrote before 1.6")
    machine = load(file)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise RefusedError("it is not from a little-endian machine")
    kinds: dict[str, str] = {}
    tensors = load(file, kinds)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise RefusedError("it holds something other than a table of tensors")
    storages = _storages(file, kinds)
    _check(tensors, storages, size_bytes)
    return {name: _array(storages[tensor.key], tensor) for name, tensor in tensors.items()}


def _storages(file: io.BytesIO, kinds: dict[str, str]) -> dict[str, NDArray[Any]]:
    keys = load(file)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise RefusedError("its list of storages is not a list of names")
    storages: dict[str, NDArray[Any]] = {}
    for key in keys:
        if kinds.get(key) not in LITTLE:
            raise RefusedError(f"no tensor of a known type uses its storage {key[:40]!r}")
        dtype = LITTLE[kinds[key]]
        count = int.from_bytes(_exactly(file, 8), "little", signed=True)
        storages[key] = np.frombuffer(_exactly(file, count * dtype.itemsize), dtype)
    return storages


def _exactly(file: io.BytesIO, count: int) -> bytes:
    left = len(file.getbuffer()) - file.tell()
    if not 0 <= count <= left:
        raise RefusedError(f"it ends in the middle of a storage, which claims {count:,} bytes where {left:,} are left")
    return file.read(count)


def _check(tensors: dict[str, Tensor], storages: dict[str, NDArray[Any]], size_bytes: int) -> None:
    """Refuse tensors that claim values outside their storages, or more memory than the file explains."""
    total = 0
    for name, tensor in tensors.items():
        if tensor.key not in storages:
            raise RefusedError(f"the tensor {name[:80]!r} is in the storage {tensor.key[:40]!r}, which is not in the file")
        storage = storages[tensor.key]
        if problem := _problem(tensor, len(storage)):
            raise RefusedError(f"the tensor {name[:80]!r} {problem}")
        total += math.prod(tensor.size) * storage.itemsize
    if total > MAX_SHARED * size_bytes:
        raise RefusedError(f"its tensors claim {total:,} bytes together, and the file holds {size_bytes:,}")


def _problem(tensor: Tensor, num_values: int) -> str:
    if min(tensor.stride, default=1) < 0:
        return f"has a negative stride ({', '.join(map(str, tensor.stride))})"
    if any(stride == 0 and size > 1 for size, stride in zip(tensor.size, tensor.stride, strict=True)):
        return f"repeats the same values {math.prod(tensor.size):,} times over (a stride of 0)"
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.size, tensor.stride, strict=True))
    if tensor.offset < 0 or min(tensor.size, default=1) < 1 or last >= num_values:
        return f"reaches beyond its storage of {num_values:,} values (offset {tensor.offset:,}, size {list(tensor.size)})"
    if math.prod(tensor.size) > num_values:  # strides smaller than the sizes: windows that overlap
        return f"claims {math.prod(tensor.size):,} values, and its storage holds {num_values:,}"
    return ""


def _array(storage: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    """Copy a tensor into a contiguous array."""
    strides = [stride * storage.itemsize for stride in tensor.stride]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.size, strides, writeable=False).copy()
