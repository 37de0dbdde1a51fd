"""Files: in trees, and inside a tar: ``…/files.tar#512+9000.jpg`` is 9,000 bytes from byte 512 on.

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

OUTPUT_MARK = ".pipekit-output"
"""A folder with this file is our own output and is never read as input (a pipeline may lie inside its image folder)."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")
"""File names that importers take for images."""

AT_ONCE_BYTES = 1_000_000
"""Smaller files are hashed in one piece."""

_PACKED = re.compile(r"^(?P<tar>.*\.tar)#(?P<offset>\d+)\+(?P<size>\d+)(?:\.[^./\\]*)?$", re.DOTALL)


def split_packed(path: str | os.PathLike[str]) -> tuple[str, int, int] | None:
    """(tar, offset, size) in bytes for a path into a tar, else None."""
    found = _PACKED.match(os.fspath(path))
    return (found["tar"], int(found["offset"]), int(found["size"])) if found else None


def on_disk(path: str | os.PathLike[str]) -> str:
    """The file that a path needs: itself, or the tar in which it lies."""
    packed = split_packed(path)
    return os.fspath(path) if packed is None or Path(path).exists() else packed[0]


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
    size_bytes = _check_regular(path)
    with open(path, "rb", buffering=0) as file:
        if size_bytes <= AT_ONCE_BYTES:  # most photographs; a buffer for parts takes longer to make than one to read
            return hashlib.sha256(file.read()).hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_new(path: str | os.PathLike[str], data: bytes, mode: int = 0o644) -> None:
    """Write a file that is not there yet. Raises OSError, also where the disk takes only a part."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
    finally:
        os.close(handle)


def _check_regular(path: str | os.PathLike[str]) -> int:
    """The size of a file in bytes. Raises OSError for what is no regular file."""
    found = os.stat(path)  # noqa: PTH116
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return found.st_size


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


# --- trees ---------------------------------------------------------------------------------------------------------------


def walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Folders below ``root``, itself first, with the names of their files; sorted, one folder at a time in memory.

    Links are followed, each real folder once, so a loop of links ends. Hidden entries, what macOS puts into archives and
    pipekit's own output are passed over.
    """
    seen: set[tuple[int, int]] = set()
    stack = [str(root)]
    while stack:
        folder = stack.pop()
        try:
            here = os.stat(folder)  # noqa: PTH116
            if (here.st_dev, here.st_ino) in seen:
                continue
            seen.add((here.st_dev, here.st_ino))
            with os.scandir(folder) as scan:
                entries = sorted((entry.name, entry.path, is_folder(entry)) for entry in scan)
        except OSError:
            continue
        if any(name == OUTPUT_MARK for name, _, _ in entries):
            continue
        shown = [entry for entry in entries if not entry[0].startswith(".") and entry[0] != "__MACOSX"]
        yield folder, [name for name, _, is_dir in shown if not is_dir]
        stack.extend(path for _, path, is_dir in reversed(shown) if is_dir)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """False also for a link that leads back to itself: whoever opens it is told."""
    try:
        return entry.is_dir()
    except OSError:
        return False
