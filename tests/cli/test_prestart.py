"""What is started while the rest of pipekit is still being loaded."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from pipekit import processes
from pipekit.builtin import executors
from pipekit.cli import prestart
from pipekit.store.store import Store, store_of


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Filled when the process is started; ten files are many, and there are two cores."""
    calls: list[str] = []
    monkeypatch.setattr(prestart, "MANY", 10)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(processes, "allowed", lambda: True)
    monkeypatch.setattr(processes, "start_early", lambda: calls.append("started"))
    return calls


def files(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(b"x")
    return folder


def test_what_is_started_early_is_what_the_executor_would_start() -> None:
    assert prestart.MANY == executors.MANY


def test_a_folder_of_many_new_files_starts_the_process(tmp_path: Path, started: list[str]) -> None:
    files(tmp_path / "photos" / "cat", 6)
    files(tmp_path / "photos" / "dog", 4)
    prestart.start_workers_for(str(tmp_path / "photos"), None)
    assert started == ["started"]


def test_a_few_files_a_file_and_nothing_at_all_do_not(tmp_path: Path, started: list[str]) -> None:
    few = files(tmp_path / "few", 9)
    (few / "loop").symlink_to(few)
    for source in (few, few / "0.jpg", tmp_path / "missing", "textures:split"):
        prestart.start_workers_for(str(source), None)
    assert started == []


@pytest.mark.parametrize("why", ["one worker", "one core", "not allowed"])
def test_no_process_is_started_that_would_not_be_used(
    tmp_path: Path, started: list[str], monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    files(tmp_path / "photos", 10)
    if why == "one core":
        monkeypatch.setattr(os, "cpu_count", lambda: 1)
    if why == "not allowed":
        monkeypatch.setattr(processes, "allowed", lambda: False)
    prestart.start_workers_for(str(tmp_path / "photos"), 1 if why == "one worker" else 2)
    assert started == []


def test_a_folder_that_was_read_before_starts_nothing(
    tmp_path: Path, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipekit.files.trees.SETTLED_S", 0.0)  # the hash of a file of this moment is not kept
    photos = files(tmp_path / "photos", 10)
    other = files(tmp_path / "other", 10)
    store = Store(store_of(Path.cwd()))
    store.hashes.content(photos)
    store.close()
    prestart.start_workers_for(str(photos), None)
    assert started == []
    prestart.start_workers_for(str(other), None)
    assert started == ["started"]


PIPELINE = """
SETTINGS
[stages.data]
use = "import.folders"
path = "photos"
[stages.augment]
use = "augment"
"""


@pytest.mark.parametrize(
    ("settings", "given", "starts"),
    [
        ("", (None, None), True),
        ('executor = "processes"', (2, None), True),
        ('executor = "threads"', (None, None), False),
        ('executor = "threads"', (None, "auto"), True),
        ("workers = 1", (None, None), False),
        ("workers = 1", (2, None), True),
        ("", (None, "dask"), False),
        ("stages = 3", (None, None), False),  # a mistake, which the plan will name
    ],
)
def test_a_pipeline_file_with_a_folder_of_many_new_files_does(
    tmp_path: Path, started: list[str], settings: str, given: tuple[int | None, str | None], starts: bool
) -> None:
    files(tmp_path / "photos" / "cat", 10)
    file = tmp_path / "pipeline.toml"
    file.write_text(PIPELINE.replace("SETTINGS", settings))
    prestart.start_workers_for_file(file, *given)
    assert started == (["started"] if starts else [])


def test_the_file_is_asked_for_the_store_of_its_project(
    tmp_path: Path, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipekit.files.trees.SETTLED_S", 0.0)
    monkeypatch.delenv("PIPEKIT_STORE", raising=False)
    photos = files(tmp_path / "photos", 10)
    file = tmp_path / "pipeline.toml"
    file.write_text(PIPELINE.replace("SETTINGS", ""))
    with contextlib.closing(Store(tmp_path / ".pipekit")) as store:
        store.hashes.content(photos)
    prestart.start_workers_for_file(file, None, None)
    prestart.start_workers_for_file(tmp_path / "none.toml", None, None)
    assert started == []


def test_a_stage_that_is_not_built_in_asks_for_no_module() -> None:
    assert list(prestart.preload_of("mine.py:stage")) == []
    assert "pipekit.recipe.compiled" in prestart.preload_of("augment")
