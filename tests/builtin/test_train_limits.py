"""The constants that training goes by: steps of decoding, room for the cache, learning rates."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.train import cache, compiling, data, loop
from pipekit.builtin.train.range_test import choose_rate
from pipekit.contract import Sample
from pipekit.learning.input_size import infer_size
from pipekit.recipe.compiled import compile_recipe
from pipekit.registry.registry import load_registry


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


def test_the_size_is_inferred_from_64_images_evenly_spaced(tmp_path: Path) -> None:
    """Every second one of 129: 100 px, all others 60 px."""
    for side in (60, 100):
        images.write(tmp_path / f"{side}.png", np.zeros((side, side, 3), np.uint8))
    samples = [Sample(str(n), str(tmp_path / f"{60 if n % 2 else 100}.png")) for n in range(129)]
    assert infer_size(samples) == (100, 100)
    fourths = [Sample(str(n), str(tmp_path / f"{100 if n % 4 else 60}.png")) for n in range(129)]
    assert infer_size(fourths) == (80, 80)


@pytest.mark.parametrize(("p", "moves"), [(0.15, False), (0.25, True)])
def test_eight_draws_tell_whether_a_recipe_moves_first(p: float, moves: bool) -> None:
    """At p = 0.25, 1 of the first 4 draws of these generators rotates and 6 of 16 do, fewer than half; of 8, 4 do."""
    recipe = compile_recipe(f"rotate(20, p={p})", (64, 64), registry=load_registry(installed=False))
    assert data.moves_first(recipe) == moves


def test_the_range_test_tries_100_rates_from_a_millionth_to_one() -> None:
    """Equally spaced on a logarithmic scale; the loss falls with each, so that none ends the search."""
    tried: list[float] = []
    optimizer = SimpleNamespace(learning_rate=0.0)

    def train_function(batches: object) -> dict[str, float]:
        tried.append(optimizer.learning_rate)
        return {"loss": 2 - 0.01 * len(tried)}

    training: Any = SimpleNamespace(
        model=SimpleNamespace(optimizer=optimizer, reset_metrics=lambda: None, train_function=train_function),
        feed=SimpleNamespace(epoch=lambda epoch: iter(range(7))),
        ctx=SimpleNamespace(track=lambda batches, *words: batches, event=lambda *words, **values: None),
        _variables=lambda: [],
        state=loop.State(),
    )
    loop.Loop._find_rate(training)
    np.testing.assert_allclose(tried, 10 ** np.linspace(-6, 0, 100))
    assert choose_rate([]) == 1e-6


@pytest.mark.parametrize(("noisy", "chosen"), [(10, 60 - 99 / 6), (11, 10 + 12)])
def test_the_first_ten_rates_warm_up(noisy: int, chosen: float) -> None:
    """A loss that is high over the first ten batches does not fall from there; a tenth of the rate at the real fall is chosen.

    If it is high over eleven, the steepest fall is in the middle of the first window.
    """
    rates, losses = np.geomspace(1e-6, 1, 100), np.full(100, 2.0)
    losses[60:] = 1
    losses[:noisy] = 9
    assert choose_rate(list(zip(rates, losses, strict=True))) == pytest.approx(10 ** (6 * chosen / 99 - 6))


def test_the_slope_of_the_loss_is_measured_over_24_batches() -> None:
    """It falls steeply over 24 batches and a little from there on: the window of 24 fits the steep part, whose centre is 52."""
    place = np.arange(100)
    rates, losses = np.geomspace(1e-6, 1, 100), 100 - 2 * np.clip(place - 40, 0, 24) - 0.25 * np.maximum(place - 64, 0)
    assert choose_rate(list(zip(rates, losses, strict=True))) == rates[52]
