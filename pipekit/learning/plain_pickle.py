"""Read pickles that hold nothing but numbers, texts, lists, tables and tensors' descriptions.

``pickle.Unpickler`` can be kept from calling code by its ``find_class``, but not from what a hostile file makes it reserve: a
memo index of four billion reserves 64 GiB, and a key of a million nested tuples overflows the stack of C, which ends the
process. This reader knows the operations that ``torch.save`` writes with protocol 2, keeps its memo in a dict, accepts only
texts as keys, and states limits for the rest.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

MAX_OPERATIONS = 1_000_000
"""In one pickle. A tensor takes about 40."""

MAX_DIMENSIONS = 16

_PLAIN = frozenset(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "NEWTRUE", "NEWFALSE", "NONE", "GLOBAL"))
_CONSTANTS = {"NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

_MARK = object()


class RefusedError(Exception):
    """The file is not a plain checkpoint; the message is the reason."""


class Name(str):
    """A name in a module, ``module.name``: recorded, never imported."""


class Tensor(NamedTuple):
    """A tensor before its storage is read: offset, size and stride count values, not bytes."""

    key: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def load(file: io.BytesIO, kinds: dict[str, str] | None = None) -> Any:
    """Read the next pickle of a file.

    Args:
        kinds: filled with the type of each storage (``FloatStorage``) by its key.

    Raises:
        RefusedError: it is damaged, or holds anything else than is known here.
    """
    return _Machine({} if kinds is None else kinds).run(file)


class _Machine:
    def __init__(self, kinds: dict[str, str]) -> None:
        self._kinds = kinds
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: io.BytesIO) -> Any:
        operations = pickletools.genops(file)
        for _ in range(MAX_OPERATIONS):
            try:
                operation, argument, _ = next(operations)
            except (ValueError, StopIteration, OverflowError) as error:
                raise RefusedError(f"a pickle in it is damaged or cut off: {error}") from error
            try:
                if operation.name == "STOP":
                    return self._stack.pop()
                self._step(operation.name, argument)
            except (IndexError, KeyError, ValueError, TypeError, AttributeError) as error:
                raise RefusedError(f"a pickle in it is damaged, at {operation.name}") from error
        raise RefusedError(f"a pickle in it has more than {MAX_OPERATIONS:,} operations")

    def _step(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _PLAIN:
            stack.append(_named(argument) if name == "GLOBAL" else _CONSTANTS.get(name, argument))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[-count:] = [tuple(self._last(count))]
        elif operation := _OPERATIONS.get(name):
            operation(self)
        elif name != "PROTO":
            raise RefusedError(f"it has the pickle operation {name}, which does not belong in a file of weights")

    def _last(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise IndexError
        return self._stack[-count:]

    def _to_mark(self) -> list[Any]:
        stack, items = self._stack, []
        while (item := stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def _set(self, items: list[Any]) -> None:
        table = self._stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise RefusedError("a table in it has a key that is not a text")
            table[str(key)] = value

    def _set_one(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def _append_one(self) -> None:
        item = self._stack.pop()
        self._list().append(item)

    def _append_all(self) -> None:
        items = self._to_mark()
        self._list().extend(items)

    def _list(self) -> list[Any]:
        if not isinstance(self._stack[-1], list):
            raise TypeError
        return self._stack[-1]

    def _reduce(self) -> None:
        arguments, name = self._stack.pop(), self._stack.pop()
        if name == "collections.OrderedDict" and not arguments:
            self._stack.append({})
        elif name == "torch._utils._rebuild_tensor_v2":
            self._stack.append(_tensor(*arguments))
        else:
            raise RefusedError("it calls something, which does not belong in a file of weights")

    def _storage(self) -> None:
        """A storage becomes its key; its type is noted."""
        _, kind, key, _, _, view = self._stack.pop()
        if view is not None:
            raise RefusedError("it holds views of storages, which are not supported")
        if not isinstance(key, str) or not isinstance(kind, Name):
            raise TypeError
        self._kinds[key] = kind.rpartition(".")[2]
        self._stack.append(key)


_OPERATIONS: dict[str, Callable[[_Machine], None]] = {
    "MARK": lambda machine: machine._stack.append(_MARK),
    "EMPTY_DICT": lambda machine: machine._stack.append({}),
    "EMPTY_LIST": lambda machine: machine._stack.append([]),
    "EMPTY_TUPLE": lambda machine: machine._stack.append(()),
    "TUPLE": lambda machine: machine._stack.append(tuple(machine._to_mark())),
    "SETITEM": _Machine._set_one,
    "SETITEMS": lambda machine: machine._set(machine._to_mark()),
    "APPEND": _Machine._append_one,
    "APPENDS": _Machine._append_all,
    "REDUCE": _Machine._reduce,
    "BINPERSID": _Machine._storage,
    "BUILD": lambda machine: machine._stack.pop() and None,  # attributes of the table: versions of layers
}


def _named(argument: str) -> Name:
    module, _, name = argument.partition(" ")
    if f"{module}.{name}" not in ("collections.OrderedDict", "torch._utils._rebuild_tensor_v2") and (
        module != "torch" or name not in ("FloatStorage", "LongStorage")
    ):
        raise RefusedError(f"it names {argument.replace(' ', '.')[:80]}, which does not belong in a file of weights")
    return Name(f"{module}.{name}")


def _tensor(key: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    numbers = (offset, *size, *stride)
    if not isinstance(key, str) or not all(type(number) is int and abs(number) < 2**63 for number in numbers):
        raise TypeError
    if len(size) != len(stride) or len(size) > MAX_DIMENSIONS:
        raise RefusedError(f"a tensor in it has {len(size)} sizes and {len(stride)} strides")
    return Tensor(key, offset, tuple(size), tuple(stride))
