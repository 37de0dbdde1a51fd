"""A few runs beside ``gc``; ``gc_loop.py`` makes as many as wanted."""

from __future__ import annotations

from pathlib import Path

from tests.faults.gc_loop import beside_gc


def test_gc_beside_runs_takes_only_what_nothing_uses(tmp_path: Path) -> None:
    looped = beside_gc(3, seed=1, folder=tmp_path, num_images=12)
    assert looped.wrong == ()
    assert looped.num_left < looped.num_made
