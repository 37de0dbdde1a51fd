"""Standard output for data alone: what plugins print goes to stderr, so that JSON stays JSON."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import IO, TypeVar

Stream = TypeVar("Stream", bound=IO[str])

_RESERVED: list[IO[str]] = []
"""The stream that :func:`stdout_alone` has reserved, while it has."""


def data_stream() -> IO[str]:
    """Where data for other programs are written."""
    return _RESERVED[0] if _RESERVED else sys.stdout


@contextlib.contextmanager
def stdout_alone(at_end: bool = False) -> Iterator[IO[str]]:
    """Reserve the real stdout for one writer; all other output to it goes to stderr, that of C code and other processes too.

    Args:
        at_end: what is written is printed at the end, through the stream that ``sys.stdout`` is now: one that keeps a copy.
    """
    if _RESERVED:
        yield _RESERVED[0]
        return
    mine = sys.stdout
    mine.flush()
    if at_end:
        with (
            _to_stderr(_number_of(sys.__stdout__)),
            contextlib.redirect_stdout(sys.stderr),
            _reserving(io.StringIO()) as kept_back,
        ):
            yield kept_back
        with contextlib.suppress(BrokenPipeError):  # the reader has closed it: `pipekit plugins --json | head -1`
            mine.write(kept_back.getvalue())
        return
    number = _number_of(mine)
    if number is None:  # a stream without a file behind it, as in tests
        with contextlib.redirect_stdout(sys.stderr), _reserving(mine):
            yield mine
        return
    with _to_stderr(number) as kept, os.fdopen(os.dup(kept), "w", encoding="utf-8", errors="backslashreplace") as stream:
        try:
            with _reserving(stream):
                yield stream
        finally:
            mine.flush()


def _number_of(stream: IO[str] | None) -> int | None:
    """The descriptor of a stream's file; None without one."""
    try:
        return stream.fileno() if stream is not None else None
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _to_stderr(number: int | None) -> Iterator[int]:
    """Lead what is written to a descriptor to stderr; yields another descriptor of the file that it was of."""
    error = _number_of(sys.__stderr__)
    if number is None or error is None:
        yield -1
        return
    kept = os.dup(number)
    try:
        os.dup2(error, number)
        yield kept
    finally:
        os.dup2(kept, number)
        os.close(kept)


@contextlib.contextmanager
def _reserving(stream: Stream) -> Iterator[Stream]:
    _RESERVED.append(stream)
    try:
        yield stream
    finally:
        _RESERVED.clear()
