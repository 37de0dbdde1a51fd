"""Reproduce one augmented image from its row in ``metadata.csv``, the recipe and its source."""

from __future__ import annotations

import csv
import glob
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from pipekit import images
from pipekit.commands.working import refuse_existing, registry_with
from pipekit.contract import Dataset
from pipekit.errors import UserError
from pipekit.files import expanded, hash_file
from pipekit.recipe.copies import copy_rng
from pipekit.registry.registry import Registry

RECIPE_FILE = "recipe.json"
"""File beside class folders that ``pipekit augment`` wrote: the parameters, the seed and the source."""


ROWS_FILE = "augmented.csv"
"""File beside images in a format other than class folders: how each copy was made, by the hash of its file."""


@dataclass(frozen=True)
class Replayed:
    """A reproduced image: its bytes, whether they equal those of the file, and the ops.

    Attributes:
        data: the bytes of the requested file: the image, or its mask.
        mask: the bytes of the image's mask, if it has one; None if the mask's source was not found.
        mask_identical: whether the mask's bytes equal those that were written originally.
        written: the files that were written.
    """

    data: bytes
    identical: bool
    source: Path
    captions: tuple[str, ...]
    mask: bytes | None = None
    mask_identical: bool | None = None
    written: tuple[Path, ...] = ()


def replay(
    file: str | Path,
    source: str | Path | None = None,
    *,
    out: str | Path | None = None,
    plugins: Sequence[str] = (),
    disable: Sequence[str] = (),
) -> Replayed:
    """Reproduce an augmented image, with its mask, and compare it bit for bit.

    Args:
        file: an image, or a mask, below a folder that ``pipekit augment`` wrote, or below ``runs/NAME/STAGE``.
        source: the original image, or its folder; needed if it is no longer where it was.
        out: a file for the image; its mask is written beside it, as ``NAME.mask.png``. Neither may exist.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.

    Raises:
        UserError: there is no row, no recipe or no source, the source has changed since, or ``out`` exists.

    Example:
        >>> import pipekit
        >>> made = pipekit.replay("more/train/cat/1.aug2.jpg")  # doctest: +SKIP
        >>> made.identical, made.captions  # doctest: +SKIP
        (True, ('rotate angle_deg=-12.4', 'hflip'))
    """
    registry = registry_with(plugins, disable)
    place = None if out is None else expanded(out)
    refuse_existing(place, place and place.with_suffix(".mask.png"))
    made = _make_again(expanded(file), registry, None if source is None else expanded(source))
    if place is None:
        return made
    written = [(place, made.data)] + ([] if made.mask is None else [(place.with_suffix(".mask.png"), made.mask)])
    for path, data in written:
        images.write_bytes(path, data)
    return replace(made, written=tuple(path for path, _ in written))


def _make_again(file: Path, registry: Registry, source: Path | None) -> Replayed:
    if not file.is_file():
        raise UserError(f"no such file: {file}")
    made = history_of(file)
    settings = settings_of(file)
    roots = [source] if source is not None else settings["sources"]
    path = find_source(made, roots)
    params = registry.check_params(registry.get("stage", "augment").params_type(), settings["params"], settings["base_dir"])
    rng = copy_rng(settings["seed"], made["of"], made["copy"])
    mask_path = find_mask(made, path, roots)
    mask = None if mask_path is None else images.read_mask(str(mask_path))
    applied = params.compiled().load(path, rng, mask=mask)  # type: ignore[attr-defined]
    wanted = file.read_bytes()
    mask_data = None if applied.mask is None else images.encode(applied.mask, "png")
    if made.get("mask", {}).get("sha256") == hashlib.sha256(wanted).hexdigest():
        if mask_data is None:
            raise UserError(f"the mask of {made['of']!r} was not found", "Say where it is with --source.")
        return Replayed(mask_data, mask_data == wanted, mask_path or path, applied.captions)
    same = None if mask_data is None else hashlib.sha256(mask_data).hexdigest() == made["mask"]["sha256"]
    data = images.encode(applied.image, file.suffix, params.quality)  # type: ignore[attr-defined]
    return Replayed(data, data == wanted, path, applied.captions, mask_data, same)


def write_rows(artifact: Dataset, file: Path) -> None:
    """How each augmented copy of a dataset was made: ``augmented.csv``."""
    with file.open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(["sha256", "augmented"])
        for sample in artifact:
            if "augmented" in sample.extra:
                table.writerow([sample.sha256, json.dumps(sample.extra["augmented"])])
        out.flush()
        os.fsync(out.fileno())


