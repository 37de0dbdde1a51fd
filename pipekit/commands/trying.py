"""Try a model on one image that arrives as bytes: where it sees its class (Grad-CAM), and known images that are like it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.errors import UserError
from pipekit.files import plain_rows
from pipekit.owners import owned_prefix

if TYPE_CHECKING:
    from pipekit.learning.embedders import Embed


@dataclass(frozen=True)
class Neighbour:
    """A known image that is like the tried one.

    Attributes:
        similarity: the cosine of their features; 1 is the same.
    """

    id: str
    sha256: str
    similarity: float


def has_grad_cam(folder: Path) -> str:
    """Why there is no Grad-CAM for the model in a folder; "" if there may be one."""
    if (folder / "model.keras").is_file():
        return ""
    return "Grad-CAM needs a Keras network, and this model is none: it has no layers whose places could be shown."


def grad_cam(model: str, data: bytes, about: str = "", plugins: Sequence[str] = (), disable: Sequence[str] = ()) -> bytes:
    """A JPEG file: the image as the model sees it, with the places that are evidence for a class. Nothing of it is kept.

    Args:
        about: the class; "": the predicted one.

    Raises:
        UserError: the model has no Grad-CAM.
        ImageError: the file is no image.
    """
    import tempfile

    from pipekit import images
    from pipekit.commands.explain import explain

    images.probe(data)
    path, before = str(Path(model).absolute()), Path.cwd()
    with tempfile.TemporaryDirectory(prefix=owned_prefix(), ignore_cleanup_errors=True) as place:
        # The store of this folder is in it, so that a tried image leaves no result behind.
        (Path(place) / ".pipekit").mkdir()
        file = Path(place, "image")
        file.write_bytes(data)
        os.chdir(place)
        try:
            named = [str(before / one) if (before / one).exists() else one for one in plugins]
            asked: dict[str, Any] = {"methods": ["grad_cam"], "layers": 0, "steps": 0, "maximise": 0, "about": about}
            made = explain(path, [file], plugins=named, disable=disable, **asked)
            drawn = sorted(made.folder.glob("*_grad_cam.jpg"))
            if not drawn:
                raise UserError("there is no Grad-CAM of this model: no layer keeps the spatial layout")
            return drawn[0].read_bytes()
        finally:
            os.chdir(before)


def features_folder(base: Path, hashes: Collection[str]) -> Path | None:
    """The newest run of `pipekit embed` in a folder of work that has features of some of the images."""
    for file in sorted((base / "runs").glob("*/embeddings.npy"), key=_age, reverse=True):
        if any(sha256 in hashes for _, sha256 in _listed(file.parent, _age(file))):
            return file.parent
    return None


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=4)
def _listed(folder: Path, age: int) -> tuple[tuple[str, str], ...]:
    """(id, SHA-256) of the images with features, in the order of their rows."""
    try:
        with (folder / "images.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = plain_rows(csv.DictReader(file))
            return tuple((row["id"], row["sha256"]) for row in rows if not row["problem"])
    except (OSError, KeyError, csv.Error):
        return ()


def nearest(
    folder: Path, data: bytes, count: int, plugins: tuple[str, ...] = (), disable: tuple[str, ...] = ()
) -> list[Neighbour]:
    """The images of an `embed` run that are most like a file, the nearest first.

    Raises:
        UserError: the embedder that made the features is not installed, or is another one now.
        ImageError: the file is no image.
    """
    import numpy as np

    from pipekit import images

    embed, (height, width) = _embedder(folder, plugins, disable)
    pixels = images.fitted(images.decode(data, at_least_hw=(height, width)), (height, width), "stretch")
    own = embed(pixels[None])[0].astype(np.float32)
    table = np.load(folder / "embeddings.npy", mmap_mode="r")
    listed = _listed(folder, _age(folder / "embeddings.npy"))
    if len(listed) != len(table):
        raise UserError(
            f"{folder} is damaged: images.csv and embeddings.npy have different lengths", "Run `pipekit embed` again."
        )
    cosines = np.empty(len(table), np.float32)
    for start in range(0, len(table), 8192):
        rows = np.asarray(table[start : start + 8192], np.float32)
        lengths = np.maximum(np.linalg.norm(rows, axis=1) * np.linalg.norm(own), 1e-12)
        cosines[start : start + len(rows)] = rows @ own / lengths
    best = np.argsort(-cosines, kind="stable")[:count].tolist()
    return [Neighbour(listed[at][0], listed[at][1], round(float(cosines[at]), 4)) for at in best]


@lru_cache(maxsize=1)
def _embedder(folder: Path, plugins: tuple[str, ...], disable: tuple[str, ...]) -> tuple[Embed, tuple[int, int]]:
    from pipekit.commands.working import registry_with
    from pipekit.contract import Call
    from pipekit.learning.embedders import describe, facts_of
    from pipekit.learning.light_predictor import opened_embedder

    try:
        facts = json.loads((folder / "embedder.json").read_text("utf-8"))
        component = registry_with(plugins, disable).get("embedder", facts["embedder"])
        params = component.params_type()(**facts.get("params", {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the embedder of {folder} can't be opened: {error}", "Run `pipekit embed` again.") from error
    now = describe(component, params)
    if any(now[name] != facts.get(name) for name in ("version", "dimensions", "weights_sha256")):
        raise UserError(f"the features in {folder} are of another version of {facts['embedder']}", "Run `pipekit embed` again.")
    return opened_embedder(Call("embedder", component.name, params, {}, component)), facts_of(component.load(), params).input_hw
