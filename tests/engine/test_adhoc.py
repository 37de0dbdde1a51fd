"""Pipelines put together in code, and artifacts that are there already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipekit import Dataset, Model, UserError
from pipekit.engine.adhoc import AdhocPipeline, find_artifact
from pipekit.images import is_image
from pipekit.store.store import store_of
from pipekit.testing.checks import write_tiny_dataset
from tests.conftest import DATA, Trial

STAGES = {"data": DATA, "stamp": {"use": "stamp"}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The person's cache folder is one of the test's own."""
    monkeypatch.delenv("PIPEKIT_STORE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_folder_is_recognised_and_nothing_is_shown(tmp_path: Path, cache: Path) -> None:
    write_tiny_dataset(tmp_path / "photos", 1)
    adhoc = AdhocPipeline(tmp_path, {"workers": 1})
    adhoc.add("split", "split", dataset=adhoc.dataset("photos", verify="none"), fractions={"train": 1.0}, file=None)
    outcome = adhoc.run()
    assert [stage.use for stage in outcome.stages] == ["import.folders", "split"]
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / ".pipekit").exists(), "no store beside somebody's photos"
    assert list(cache.glob("pipekit/store/artifacts/*/*"))
    again = AdhocPipeline(tmp_path, {"workers": 1})
    again.dataset("photos", verify="none")
    assert all(stage.cached for stage in again.run().stages)


def test_in_a_project_the_projects_store_is_used(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_of(tmp_path) == cache / "pipekit" / "store"
    (tmp_path / "pipeline.toml").touch()
    assert store_of(tmp_path) == tmp_path / ".pipekit"
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "other"))
    assert store_of(tmp_path) == tmp_path / "other"


def test_a_dataset_of_a_run_is_found_by_name(trial: Trial) -> None:
    trial.write("cat/1.png", "dog/2.png")
    outcome = trial.run(STAGES)
    for name in ("trial", "runs/trial", str(trial.path / "runs/trial")):
        found = find_artifact(name, Dataset, trial.path)
        assert found is not None
        assert found.digest == outcome.artifact("stamp").digest
        assert [sample.id for sample in found] == ["cat/1.png-0", "dog/2.png-0"]
    assert find_artifact("trial:data", Dataset, trial.path).digest == outcome.artifact("data").digest  # type: ignore[union-attr]
    adhoc = AdhocPipeline(trial.path, {"workers": 1}, plugins=["trial_plugin.py"])
    adhoc.add("measure", "measure", dataset=adhoc.dataset("trial"))
    assert adhoc.run().headline == "2 files"


def test_what_a_run_does_not_have_is_told(trial: Trial) -> None:
    trial.write("cat/1.png")
    trial.run(STAGES)
    with pytest.raises(UserError, match="run 'trial' has no model in the store"):
        find_artifact("trial", Model, trial.path)
    with pytest.raises(UserError, match="stage 'split' of run 'trial' has no dataset in the store"):
        find_artifact("trial:split", Dataset, trial.path)
    assert find_artifact("images", Dataset, trial.path) is None, "a folder of images is no run"
    assert find_artifact("nothing", Dataset, trial.path) is None


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "no such file or folder"),
        ("empty", "no importer recognises"),
        ("one.png", "is one image; expected a folder"),
    ],
)
def test_what_is_no_dataset_is_told(tmp_path: Path, source: str, words: str) -> None:
    write_tiny_dataset(tmp_path / "photos", 1)
    (tmp_path / "photos/discs/discs_0.png").rename(tmp_path / "one.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=words):
        AdhocPipeline(tmp_path).dataset(source)


def test_a_model_is_found_by_its_folder_or_file(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"weights")
    (folder / "model.json").write_text(json.dumps({"classes": ["a", "b"]}))

    def found(source: str) -> Any:
        return find_artifact(source, Model, tmp_path)

    assert found("model").meta["classes"] == ["a", "b"]
    first = found("model").digest
    assert found("model/model.keras").digest == found("model/model.json").digest == first
    (folder / "notes.txt").write_text("mine")
    assert found("model").digest == first, "only its own files count"
    (folder / "model.keras").write_bytes(b"others")
    assert found("model").digest != first
    for text, words in (("{", "can't be read"), ("[]", "does not describe a model")):
        (folder / "model.json").write_text(text)
        with pytest.raises(UserError, match=words):
            found("model")
    (folder / "model.json").unlink()
    with pytest.raises(UserError, match=r"has model\.keras, but no model\.json beside it"):
        found("model")
    with pytest.raises(UserError, match="no trained model in photos"):
        AdhocPipeline(tmp_path).model("photos")


def test_whether_a_file_is_an_image_is_seen_from_its_bytes(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path, 1)
    (tmp_path / "text.png").write_text("text")
    (tmp_path / "discs/discs_0.png").rename(tmp_path / "image.txt")
    assert [is_image(tmp_path / name) for name in ("image.txt", "text.png", "nowhere.png")] == [True, False, False]
