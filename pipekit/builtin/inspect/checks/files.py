"""Files that can't be decoded, are cut off or have the wrong suffix; and files with unusual properties."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipekit.builtin.inspect import examples
from pipekit.builtin.inspect.rows import columns_in
from pipekit.contract import Context, Finding, Params, param
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

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
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}


class FilesParams(Params):
    """No parameters."""


class CutOffParams(Params):
    least_share: float = param(0.1, "Smallest share of grey rows, of the height, that counts as cut off", gt=0, lt=1)


@examples.example(examples.corrupt)
@supports(CLASSES, MULTILABEL, NUMBER)
def corrupt(rows: Rows, ctx: Context, params: FilesParams) -> Iterator[Finding]:
    """Files that can't be decoded completely; they stop a training, or enter it as half an image."""
    reasons: dict[str, list[str]] = defaultdict(list)
    found = columns_in(rows)
    for number, reason in sorted(found.problems.items()):
        reasons[reason].append(found.ids[number])
    for reason in sorted(reasons):
        yield Finding("corrupt", "error", reason, tuple(reasons[reason]), {"remove": reasons[reason]})


@examples.example(examples.cut_off)
@supports(CLASSES, MULTILABEL, NUMBER)
def cut_off(rows: Rows, ctx: Context, params: CutOffParams) -> Iterator[Finding]:
    """The lower end is plain medium grey, which a decoder fills in for missing data; then saved again as a complete file."""
    measured = columns_in(rows)
    found = measured.ids_at(measured.numbers["cut_off"] >= params.least_share)
    if found:
        words = "the lower end is plain grey, as in a damaged file that was opened and saved again"
        yield Finding("cut_off", "warning", words, found, {"remove": list(found)})


@examples.example(examples.wrong_extension)
@supports(CLASSES, MULTILABEL, NUMBER)
def wrong_extension(rows: Rows, ctx: Context, params: FilesParams) -> Iterator[Finding]:
    """The file's suffix names another format than its content."""
    measured = columns_in(rows)
    formats, suffixes = measured.texts["format"], measured.texts["suffix"]
    pairs = measured.count_pairs("format", "suffix", formats.codes >= 0)
    wrong = [(kind, suffix) for kind, suffix in pairs if kind in SUFFIXES and suffix not in SUFFIXES[kind]]
    for kind, suffix in sorted((str(kind), str(suffix)) for kind, suffix in wrong):
        both = (formats.codes == formats.names.index(kind)) & (suffixes.codes == suffixes.names.index(suffix))
        words = f"{kind} in files called {suffix or 'without a suffix'}"
        yield Finding("wrong_extension", "warning", words, measured.ids_at(both), {"remove": []})


@examples.example(examples.orientation)
@supports(CLASSES, MULTILABEL, NUMBER)
def orientation(rows: Rows, ctx: Context, params: FilesParams) -> Iterator[Finding]:
    """Images that only their EXIF data rotates. pipekit applies it; not every program does."""
    measured = columns_in(rows)
    found = measured.ids_at(measured.good & (measured.numbers["orientation"] != 1))
    if found:
        yield Finding("orientation", "info", "rotated by EXIF data only; other programs may show them on their side", found)


@examples.example(examples.mixed_modes)
@supports(CLASSES, MULTILABEL, NUMBER)
def mixed_modes(rows: Rows, ctx: Context, params: FilesParams) -> Iterator[Finding]:
    """Grey, transparent, 16-bit or CMYK images among others: a shortcut for a model if one class has more of them."""
    measured = columns_in(rows)
    column, modes = measured.texts["mode"], measured.tally("mode")
    for mode, count in sorted(modes.items()):
        if count < modes.total() / 2:
            found = measured.ids_at(column.codes == column.names.index(mode))
            yield Finding("mixed_modes", "info", f"mode {mode}; most images have {modes.most_common(1)[0][0]}", found)


@examples.example(examples.animated)
@supports(CLASSES, MULTILABEL, NUMBER)
def animated(rows: Rows, ctx: Context, params: FilesParams) -> Iterator[Finding]:
    """Files with several frames or pages; pipekit reads only the first."""
    measured = columns_in(rows)
    found = measured.ids_at(measured.numbers["frames"] > 1)
    if found:
        yield Finding("animated", "info", "several frames; only the first is used", found)
