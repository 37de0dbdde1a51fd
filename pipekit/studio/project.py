"""What is open: a dataset as columns, its thumbnails, and the decisions about it."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipekit.commands.browse import Catalog, Source, open_catalog, state_folder, thumbnail
from pipekit.commands.image_map import Features, find_features, map_file, points_of
from pipekit.commands.working import registry_with
from pipekit.errors import ImageError, PipekitError
from pipekit.files import plain_rows
from pipekit.studio.aside import Aside
from pipekit.studio.edits import LABEL, LEAVE_OUT, Change, Edits
from pipekit.studio.thumbs import Thumbs

INSPECTION = "inspection"
MAPS = "maps"
PROJECTION = "tsne"
"""The projection of a map unless another one is chosen."""

UNREADABLE = b""
"""The thumbnail of an image that can't be read."""


class GoneError(PipekitError):
    """A page asks for a dataset that is no longer open: its folder has changed."""


@dataclass(frozen=True)
class Options:
    """How the studio was started."""

    plugins: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The same on another command line."""
        plugins = [word for name in self.plugins for word in ("--plugin", name)]
        return [*plugins, *(word for name in self.disable for word in ("--disable", name))]


class Project:
    """One source of images, and the folder in which commands are run.

    Attributes:
        catalog: of the dataset as it was read last.
    """

    def __init__(self, source: Source, options: Options | None = None, catalog: Catalog | None = None) -> None:
        self.source, self.options = source, options or Options()
        self.state = state_folder(source.base)
        self.edits = Edits(source.base, self.state)
        self.thumbs = Thumbs(self.state / "thumbs")
        self._open: dict[str, Catalog] = {}
        self._lock = threading.Lock()
        self._given = catalog
        self.previews: Any = None
        self.num_tasks = 0
        self.aside = Aside()
        self.read()

    @cached_property
    def registry(self) -> Any:
        return registry_with(self.options.plugins, self.options.disable)

    def read(self) -> Catalog:
        """Read the dataset again, as it is now. The one before stays open for pages that still show it."""
        with self._lock:
            found = self._given or open_catalog(self.source, self.registry)
            for add in (_with_findings, _with_predictions, _with_scores):
                found = add(found, self)
            self._open = {**dict(list(self._open.items())[-1:]), found.address: found}
            self.catalog = found
        return found

    def at(self, digest: str) -> Catalog:
        """The dataset of an address.

        Raises:
            GoneError: it is not open.
        """
        found = self._open.get(digest)
        if found is None:
            raise GoneError("the images have changed", "Reload the page.")
        return found

    def thumb(self, catalog: Catalog, row: int) -> bytes:
        """The thumbnail of a row; :data:`UNREADABLE` if it can't be read."""
        key = catalog.hashes[row].tobytes()

        def make() -> bytes:
            sample = catalog.read([row])[row]
            return thumbnail(sample.image, key.hex(), self.thumbs.max_px)

        try:
            return self.thumbs.get(key, make)
        except (OSError, ImageError):
            return UNREADABLE

    # --- decisions ---

    def marks(self, catalog: Catalog) -> dict[str, Any]:
        """What the files say of the rows: corrected labels and images that are left out."""
        labels = {self._row(catalog, *place): one.new for place, one in self.edits.labels().items()}
        left_out = {self._row(catalog, *place): one["reason"] for place, one in self.edits.left_out().items()}
        labels.pop(None, None)
        left_out.pop(None, None)
        return {"revision": self.edits.revision, "labels": labels, "left_out": left_out}

    def _row(self, catalog: Catalog, identity: str, sha256: str) -> int | None:
        row = catalog.rows.get(identity)
        return row if row is not None and (not sha256 or catalog.hashes[row].tobytes().hex() == sha256) else None

    def labels_and_splits(self) -> tuple[list[str], list[str]]:
        """The class and the split of each image that is not left out, as they are now; "" for none."""
        catalog = self.catalog
        marks = self.marks(catalog)
        columns = catalog.categories
        labels = [label or "" for label in columns["label"].tolist()]
        for row, label in marks["labels"].items():
            labels[row] = label
        splits = [name or "" for name in columns["split"].tolist()] if "split" in columns else [""] * len(labels)
        kept = [row for row in range(len(catalog)) if row not in marks["left_out"]]
        return [labels[row] for row in kept], [splits[row] for row in kept]

    def changes(
        self, catalog: Catalog, what: str, rows: Sequence[int], before: Sequence[str], after: str, check: str = ""
    ) -> list[Change]:
        """What a click does to some rows: a label, or the reason to leave them out; "" takes either back."""
        labels = catalog.categories["label"]
        made = []
        for row, was in zip(rows, before, strict=True):
            old = labels.names[labels.codes[row]] if labels.codes[row] >= 0 else ""
            new = "" if what == LABEL and after == old else after
            if new != was:
                sha256 = catalog.hashes[row].tobytes().hex()
                made.append(Change(what, catalog.ids[row], sha256, old, was, new, check if what == LEAVE_OUT else ""))
        return made

    # --- what stages have found ---

    def features(self, catalog: Catalog) -> Features | None:
        return find_features(catalog, self.source.base)

    def map_of(self, features: Features, projection: str) -> Path:
        """The file with the positions of images, which may not be there yet."""
        return map_file(self.state / MAPS, features, projection, self.registry)

    @property
    def inspection(self) -> Path:
        return self.state / INSPECTION / "inspect.json"

    def inspected(self) -> Mapping[str, Any]:
        """The content of ``inspect.json``; empty if the dataset was not inspected yet."""
        try:
            found: Mapping[str, Any] = json.loads(self.inspection.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def runs(self) -> list[dict[str, Any]]:
        """The runs with a model, the newest first."""
        found = []
        for record in sorted((self.source.base / "runs").glob("*/run.json"), key=_age, reverse=True):
            try:
                run = json.loads(record.read_text("utf-8"))
            except (OSError, ValueError):
                continue
            headline = next((str(one["headline"]) for one in reversed(run.get("stages", ())) if one.get("headline")), "")
            folder = record.parent
            has = {name: (folder / file).is_file() for name, file in (("model", "model.json"), ("report", "report.html"))}
            if any(has.values()):
                found.append({"name": folder.name, "headline": headline, **has})
        return found


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _with_findings(catalog: Catalog, project: Project) -> Catalog:
    """The first check that found something about an image, as a column."""
    found: dict[str, str] = {}
    for finding in project.inspected().get("findings", ()):
        for identity in finding.get("samples", ()):
            found.setdefault(identity, finding["check"])
    return catalog.with_category("finding", found) if found else catalog


def _with_predictions(catalog: Catalog, project: Project) -> Catalog:
    """What the newest run with a report predicted, as columns."""
    newest = next((run["name"] for run in project.runs() if run["report"]), None)
    if newest is None:
        return catalog
    try:
        with (project.source.base / "runs" / newest / "predictions.csv").open(
            encoding="utf-8", errors="surrogatepass", newline=""
        ) as file:
            rows = [row for row in plain_rows(csv.DictReader(file)) if row.get("id")]
        predicted = {row["id"]: row["predicted"] for row in rows}
        mistakes = {row["id"]: "yes" if row["correct"] == "0" else "no" for row in rows}
        confidence = {row["id"]: float(row["confidence"]) for row in rows}
    except (OSError, KeyError, ValueError, csv.Error):
        return catalog
    if not any(identity in catalog.rows for identity in predicted):
        return catalog
    found = catalog.with_category("predicted", predicted).with_category("mistake", mistakes)
    return found.with_numbers("confidence", confidence)


def _with_scores(catalog: Catalog, project: Project) -> Catalog:
    """How unlike its neighbours each image is, where the map of the images has been made."""
    features = project.features(catalog)
    if features is None:
        return catalog
    try:
        return catalog.with_column("outlier_score", points_of(project.map_of(features, PROJECTION), features.rows)[:, 2])
    except (OSError, ValueError, PipekitError):
        return catalog
