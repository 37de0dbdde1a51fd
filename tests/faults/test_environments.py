"""Some hostile surroundings; ``environments.py`` tries all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.environments import ALL, MOUNT, Surroundings, can_mount


@pytest.mark.parametrize("name", ["file_size", "few_files", "sources"])
def test_with_the_cause_gone_the_run_ends_as_undisturbed(tmp_path: Path, name: str) -> None:
    here = Surroundings(tmp_path, seed=1)
    results = list(ALL[name](here))
    assert results
    assert [result.wrong for result in results] == [()] * len(results)


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("needs root on Linux, to mount a file system")
    here = Surroundings(tmp_path, seed=1)
    assert "full_disk" in MOUNT
    results = [result for result, _ in zip(ALL["full_disk"](here), range(2), strict=False)]
    assert [result.wrong for result in results] == [(), ()]
