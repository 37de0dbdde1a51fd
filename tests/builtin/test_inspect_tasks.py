"""What ``inspect`` finds in datasets of several labels and of numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.inspect.checks import by_features
from pipekit.builtin.inspect.checks.balance import SplitsParams, missing_classes
from pipekit.builtin.inspect.checks.copies import CopiesParams, label_conflicts
from pipekit.builtin.inspect.checks.imported import ImportedParams, similar_names
from pipekit.builtin.inspect.checks.shortcuts import ShortcutsParams, shortcuts
from pipekit.builtin.inspect.measured import MeasuredRows
from pipekit.builtin.inspect.sight import Sight
from pipekit.builtin.inspect.suspects_of_tasks import find_suspects_of_task
from pipekit.commands.suspects import suspects_of
from pipekit.learning.embeddings import Embedded
from pipekit.rng import rng_for
from pipekit.tasks import TASKS, several_as_text
from tests.conftest import Trial


def inspected(trial: Trial, cells: list[str], task: str) -> dict[str, Any]:
    chance = np.random.default_rng(0)
    rows = ["file,label"]
    for number, cell in enumerate(cells):
        images.write(trial.path / f"{number:02}.png", chance.integers(0, 255, (24, 24, 3), np.uint8))
        rows.append(f"{number:02}.png,{cell}")
    (trial.path / "labels.csv").write_text("\n".join(rows) + "\n")
    (trial.path / "00.png").write_bytes((trial.path / "01.png").read_bytes())
    photos = {"use": "import.csv", "path": "labels.csv", "task": task, "label": "label"}
    made = trial.run({"photos": photos, "seen": {"use": "inspect", "dataset": "photos"}}).artifact("seen")
    found: dict[str, Any] = json.loads((made.path / "inspect.json").read_text())
    page = (made.path / "inspect.html").read_text()
    assert "Images per class" in page
    assert f"Checks of classes that did not run on {TASKS[task]}: " in page
    assert task != "number" or "alike_classes (numbers have no classes that could be alike)" in page
    assert task != "multilabel" or ("a|b" in page and "[&quot;a" not in page and '["a' not in page)
    return found


def messages(found: dict[str, Any], check: str) -> list[str]:
    return [finding["message"] for finding in found["findings"] if finding["check"] == check]


def test_labels_that_are_together_rare_and_in_conflict(trial: Trial) -> None:
    cells = ["a|b", "a", *(["a|b"] * 20), "a|b|c", "c|a", "[]"]
    found = inspected(trial, cells, "multilabel")
    said = messages(found, "co_occurrence")
    assert said[0].startswith("1.92 labels an image on average, 5 combinations, 1 images without a label")
    assert "a and b (22)" in said[0]
    assert "labels on fewer than 20 images: 'c' (2)" in said[1]
    assert "'b' is never there without 'a'" in said[2]
    assert said[-1] == "2 combinations of labels are there once"
    assert messages(found, "label_conflicts") == ["the same file labelled a|b and a"]
    assert found["counts"][""] == {"[]": 1, "a": 24, "b": 22, "c": 2}
    assert not any("did not run" in one["message"] for one in trial.told("warning")), "the page says what has no meaning here"
    assert messages(found, "similar_names") == []


def test_numbers_far_outside_the_others(trial: Trial) -> None:
    found = inspected(trial, [*(f"{number / 10}" for number in range(30)), "999"], "number")
    said = messages(found, "outlying_numbers")
    assert said[0].startswith("31 numbers from 0 to 999; median 1.5")
    assert said[1].startswith("1 number outside -3.75 to 6.75, such as 999")
    assert [f["samples"] for f in found["findings"] if f["check"] == "outlying_numbers"][1] == ["30.png"]
    assert messages(found, "label_conflicts") == ["the same file labelled 0.0 and 0.1"]


@pytest.mark.parametrize(("apart", "same_file", "said"), [(2.3, False, False), (2.45, False, True), (0.1, True, True)])
def test_numbers_of_copies_conflict_beyond_a_quarter_of_the_quartiles(apart: float, same_file: bool, said: bool) -> None:
    """The quartiles of these numbers are 9.5 apart: a photograph taken again may have a slightly different number."""
    values = [*np.linspace(0, 20, 41).tolist(), 10.0, 10.0 + apart]
    rows = [
        {"id": f"{at}.png", "label": repr(value), "split": "train", "sha256": f"{at:064x}", "group": min(at, 41)}
        for at, value in enumerate(values)
    ]
    if same_file:
        rows[-1]["sha256"] = rows[-2]["sha256"]
    measured = replace(MeasuredRows.of(rows), task="number")
    found = list(label_conflicts(measured, None, CopiesParams()))  # type: ignore[arg-type]
    assert bool(found) is said


# --- by features ---------------------------------------------------------------------------------------------------------


def rows_of(labels: Sequence[str], task: str, split: str = "train") -> MeasuredRows:
    rows = [
        {"id": f"{at:03}", "label": label, "split": split, "sha256": f"{at:064x}", "group": at}
        for at, label in enumerate(labels)
    ]
    return replace(MeasuredRows.of(rows), task=task)


def seen(table: Any, labels: Sequence[str], task: str) -> tuple[MeasuredRows, Sight]:
    rows = rows_of(labels, task)
    embedded = Embedded(tuple(rows.ids), np.asarray(table, np.float16), {})
    ctx: Any = SimpleNamespace(rng=lambda *parts: rng_for(0, *parts))
    dataset: Any = []
    return rows, Sight(ctx, dataset, embedded)


def several(count: int = 200) -> tuple[Any, Any]:
    """Features of images with some of three labels, and which they have."""
    rng = np.random.default_rng(0)
    true = rng.random((count, 3)) < 0.4
    return true @ rng.normal(0, 2, (3, 16)) + rng.normal(0, 0.5, (count, 16)), true


def texts(given: Any) -> list[str]:
    return [json.dumps([name for name, one in zip("abc", row, strict=True) if one]) for row in given]


def test_missing_and_wrong_labels_are_suspected_by_features(tmp_path: Path) -> None:
    table, true = several()
    given = true.copy()
    given[3, 0] ^= True
    given[9, 2] ^= True
    rows, sight = seen(table, texts(given), "multilabel")
    ctx: Any = None
    findings = list(by_features.suspected_labels(rows, ctx, by_features.LabelsParams(), sight))
    found = {name: finding.message for finding in findings for name in finding.samples}
    assert found == {
        "003": "a may be missing" if true[3, 0] else "labelled a, which looks wrong",
        "009": "c may be missing" if true[9, 2] else "labelled c, which looks wrong",
    }
    suspects = [{**one, "sha256": one["id"]} for finding in findings for one in finding.values["suspects"]]
    file = tmp_path / "inspect.json"
    file.write_text(json.dumps({"label_errors": suspects, "features": {}}))
    listed, _ = suspects_of(str(file))
    assert {one["id"]: one["suggested"] for one in listed} == {
        name: several_as_text(n for n, one in zip("abc", true[at], strict=True) if one) for name, at in (("003", 3), ("009", 9))
    }


def test_a_label_with_few_images_is_named_and_not_judged() -> None:
    table, true = several()
    true[:, 2] = np.arange(200) < 9
    rows, sight = seen(table, texts(true), "multilabel")
    ctx: Any = None
    (finding,) = by_features.suspected_labels(rows, ctx, by_features.LabelsParams(), sight)
    assert finding.message == "labels that were not judged by features: too few images with them or without: 'c'"
    few = seen(table[:9], texts(true[:9]), "multilabel")
    (finding,) = by_features.suspected_labels(few[0], ctx, by_features.LabelsParams(), few[1])
    assert "no label has ten images with it" in finding.message


def test_labels_of_the_same_pictures_are_alike() -> None:
    table, true = several(400)
    either = true[:, 1].copy()
    first = np.random.default_rng(2).random(400) < 0.5
    true[:, 1], true[:, 2] = either & first, either & ~first
    rows, sight = seen(table, texts(true), "multilabel")
    ctx: Any = None
    (finding,) = by_features.alike_classes(rows, ctx, by_features.AlikeParams(), sight)
    assert finding.values["classes"] == ["b", "c"]
    assert finding.message.startswith("the labels b and c can hardly be told apart")


@pytest.mark.parametrize("task", ["multilabel", "number"])
def test_a_foreign_image_is_one_among_all(task: str) -> None:
    table = np.abs(np.random.default_rng(0).normal(1, 0.05, (30, 16)))
    table[4] = [-1, 1] * 8
    rows, sight = seen(table, ['["a"]'] * 15 + ["[]"] * 15 if task == "multilabel" else [f"{at}.0" for at in range(30)], task)
    ctx: Any = None
    (finding,) = by_features.foreign(rows, ctx, by_features.ForeignParams(), sight)
    assert finding.samples == ("004",)
    assert finding.message.startswith("an image that resembles no other")


@pytest.mark.parametrize(("off", "listed"), [(4.8, 0), (5.2, 1)])
def test_a_number_is_suspected_five_spreads_from_its_prediction(off: float, listed: int) -> None:
    """The quartiles of these residuals lie 1.349 apart: a spread of 1."""
    values = np.linspace(0, 100, 201)
    residuals = np.tile([-0.6745, 0, 0.6745], 67)
    residuals[50] = off
    sight: Any = SimpleNamespace(judged_numbers=lambda _: ([f"{at}" for at in range(201)], values, values - residuals))
    found = list(find_suspects_of_task(rows_of(["1.0"], "number"), sight, 0.05))
    assert len(found) == listed
    assert not listed or (found[0].samples == ("50",) and found[0].values["suspects"][0]["label"] == "25.0")


@pytest.mark.parametrize(("explained", "judged"), [(0.18, False), (0.22, True)])
def test_numbers_are_judged_where_the_features_explain_a_fifth(explained: float, judged: bool) -> None:
    values = np.tile([-1.0, 1.0], 50)
    sight: Any = SimpleNamespace(judged_numbers=lambda _: ([f"{at}" for at in range(100)], values, values * explained))
    found = list(find_suspects_of_task(rows_of(["1.0"], "number"), sight, 0.05))
    assert (not found) is judged
    assert judged or "say too little about the numbers" in found[0].message


@pytest.mark.parametrize(("count", "judged"), [(19, False), (20, True)])
def test_twenty_numbers_are_judged(count: int, judged: bool) -> None:
    rows, sight = seen(np.random.default_rng(0).normal(size=(count, 8)), [f"{at}.0" for at in range(count)], "number")
    assert (sight.judged_numbers(rows) is not None) is judged


def test_labels_that_differ_in_capitals_or_are_in_no_split_are_found() -> None:
    ctx: Any = None
    rows = rows_of(['["Cat", "dog"]', '["cat"]', "[]"], "multilabel")
    (finding,) = similar_names(
        rows,
        ctx,
        ImportedParams(),
    )
    assert finding.values["classes"] == [["Cat", "cat"]]
    given = [dict(row) for row in rows] + [{"id": "9", "label": '["dog"]', "split": "val", "sha256": "9", "group": 9}]
    (finding,) = missing_classes(replace(MeasuredRows.of(given), task="multilabel"), ctx, SplitsParams())
    assert finding.values == {"split": "val", "labels": ["Cat", "cat"]}


@pytest.mark.parametrize("task", ["multilabel", "number"])
def test_files_that_tell_a_label_or_half_of_the_numbers_are_a_shortcut(task: str) -> None:
    wide = np.arange(120) % 2 == 0
    labels = ['["a", "b"]' if one else '["b"]' for one in wide] if task == "multilabel" else [f"{9.0 * one}" for one in wide]
    rows = rows_of(labels, task)
    numbers = {**rows.numbers, "width_px": np.where(wide, 300, 200), "height_px": np.full(120, 200)}
    ctx: Any = SimpleNamespace(rng=lambda *parts: rng_for(0, *parts))
    found = list(shortcuts(replace(rows, numbers=numbers), ctx, ShortcutsParams()))
    assert [finding.message.split(":")[0] for finding in found] == [
        "label 'a'" if task == "multilabel" else "the numbers, lower against upper half"
    ]
    assert "the class follows from the files" in found[0].message
