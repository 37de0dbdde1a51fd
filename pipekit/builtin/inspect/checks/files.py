"""Files that can't be decoded, are cut off or have the wrong suffix; and files with unusual properties."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipekit.contract import Context, Finding, Params, param

Rows = Sequence[Mapping[str, Any]]

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
}


class FilesParams(Params):
    """No parameters."""


class CutOffParams(Params):
    least_share: float = param(0.1, "Smallest share of grey rows, of the height, that counts as cut off", gt=0, lt=1)


def corrupt(rows: Rows, ctx: Context, params: FilesParams) -> Iterator[Finding]:
    """Files that can't be decoded completely; they stop a training, or enter it as half an image."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if "problem" in row:
            reasons[row["problem"]].append(row["id"])
    for reason in sorted(reasons):
        yield Finding("corrupt", "error", reason, tuple(reasons[reason]), {"remove": reasons[reason]})


def cut_off(rows: Rows, ctx: Context, params: CutOffParams) -> Iterator[Finding]:
    """The lower end is plain medium grey, which a decoder fills in for missing data; then saved again as a complete file."""
    found = [row["id"] for row in rows if row.get("cut_off", 0) >= params.least_share]
    if found:
        words = "the lower end is plain grey, as in a damaged file that was opened and saved again"
        yield Finding("cut_off", "warning", words, tuple(found), {"remove": found})


def wrong_extension(rows: Rows, ctx: Context, params: FilesParams) -> Iterator[Finding]:
    """The file's suffix names another format than its content."""
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        known = SUFFIXES.get(row.get("format", ""))
        if known and row["suffix"] not in known:
            kinds[row["format"], row["suffix"]].append(row["id"])
    for (kind, suffix), names in sorted(kinds.items()):
        yield Finding(
            "wrong_extension", "warning", f"{kind} in files called {suffix or 'without a suffix'}", tuple(names), {"remove": []}
        )


def orientation(rows: Rows, ctx: Context, params: FilesParams) -> Iterator[Finding]:
    """Images that only their EXIF data rotates. pipekit applies it; not every program does."""
    found = tuple(row["id"] for row in rows if row.get("orientation", 1) != 1)
    if found:
        yield Finding("orientation", "info", "rotated by EXIF data only; other programs may show them on their side", found)


def mixed_modes(rows: Rows, ctx: Context, params: FilesParams) -> Iterator[Finding]:
    """Grey, transparent, 16-bit or CMYK images among others: a shortcut for a model if one class has more of them."""
    modes = Counter(row["mode"] for row in rows if "mode" in row)
    for mode, count in sorted(modes.items()):
        if count < modes.total() / 2:
            found = tuple(row["id"] for row in rows if row.get("mode") == mode)
            yield Finding("mixed_modes", "info", f"mode {mode}; most images have {modes.most_common(1)[0][0]}", found)


def animated(rows: Rows, ctx: Context, params: FilesParams) -> Iterator[Finding]:
    """Files with several frames or pages; pipekit reads only the first."""
    found = tuple(row["id"] for row in rows if row.get("frames", 1) > 1)
    if found:
        yield Finding("animated", "info", "several frames; only the first is used", found)
