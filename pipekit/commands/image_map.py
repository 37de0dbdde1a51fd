"""A map of a whole dataset: a position for each image, and how unlike its neighbours it is, from features on the disk.

``pipekit embed`` writes the features. A projection of all images of a large dataset takes hours, so at most :data:`LANDMARKS`
images are projected, and each further image lies among those of them that its features are nearest to.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.browse import Catalog
from pipekit.commands.inspect import SECONDS_AN_IMAGE
from pipekit.commands.working import registry_with
from pipekit.files import plain_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LANDMARKS = 2000
NEIGHBOURS = 5
NEAR = 0.04
"""An image is placed between its nearest landmarks that lie within this distance of the nearest: the mean of two groups is in
neither."""

BLOCK = 4096
"""Rows of features that are compared at once."""

FEATURES_BYTES = 2560
"""Bytes of the features of one image: 1,280 numbers of the embedder in the box."""


@dataclass(frozen=True, eq=False)
class Features:
    """The features of a dataset's images that a run has.

    Attributes:
        folder: of the run.
        digest: of its list of images and its embedder.
        rows: ``(N,) int64``, the row of ``embeddings.npy`` for each row of the dataset; -1 for none.
    """

    folder: Path
    digest: str
    rows: NDArray[np.int64]

    @property
    def missing(self) -> int:
        return int((self.rows < 0).sum())


def find_features(catalog: Catalog, base: Path) -> Features | None:
    """The features among the runs of a folder that most of the images have; of several the newest. An image is known by its
    content, so that a file may be renamed."""
    best: Features | None = None
    folders = [path.parent for path in (base / "runs").glob("*/embeddings.npy")]
    for folder in sorted(folders, key=_age, reverse=True):
        try:
            listed = _listed(folder, *_state(folder))
        except (OSError, KeyError, ValueError, csv.Error):
            continue
        found = Features(folder, listed[0], _rows_of(catalog, listed[1], listed[2]))
        if found.missing < len(catalog) and (best is None or found.missing < best.missing):
            best = found
    return best


def _age(folder: Path) -> int:
    try:
        return (folder / "images.csv").stat().st_mtime_ns
    except OSError:
        return 0


def _state(folder: Path) -> tuple[int, int]:
    found = (folder / "images.csv").stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=8)
def _listed(folder: Path, mtime_ns: int, size: int) -> tuple[str, Mapping[str, int], Mapping[str, int]]:
    """A digest, and the row of each SHA-256 and of each id, in the order of ``embeddings.npy``.

    Raises:
        ValueError: the list has another length than the features, so that it is not theirs.
    """
    import numpy as np

    data = (folder / "images.csv").read_bytes()
    digest = hashlib.sha256(data + (folder / "embedder.json").read_bytes()).hexdigest()[:16]
    rows = _images(folder)
    if len(np.load(folder / "embeddings.npy", mmap_mode="r")) != len(rows):
        raise ValueError(f"{folder}: images.csv and embeddings.npy have different lengths")
    by_hash = {row["sha256"]: at for at, row in enumerate(rows) if row["sha256"]}
    return digest, by_hash, {row["id"]: at for at, row in enumerate(rows)}


def _images(folder: Path) -> list[Mapping[str, str]]:
    """The images with features, in the order of the rows of ``embeddings.npy``."""
    with (folder / "images.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return [row for row in plain_rows(csv.DictReader(file)) if not row["problem"]]


def _rows_of(catalog: Catalog, by_hash: Mapping[str, int], by_id: Mapping[str, int]) -> NDArray[np.int64]:
    import numpy as np

    texts = catalog.hashes.tobytes().hex()
    unknown = "0" * 64
    found = []
    for row, identity in enumerate(catalog.ids):
        sha256 = texts[64 * row : 64 * row + 64]
        found.append(by_id.get(identity, -1) if sha256 == unknown else by_hash.get(sha256, -1))
    return np.array(found, np.int64)


def nearest_to(folder: Path, at: int, count: int) -> list[tuple[int, float]]:
    """The images whose features are most like those of one of them, the nearest first, without itself.

    Args:
        folder: of a run that has ``embeddings.npy``.
        at: a row of it.

    Returns:
        Rows of ``embeddings.npy``, and the cosine of the features, as ``pipekit similar`` computes it.
    """
    import numpy as np

    from pipekit.learning.nearest import Nearest

    table = np.load(folder / "embeddings.npy", mmap_mode="r")
    found: Nearest[int] = Nearest(np.asarray(table[at : at + 1], np.float32), count + 1)
    for start in range(0, len(table), BLOCK):
        found.add(range(start, min(start + BLOCK, len(table))), table[start : start + BLOCK])
    return [(row, near) for row, near in found.found[0] if row != at][:count]


def cost_of(images: int, workers: int | None = None) -> dict[str, float]:
    """What ``pipekit embed`` of some images takes on this machine: seconds, and bytes on the disk."""
    return {
        "seconds": images * SECONDS_AN_IMAGE / (workers or os.cpu_count() or 1),
        "bytes": float(images * FEATURES_BYTES),
    }


def projections_of(registry: Any) -> list[dict[str, str]]:
    """The projections that are registered, t-SNE first."""
    from pipekit.learning.projection import NAMES

    found = sorted(registry.components("projection"), key=lambda one: (one.name != "tsne", one.name))
    return [{"name": one.name, "shown": NAMES.get(one.name, one.name), "summary": one.summary} for one in found]


def map_file(folder: Path, features: Features, projection: str, registry: Any) -> Path:
    """Where :func:`place_images` writes; another version of the projection has another file."""
    made_by = registry.get("projection", projection)
    text = json.dumps([features.digest, made_by.name, made_by.plugin, made_by.version, made_by.source_digest])
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy"


def place_images(
    folder: str, out: str, projection: str, plugins: Sequence[str] = (), disable: Sequence[str] = ()
) -> tuple[int, int]:
    """Write ``(R, 3) float32`` for the rows of ``embeddings.npy``: x and y in 0..1, and the outlier score.

    The score is 1 minus the mean cosine similarity to the nearest images, centred features, 0..2.

    Returns:
        The number of images, and of those that the projection placed.

    Raises:
        PluginError: the projection returned something else than points.
    """
    import numpy as np

    from pipekit.learning.neighbours import Directions
    from pipekit.learning.projection import FEWEST, project, sample_of

    table = np.load(Path(folder) / "embeddings.npy", mmap_mode="r")
    chosen = sample_of([row["id"] for row in _images(Path(folder))], LANDMARKS)
    call = _projection(projection, tuple(plugins), tuple(disable))
    few = len(chosen) < FEWEST
    points = np.full((len(chosen), 2), 0.5, np.float32) if few else project(table[chosen], call)
    directions = Directions(table)
    made = np.empty((len(table), 3), np.float32)
    landmarks = directions.at(chosen)
    place = np.full(len(table), -1, np.int64)
    place[chosen] = np.arange(len(chosen))
    for start, rows in directions.blocks():
        own = place[start : start + len(rows)]
        made[start : start + len(rows)] = _placed(rows @ landmarks.T, own, points)
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{os.getpid()}-{target.name}")
    with scratch.open("wb") as stream:
        np.save(stream, made)
    scratch.replace(target)
    return len(table), len(chosen)


def _placed(similar: NDArray[np.float32], own: NDArray[np.int64], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Positions and scores from similarities to the landmarks; a landmark keeps its place, and is no neighbour of itself."""
    import numpy as np

    is_landmark = np.flatnonzero(own >= 0)
    similar[is_landmark, own[is_landmark]] = -2
    count = min(NEIGHBOURS, similar.shape[1])
    near = np.argpartition(-similar, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(similar, near, axis=1), axis=1, kind="stable")
    near = np.take_along_axis(near, order, axis=1)
    values = np.take_along_axis(similar, near, axis=1)
    around = points[near]
    close = np.hypot(*(around - around[:, :1]).transpose(2, 0, 1)) <= NEAR
    weights = np.exp((values - values[:, :1]) / 0.05) * close
    made = np.empty((len(similar), 3), np.float32)
    made[:, :2] = (around * weights[:, :, None]).sum(axis=1) / weights.sum(axis=1)[:, None]
    made[is_landmark, :2] = points[own[is_landmark]]
    known = np.where(values < -1.5, 1.0, values)  # an image by itself
    made[:, 2] = 1 - known.mean(axis=1)
    return made


@lru_cache(maxsize=2)
def _projection(name: str, plugins: tuple[str, ...], disable: tuple[str, ...]) -> Any:
    from pipekit.params import Call

    component = registry_with(plugins, disable).get("projection", name)
    return Call("projection", component.name, component.params_type()(), {}, component)


def points_of(file: Path, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """``(N, 3) float32`` for the rows of a dataset; NaN for images without features."""
    import numpy as np

    made = np.load(file, mmap_mode="r")
    found = np.full((len(rows), 3), np.nan, np.float32)
    known = (rows >= 0) & (rows < len(made))
    found[known] = made[rows[known]]
    return found
