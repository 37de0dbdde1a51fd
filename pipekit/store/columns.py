"""Columns: arrays made of the rows of one part or shard, kept so that whole datasets are read without their rows.

A file ``columns/ab/<name of the part or shard>.<function>`` holds the columns that one function has made. Its first line is the
SHA-256 of what follows, its second line a JSON list of the columns, and then come their bytes. It is made on first demand,
appears in one rename, and is compared with its hash whenever it is read. It goes with its part.

``memory/<name>`` is what a stage notes for its next run, to save work; its first line is the SHA-256 of what follows too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from pipekit.files import Buffer, write_new
from pipekit.files.buffers import in_steps
from pipekit.owners import new_owner
from pipekit.store.durability import is_off, sync_file, syncs_whole_disks
from pipekit.store.wholeness import COLUMNS, MEMORY


def columns_file(root: Path, source: str, function: str) -> str:
    """The file of the columns that a function has made.

    Args:
        source: the name of the part or the shard.
        function: identifies the function, with its parameters.
    """
    return f"{root}{os.sep}{COLUMNS}{os.sep}{source[:2]}{os.sep}{source}.{function[:24]}"


def memory_file(root: Path, name: str) -> str:
    return os.fspath(root / MEMORY / name)


def read_checked(path: str) -> bytes | None:
    """The bytes of a file that states its hash, without the statement; None if there is no such file.

    Raises:
        ValueError: its bytes have changed.
    """
    try:
        with open(path, "rb", buffering=0) as file:  # without a buffer: a stage reads hundreds of small ones
            line, rest = file.read(HASH_BYTES), file.read()
    except FileNotFoundError:
        return None
    if hashlib.sha256(rest).hexdigest().encode("ascii") + b"\n" != line:
        raise ValueError("its bytes have changed")
    return rest


HASH_BYTES = 65
"""Length of the first line."""


def write_checked(root: Path, path: str, pieces: Iterable[Buffer]) -> None:
    """Write a file that states its hash; it appears in one rename. If two processes make it, they make the same."""
    listed, hashed = list(pieces), hashlib.sha256()
    for piece in in_steps(listed):
        hashed.update(piece)
    scratch = root / "tmp" / new_owner()
    scratch.parent.mkdir(parents=True, exist_ok=True)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        head = hashed.hexdigest().encode("ascii") + b"\n"
        write_new(os.fspath(scratch), in_steps([head, *listed]), 0o444)
        if not is_off() and not syncs_whole_disks():
            sync_file(scratch)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
