"""``gc`` takes nothing that a living run uses."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipekit.store.leases import LEASE_SLACK_S, lease, oldest_lease
from pipekit.store.store import Store, find_garbage, free


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with two shards that no run names, one used now and one long ago."""
    store = Store(tmp_path)
    for key in ("aa", "bb"):
        with store.scratch() as folder:
            (folder / "rows.jsonl").write_text("{}\n")
            store.commit(folder, store.shard_dir(key))
    os.utime(store.shard_dir("bb"), (1e9, 1e9))
    return store


def test_what_is_young_or_used_since_the_oldest_lease_is_no_garbage(store: Store) -> None:
    assert find_garbage(store, ()).folders == (store.shard_dir("bb"),)
    assert find_garbage(store, (), 0).folders == (store.shard_dir("aa"), store.shard_dir("bb"))
    with lease(store.root):
        assert find_garbage(store, (), 0).folders == (store.shard_dir("bb"),)
        Store(store.root).has_shard("bb")  # a run takes it
        assert find_garbage(store, (), 0).folders == ()
    assert len(find_garbage(store, (), 0).folders) == 2
    assert not list((store.root / "leases").iterdir())


def test_what_a_run_takes_after_it_was_found_is_left(store: Store) -> None:
    garbage = find_garbage(store, (), 0)
    with lease(store.root):
        Store(store.root).has_shard("bb")
        assert free(store, garbage, 0) == 0
    assert store.has_shard("aa")
    assert store.has_shard("bb")
    assert free(store, garbage, 0) == 0, "the run may have ended since, and is recorded"
    assert free(store, find_garbage(store, (), 0), 0) == 2


def test_the_lease_of_a_dead_process_ends(store: Store) -> None:
    script = "import os, pathlib, sys\nfrom pipekit.store.leases import lease\n"
    script += "with lease(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, str(store.root)], check=False)
    assert list((store.root / "leases").iterdir())
    assert oldest_lease(store.root) is None
    assert not list((store.root / "leases").iterdir())


def test_the_oldest_of_several_counts(store: Store) -> None:
    with lease(store.root), lease(store.root):
        first, second = sorted((store.root / "leases").iterdir())
        then = time.time() - 10 * LEASE_SLACK_S
        os.utime(first, (then, then))
        oldest = oldest_lease(store.root)
        assert oldest == pytest.approx(then)
        assert second.exists()
