"""The suspected label errors of a report, of an inspection, or of a folder of images, for ``pipekit corrections from``."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipekit.contract import Artifact, Dataset, Report
from pipekit.errors import UserError
from pipekit.files import expanded, plain_rows
from pipekit.tasks import MULTILABEL, NUMBER, OF_MODELS, several_as_text

FOUND = "inspect.json"
KIND = "inspection"
"""The kind of what the stage ``inspect`` makes."""

WHERE = "Give a run with an `evaluate` or `inspect` stage (pipekit runs), an `inspect.json`, or a folder of images."

OF_CLASSES = {"id", "sha256", "label", "suggested", "p_label", "p_suggested"}
OF_LABELS = {"id", "sha256", "labels", "label", "suspected", "probability", "chance"}
OF_NUMBERS = {"id", "sha256", "label", "suggested", "why"}
"""The entries of a suspect: of classes, of several labels for each image, and of numbers."""

Suspected = Sequence[Mapping[str, Any]]
Paths = Callable[[Sequence[str]], Mapping[str, str]]


def suspects_of(source: str) -> tuple[Suspected, Paths]:
    """The suspects, as rows with ``id``, ``sha256``, ``label``, ``suggested``, ``p_label`` and ``p_suggested``, and a function
    from ids to the paths of images, as far as they are known.

    Raises:
        UserError: ``source`` names no report, no inspection and no images, or the inspection suspected no labels since it had
            no features.
    """
    from pipekit.engine.adhoc import find_artifact

    here = Path.cwd()
    place = expanded(source)
    file = place / FOUND if place.is_dir() else place
    if file.name == FOUND and file.is_file() and not (file.parent / "run.json").is_file():
        return _inspected(file), lambda ids: {}
    made: Artifact | None
    try:
        made = find_artifact(source, Report, here)
    except UserError:  # a run without a report
        made = find_artifact(source, Artifact, here) if ":" in source else _inspection_in(source)
        if made is None or made.kind != KIND:
            raise
    if made is None and place.is_dir():
        return _of_images(source)
    if made is None:
        raise UserError(f"no report and no inspection in {source}", WHERE)
    if made.kind == KIND:
        return _inspected(made.path / FOUND), lambda ids: _paths_in(source, ids)
    return _reported(made.path)


def _inspection_in(source: str) -> Artifact | None:
    """The last inspection of a run; None if it has none."""
    from pipekit.engine.adhoc import find_artifact
    from pipekit.engine.run_folder import locate_run

    for entry in reversed(locate_run(Path.cwd(), source).record["stages"]):
        if entry["use"] == "inspect":
            return find_artifact(f"{source}:{entry['name']}", Artifact, Path.cwd())
    return None


def _reported(folder: Path) -> tuple[Suspected, Paths]:
    """The suspects of a report; the hash of each file and its path are those of ``predictions.csv``."""
    with (folder / "predictions.csv").open(encoding="utf-8", newline="", errors="surrogateescape") as file:
        predicted = {row["id"]: row for row in plain_rows(csv.DictReader(file))}
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    listed = metrics.get("label_errors") or []
    if metrics.get("task") == OF_MODELS[NUMBER]:
        raise UserError(
            "a report of numbers suspects no labels",
            "It shows the images with the largest errors; correct one by: pipekit corrections add FOLDER ID --label NUMBER",
        )
    if metrics.get("task") == MULTILABEL:
        listed = _of_several([{**one, "labels": json.loads(predicted[one["id"]]["labels"])} for one in listed])
    rows = [{**one, "sha256": predicted[one["id"]]["sha256"]} for one in listed]
    return rows, lambda ids: {name: predicted[name].get("image", "") for name in ids}


def _of_several(listed: Suspected) -> Suspected:
    """The suspected labels of each image in one row: its labels, and those without the wrong and with the missing ones.

    A suspected label that is still more likely right is named and not changed, unless all of the image's suspects are.
    """
    by_image: dict[str, list[Mapping[str, Any]]] = {}
    for one in listed:
        by_image.setdefault(one["id"], []).append(one)
    rows = []
    for name, found in by_image.items():
        labels = {*found[0]["labels"]}
        changed = [one for one in found if (one["probability"] < 0.5) == (one["suspected"] == "wrong")] or found[:1]
        wrong = {one["label"] for one in changed if one["suspected"] == "wrong"}
        missing = {one["label"] for one in changed if one["suspected"] == "missing"}
        why = ", ".join(f"{one['label']} {one['suspected']}: p = {one['probability']:.3f}" for one in found)
        suggested = several_as_text(labels - wrong | missing)
        row = {"id": name, "label": several_as_text(labels), "suggested": suggested, "why": why}
        rows.append(row | ({"sha256": found[0]["sha256"]} if "sha256" in found[0] else {}))
    return rows


def _inspected(file: Path) -> Suspected:
    """The suspects of an inspection.

    Raises:
        UserError: it had no features, or an older version wrote it, without the hashes of the files.
    """
    again = "Inspect the images again: pipekit inspect FOLDER --features"
    try:
        found = json.loads(file.read_text("utf-8", "surrogateescape"))
        listed, features = list(found["label_errors"]), found["features"]
        complete = all(any(wanted <= row.keys() for wanted in (OF_CLASSES, OF_LABELS, OF_NUMBERS)) for row in listed)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} can't be read as the result of an inspection: {error!r}", again) from error
    if features is None and not listed:  # a plugin's check may suspect labels without them
        raise UserError(f"{file} suspects no labels: the inspection had no features of the images", again)
    if not complete:
        raise UserError(f"{file} has no hashes of the suspected files: an older pipekit wrote it", again)
    if listed and listed[0].keys() >= OF_LABELS:
        return _of_several(sorted(listed, key=lambda row: -row["chance"]))
    return listed


def _of_images(source: str) -> tuple[Suspected, Paths]:
    """Inspect a folder of images for suspects; what an inspection has computed before is in the store."""
    from pipekit.commands.inspect import inspect

    found = inspect(source, only=["suspected_labels"], features=True)
    return _inspected(found.folder / FOUND), lambda ids: _paths_of(found.outcome.artifact("data"), ids)


def _paths_in(source: str, ids: Sequence[str]) -> Mapping[str, str]:
    """Paths by the last dataset of a run."""
    from pipekit.engine.adhoc import find_artifact

    return _paths_of(find_artifact(source.rpartition(":")[0] or source, Dataset, Path.cwd()), ids)


def _paths_of(dataset: Any, ids: Sequence[str]) -> Mapping[str, str]:
    wanted = set(ids)
    return {sample.id: sample.image for sample in dataset if sample.id in wanted}
