"""Making one augmented image again from its row in ``metadata.csv``, the recipe and its source."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipekit import images
from pipekit.errors import UserError
from pipekit.files import hash_file
from pipekit.registry import Registry
from pipekit.rng import rng_for

RECIPE_FILE = "recipe.json"
"""Beside class folders that ``pipekit augment`` wrote: the parameters, the seed and the source."""


@dataclass(frozen=True)
class Replayed:
    """An image made again: its bytes, whether they are those of the file, and what was done."""

    data: bytes
    identical: bool
    source: Path
    captions: tuple[str, ...]


def replay(file: Path, registry: Registry, source: Path | None = None) -> Replayed:
    """Make an augmented image again.

    Args:
        file: an image below a folder that ``pipekit augment`` wrote, or below ``runs/NAME/STAGE``.
        source: the image that it was made from, or the folder in which ids are paths; where it is not there any more.

    Raises:
        UserError: there is no row, no recipe or no source, or the source has changed since.
    """
    if not file.is_file():
        raise UserError(f"no such file: {file}")
    row = row_of(file)
    text = row.get("extra_augmented") or ""
    if not text:
        raise UserError(f"{file} is no augmented copy", "Its row in metadata.csv has no extra_augmented.")
    made = json.loads(text)
    settings = settings_of(file)
    path = find_source(made, source, settings["sources"])
    params = registry.check(registry.get("stage", "augment").params_type(), settings["params"], settings["base_dir"])
    rng = rng_for(settings["seed"], "augment", "make_copies", made["of"], made["copy"])
    applied = params.compiled().load(path, rng)  # type: ignore[attr-defined]
    data = images.encode(applied.image, file.suffix, params.quality)  # type: ignore[attr-defined]
    return Replayed(data, data == file.read_bytes(), path, applied.captions)


def row_of(file: Path) -> Mapping[str, str]:
    """The file's row in the nearest ``metadata.csv`` above it."""
    whole = file.resolve()
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    for folder in whole.parents:
        table = folder / "metadata.csv"
        if table.is_file():
            name = whole.relative_to(folder).as_posix()
            with table.open(newline="", encoding="utf-8") as lines:
                for row in csv.DictReader(lines):
                    if row.get("file_name") == name:
                        return row
            raise UserError(f"{table} has no row for {name}")
    raise UserError(f"there is no metadata.csv above {file}", "Give an image in a folder that pipekit augment or a run wrote.")


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


def find_source(made: Mapping[str, Any], given: Path | None, known: list[Path]) -> Path:
    """The file that a copy was made from, with the hash that it had then."""
    tried = []
    for root in [given] if given is not None else known:
        path = root if root.is_file() else root / made["of"]
        tried.append(str(path))
        if path.is_file():
            if hash_file(path) == made["sha256"]:
                return path
            raise UserError(f"{path} has changed since the copy was made", "Give the old file with --source.")
    raise UserError(
        f"the source {made['of']!r} was not found; looked at: {', '.join(tried) or 'nothing'}", "Say where it is with --source."
    )
