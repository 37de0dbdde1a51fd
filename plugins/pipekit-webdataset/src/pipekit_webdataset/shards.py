"""Read the members of a shard and group them into samples as the package ``webdataset`` does."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipekit.files import open_tar, tar_members

MAX_TEXT_BYTES = 16 * 2**20
"""Maximum size of a text part: a class or a description is never longer, an image under a wrong name may be."""

_KEY = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$", re.DOTALL)
_META = re.compile(r"__[^/]*__($|/)")
_TEXTS = ("cls", "json", "txt", "text")
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}


class ShardError(Exception):
    """A shard can't be read any further; the message is the short reason."""


@dataclass
class Group:
    """The members that share a name up to the first dot.

    Attributes:
        places: for each suffix, in lower case, the position of its bytes: ``(offset, size)``.
        texts: the bytes of the parts that were requested as texts.
    """

    key: str
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    twice: str = ""


def groups(shard: Path, texts: tuple[str, ...] = ()) -> Iterator[Group]:
    """Yield the samples of a shard, one at a time, in order. No image is read.

    Args:
        texts: suffixes of parts to read, besides ``cls``, ``json`` and ``txt``.

    Raises:
        ShardError: it is not a tar, is compressed, or is truncated. The samples before the damage have been yielded.
    """
    try:
        with open_tar(shard, "r:") as tar:
            yield from _grouped(tar, {*_TEXTS, *texts})
    except (tarfile.TarError, ValueError) as error:  # ValueError: a number in a header that is none
        kind = compression(shard)
        raise ShardError(f"compressed with {kind}: decompress it first" if kind else f"damaged tar: {error}") from error
    except OSError as error:
        raise ShardError(f"can't be read: {error.strerror or error}") from error


def compression(shard: Path) -> str:
    """The compression (``gzip`` and so on) by the first two bytes; "" if there is none."""
    with shard.open("rb") as file:
        return _COMPRESSED.get(file.read(2), "")


def _grouped(tar: tarfile.TarFile, texts: set[str]) -> Iterator[Group]:
    group: Group | None = None
    for member in tar_members(tar):
        found = _KEY.match(member.name)
        if not member.isreg() or member.issparse() or found is None or _META.match(member.name):
            continue
        key, suffix = found[1].removeprefix("./"), found[2].lower()
        if group is None or key != group.key:
            if group is not None:
                yield group
            group = Group(key)
        if suffix in group.places:
            group.twice = suffix
        group.places[suffix] = (member.offset_data, member.size)
        if suffix in texts and member.size <= MAX_TEXT_BYTES:
            file = tar.extractfile(member)
            group.texts[suffix] = file.read() if file is not None else b""
    if group is not None:
        yield group
