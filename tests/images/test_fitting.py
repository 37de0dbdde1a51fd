"""Images of another aspect ratio at a model's input: the same pixels in training, features and prediction."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipekit import images
from pipekit.builtin.augment_check import measure
from pipekit.builtin.train import data, frozen
from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Sample
from pipekit.engine.adhoc import AdhocPipeline
from pipekit.errors import PlanError, UserError
from pipekit.images import Fit
from pipekit.images.fitting import largest_hw, smallest_hw
from pipekit.learning import embeddings
from pipekit.learning.predictor import Predictor, read_model_info
from pipekit.params import canonical
from pipekit.recipe.compiled import compile_recipe
from pipekit.rng import rng_for

SIZE = (24, 40)
FITS: tuple[Fit, ...] = get_args(Fit)
SIDES = st.integers(1, 400)


def chessboard(height: int, width: int, cell: int) -> images.Image:
    rows, columns = np.indices((height, width)) // cell
    return np.where((rows + columns) % 2 == 0, 230, 20).astype(np.uint8)[..., None].repeat(3, axis=2)


@given(SIDES, SIDES, SIDES, SIDES)
def test_a_size_keeps_its_proportions_within_and_around_another(h: int, w: int, most_h: int, most_w: int) -> None:
    inner = largest_hw((h, w), (most_h, most_w))
    assert 1 <= inner[0] <= most_h
    assert 1 <= inner[1] <= most_w
    assert inner[0] == most_h or inner[1] == most_w, "it is the largest"
    scale = min(most_h / h, most_w / w)
    assert all(abs(side - max(1, own * scale)) <= 0.5 for side, own in zip(inner, (h, w), strict=True))
    outer = smallest_hw((h, w), (most_h, most_w))
    assert outer[0] >= most_h
    assert outer[1] >= most_w
    assert outer[0] == most_h or outer[1] == most_w, "it is the smallest"


@pytest.mark.parametrize("size_hw", [(240, 160), (160, 240), (90, 300)])
def test_squares_stay_squares_unless_the_image_is_stretched(size_hw: tuple[int, int]) -> None:
    image = chessboard(*size_hw, cell=10)
    stretched, cropped, padded = (images.fitted(image, (80, 80), fit) for fit in FITS)
    assert {made.shape for made in (stretched, cropped, padded)} == {(80, 80, 3)}
    side = min(size_hw)
    top, left = (size_hw[0] - side) // 2, (size_hw[1] - side) // 2
    np.testing.assert_array_equal(cropped, images.resize(image[top : top + side, left : left + side], (80, 80)))
    rows, columns = (np.flatnonzero(padded.max(axis=(1, 2))), np.flatnonzero(padded.max(axis=(0, 2))))
    high, wide = largest_hw(size_hw, (80, 80))
    assert (len(rows), len(columns)) == (high, wide)
    assert abs(rows[0] - (79 - rows[-1])) <= 1, "centred"
    np.testing.assert_array_equal(
        padded[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], images.resize(image, (high, wide))
    )
    np.testing.assert_array_equal(stretched, images.resize(image, (80, 80)))


def test_an_image_of_the_same_proportions_is_the_same_whatever_the_fit() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    first, *others = (images.fitted(image, SIZE, fit) for fit in FITS)
    for other in others:
        np.testing.assert_array_equal(first, other)


def predictor_of(fit: str, channels: int = 3) -> Predictor:
    info = {"preprocessing": {"fit": fit}}
    return Predictor(("a", "b"), (*SIZE, channels), info, lambda batch: np.zeros((len(batch), 2), np.float32))


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("size_hw", "suffix"), [((300, 90), "jpg"), ((100, 333), "png"), ((9, 14), "png")])
def test_training_and_prediction_see_the_same_pixels(
    fit: Fit, channels: int, size_hw: tuple[int, int], suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"image.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (size_hw[0] // 6 + 2, size_hw[1] // 6 + 2, 3), dtype=np.uint8)
    images.write(file, images.resize(noise, size_hw))
    loaded = data.Loader((*SIZE, channels), fit)(str(file))
    np.testing.assert_array_equal(loaded, predictor_of(fit, channels).prepare(file))
    reduced = images.read(file, at_least_hw=SIZE, gray=channels == 1)
    np.testing.assert_array_equal(loaded, images.fitted(reduced, SIZE, fit).reshape(*SIZE, channels))
    other = data.Loader((*SIZE, channels))(str(file))
    assert (fit == "stretch") == np.array_equal(loaded, other)


@pytest.mark.parametrize("fit", FITS)
def test_what_a_recipe_warps_has_the_proportions_of_the_input_before(fit: Fit, tmp_path: Path) -> None:
    rows, columns = np.indices((600, 300))
    image = np.stack([rows * 0.4, columns * 0.8, 255 - rows * 0.3], axis=2).astype(np.uint8)
    for size_hw in ((600, 300), (60, 30), (10, 300)):
        file = tmp_path / f"{size_hw[0]}.png"
        images.write(file, images.resize(image, size_hw))
        found = data.Decoder(SIZE, 3, fit)(str(file))
        assert found.shape[0] <= SIZE[0]
        assert found.shape[1] <= SIZE[1]
        if fit != "stretch":
            assert abs(found.shape[0] * SIZE[1] / SIZE[0] - found.shape[1]) <= SIZE[1] / SIZE[0], "up to a pixel"
        plain = images.fitted(images.read(file), SIZE, fit).astype(int)
        difference = np.abs(images.resize(found, SIZE).astype(int) - plain)
        assert difference.mean() < 4, (size_hw, "the same part of the image, up to the resizing")


@pytest.mark.parametrize("fit", FITS)
def test_features_are_those_of_the_fitted_pixels(fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the embedder, as in `auto`, and by a network of a template."""
    file = tmp_path / "image.png"
    images.write(file, np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8))
    expected = predictor_of(fit).prepare(file)
    seen: list[Any] = []

    class Embedder:
        params = None

        def load(self) -> Any:
            return self

    def embed(pixels: Any) -> Any:
        seen.append(pixels[0])
        return np.zeros((1, 2), np.float32)

    class Once:
        def once(self, name: str, make: Any) -> Any:
            return make()

    monkeypatch.setattr(embeddings, "facts_of", lambda *_: type("Facts", (), {"input_hw": SIZE}))
    monkeypatch.setattr(embeddings, "open_embedder", lambda *_: embed)
    context: Any = Once()
    params: Any = type("Params", (), {"embedder": Embedder(), "network": None, "fit": fit})
    list(embeddings.embed_image(Sample("a", str(file)), params, context))
    network = type("Network", (), {"predict_on_batch": lambda self, pixels: embed(pixels)})
    monkeypatch.setattr(frozen, "read_network", lambda _: network())
    own: Any = type("Params", (), {"network": tmp_path, "shape_hwc": (*SIZE, 3), "fit": fit})
    list(frozen.embed(Sample("a", str(file)), own, context))
    assert len(seen) == 2
    for pixels in seen:
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_the_check_of_a_recipe_augments_what_the_model_sees(fit: Fit, tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    images.write(file, np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8))
    predictor, plain = predictor_of(fit), compile_recipe([], SIZE)
    context: Any = SimpleNamespace(rng=lambda *parts: rng_for(0, *parts))
    params: Any = SimpleNamespace(copies=1, mirror_labels={})
    made: Any = measure._Maker(context, predictor, plain, [], params)(Sample("a", str(file), label="a"))
    np.testing.assert_array_equal(made[0][0], predictor.prepare(file))


def test_the_default_is_in_no_key_so_that_earlier_results_are_found() -> None:
    def key(**values: Any) -> Any:
        return canonical(TrainParams.model_construct(**values), str, lambda _: {})

    assert "fit" not in key()
    assert key(fit="stretch") == key()
    assert key(fit="pad")["fit"] == "pad"


def test_a_wrong_value_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    pipeline = AdhocPipeline(settings={"name": "trial"})
    pipeline.add("train", "train", dataset=pipeline.add("data", "import.folders", path=str(tmp_path)), fit="squeeze")
    with pytest.raises(PlanError, match="'stretch', 'crop' or 'pad'"):
        pipeline.plan()
    info = {"classes": ["a"], "input_shape_hwc": [8, 8, 3], "preprocessing": {"fit": "squeeze"}}
    (tmp_path / "model.json").write_text(json.dumps(info), "utf-8")
    with pytest.raises(UserError, match=r"'fit' below 'preprocessing' must be stretch, crop, pad, got 'squeeze'"):
        read_model_info(tmp_path)
    assert replace(predictor_of("stretch"), info={}).fit == "stretch", "models of earlier versions"
