"""Files that may lie inside a tar: ``…/files.tar#512+9000.jpg`` is 9,000 bytes from byte 512 on.

Millions of loose files bring file systems to their knees; one tar a shard does not. Such a path is written as text like any
other, has the suffix of what lies there, and everything that reads an image by :func:`read_bytes` reads it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

_PACKED = re.compile(r"^(?P<tar>.*\.tar)#(?P<offset>\d+)\+(?P<size>\d+)(?:\.[^./\\]*)?$", re.DOTALL)


def split_packed(path: str | os.PathLike[str]) -> tuple[str, int, int] | None:
    """(tar, offset, size) in bytes for a path into a tar, else None."""
    found = _PACKED.match(os.fspath(path))
    return (found["tar"], int(found["offset"]), int(found["size"])) if found else None


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """What a file holds.

    Raises:
        OSError: it can't be read, or is a pipe or a device, which might never end.
    """
    packed = split_packed(path)
    if packed is None or Path(path).exists():
        _check_regular(path)
        with open(path, "rb") as file:
            return file.read()
    with open(packed[0], "rb") as file:
        file.seek(packed[1])
        return file.read(packed[2])


def hash_file(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of what a file holds, as hex. Raises as :func:`read_bytes` does."""
    if split_packed(path) is not None and not Path(path).exists():
        return hashlib.sha256(read_bytes(path)).hexdigest()
    _check_regular(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_regular(path: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))


def pack(folder: Path, tar: Path, beside: Mapping[str, Mapping[str, bytes]]) -> dict[str, str]:
    """Put all files of a folder into a tar and remove them. The same files give the same bytes, whenever and wherever.

    The tar is one that WebDataset reads: what belongs together stands together, under one name up to the first dot.

    Args:
        beside: for a file's path below ``folder`` (with ``/``): what to put beside it, by suffix: ``{".cls": b"cat"}``.

    Returns:
        for each file's path below ``folder`` (with ``/``): its place, ``#offset+size.suffix``.
    """
    places: dict[str, str] = {}
    with tar.open("wb") as out:
        for path in _files(folder):
            name = path.relative_to(folder).as_posix()
            stem = f"{name.rpartition('/')[0]}/{path.stem.replace('.', '_')}".lstrip("/")
            data = path.read_bytes()
            places[name] = f"#{_add(out, stem + path.suffix, data)}+{len(data)}{path.suffix}"
            for suffix, text in beside.get(name, {}).items():
                _add(out, stem + suffix, text)
            path.unlink()
        out.write(b"\0" * (2 * tarfile.BLOCKSIZE))
    return places


def _add(out: BinaryIO, name: str, data: bytes) -> int:
    """Add a member; returns where its bytes begin."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(data), 0, 0o444
    out.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
    place = out.tell()
    out.write(data + b"\0" * (-len(data) % tarfile.BLOCKSIZE))
    return place


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.rglob("*") if path.is_file()))
