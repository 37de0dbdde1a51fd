"""Attribution maps: they find what the model looks at, hold what their papers promise, and hang on the weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.explain import maps
from pipekit.cli import main
from pipekit.rng import rng_for


def spotted(y: int, x: int, seed: int = 0) -> np.ndarray:
    """A dim noisy picture of 32 x 32 with a bright red square of 8 x 8 whose corner is at (y, x)."""
    image = np.random.default_rng(seed).integers(20, 60, (32, 32, 3), dtype=np.uint8)
    image[y : y + 8, x : x + 8] = (250, 30, 30)
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that has learned to say whether there is a red square."""
    from pipekit.backend import load_keras

    keras = load_keras()
    keras.utils.set_random_seed(4)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    rng = np.random.default_rng(0)
    plain = [rng.integers(20, 60, (32, 32, 3), dtype=np.uint8) for _ in range(60)]
    spots = [spotted(*rng.integers(0, 24, 2), seed=number) for number in range(60)]
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    model.fit(np.array(plain + spots, np.float32), np.repeat([0, 1], 60), epochs=15, verbose=0, batch_size=24)
    made = tmp_path_factory.mktemp("model")
    model.save(made / "model.keras")
    (made / "model.json").write_text(json.dumps({"classes": ["plain", "spot"], "input_shape_hwc": [32, 32, 3]}), "utf-8")
    return made


@pytest.fixture(scope="module")
def opened(folder: Path) -> maps.Opened:
    return maps.open_model(folder)


@pytest.mark.parametrize("method", sorted(maps.METHODS))
@pytest.mark.parametrize("corner", [(2, 3), (20, 18)])
def test_a_map_points_at_what_the_class_is_about(opened: maps.Opened, method: str, corner: tuple[int, int]) -> None:
    found = np.maximum(maps.METHODS[method](opened, spotted(*corner), 1), 0)
    y, x = corner
    inside = found[max(0, y - 2) : y + 10, max(0, x - 2) : x + 10].sum()
    assert found.shape == (32, 32)
    assert inside > 0.5 * found.sum()  # of 14 % of the area


@pytest.mark.parametrize("method", sorted(maps.METHODS))
def test_a_map_changes_when_the_weights_are_shuffled(opened: maps.Opened, method: str) -> None:
    """Adebayo et al. 2018: a map that stays is no explanation. A small network on a plain scene keeps much, yet never all."""
    image = spotted(9, 14)
    real = maps.METHODS[method](opened, image, 1)
    likeness = [
        maps.rank_correlation(real, maps.METHODS[method](maps.randomised(opened, rng_for(seed, "shuffle")), image, 1))
        for seed in range(4)
    ]
    assert np.mean(likeness) < 0.9
    assert maps.rank_correlation(real, real) == pytest.approx(1)


def test_integrated_gradients_are_complete(opened: maps.Opened) -> None:
    """Proposition 1 of Sundararajan et al. 2017: the map's sum is the logit less the black picture's."""
    image = spotted(5, 5)
    logits = np.asarray(opened.logits(np.stack([image, np.zeros_like(image)]).astype(np.float32)))[:, 1]
    found = maps.integrated_gradients(opened, image, 1, steps=256)
    assert found.sum() == pytest.approx(logits[0] - logits[1], rel=0.02)


def test_the_logits_give_the_model_s_probabilities(opened: maps.Opened) -> None:
    batch = spotted(5, 5)[None].astype(np.float32)
    logits = np.asarray(opened.logits(batch), np.float64)
    powers = np.exp(logits - logits.max())
    assert powers / powers.sum() == pytest.approx(np.asarray(opened.model(batch)), abs=1e-5)


def test_feature_maps_come_from_the_layers_in_order(opened: maps.Opened) -> None:
    found = maps.feature_maps(opened, spotted(3, 3), 3)
    assert [layer.shape for _, layer in found] == [(32, 32, 8), (16, 16, 8), (16, 16, 8)]


def test_the_command_writes_a_page(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    images.write(tmp_path / "spot.png", spotted(4, 4))
    assert main(["explain", str(folder), "spot.png"]) == 0
    page = (tmp_path / "explain.html").read_text("utf-8")
    assert "The model says spot" in page
    assert page.count("data:image/jpeg") == 1 + len(maps.METHODS) + 3
    assert main(["explain", str(folder), "spot.png", "--about", "cat"]) in (1, 2)
    assert "knows no class 'cat'" in "".join(capsys.readouterr())
