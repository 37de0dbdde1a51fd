"""Records of TFRecord files, and the ``tf.train.Example`` in them, without TensorFlow, whose import takes seconds.

A record is its length (8 bytes), a checksum of the length, the data, and a checksum of the data; the checksums are CRC-32C,
rotated and shifted (https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details). An example is a
protocol buffer (https://protobuf.dev/programming-guides/encoding/): names, each with a list of bytes, floats or whole numbers.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.importers.annotated import UnusableError
from pipekit.errors import UserError

MAX_RECORD_BYTES = 1 << 30
"""A longer record is refused: memory holds one."""

LANE_BYTES = 256

POLYNOMIAL = 0x82F63B78
"""Of CRC-32C (Castagnoli), bits reversed."""

Values = list[bytes] | list[float] | list[int]


# --- records -------------------------------------------------------------------------------------------------------------


def records(file: Path) -> Iterator[tuple[int, bytes | str]]:
    """(byte at which it begins, data) of each record; for one that is damaged, what is wrong with it. Gzipped files too.

    Raises:
        UserError: the file can't be read, is truncated, or a length is damaged, so that the next record can't be found.
    """
    try:
        with _opened(file) as stream:
            yield from _records(stream, file)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"can't read {file}: {error}", "Download it again.") from error


def _opened(file: Path) -> BinaryIO:
    with file.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast("BinaryIO", gzip.open(file, "rb")) if packed else file.open("rb")


def _records(stream: BinaryIO, file: Path) -> Iterator[tuple[int, bytes | str]]:
    rest = None if isinstance(stream, gzip.GzipFile) else os.fstat(stream.fileno()).st_size
    at = 0
    while head := stream.read(12):
        if len(head) < 12:
            raise _damaged(file, at, "it ends inside a record")
        length, checksum = struct.unpack("<QI", head)
        if checksum != masked_crc(head[:8]):
            raise _damaged(file, at, f"the checksum of a record's length ({length:,} bytes) is wrong")
        if length > MAX_RECORD_BYTES or (rest is not None and at + 16 + length > rest):
            raise _damaged(file, at, f"a record claims {length:,} bytes")
        body = stream.read(length + 4)
        if len(body) < length + 4:
            raise _damaged(file, at, "it ends inside a record")
        data = body[:length]
        yield at, data if masked_crc(data) == struct.unpack("<I", body[length:])[0] else "damaged: its checksum is wrong"
        at += 16 + length


def _damaged(file: Path, at: int, what: str) -> UserError:
    return UserError(f"{file} is no TFRecord file, or is damaged at byte {at:,}: {what}", "Download it again.")


# --- the checksum --------------------------------------------------------------------------------------------------------


def masked_crc(data: bytes) -> int:
    """CRC-32C as TFRecord stores it.

    >>> hex(masked_crc(b"123456789"))
    '0xc78ab0e5'
    """
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32C of bytes.

    >>> hex(crc32c(b"123456789"))  # the check value of RFC 3720's polynomial
    '0xe3069283'
    """
    if len(data) < 2 * LANE_BYTES:
        table, crc = _byte_table().tolist(), 0xFFFFFFFF
        for byte in data:
            crc = table[(crc ^ byte) & 255] ^ crc >> 8
        return crc ^ 0xFFFFFFFF
    return _in_lanes(data) ^ 0xFFFFFFFF


def _in_lanes(data: bytes) -> int:
    """The register after ``data``, by NumPy: all lanes of :data:`LANE_BYTES` at once, which are then joined in pairs.

    The register is linear: a lane's is shifted over the bytes of the next one, and added. Zeros before the data change nothing,
    and the start value of ones is the same as ones added to the first four bytes.
    """
    lanes = np.zeros((-(-len(data) // LANE_BYTES), LANE_BYTES), np.uint8)
    flat = lanes.reshape(-1)
    flat[-len(data) :] = np.frombuffer(data, np.uint8)
    flat[len(flat) - len(data) :][:4] ^= 255
    table = _byte_table()
    crc = np.zeros(len(lanes), np.uint32)
    for column in np.ascontiguousarray(lanes.T):
        crc = table[(crc ^ column) & 255] ^ (crc >> 8)
    level = 0
    while len(crc) > 1:
        if len(crc) % 2:
            crc = np.concatenate([np.zeros(1, np.uint32), crc])
        crc = _shifted(crc[0::2], _zeros(level)) ^ crc[1::2]
        level += 1
    return int(crc[0])


@cache
def _byte_table() -> NDArray[np.uint32]:
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, crc >> 1 ^ np.uint32(POLYNOMIAL), crc >> 1)
    return crc


def _shifted(crc: NDArray[np.uint32], zeros: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Registers after the zeros that ``(4, 256)`` stands for: the sum over their four bytes."""
    found: NDArray[np.uint32] = zeros[0][crc & 255] ^ zeros[1][crc >> 8 & 255] ^ zeros[2][crc >> 16 & 255] ^ zeros[3][crc >> 24]
    return found


@cache
def _zeros(level: int) -> NDArray[np.uint32]:
    """``(4, 256)``: what ``LANE_BYTES * 2 ** level`` zeros make of each value of each byte of the register."""
    values = np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)
    if level:
        return _shifted(_shifted(values, _zeros(level - 1)), _zeros(level - 1))
    for _ in range(LANE_BYTES):
        values = _byte_table()[values & 255] ^ (values >> 8)
    return values


# --- examples ------------------------------------------------------------------------------------------------------------


def parsed(data: bytes) -> dict[str, Values]:
    """The features of a ``tf.train.Example``.

    Raises:
        UnusableError: it is none.
    """
    found: dict[str, Values] = {}
    for features in _messages(data, 1):
        for entry in _messages(features, 1):
            key, feature = next(_messages(entry, 1), b""), next(_messages(entry, 2), b"")
            found[key.decode("utf-8", "replace")] = _values(feature)
    return found


def _values(feature: bytes) -> Values:
    for number, kind, value in _fields(feature):
        if number == 1 and kind == 2:
            return list(_messages(value, 1))
        if number in (2, 3) and kind == 2:
            return _numbers(value, is_float=number == 2)
    return []


def _numbers(packed: bytes, *, is_float: bool) -> list[float] | list[int]:
    """A list of floats or whole numbers, each in a separate field or all in one."""
    floats: list[float] = []
    whole: list[int] = []
    for _, kind, value in _fields(packed):
        if kind == 2 and is_float:
            if len(value) % 4:
                raise UnusableError(f"no example: a list of floats has {len(value)} bytes")
            floats += struct.unpack(f"<{len(value) // 4}f", value)
        elif kind == 2:
            at = 0
            while at < len(value):
                one, at = _varint(value, at)
                whole.append(_signed(one))
        elif kind == 5 and is_float:
            floats += struct.unpack("<f", value)
        elif kind == 0 and not is_float:
            whole.append(_signed(value))
    return floats if is_float else whole


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    return (value for number, kind, value in _fields(data) if number == wanted and kind == 2)


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of the fields of a message. Raises UnusableError."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield tag >> 3, kind, value
            continue
        size, at = (8, at) if kind == 1 else (4, at) if kind == 5 else _varint(data, at) if kind == 2 else (-1, at)
        if not 0 <= size <= len(data) - at:
            raise UnusableError(f"no example: a field of type {kind} with {size:,} bytes at byte {at:,} of {len(data):,}")
        yield tag >> 3, kind, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(number, place behind it): seven bits in each byte, the lowest first."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value & (1 << 64) - 1, at
        shift += 7
    raise UnusableError(f"no example: a number without an end at byte {at:,} of {len(data):,}")
