"""Augmentation recipes: lists of ops, written as text or tables, compiled once, applied to many images.

The names below come from the modules of this package on first use (PEP 562): reading and checking a recipe loads no OpenCV.

>>> import numpy as np
>>> from pipekit import recipe, rng_for
>>> from pipekit.registry.registry import load_registry
>>> flip = recipe.compile_recipe("hflip(p=1)", registry=load_registry(installed=False))
>>> row = np.array([[[10, 10, 10], [20, 20, 20], [30, 30, 30]]], np.uint8)
>>> applied = flip.apply(row, rng_for(7, "example"))
>>> applied.image[0, :, 0].tolist(), applied.captions, applied.mirrored
([30, 20, 10], ('hflip',), True)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipekit.recipe.compiled import Applied as Applied
    from pipekit.recipe.compiled import CompiledRecipe as CompiledRecipe
    from pipekit.recipe.compiled import Picture as Picture
    from pipekit.recipe.compiled import Step as Step
    from pipekit.recipe.compiled import compile_recipe as compile_recipe
    from pipekit.recipe.homography import View as View
    from pipekit.recipe.notation import OpOptions as OpOptions
    from pipekit.recipe.notation import Ops as Ops
    from pipekit.recipe.notation import RecipeParams as RecipeParams
    from pipekit.recipe.notation import check_ops as check_ops
    from pipekit.recipe.notation import parse_ops as parse_ops

_HOME = {
    "Applied": "compiled",
    "CompiledRecipe": "compiled",
    "OpOptions": "notation",
    "Ops": "notation",
    "Picture": "compiled",
    "RecipeParams": "notation",
    "Step": "compiled",
    "View": "homography",
    "check_ops": "notation",
    "compile_recipe": "compiled",
    "parse_ops": "notation",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pipekit.recipe' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"pipekit.recipe.{_HOME[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
