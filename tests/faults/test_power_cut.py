"""Two real power cuts: one while a run writes, one after its end. ``power_cut.py`` makes as many as wanted."""

from __future__ import annotations

import pytest

from tests.faults.power_cut import Size, run_cuts, why_not


def test_after_a_power_cut_the_next_run_shows_what_an_undisturbed_one_shows() -> None:
    if reason := why_not():
        pytest.skip(f"a power cut {reason}")
    results = run_cuts(2, seed=1, size=Size(images=24, copies=2), after=1)
    assert [result.wrong for result in results] == [(), ()]
