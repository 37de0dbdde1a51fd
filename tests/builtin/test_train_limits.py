"""The constants that training goes by: steps of decoding, room for the cache, learning rates."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipekit.builtin.train import cache, compiling, data


@pytest.mark.parametrize(("has", "sizes"), [(224, [100, 100]), (226, [113, 100]), (500, [250, 125])])
def test_a_step_down_passes_over_a_ninth_of_the_pixels_at_the_most(has: int, sizes: list[int]) -> None:
    """From 2.25 to one on, there is a step between."""
    first = data._halfway((has, 100), (100, 100))
    assert [first[0], data._halfway(first, (100, 100))[0]] == sizes


@pytest.mark.parametrize(("size_bytes", "where"), [(240, "memory"), (260, "disk"), (490, "disk"), (510, "off")])
def test_the_cache_takes_a_quarter_of_the_memory_and_half_of_the_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size_bytes: int, where: str
) -> None:
    monkeypatch.setattr(cache, "free_memory_bytes", lambda: 1000)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    assert cache.choose("auto", size_bytes, tmp_path).where == where


@pytest.mark.parametrize(
    ("optimizer", "rate"), [("sgd", 0.01), ("adagrad", 0.01), ("adadelta", 1.0), ("lion", 1e-4), ("adam", 1e-3)]
)
def test_each_optimizer_has_its_usual_learning_rate(optimizer: str, rate: float) -> None:
    assert compiling.usual_rate(optimizer) == rate
