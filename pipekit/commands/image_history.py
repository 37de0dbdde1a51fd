"""What the runs of a folder have made of one image: its splits, its augmented copies, its predictions."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipekit.commands.browse import thumbnail
from pipekit.errors import ImageError
from pipekit.files import plain_rows

MOST_RUNS = 20
"""Runs that are read, the newest; their tables have a line for each image."""

SHOWN_COPIES = 8
COPY_PX = 128


def history_of(base: Path, identity: str, sha256: str) -> dict[str, Any]:
    """Read the tables of the newest runs. An image is known by its id and its content.

    Args:
        base: the folder that has ``runs/``.
        sha256: of the file; "" if it is not known.

    Returns:
        ``runs``: ``name``, ``splits`` (stage -> split), ``copies`` (their number), ``prediction`` (``predicted``, ``true``,
        ``confidence``, ``correct``; None without one), of each run that had the image; ``copies``: of the first few copies
        ``run``, ``file``, ``steps`` in words and ``picture``, a data URL; ``passed_over``: the number of older runs.
    """
    folders = sorted((path.parent for path in (base / "runs").glob("*/run.json")), key=_age, reverse=True)
    runs, copies = [], []
    for folder in folders[:MOST_RUNS]:
        splits, made = _in_tables(folder, identity, sha256)
        prediction = _prediction(folder / "predictions.csv", identity, sha256)
        if splits or made or prediction:
            runs.append({"name": folder.name, "splits": splits, "copies": len(made), "prediction": prediction})
        copies += [{"run": folder.name, **one} for one in made]
    shown = [_with_picture(base, one) for one in copies[:SHOWN_COPIES]]
    return {"runs": runs, "copies": shown, "passed_over": max(0, len(folders) - MOST_RUNS)}


def _age(folder: Path) -> int:
    try:
        return (folder / "run.json").stat().st_mtime_ns
    except OSError:
        return 0


def _in_tables(folder: Path, identity: str, sha256: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Stage -> split of the image, and its copies."""
    splits: dict[str, str] = {}
    copies = []
    for table in sorted([*folder.glob("*/metadata.csv"), *folder.glob("*/*/metadata.csv")]):
        stage = table.relative_to(folder).parts[0]
        for row in _rows(table, identity):
            if row.get("id") == identity and row.get("sha256", "") in ("", sha256):
                splits[stage] = row.get("split", "")
            elif row.get("extra_augmented") and (made := _copy_of(row, identity, sha256)):
                copies.append({"stage": stage, "file": str(table.parent / row["file_name"]), **made})
    return splits, copies


def _copy_of(row: Mapping[str, str], identity: str, sha256: str) -> dict[str, Any] | None:
    try:
        made = json.loads(row["extra_augmented"])
        if made["of"] != identity or made.get("sha256", "") not in ("", sha256):
            return None
        return {"copy": int(made["copy"]), "steps": [_words(step) for step in made.get("steps", ())]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _words(step: Any) -> str:
    """``["rotate", {"angle_deg": 3.2}]`` -> ``rotate angle_deg=3.2``."""
    op, values = step
    said = (f"{name}={f'{value:.4g}' if isinstance(value, float) else value}" for name, value in values.items())
    return " ".join([str(op), *said])


def _prediction(table: Path, identity: str, sha256: str) -> dict[str, Any] | None:
    for row in _rows(table, identity):
        if row.get("id") == identity and row.get("sha256", "") in ("", sha256):
            names = ("predicted", "true", "confidence", "correct", "error")
            return {name: row[name] for name in names if row.get(name) not in (None, "")}
    return None


def _rows(table: Path, identity: str) -> Iterator[dict[str, str]]:
    """The rows of a table that mention an id; none if it can't be read. Only their lines are parsed: a table may have a
    million."""
    try:
        data = table.read_bytes()
    except OSError:
        return
    spelt = _spellings(identity)
    if not any(text in data for text in spelt):
        return
    head, *lines = data.splitlines(keepends=True)
    found = [line for line in lines if any(text in line for text in spelt)]
    if len(identity.splitlines()) > 1 or any(line.count(b'"') % 2 for line in (head, *found)):  # a cell has several lines
        found = lines
    whole = b"".join([head, *found])
    try:
        text = whole.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = whole.decode("utf-8", "surrogateescape")
    with contextlib.suppress(csv.Error):
        yield from plain_rows(csv.DictReader(io.StringIO(text, newline="")))


def _spellings(identity: str) -> set[bytes]:
    """How an id may stand in a table: as it is, or in a cell of JSON, with doubled quotation marks."""
    texts = {identity, json.dumps(identity)[1:-1], json.dumps(identity, ensure_ascii=False)[1:-1]}
    texts |= {text.replace('"', '""') for text in texts}
    found = set()
    for text in texts:
        for errors in ("surrogatepass", "surrogateescape"):
            with contextlib.suppress(UnicodeEncodeError):
                found.add(text.encode("utf-8", errors))
    return found


def _with_picture(base: Path, copy: Mapping[str, Any]) -> dict[str, Any]:
    """The copy with a small picture, and with its path relative to ``base``; a file elsewhere is not read."""
    path = Path(copy["file"])
    picture = ""
    if ".." in path.parts or not path.is_relative_to(base):
        return {**copy, "file": path.name, "picture": ""}
    with contextlib.suppress(OSError, ImageError):
        picture = "data:image/jpeg;base64," + base64.b64encode(thumbnail(str(path), "0" * 64, COPY_PX)).decode()
    return {**copy, "file": path.relative_to(base).as_posix(), "picture": picture}
