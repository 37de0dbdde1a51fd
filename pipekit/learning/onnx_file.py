"""Write an ONNX file: the few messages of its format that a feed-forward network needs, without a library.

ONNX files are protocol buffers (``onnx.proto`` in the project onnx/onnx, version 1.16). A message is a sequence of fields: a
tag (field number and wire type) and a value, a variable-length integer or a block of bytes behind its length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

IR_VERSION, OPSET = 8, 15
"""Read by ONNX Runtime since 1.10; newer versions add nothing that is used here."""

UINT8, FLOAT = 2, 1
"""Element types, from ``TensorProto.DataType``."""

Attribute = int | float | Sequence[int]


@dataclass
class Graph:
    """A graph under construction: nodes in the order in which they run, and constants by name."""

    name: str
    nodes: list[bytes] = field(default_factory=list)
    constants: list[bytes] = field(default_factory=list)

    def constant(self, name: str, values: NDArray[np.float32]) -> str:
        """Add a float32 constant. Returns its name."""
        values = np.ascontiguousarray(values, "<f4")
        dims = b"".join(_int(1, size) for size in values.shape)
        self.constants.append(dims + _int(2, FLOAT) + _bytes(8, name.encode()) + _bytes(9, values.tobytes()))
        return name

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Attribute) -> str:
        """Add an operation with one output. Returns the output's name."""
        made = b"".join(_bytes(1, name.encode()) for name in inputs) + _bytes(2, output.encode())
        made += _bytes(3, output.encode()) + _bytes(4, op.encode())
        made += b"".join(_bytes(5, _attribute(name, value)) for name, value in sorted(attributes.items()))
        self.nodes.append(made)
        return output

    def to_bytes(
        self,
        given: tuple[str, int, Sequence[int]],
        made: tuple[str, int, Sequence[int]],
        metadata: Mapping[str, str] | None = None,
    ) -> bytes:
        """The whole file.

        Args:
            given, made: name, element type and shape of the one input and the one output.
            metadata: texts to keep in the file, such as its licence.
        """
        graph = b"".join(_bytes(1, node) for node in self.nodes) + _bytes(2, self.name.encode())
        graph += b"".join(_bytes(5, constant) for constant in self.constants)
        graph += _bytes(11, _value(*given)) + _bytes(12, _value(*made))
        texts = b"".join(
            _bytes(14, _bytes(1, key.encode()) + _bytes(2, text.encode())) for key, text in sorted((metadata or {}).items())
        )
        return _int(1, IR_VERSION) + _bytes(2, b"pipekit") + _bytes(7, graph) + _bytes(8, _int(2, OPSET)) + texts


def _varint(value: int) -> bytes:
    made = bytearray()
    value &= (1 << 64) - 1  # negative numbers as two's complement
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, value: Attribute) -> bytes:
    """``AttributeProto``: its type, and the value in the field of that type (f = 2, i = 3, ints = 8)."""
    head = _bytes(1, name.encode())
    if isinstance(value, int):
        return head + _int(3, value) + _int(20, 2)
    if isinstance(value, float):
        return head + _varint(2 << 3 | 5) + np.float32(value).tobytes() + _int(20, 1)
    return head + b"".join(_int(8, item) for item in value) + _int(20, 7)


def _value(name: str, element: int, shape: Sequence[int]) -> bytes:
    """``ValueInfoProto`` of a tensor."""
    dims = b"".join(_bytes(1, _int(1, size)) for size in shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _int(1, element) + _bytes(2, dims)))
