"""Some hostile surroundings; ``environments.py`` tries all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.environments import ALL, MOUNT, Surroundings, can_mount


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Surroundings:
    """One for all: each of them begins with a project without results."""
    return Surroundings(tmp_path_factory.mktemp("surroundings"), seed=1, num_images=12)


@pytest.mark.parametrize("name", ["file_size", "few_files", "sources"])
def test_with_the_cause_gone_the_run_ends_as_undisturbed(here: Surroundings, name: str) -> None:
    results = list(ALL[name](here))
    assert results
    assert [result.wrong for result in results] == [()] * len(results)


def test_a_full_disk_is_one_sentence(here: Surroundings, tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("needs root on Linux, to mount a file system")
    assert "full_disk" in MOUNT
    results = [result for result, _ in zip(ALL["full_disk"](here), range(2), strict=False)]
    assert [result.wrong for result in results] == [(), ()]
