"""The examples (``>>>``) in docstrings of public modules print what stands below them."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = [
    "pipekit.artifacts",
    "pipekit.errors",
    "pipekit.images",
    "pipekit.images.codec",
    "pipekit.images.draw",
    "pipekit.images.jpeg",
    "pipekit.images.near_duplicates",
    "pipekit.images.warping",
    "pipekit.keypoints.detection",
    "pipekit.params",
    "pipekit.recipe",
    "pipekit.recipe.notation",
    "pipekit.rng",
]
"""Those with examples; none of them needs TensorFlow."""

SHOWN = {
    "pipekit.images": ["decode", "encode", "probe", "reduced_scale", "resize", "thumbnail", "to_gray", "warp"],
    "pipekit.recipe": ["check_ops", "parse_ops"],
    "pipekit.rng": ["Rng", "rng_for"],
    "pipekit.errors": ["did_you_mean"],
    "pipekit.params": ["Params"],
    "pipekit.keypoints.detection": ["features_of", "peaks"],
}
"""What people meet first is shown by an example."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_right(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in SHOWN.items() for name in names])
def test_a_main_function_has_an_example(module: str, name: str) -> None:
    assert ">>>" in (getattr(importlib.import_module(module), name).__doc__ or "")
