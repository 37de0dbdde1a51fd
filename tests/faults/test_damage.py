"""A few kinds of damage to a whole project; ``damage.py`` tries as many as wanted."""

from __future__ import annotations

from pathlib import Path

from tests.faults.damage import Case, Damaging


def test_damage_is_healed_or_does_no_harm(tmp_path: Path) -> None:
    damaging = Damaging(tmp_path, seed=1, num_images=21)
    kinds = damaging.kinds()
    stored = sorted(kind for kind in kinds if kind.startswith(("shards/", "artifacts/")))
    assert {
        "tree/**",
        "columns/**",
        "memory/**",
        "parts/**.jsonl",
        "split.csv",
        "shown/run.json",
        "shards/**.jpg",
    } <= kinds.keys()
    assert len(stored) > 10
    some = ["shards/**.png", damaging.chance.choice(stored), "columns/**"]
    cases = [*(Case(kind, "flip", used=True) for kind in some), Case("tree/**", "flip", used=False)]
    assert [damaging.try_case(case).wrong for case in cases] == [(), (), (), ()]
