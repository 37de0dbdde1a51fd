"""The ages and margins that decide what of a store is kept, compared, and removed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from pipekit.owners import is_abandoned
from pipekit.store.leases import lease
from pipekit.store.store import Store, find_garbage
from pipekit.store.verify import recover

HOUR_S, DAY_S = 3600, 24 * 3600


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def add_shard(store: Store, key: str) -> Path:
    with store.scratch() as folder:
        (folder / "rows.jsonl").write_text("{}\n")
        store.commit(folder, store.shard_dir(key))
    return store.shard_dir(key)


@pytest.mark.parametrize(("hours", "is_garbage"), [(23, False), (25, True)])
def test_gc_leaves_a_shard_alone_for_a_day(tmp_path: Path, hours: int, is_garbage: bool) -> None:
    shard = add_shard(Store(tmp_path), "aa")
    age(shard, hours * HOUR_S)
    assert (shard in find_garbage(Store(tmp_path), ()).folders) == is_garbage


@pytest.mark.parametrize(("before_lease_s", "is_garbage"), [(110, False), (130, True)])
def test_gc_leaves_two_minutes_before_the_oldest_lease_alone(tmp_path: Path, before_lease_s: int, is_garbage: bool) -> None:
    shard = add_shard(Store(tmp_path), "aa")
    with lease(tmp_path):
        (file,) = (tmp_path / "leases").iterdir()
        age(file, HOUR_S)
        age(shard, HOUR_S + before_lease_s)
        assert (shard in find_garbage(Store(tmp_path), (), 0).folders) == is_garbage


@pytest.mark.parametrize(("days", "is_garbage"), [(29, False), (31, True)])
def test_gc_leaves_an_interrupted_training_alone_for_a_month(tmp_path: Path, days: int, is_garbage: bool) -> None:
    work = tmp_path / "work" / "abc"
    (work / "checkpoint").mkdir(parents=True)
    age(work, days * DAY_S)
    assert (work in find_garbage(Store(tmp_path), ()).folders) == is_garbage


@pytest.mark.parametrize(("days", "abandoned"), [(6.5, False), (7.5, True)])
def test_a_scratch_folder_of_another_machine_is_abandoned_after_a_week(tmp_path: Path, days: float, abandoned: bool) -> None:
    scratch = tmp_path / "1@another_machine-abc"
    scratch.mkdir()
    age(scratch, days * DAY_S)
    assert is_abandoned(scratch) == abandoned


@pytest.mark.parametrize(("before_sync_s", "compared"), [(110, True), (130, False)])
def test_after_a_power_cut_two_minutes_before_the_last_sync_are_compared_too(
    tmp_path: Path, before_sync_s: int, compared: bool
) -> None:
    """The damage keeps the file's size, so only its hash shows it."""
    shard = add_shard(Store(tmp_path), "aa")
    (shard / "rows.jsonl").write_text("[]\n")
    since = time.time() - HOUR_S
    age(shard, HOUR_S + before_sync_s)
    (tmp_path / "unsynced").mkdir()
    (tmp_path / "unsynced/x.json").write_text(json.dumps({"boot": "another", "since": since, "run_dir": ""}))
    assert [damage.problem for damage in recover(Store(tmp_path))] == ["rows.jsonl has changed"] * compared