def history_of(file: Path) -> dict[str, Any]:
    """How a copy was made: from the nearest ``metadata.csv`` or ``augmented.csv`` above it."""
    whole = file.resolve()
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    for folder in whole.parents:
        if (folder / ROWS_FILE).is_file():
            return _by_content(folder / ROWS_FILE, whole)
        if (folder / "metadata.csv").is_file():
            return _by_name(folder / "metadata.csv", whole)
    raise UserError(f"there is no metadata.csv above {file}", "Give an image in a folder that pipekit augment or a run wrote.")


def _by_content(table: Path, file: Path) -> dict[str, Any]:
    wanted = hash_file(file)
    with table.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["sha256"] == wanted or wanted in row["augmented"]:
                made: dict[str, Any] = json.loads(row["augmented"])
                if row["sha256"] == wanted or made.get("mask", {}).get("sha256") == wanted:
                    return made
    raise UserError(f"{file} is no augmented copy, or has changed since", f"{table} has no row with the hash of its content.")


def _by_name(table: Path, file: Path) -> dict[str, Any]:
    name = file.relative_to(table.parent).as_posix()
    with table.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row.get("file_name") == name:
                if row.get("extra_augmented"):
                    made: dict[str, Any] = json.loads(row["extra_augmented"])
                    return made
                raise UserError(f"{file} is no augmented copy", "Its row in metadata.csv has no extra_augmented.")
    raise UserError(f"{table} has no row for {name}")


def settings_of(file: Path) -> dict[str, Any]:
    """The parameters of the stage, the seed, and the folders where sources may be."""
    whole = file.resolve()
    for folder in whole.parents:
        if (folder / RECIPE_FILE).is_file():
            found = json.loads((folder / RECIPE_FILE).read_text("utf-8"))
            return {
                "params": found["params"],
                "seed": found["seed"],
                "sources": [Path(found["source"])],
                "base_dir": folder,
            }
        if (folder / "run.json").is_file():
            run = json.loads((folder / "run.json").read_text("utf-8"))
            base = folder.parent.parent
            wanted = whole.relative_to(folder).parts[0]
            stage = next((one for one in run["stages"] if one["name"] == wanted and one["use"] == "augment"), None)
            if stage is None:
                raise UserError(f"{wanted!r} of run {run['name']!r} is no augment stage")
            paths = [one["params"]["path"] for one in run["stages"] if "path" in one.get("params", {})]
            return {
                "params": stage["params"],
                "seed": run["seed"],
                "sources": [base / path for path in paths],
                "base_dir": base,
            }
    raise UserError(
        f"there is no {RECIPE_FILE} and no run.json above {file}", "Give an image that pipekit augment or a run wrote."
    )


def find_source(made: Mapping[str, Any], roots: Sequence[Path]) -> Path:
    """The file that a copy was made from, if it has the recorded hash.

    In most formats an id is a path below the source; in others it is the end of one: ``a.jpg`` in ``JPEGImages``.
    """
    changed = None
    for root in roots:
        if not root.exists():
            continue
        folder = root if root.is_dir() else root.parent
        exact = [path for path in (root, folder / made["of"]) if path.is_file()]
        for path in (*exact, *_below(folder, glob.escape(PurePosixPath(made["of"]).name))):
            if hash_file(path) == made["sha256"]:
                return path
        changed = changed or (exact[-1] if exact else None)
    if changed is not None:
        raise UserError(f"{changed} has changed since the copy was made", "Give the original file with --source.")
    tried = ", ".join(str(root) for root in roots) or "nothing"
    raise UserError(f"the source {made['of']!r} was not found; looked in: {tried}", "Say where it is with --source.")


def find_mask(made: Mapping[str, Any], image: Path, roots: Sequence[Path]) -> Path | None:
    """The mask that moved with the image: a file whose name begins like the image's, with the recorded hash."""
    wanted = made.get("mask", {}).get("of_sha256")
    if wanted is None:
        return None
    for root in (root for root in roots if root.exists()):
        for path in _below(root if root.is_dir() else root.parent, glob.escape(image.stem) + "*"):
            if hash_file(path) == wanted:
                return path
    return None


def _below(folder: Path, pattern: str) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob(pattern)) if path.is_file())
