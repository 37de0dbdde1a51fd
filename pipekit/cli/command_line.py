"""A command line by its name: the words, the environment, the interpreter and the terminal that its output may depend on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

STARTED_NS = time.time_ns()

PATH = tuple(sys.path)

PASSING = ("_", "SHLVL", "PWD", "OLDPWD", "WINDOWID", "TMUX_PANE", "STY", "INVOCATION_ID", "JOURNAL_STREAM")
"""Environment variables that say which shell or window it is; those that begin with ``SSH_`` or ``XDG_SESSION`` are others."""

SIZES = (0, 1, 2)
"""Streams that may be the terminal whose width counts."""


def name_of(words: Sequence[str], path: Sequence[str] = PATH) -> str:
    """The name under which what a command line prints is kept.

    Args:
        path: where Python looked for modules when it started.
    """
    import hashlib

    environment = sorted(
        f"{name}={value}"
        for name, value in os.environ.items()
        if name not in PASSING and not name.startswith(("SSH_", "XDG_SESSION"))
    )
    out = sys.stdout
    terminal = (out.isatty(), out.encoding, _width() if out.isatty() else 0)
    told = (tuple(words), environment, tuple(path), sys.version, sys.prefix, sys.flags, terminal)
    return hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()


def _width() -> tuple[int, int]:
    for number in SIZES:
        try:
            return tuple(os.get_terminal_size(number))  # type: ignore[return-value]
        except OSError:
            continue
    return 0, 0
