"""Try a model on one image that arrives as bytes: where it sees its class (Grad-CAM), and known images that are like it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.errors import UserError
from pipekit.owners import owned_prefix

if TYPE_CHECKING:
    from pipekit.learning.embedders import Embed

BLOCK = 8192
"""Rows of features that are compared at once."""


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


def nearest(
    folder: Path, data: bytes, count: int, plugins: tuple[str, ...] = (), disable: tuple[str, ...] = ()
) -> list[tuple[int, float]]:
    """The images of an `embed` run that are most like a file, the nearest first: the row of ``embeddings.npy``, and the
    cosine of the features.

    Raises:
        UserError: the embedder that made the features is not installed, or is another one now.
        ImageError: the file is no image.
    """
    import numpy as np

    from pipekit import images
    from pipekit.learning.nearest import Nearest

    embed, (height, width) = _embedder(folder, plugins, disable)
    pixels = images.fitted(images.decode(data, at_least_hw=(height, width)), (height, width), "stretch")
    found: Nearest[int] = Nearest(embed(pixels[None]).astype(np.float32), count)
    table = np.load(folder / "embeddings.npy", mmap_mode="r")
    for start in range(0, len(table), BLOCK):
        found.add(range(start, min(start + BLOCK, len(table))), table[start : start + BLOCK])
    return found.found[0]


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
