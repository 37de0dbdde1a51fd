"""What the soak would notice, and how it changes a project; ``soak.py`` goes on for as long as wanted."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from tests.faults.soak import CONTENTS, NAMES, Measured, Soak, growth


def test_growth_is_noticed() -> None:
    flat = Measured(200.0, 20, 4, 0, 600, 3.0, 5)
    assert growth([flat] * 9) == []
    rising = [
        replace(flat, open_files=20 + number, memory_mb=200 + 10 * number, store_files=600 + 50 * number) for number in range(9)
    ]
    assert [sentence.partition(" ")[0] for sentence in growth(rising)] == ["memory_mb", "open_files"]


def test_a_project_changes_without_growing(tmp_path: Path) -> None:
    soak = Soak(tmp_path, random.Random(1))
    (tmp_path / "images/grass").mkdir(parents=True)
    counts, contents = list[int](), set[bytes]()
    for _ in range(60):
        soak.change()
        counts.append(len(soak.present()))
        contents |= {path.read_bytes() for path in soak.present()}
    assert soak.changes.keys() == {"recipe", "add", "remove", "edit", "rename"}
    assert 5 < sum(counts[30:]) / 30 < 25
    assert len(contents) <= CONTENTS * len(NAMES)
