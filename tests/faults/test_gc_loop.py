"""A few runs beside ``gc``, and what the soak would notice; ``gc_loop.py`` makes as many as wanted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.faults.gc_loop import Measured, beside_gc, growth


def test_gc_beside_runs_takes_only_what_nothing_uses(tmp_path: Path) -> None:
    looped = beside_gc(3, seed=1, folder=tmp_path)
    assert looped.wrong == ()
    assert looped.num_left < looped.num_made


def test_growth_is_noticed() -> None:
    flat = Measured(200.0, 20, 4, 0, 600, 3.0, 5)
    assert growth([flat] * 9) == []
    rising = [replace(flat, open_files=20 + number, memory_mb=200 + 10 * number) for number in range(9)]
    assert [sentence.partition(" ")[0] for sentence in growth(rising)] == ["memory_mb", "open_files"]
