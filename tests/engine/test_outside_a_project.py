"""Runs in a folder that is no project, and folders that share the store of the person's cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pipekit import Dataset, UserError
from pipekit.commands.export import of_run
from pipekit.engine.adhoc import AdhocPipeline, find_artifact
from pipekit.engine.outcome import Outcome
from pipekit.engine.run import run_plan
from pipekit.engine.run_folder import find_run, keys_in_use, list_runs, locate_run
from pipekit.store.store import Store, find_garbage, shared_store, store_of
from pipekit.testing.checks import write_tiny_dataset

WEEKS = 30 * 24 * 3600
"""Longer than artifacts that no record names are taken for those of a run that is going on."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PIPEKIT_STORE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pipekit" / "store"


def start(folder: Path, seed: int = 0, name: str = "t", photos: str = "photos") -> Outcome:
    """What ``pipekit train`` does, without the training."""
    if not (folder / photos).exists():
        write_tiny_dataset(folder / photos, 4)
    adhoc = AdhocPipeline(folder, {"workers": 1, "name": name, "seed": seed})
    adhoc.add("split", "split", dataset=adhoc.dataset(photos, verify="none"))
    return run_plan(adhoc.plan())


def splits(source: str, base_dir: Path) -> Dataset:
    found = find_artifact(source, Dataset, base_dir)
    assert found is not None
    assert all(Path(sample.image).is_file() for sample in found)
    return found


def collect(folder: Path, keep: int) -> None:
    store = Store(store_of(folder))
    for place in (*store.root.glob("artifacts/*/*"), *store.root.glob("shards/*/*")):
        os.utime(place, (place.stat().st_mtime - WEEKS,) * 2)
    for place in find_garbage(store, keys_in_use(folder, keep)).folders:
        store.remove(place)


def test_a_run_is_found_where_it_was_written(tmp_path: Path, cache: Path) -> None:
    made = start(tmp_path / "a").artifact("split").digest
    assert [run["name"] for run in list_runs(tmp_path / "a")] == ["t"]
    for source in ("t", "runs/t", "t:split", "runs/t:split"):
        assert splits(source, tmp_path / "a").digest == made
    assert find_run(tmp_path / "a", "runs/t")["store"] == str(cache)
    assert keys_in_use(tmp_path / "a")


def test_a_path_leads_to_a_run_of_another_folder(tmp_path: Path) -> None:
    made = start(tmp_path / "a").artifact("split").digest
    (tmp_path / "b").mkdir()
    for source in ("../a/runs/t:split", f"{tmp_path}/a/runs/t"):
        assert splits(source, tmp_path / "b").digest == made
    assert list_runs(tmp_path / "b") == [], "the store is shared, the runs are not"
    with pytest.raises(UserError, match="no run called 't'"):
        find_run(tmp_path / "b", "t")


def test_runs_stay_known_when_their_folder_becomes_a_project(tmp_path: Path, cache: Path) -> None:
    made = start(tmp_path / "a").artifact("split").digest
    (tmp_path / "a/pipeline.toml").touch()
    assert store_of(tmp_path / "a") == tmp_path / "a/.pipekit"
    assert splits("runs/t:split", tmp_path / "a").digest == splits("t:split", tmp_path / "a").digest == made
    start(tmp_path / "a", seed=1, name="later")
    assert [run["name"] for run in list_runs(tmp_path / "a")] == ["later", "t"]
    assert [run.get("store") for run in list_runs(tmp_path / "a")] == [".pipekit", str(cache)]
    assert locate_run(tmp_path / "a", "later").store == tmp_path / "a/.pipekit"
    (tmp_path / "a").rename(tmp_path / "moved")
    for name in ("t", "later"):
        splits(f"runs/{name}:split", tmp_path / "moved")
        splits(name, tmp_path / "moved")


def test_a_store_chosen_once_is_found_when_it_is_chosen_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "chosen"))
    start(tmp_path / "a")
    monkeypatch.delenv("PIPEKIT_STORE")
    splits("runs/t:split", tmp_path / "a")
    assert [run["name"] for run in list_runs(tmp_path / "a")] == ["t"]


def test_a_run_made_of_another_folders_work_is_one_of_its_own(tmp_path: Path) -> None:
    start(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b", ignore=shutil.ignore_patterns("runs"))
    (tmp_path / "b/photos").rename(tmp_path / "b/pictures")
    assert all(stage.cached for stage in start(tmp_path / "b", photos="pictures").stages)
    start(tmp_path / "b", photos="pictures")
    assert [run["name"] for run in list_runs(tmp_path / "b")] == ["t"], "once is enough"
    shutil.rmtree(tmp_path / "a")
    splits("t:split", tmp_path / "b")


def test_an_export_says_that_the_runs_images_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    warnings: list[str] = []
    assert of_run("a/runs/t/model.keras", "dataset", warnings) is not None
    assert warnings == []
    shutil.rmtree(shared_store() / "artifacts")
    assert of_run("a/runs/t", "dataset", warnings) is None
    (warning,) = warnings
    assert "run 'a/runs/t' has no dataset in the store" in warning
    assert of_run("a/runs/t", "report", warnings) is None
    assert warnings == [warning]


def test_gc_keeps_what_other_folders_use(tmp_path: Path) -> None:
    for seed in range(2):
        start(tmp_path / "a", seed)
    shutil.copytree(tmp_path / "a/photos", tmp_path / "b/photos")
    start(tmp_path / "b")
    (tmp_path / "c").mkdir()
    collect(tmp_path / "c", keep=0)
    for folder, seed in (("a", 0), ("a", 1), ("b", 0)):
        assert all(stage.cached for stage in start(tmp_path / folder, seed).stages)
    shutil.rmtree(tmp_path / "b/runs")
    collect(tmp_path / "a", keep=0)
    splits("runs/t:split", tmp_path / "a")
    splits("t:split", tmp_path / "b")


def test_gc_keeps_what_a_run_elsewhere_may_be_making(tmp_path: Path) -> None:
    adhoc = AdhocPipeline(tmp_path / "a", {"workers": 1})
    write_tiny_dataset(tmp_path / "a/photos", 1)
    adhoc.dataset("photos", verify="none")
    adhoc.run()
    shutil.rmtree(shared_store() / "runs")  # as before the end of the run
    (tmp_path / "b").mkdir()
    assert find_garbage(Store(shared_store()), keys_in_use(tmp_path / "b", 0)).folders == ()
    collect(tmp_path / "b", 0)
    assert not list(shared_store().glob("artifacts/*/*"))
