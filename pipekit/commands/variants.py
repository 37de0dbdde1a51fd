"""Variants of one image by a recipe, one by one, and recipes as files: for pages that show them while values change."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipekit.artifacts import Targets
from pipekit.commands.recipe import plain_of, toml_inline
from pipekit.commands.working import registry_with
from pipekit.errors import PipekitError
from pipekit.files import write_text

PREVIEW_PX = 1024
"""As of ``pipekit augment --preview``: the image is no larger, whatever the file."""


class ChangedError(PipekitError):
    """A recipe's file is no longer what the page read."""


@lru_cache(maxsize=2)
def _registry(plugins: tuple[str, ...], disable: tuple[str, ...]) -> Any:
    return registry_with(plugins, disable)


@lru_cache(maxsize=4)
def _subject(path: str, sha256: str, targets: Targets) -> Any:
    """The image with the id that ``pipekit augment FILE --preview`` gives it: the same variants are drawn."""
    from pipekit.contract import Sample
    from pipekit.recipe.preview import subject_of

    return subject_of(Sample(Path(path).name, path, targets=targets), PREVIEW_PX)


def variants_of(
    path: str,
    sha256: str,
    targets: Targets,
    ops: Sequence[Any],
    size_px: int,
    count: int,
    seed: int,
    plugins: tuple[str, ...] = (),
    disable: tuple[str, ...] = (),
) -> tuple[list[str], list[bytes]]:
    """Captions and JPEG files: the image, and its variants at the model's input size.

    Boxes, keypoints and the mask are drawn where they went. The pixels are those of ``pipekit augment PATH --preview`` with the
    same ops, size and seed.

    Raises:
        UserError: an op or a value is wrong; the message names all.
        ImageError: the image can't be read.
    """
    from pipekit import images
    from pipekit.recipe.preview import variants

    registry = _registry(plugins, disable)
    asked = registry.check_params(
        registry.get("stage", "augment").params_type(), {"ops": list(ops), "size_hw": [size_px, size_px]}
    )
    tiles = variants(asked.compiled(), _subject(path, sha256, targets), count, seed)
    shown = [images.thumbnail(tile.image, max(size_px, 224)) for tile in tiles]
    return [tile.caption for tile in tiles], [images.encode(image, "jpg", 88) for image in shown]


def ops_of(registry: Any) -> list[dict[str, Any]]:
    """Each op with the JSON Schema of its parameters; families such as ``albu.*`` are left out: their members are named."""
    return [described_op(registry, one.name) for one in registry.components("op") if not one.name.endswith(".*")]


def described_op(registry: Any, name: str) -> dict[str, Any]:
    """One op. Raises UserError if there is none."""
    found = registry.get("op", name)
    return {
        "name": found.name,
        "summary": found.summary,
        "params": found.params_type().model_json_schema().get("properties", {}),
    }


def read_recipe(registry: Any, source: str, base: Path) -> list[dict[str, Any]]:
    """A preset or a recipe file as tables.

    Raises:
        UserError: there is none, or it has mistakes.
    """
    from pipekit.recipe.notation import check_ops

    return [plain_of(call) for call in check_ops(registry, source, base)]


def write_recipe(registry: Any, path: Path, ops: Sequence[Any], known: str) -> str:
    """Write a recipe file, which ``--ops`` and ``ops = "…"`` read. Returns the hash of its content.

    Args:
        known: the hash of the content that the page knows; "" for a new file.

    Raises:
        ChangedError: the file has another content.
        UserError: an op or a value is wrong, or the file can't be written.
    """
    from pipekit.recipe.notation import check_ops

    now = content_hash(path)
    if now != known:
        said = f"{path.name} is there already, with another content" if now else f"{path.name} is gone"
        raise ChangedError(said, "Open it, or save it under another name.")
    lines = "".join(f"  {toml_inline(plain_of(call))},\n" for call in check_ops(registry, list(ops), path.parent))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, f"ops = [\n{lines}]\n")
    return content_hash(path)


def content_hash(path: Path) -> str:
    """The first digits of the SHA-256 of a file; "" if there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""
