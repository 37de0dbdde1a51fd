"""Unpack an untrusted archive safely: no file outside the target, a limit on the size, only regular files."""

from __future__ import annotations

import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from pipekit.errors import UserError
from pipekit.files import open_tar, tar_members

MAX_RATIO = 100
"""Images hardly compress. An archive that expands a hundredfold (and past ``FREE_BYTES``) was made to fill the disk."""

FREE_BYTES = 1 << 30

_BLOCK = 1 << 20

_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,  # encrypted, or nested too deeply
    NotImplementedError,
    ValueError,  # a name with a zero byte
)
"""What the libraries raise for an archive that is damaged, encrypted or hostile."""


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    is_file: bool
    size: int


def unpack(path: Path, into: Path) -> list[tuple[str, str]]:
    """Unpack the regular files of a zip or tar archive.

    Returns:
        (name, reason) of each member that was passed over: a name that leads out of the target, a link, a device.

    Raises:
        UserError: the archive is damaged, encrypted, or would fill the disk.
    """
    limit = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    limit = min(limit, shutil.disk_usage(into).free - FREE_BYTES // 4)
    refused: list[tuple[str, str]] = []
    total = 0
    try:
        with _members(path) as members:
            for member, stream in members:
                place = _place(member.name, into)
                if place is None:
                    refused.append((member.name, "the name leads out of the folder"))
                elif not member.is_file:
                    refused.append((member.name, "a link or device"))
                else:
                    if member.size > limit - total:
                        raise _too_large(path)
                    total += _write(stream, place, limit - total, path)
    except _UNREADABLE as error:
        raise UserError(
            f"can't unpack {path}: {error}", "Is it damaged or encrypted? Fetch it again, or unpack it yourself."
        ) from error
    return refused


@contextmanager
def _members(path: Path) -> Iterator[Iterator[tuple[_Member, IO[bytes] | None]]]:
    """The members without folders, each with its bytes."""
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            yield _zip_members(archive)
    else:
        with open_tar(path) as tar:
            yield _tar_members(tar)


def _zip_members(archive: zipfile.ZipFile) -> Iterator[tuple[_Member, IO[bytes] | None]]:
    for info in archive.infolist():
        if info.is_dir():
            continue
        kind = info.external_attr >> 28
        if kind not in (0, 0o10):  # anything but "unknown" and a regular file
            yield _Member(info.filename, False, 0), None
        else:
            with archive.open(info) as stream:
                yield _Member(info.filename, True, info.file_size), stream


def _tar_members(archive: tarfile.TarFile) -> Iterator[tuple[_Member, IO[bytes] | None]]:
    for info in tar_members(archive):
        if not info.isdir():
            stream = archive.extractfile(info) if info.isreg() else None
            yield _Member(info.name, stream is not None, info.size), stream


def _place(name: str, into: Path) -> Path | None:
    """The target of a member, or None if its name leads outside the folder."""
    clean = PurePosixPath(name.replace("\\", "/"))
    if not clean.parts or clean.is_absolute() or ".." in clean.parts or ":" in clean.parts[0]:
        return None
    return into.joinpath(*clean.parts)


def _write(stream: IO[bytes] | None, place: Path, limit: int, archive: Path) -> int:
    """Copy a member's bytes and count them: the size that the archive states may be false."""
    assert stream is not None
    place.parent.mkdir(parents=True, exist_ok=True)
    done = 0
    with place.open("wb") as file:
        while block := stream.read(_BLOCK):
            done += len(block)
            if done > limit:
                raise _too_large(archive)
            file.write(block)
    return done


def _too_large(archive: Path) -> UserError:
    return UserError(
        f"{archive} unpacks to far more than its size ({archive.stat().st_size:,} bytes), or than the disk holds",
        "If it is what you want, unpack it yourself and give the folder.",
    )
