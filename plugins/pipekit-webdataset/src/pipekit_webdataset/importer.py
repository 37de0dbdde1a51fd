"""WebDataset tar shards as a dataset. https://github.com/webdataset/webdataset

Nothing is unpacked: the image of a sample is ``train-000000.tar#512+9000.jpg``, 9,000 bytes from byte 512 of the shard.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pipekit
from pipekit import Failure, Rejected, Sample, UserError
from pipekit.contract import Box, Targets
from pipekit.files import walk
from pipekit_webdataset.shards import Group, ShardError, groups

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
CLASS_FILES = ("classes.txt", "classnames.txt")
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


class WebdatasetParams(pipekit.Params):
    """Parameters of the importer."""

    image: str = pipekit.param("", "The image part, by its suffix (input.jpg). Default: detected")
    label: str = pipekit.param(
        "auto",
        "The label part: its suffix (cls), json.NAME for a value in the json, none; auto: the label in the json of "
        "pipekit's own exports, else cls",
    )
    mask: str = pipekit.param("mask.png", "The mask part, by its suffix; samples without one have no mask")
    classes: tuple[str, ...] = pipekit.param(
        (), "Class names, by number. Default: the lines of classes.txt beside the shards, else the numbers"
    )
    splits: bool = pipekit.param(True, "Take the split from a shard's name (train-000000.tar, val/0.tar)")


def sniff(path: Path) -> str | Rejected:
    """Why ``path`` is a folder of shards or a shard, or why it is neither.

    A folder with loose images is rejected, whatever archives it also contains.
    """
    from pipekit.images import SUFFIXES

    shards = list(_shards(path))
    if not shards:
        return Rejected("no tar archive below it" if path.is_dir() else f"the file does not end in {' '.join(ARCHIVES)}")
    wrong = {}
    for name, shard in shards:
        wrong[name] = _no_pictures(shard)
        if not wrong[name]:
            break
    else:
        return Rejected(f"{shards[0][0]}: {wrong[shards[0][0]]}")
    if path.is_dir() and any(found.lower().endswith(SUFFIXES) for _, names in walk(path) for found in names):
        return Rejected("there are images that lie in no archive")
    return f"tar shards of images: {name}"


def _no_pictures(shard: Path) -> str:
    """Why an archive contains no samples with images, judged by its first sample, or ""."""
    try:
        first = next(groups(shard), None)
    except ShardError as error:
        return str(error)
    if first is None:
        return "there is no file in it"
    return "" if _pictures(first, "") else f"its first sample has no picture: {', '.join(sorted(first.places))}"


def read(path: Path, params: WebdatasetParams) -> Iterator[Sample | Failure]:
    """Yield one sample for each name in each shard, in order; memory use does not grow with the dataset.

    The id is the one that pipekit's export has written; in other shards ``train-000000/0017.jpg``: shard, name, suffix. A
    damaged shard, and a sample without an image, are listed as failed.

    Raises:
        UserError: there is no shard, or the list of classes can't be read.
    """
    count = 0
    for name, shard in _shards(path):
        count += 1
        names = _classes(shard.parent, path, params)
        split = _split(name) if params.splits else ""
        seen: set[str] = set()
        parts = tuple(part for part in (params.label,) if part not in ("auto", "none") and not part.startswith("json."))
        try:
            for group in groups(shard, parts):
                if group.key in seen:
                    offset = min(group.places.values())[0]
                    yield Failure(f"{name}:{group.key} at byte {offset}", "the name stands twice in its shard", str(shard))
                else:
                    seen.add(group.key)
                    yield _sample(group, name, shard, split, names, params)
        except ShardError as error:
            yield Failure(name, str(error), str(shard))
    if not count:
        raise UserError(f"no tar shard in {path}", "Expected a .tar, or a folder with files like train-000000.tar.")


def _shards(path: Path) -> Iterator[tuple[str, Path]]:
    """(path below the folder with ``/``, full path) of every archive, in a stable order."""
    if path.is_file():
        if path.name.lower().endswith(ARCHIVES):
            yield path.name, path
        return
    for folder, names in walk(path):
        for name in names:
            if name.lower().endswith(ARCHIVES):
                full = Path(folder, name)
                yield full.relative_to(path).as_posix(), full


def _split(name: str) -> str:
    """``imagenet-train-0012.tar`` -> ``train``: the last word of the name that names a split."""
    words = re.split(r"[^a-z]+", name.lower().removesuffix(".tar"))
    return next((SPLITS[word] for word in reversed(words) if word in SPLITS), "")


def _classes(folder: Path, root: Path, params: WebdatasetParams) -> tuple[str, ...]:
    if params.classes:
        return params.classes
    for place in dict.fromkeys((folder, root if root.is_dir() else root.parent)):
        for name in CLASS_FILES:
            try:
                return tuple((place / name).read_text("utf-8").splitlines())
            except FileNotFoundError:
                continue
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"{place / name} can't be read: {error}", "Give the names: classes = [...]") from error
    return ()


# --- one sample ----------------------------------------------------------------------------------------------------------


def _sample(
    group: Group, name: str, shard: Path, split: str, names: tuple[str, ...], params: WebdatasetParams
) -> Sample | Failure:
    identity = f"{re.sub(r'[.]tar$', '', name)}/{group.key}"
    try:
        image = _picture(group, params)
        described = _json(group)
        ours = isinstance(described.get("id"), str) and "sha256" in described
        return Sample(
            id=described["id"] if ours else f"{identity}.{image}",
            image=_place(shard, group, image),
            label=_label(group, described, names, params.label),
            split=split,
            targets=Targets(
                mask=_place(shard, group, params.mask) if params.mask in group.places else "",
                boxes=_boxes(described) if ours else (),
            ),
            extra=_extra(group, described, ours),
        )
    except _UnusableError as problem:
        return Failure(identity, str(problem), str(shard))


class _UnusableError(Exception):
    """Why a sample can't be used."""


