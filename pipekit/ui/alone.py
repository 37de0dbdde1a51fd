"""Standard output for data alone: what plugins print goes to stderr, so that JSON stays JSON."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO

_RESERVED: list[IO[str]] = []
"""The stream that :func:`stdout_alone` has reserved, while it has."""


def data_stream() -> IO[str]:
    """Where data for other programs are written."""
    return _RESERVED[0] if _RESERVED else sys.stdout


@contextlib.contextmanager
def stdout_alone() -> Iterator[IO[str]]:
    """Reserve the real stdout for one writer; all other output to it, also from worker processes, goes to stderr."""
    if _RESERVED:
        yield _RESERVED[0]
        return
    mine = sys.stdout
    mine.flush()
    try:
        number = mine.fileno()
    except (OSError, ValueError):  # a stream without a file behind it, as in tests
        with contextlib.redirect_stdout(sys.stderr), _reserving(mine):
            yield mine
        return
    kept = os.dup(number)
    try:
        os.dup2(sys.stderr.fileno(), number)
        with os.fdopen(os.dup(kept), "w", encoding="utf-8", errors="backslashreplace") as stream, _reserving(stream):
            yield stream
    finally:
        mine.flush()
        os.dup2(kept, number)
        os.close(kept)


@contextlib.contextmanager
def _reserving(stream: IO[str]) -> Iterator[None]:
    _RESERVED.append(stream)
    try:
        yield
    finally:
        _RESERVED.clear()
