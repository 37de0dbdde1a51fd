"""Read the tensors of a PyTorch checkpoint without PyTorch, and without running code from the file.

A checkpoint of the format before 1.6 is five pickles (a magic number, the protocol, the machine, the tensors' descriptions, the
storages' keys) followed by the storages: for each key the number of its values as int64, and the values. See
``_legacy_load`` in ``torch/serialization.py``.

A pickle may call anything that it names. The unpickler here knows four names and rejects all others; the four only record the
location of a tensor.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import pipekit

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
LITTLE: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Tensor(NamedTuple):
    """A tensor before its storage is read: offset, size and stride count values, not bytes."""

    key: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Storages become their keys, tensors become :class:`_Tensor`; any other name in the file is an error."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.dtypes: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in LITTLE:
            return name
        raise pickle.UnpicklingError(f"it names {module}.{name}, which does not belong in a file of weights")

    def persistent_load(self, described: Any) -> str:
        _, kind, key, _, _, view = described
        if view is not None:
            raise pickle.UnpicklingError("it holds views of storages, which are not supported")
        self.dtypes[key] = LITTLE[kind]
        return str(key)


def _tensor(key: str, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> _Tensor:
    """Replacement for torch._utils._rebuild_tensor_v2."""
    return _Tensor(key, offset, size, stride)


def read_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    """Read the tensors of a state dict by their names, as float32 or int64 arrays.

    If the file's name ends with the first eight digits of its SHA-256, as is PyTorch's custom, they are verified.

    Raises:
        UserError: the file is damaged, of another format, or contains anything but tensors.
    """
    data = path.read_bytes()
    claimed = path.stem.rpartition("-")[2]
    if len(claimed) == 8 and not hashlib.sha256(data).hexdigest().startswith(claimed):
        raise pipekit.UserError(f"{path} is damaged: its SHA-256 does not begin with {claimed}", "Install its package again.")
    try:
        return _read(io.BytesIO(data))
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise pipekit.UserError(
            f"{path} can't be read as a PyTorch checkpoint: {error}", "Install the package that it comes from again."
        ) from error


def _read(file: io.BytesIO) -> dict[str, NDArray[Any]]:
    if _Unpickler(file).load() != MAGIC_NUMBER or _Unpickler(file).load() != PROTOCOL_VERSION:
        raise ValueError("it is not of the format that PyTorch wrote before 1.6")
    if not _Unpickler(file).load()["little_endian"]:
        raise ValueError("it is from a big-endian machine")
    unpickler = _Unpickler(file)
    described = unpickler.load()
    storages: dict[str, NDArray[Any]] = {}
    for key in _Unpickler(file).load():
        dtype = unpickler.dtypes[key]
        count = int.from_bytes(_exactly(file, 8), "little")
        storages[key] = np.frombuffer(_exactly(file, count * dtype.itemsize), dtype)
    return {str(name): _array(storages[tensor.key], tensor) for name, tensor in described.items()}


def _exactly(file: io.BytesIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) != count:
        raise EOFError("it ends in the middle of a tensor")
    return found


def _array(storage: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    """Copy a tensor into a contiguous array. Its last value must lie within the storage."""
    if not tensor.size:
        return storage[tensor.offset : tensor.offset + 1].reshape(()).copy()
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.size, tensor.stride, strict=True))
    if tensor.offset < 0 or min(tensor.size) < 1 or min(tensor.stride) < 0 or last >= len(storage):
        raise ValueError("a tensor reaches beyond its storage")
    strides = [stride * storage.itemsize for stride in tensor.stride]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.size, strides, writeable=False).copy()