def _place(shard: Path, group: Group, part: str) -> str:
    offset, size = group.places[part]
    return f"{os.path.abspath(shard)}#{offset}+{size}.{part.rpartition('.')[2]}"


def _pictures(group: Group, mask: str) -> list[str]:
    from pipekit.images import SUFFIXES

    return [part for part in group.places if f".{part}".endswith(SUFFIXES) and part != mask]


def _picture(group: Group, params: WebdatasetParams) -> str:
    """The image part: the one named by ``image``, the only one, or the only one whose suffix has no dot (``jpg``)."""
    found = _pictures(group, params.mask)
    if params.image:
        found = [params.image.lower()] if params.image.lower() in group.places else []
    if group.twice:
        raise _UnusableError(f"has two parts .{group.twice}")
    if len(found) > 1:
        found = [part for part in found if "." not in part] or found
    if not found:
        raise _UnusableError(f"no part .{params.image}" if params.image else f"no picture among {', '.join(group.places)}")
    if len(found) > 1:
        raise _UnusableError(f"several pictures ({', '.join(found)}); say which: image = {found[0]!r}")
    return found[0]


def _json(group: Group) -> Mapping[str, Any]:
    if "json" not in group.texts:
        return {}
    try:
        found = json.loads(group.texts["json"])
    except ValueError as error:
        raise _UnusableError(f"its json can't be read: {error}") from error
    return found if isinstance(found, dict) else {}


def _label(group: Group, described: Mapping[str, Any], names: tuple[str, ...], rule: str) -> str | None:
    if rule == "none":
        return None
    if rule.startswith("json."):
        value = described.get(rule.removeprefix("json."))
        return None if value is None else _named(str(value), names)
    if rule == "auto" and "sha256" in described and isinstance(described.get("label"), str):
        return str(described["label"])
    text = group.texts.get("cls" if rule == "auto" else rule.lower())
    return None if text is None else _named(text.decode("utf-8", "replace").strip(), names)


def _named(text: str, names: tuple[str, ...]) -> str:
    """The class name for a number if there are names; else the text itself."""
    if not names or not re.fullmatch(r"[0-9]+", text):
        return text
    if int(text) >= len(names):
        raise _UnusableError(f"class number {text}, and there are {len(names)} names of classes, from 0 on")
    return names[int(text)]


def _boxes(described: Mapping[str, Any]) -> tuple[Box, ...]:
    try:
        boxes = described.get("boxes", ())
        return tuple(Box(float(x0), float(y0), float(x1), float(y1), str(label)) for x0, y0, x1, y1, label in boxes)
    except (TypeError, ValueError) as error:
        raise _UnusableError(f"the boxes in its json can't be read: {error}") from error


def _extra(group: Group, described: Mapping[str, Any], ours: bool) -> dict[str, Any]:
    """A sample's further values: ``extra`` from pipekit's own json, else all of the json, and a caption as ``txt``."""
    extra = described.get("extra", {}) if ours else described
    found = dict(extra) if isinstance(extra, Mapping) else {}
    for part in ("txt", "text"):
        if part in group.texts:
            found.setdefault(part, group.texts[part].decode("utf-8", "replace"))
    return found
