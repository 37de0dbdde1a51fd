"""What is known of albumentations without importing it must be what the library says."""

from __future__ import annotations

import json
import subprocess
import sys

from pydantic_core import PydanticCustomError

from pipekit.builtin import albu


def test_the_table_is_what_the_library_says():
    assert json.loads(json.dumps(albu.read_library())) == albu.table()


def test_values_accepted_before_need_no_import():
    code = """
import sys
from pipekit.registry.registry import load_registry
from pipekit.recipe.notation import RecipeParams
registry = load_registry()
ops = {"ops": [{"op": "albu.GaussNoise", "std_range": [0.1, 0.2]}]}
if len(sys.argv) > 1:
    registry.accepted = set(sys.argv[1].split())
assert registry.problems(RecipeParams, ops)[1] == []
print("albumentations" in sys.modules, *registry.accepted)
"""
    first = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert first[0] == "True"
    again = subprocess.run([sys.executable, "-c", code, " ".join(first[1:])], check=True, capture_output=True, text=True)
    assert again.stdout.split() == ["False", *first[1:]]


def test_the_library_accepts_its_own_defaults_but_for_a_few() -> None:
    """So nothing needs to be imported to check an op without parameters."""
    refused = set()
    for name, entry in albu.table().items():
        if albu._REQUIRED not in entry["params"].values():
            try:
                albu._check(albu.params_type(name).model_construct(**entry["params"]))
            except PydanticCustomError:
                refused.add(name)
    assert refused == albu.NEED_VALUES
