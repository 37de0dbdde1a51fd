"""Write TFRecord files of ``tf.train.Example`` without TensorFlow, byte by byte: what the importer is tested on."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

TABLE = []
for _value in range(256):
    for _ in range(8):
        _value = _value >> 1 ^ (0x82F63B78 if _value & 1 else 0)
    TABLE.append(_value)


def masked(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(values: Sequence[Any], packed: bool = True) -> bytes:
    if isinstance(values[0], (bytes, str)):
        return field(1, b"".join(field(1, value.encode() if isinstance(value, str) else value) for value in values))
    if isinstance(values[0], float):
        data = struct.pack(f"<{len(values)}f", *values)
        return field(2, field(1, data) if packed else b"".join(b"\x0d" + data[at : at + 4] for at in range(0, len(data), 4)))
    if packed:
        return field(3, field(1, b"".join(map(varint, values))))
    return field(3, b"".join(b"\x08" + varint(value) for value in values))


def example(features: Mapping[str, Sequence[Any]], packed: bool = True) -> bytes:
    entries = (field(1, name.encode()) + field(2, feature(values, packed)) for name, values in features.items() if values)
    return field(1, b"".join(field(1, entry) for entry in entries))


def write(file: Path, rows: Iterable[Mapping[str, Sequence[Any]]], packed: bool = True) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(record(example(row, packed)) for row in rows))
    return file
