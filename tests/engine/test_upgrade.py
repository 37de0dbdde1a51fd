"""A project of an older version: splits stay, models load, and its store is replaced with its size said."""

from __future__ import annotations

import csv
import json
import os
import zipfile
from pathlib import Path

import pytest

import pipekit
from pipekit.engine.run import run_plan
from pipekit.errors import UserError
from pipekit.owners import new_owner
from pipekit.pipeline.plan import Plan, load_plan
from pipekit.store.store import Store
from pipekit.store.upgrade import Replaced, replace_old
from pipekit.store.wholeness import FORMAT

FROZEN = sorted((Path(__file__).parents[1] / "frozen").glob("*.zip"))


@pytest.fixture(params=FROZEN, ids=lambda path: path.stem)
def frozen(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with zipfile.ZipFile(request.param) as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data_stages(project: Path) -> Plan:
    """The pipeline without its training, which the quick tests can do without."""
    return load_plan(project / "pipeline.toml")


def places(project: Path) -> dict[str, str]:
    with (project / "split.csv").open(newline="") as file:
        return {row["id"]: row["split"] for row in csv.DictReader(file)}


def test_splits_stay_and_the_old_store_is_replaced_with_its_size_said(frozen: Path) -> None:
    before = places(frozen)
    old = [path for path in (frozen / ".pipekit").rglob("*") if path.is_file() and path.parts[-4] in ("artifacts", "shards")]
    assert old
    said: list[str] = []

    def listen(event: str, **values: object) -> None:
        if event == "warning":
            said.append(str(values["message"]))

    outcome = run_plan(data_stages(frozen), listen, until="augment")
    assert {sample.id: sample.split for sample in outcome.artifact("split")} == before == places(frozen)
    (message,) = (text for text in said if "older version" in text)
    assert "MB were removed" in message
    assert not [text for text in said if "new keys" in text], "said once"
    assert not any(path.exists() for path in old)
    assert len(outcome.artifact("augment")) == 41
    said.clear()
    run_plan(data_stages(frozen), listen, until="augment")
    assert not said


def test_runs_are_listed_and_say_how_to_recompute(frozen: Path) -> None:
    (record,) = pipekit.runs()
    assert (record["name"], record["status"]) == ("frozen", "finished")
    with pytest.raises(UserError, match="has no dataset in the store"):
        pipekit.inspect("runs/frozen:split")


def test_its_models_load(frozen: Path) -> None:
    found = list(pipekit.predict("runs/frozen", "images"))
    assert len(found) == 24
    classes = json.loads((frozen / "runs/frozen/model.json").read_text())["classes"]
    assert {prediction.predicted for prediction in found} <= set(classes)


def test_what_another_run_uses_is_left(frozen: Path) -> None:
    lease = frozen / ".pipekit/leases" / new_owner().replace(str(os.getpid()), "1", 1)
    lease.parent.mkdir(exist_ok=True)  # the archive holds no empty folders
    lease.touch()
    assert replace_old(Store(frozen / ".pipekit")) is None
    assert list((frozen / ".pipekit/artifacts").iterdir())
    lease.unlink()
    replaced = replace_old(Store(frozen / ".pipekit"))
    assert replaced is not None
    assert replaced.num_files > 20
    assert replace_old(Store(frozen / ".pipekit")) is None


def test_a_newer_store_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "artifacts/ab").mkdir(parents=True)
    (tmp_path / "artifacts/ab/x").touch()
    (tmp_path / "format").write_text("999\n")
    assert replace_old(Store(tmp_path)) is None
    assert (tmp_path / "artifacts/ab/x").exists()


@pytest.mark.parametrize("damaged", ["", "\x00\x00", "3x\n"])
def test_a_damaged_statement_of_the_version_costs_no_results(tmp_path: Path, damaged: str) -> None:
    """A power cut can leave it empty."""
    entry = tmp_path / "artifacts/ab/abcd"
    entry.mkdir(parents=True)
    (entry / "manifest.json").write_text(json.dumps({"parts": {"format": FORMAT}}))
    (tmp_path / "format").write_text(damaged)
    assert replace_old(Store(tmp_path)) is None
    assert entry.exists()
    assert (tmp_path / "format").read_text() == f"{FORMAT}\n"
    (entry / "manifest.json").write_text(json.dumps({"parts": {"format": FORMAT - 1}}))
    (tmp_path / "format").write_text(damaged)
    size_bytes = (entry / "manifest.json").stat().st_size
    assert replace_old(Store(tmp_path)) == Replaced(1, size_bytes)
    assert not entry.exists()
