"""A small part of ``annotations.py``: changed annotation files are read, listed as failed, or refused in clear words."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from pipekit.registry.registry import load_registry
from tests.faults import annotations
from tests.faults.annotation_examples import EXAMPLES

COUNT = int(os.environ.get("PIPEKIT_MUTATIONS", "25"))
"""Mutations of each format."""

WITHOUT_ANNOTATIONS = {"folders", "image", "masks", "names", "videos"}


def test_every_importer_with_annotations_has_an_example() -> None:
    there = {component.name for component in load_registry(installed=False).components("importer")}
    assert {example.importer for example in EXAMPLES.values()} == there - WITHOUT_ANNOTATIONS


@pytest.fixture
def cleared() -> Iterator[None]:
    yield
    annotations.forget_examples()


@pytest.mark.usefixtures("cleared")
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_changed_file_is_read_or_said_what_is_wrong(name: str) -> None:
    outcome, said = annotations.read(name, *annotations.unchanged(name))
    assert said == ([] if outcome == "read" else said)
    seed = random.Random(os.environ.get("PIPEKIT_MUTATIONS_SEED", "tests")).randrange(10**6)
    for number in range(COUNT):
        file, data = annotations.item(name, seed, number)
        try:
            outcome, said = annotations.read(name, file, data)
        except Exception as error:
            raise AssertionError(f"{file} became {data[:2000]!r}") from error
        assert annotations.unclear(name, outcome, said, file) == ""


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ("can't read a/t.json: 'image'", "in Python's words"),
        ("can't read a/t.json: list index out of range", "in Python's words"),
        ("the table is damaged", "names no file"),
        ("can't read a/t.json: " + "9" * 2000, "characters"),
    ],
)
@pytest.mark.usefixtures("cleared")
def test_what_is_unclear(message: str, what: str) -> None:
    assert what in annotations.unclear("createml", "refused", [message], "t.json")
