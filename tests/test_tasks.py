"""Datasets of several labels, of numbers and of ordered classes: their rows, their digests, and the gate by task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipekit.artifacts import problem_of_sample
from pipekit.contract import Dataset, Model, Sample
from pipekit.errors import UserError
from pipekit.store.rows import Tally, content, from_row, to_row
from pipekit.tasks import labels_in, require_inputs, stated, supported_by, supports, task_of

SEVERAL = Sample("a.png", "a.png", "00", labels=("cat", "dog"))


@pytest.mark.parametrize(
    "sample", [SEVERAL, replace(SEVERAL, labels=()), Sample("a", "a", value=-0.1), Sample("a", "a", label="c")]
)
def test_a_row_keeps_labels_and_values(sample: Sample) -> None:
    assert from_row(to_row(sample)) == sample
    assert problem_of_sample(sample) == ""


def test_the_row_of_a_sample_with_a_class_is_what_it_was() -> None:
    assert content(to_row(Sample("a", "b", "00", "cat"))) == b'{"id":"a","label":"cat","sha256":"00"}'


def test_no_label_and_unlabelled_are_two_things() -> None:
    assert (stated(replace(SEVERAL, labels=())), stated(Sample("a", "a"))) == ("[]", None)
    assert labels_in(stated(SEVERAL)) == SEVERAL.labels


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"labels": ["a"]}, "expected a tuple of different texts"),
        ({"labels": ("a", "a")}, "expected a tuple of different texts"),
        ({"value": 3}, "expected a finite float"),
        ({"value": float("nan")}, "expected a finite float"),
        ({"label": "a", "labels": ("a",)}, "a dataset has one task"),
    ],
)
def test_what_is_no_sample_is_said(fields: dict[str, Any], said: str) -> None:
    assert said in problem_of_sample(Sample("a", "a", **fields))


def test_a_tally_counts_each_label_and_knows_the_task() -> None:
    tally = Tally()
    for labels in (("cat", "dog"), ("cat",), ()):
        tally.add({"id": "a", "labels": labels, "split": "train"})
    meta = tally.meta()
    assert (meta["task"], meta["num_samples"], meta["counts"]) == ("multilabel", 3, {"train": {"cat": 2, "dog": 1}})
    again = Tally()
    again.add_tally(tally.splits, tally.counts, tally.further_tasks)
    assert again.meta() == meta
    assert "task" not in _tallied({"id": "a", "label": "cat"}).meta()


def test_several_tasks_in_one_dataset_are_refused() -> None:
    tally = _tallied({"id": "a", "label": "cat"}, {"id": "b", "value": 1.0})
    again = Tally()
    again.add_tally({"": 1}, {"": {"cat": 1}})
    again.add_tally({"": 1}, {}, {"number": 1})
    for one in (tally, again):
        with pytest.raises(UserError, match="1 with one class for each image and 1 with a number for each image"):
            one.meta()


def _tallied(*rows: dict[str, Any]) -> Tally:
    tally = Tally()
    for row in rows:
        tally.add(row)
    return tally


def test_the_gate_refuses_what_a_component_does_not_support(tmp_path: Path) -> None:
    def plain() -> None: ...

    assert supported_by(plain) == ("classes",)
    assert supported_by(supports("number")(plain)) == ("number",)
    several = Dataset(tmp_path, "", {"task": "multilabel"}, lambda _: iter(()), lambda _: iter(()))
    with pytest.raises(
        UserError, match=r"the stage 'x' does not support several labels for each image yet \(task 'multilabel'\)"
    ):
        require_inputs("the stage 'x'", [None, (several,)], ["classes"])
    require_inputs("the stage 'x'", [None, (several,)], ["multilabel"])
    with pytest.raises(ValueError, match="unknown task"):
        supports("segments")


@pytest.mark.parametrize(
    ("said", "task"), [("multilabel", "multilabel"), ("regression", "number"), ("reconstruction", "classes")]
)
def test_the_task_of_a_model_is_in_its_description(tmp_path: Path, said: str, task: str) -> None:
    (tmp_path / "model.json").write_text(f'{{"task": "{said}"}}')
    assert task_of(Model(tmp_path, "", {})) == task
