"""Annotation files with a few characters or values changed: read, listed as failed, or refused, and never a raw exception."""

from __future__ import annotations

import inspect
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from pipekit.contract import Failure, Sample
from pipekit.errors import UserError
from pipekit.registry.registry import load_registry
from tests.contract.examples import EXAMPLES

REGISTRY = load_registry(installed=False)

FORMATS = (
    *("arrow", "box_csv", "cifar", "createml", "cub", "cvat", "food101", "hdf5", "image_list", "imagenet"),
    *("label_studio", "labelme", "npz", "pets", "roboflow_masks", "via", "yolo"),
)

COUNT = int(os.environ.get("PIPEKIT_MUTATIONS", "25"))
"""Mutations of each format."""

ANNOTATIONS = (".json", ".xml", ".csv", ".txt", ".arrow", ".npz", ".h5", ".yaml", "")

ODD = [
    None,
    True,
    -1,
    0,
    7,
    1e400,
    1.5,
    "",
    "x",
    "\ud800",
    "../../x",
    "a\0b",
    [],
    [1],
    [[1, 2]],
    {},
    {"x": 1},
    10**400,
    "9" * 400,
]

CHARACTERS = b'0123456789,;:"{}[]<>/\\. \n\t\0\xffxnaeE-+'


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few bytes replaced, removed, repeated, or the end cut off."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) + 1)
        size = chance.choice([0, 1, 1, 2, 10])
        new = bytes(chance.choice(CHARACTERS) for _ in range(chance.randint(0, 3)))
        found[at : at + size] = chance.choice([new, found[at : at + size] * 2])
    return bytes(found[: chance.randrange(len(found) + 1)] if chance.random() < 0.1 else found)


def revalued(value: Any, chance: random.Random) -> Any:
    """A JSON value with one part replaced by an odd one."""
    if isinstance(value, (list, dict)) and value and chance.random() < 0.85:
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        changed = value.copy()
        if isinstance(changed, dict) and chance.random() < 0.15:
            del changed[key]
        else:
            changed[key] = revalued(value[key], chance)
        return changed
    return chance.choice(ODD)


def mutate(file: Path, chance: random.Random) -> bytes:
    data = file.read_bytes()
    if file.suffix == ".json" and chance.random() < 0.7:
        return json.dumps(revalued(json.loads(data), chance)).encode("utf-8", "surrogatepass")
    return mutated(data, chance)


@pytest.mark.parametrize("name", FORMATS)
def test_a_mutated_file_gives_rows_failures_or_a_clear_error(tmp_path: Path, name: str) -> None:
    importer = REGISTRY.get("importer", name)
    module, params = importer.load(), importer.params_type()()
    more = (tmp_path / "out",) if "out_dir" in inspect.signature(module.read).parameters else ()
    path = EXAMPLES[name](tmp_path / "example")
    root = path if path.is_dir() else path.parent
    there = [file for file in sorted(root.rglob("*")) if file.is_file() and file.suffix in ANNOTATIONS]
    chance = random.Random(name + os.environ.get("PIPEKIT_MUTATIONS_SEED", ""))
    for _ in range(COUNT):
        file = chance.choice(there)
        original = file.read_bytes()
        changed = mutate(file, chance)
        file.write_bytes(changed)
        try:
            module.sniff(path)
            for row in module.read(path, params, *more):
                assert isinstance(row, Sample) or (isinstance(row, Failure) and row.reason and row.id)
                json.dumps(row.extra if isinstance(row, Sample) else [row.id, row.reason]).encode()
        except UserError:
            pass
        except Exception as error:
            raise AssertionError(f"{file.name} became {changed[:2000]!r}") from error
        file.write_bytes(original)
