"""Attribution maps: they find what the model looks at, hold what their papers promise, and depend on the weights."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.explain import layers, maps
from pipekit.builtin.explain.by_class import class_table, mean_map
from pipekit.builtin.explain.constant_place import constant_place
from pipekit.builtin.explain.pages import Studio, overlay
from pipekit.builtin.explain.saliency_location import where
from pipekit.builtin.explain.section import Kind, _checked, _mapper
from pipekit.cli import main
from pipekit.registry.registry import load_registry
from pipekit.rng import rng_for


def spotted(y: int, x: int, seed: int = 0) -> np.ndarray:
    """A dim noisy picture of 32 x 32 with a bright red square of 8 x 8 whose corner is at (y, x)."""
    image = np.random.default_rng(seed).integers(20, 60, (32, 32, 3), dtype=np.uint8)
    image[y : y + 8, x : x + 8] = (250, 30, 30)
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that has learned to say whether there is a red square."""
    from pipekit.learning.keras_backend import load_keras

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


def test_one_graph_has_the_gradients_of_every_class_and_number_of_images(opened: maps.Opened) -> None:
    import tensorflow as tf

    assert opened.gradient is opened.gradient
    for number, target in ((1, 0), (3, 1)):
        batch = tf.constant(np.stack([spotted(3, 4 + n) for n in range(number)]), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(batch)
            score = tf.reduce_sum(opened.logits(batch, training=False)[:, target])
        expected = np.asarray(tape.gradient(score, batch))
        assert np.abs(np.asarray(opened.gradient(batch, target)) - expected).max() < 1e-5 * np.abs(expected).max()


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
    (found,) = maps.feature_maps(opened, [spotted(3, 3)], 3)
    assert [layer.shape for _, layer in found] == [(32, 32, 8), (16, 16, 8), (16, 16, 8)]


def test_the_steps_are_the_layers_own_values(opened: maps.Opened) -> None:
    image = spotted(6, 9)
    found = list(layers.steps(opened, image, 20))
    kinds = [step.words.partition(":")[0] for step in found]
    expected = ["rescaling", "convolution", "ReLU", "pooling", "convolution", "ReLU", "global pooling", "dense", "softmax"]
    assert kinds == expected
    before, after = found[1].values, found[2].values
    assert before.min() < 0
    assert after == pytest.approx(np.maximum(before, 0), abs=1e-5)
    rows, columns = found[3].values.shape[:2]
    largest = after.reshape(rows, 2, columns, 2, -1).max(axis=(1, 3))
    assert found[3].values == pytest.approx(largest, abs=1e-5)
    assert found[-1].values == pytest.approx(np.asarray(opened.model(image[None].astype(np.float32)))[0], abs=1e-5)
    assert [step.name for step in layers.steps(opened, image, 2)] == [found[0].name, *(found[place].name for place in (-2, -1))]


def test_filters_are_the_first_convolution_s_weights(opened: maps.Opened) -> None:
    found = layers.first_filters(opened.model)
    assert found is not None
    assert found[1].shape == (3, 3, 3, 8)
    (tile,) = layers.filter_tiles(found[1], 1)
    weights = found[1][:, :, :, 0]
    assert np.unravel_index(tile.argmax(), tile.shape) == np.unravel_index(weights.argmax(), weights.shape)
    assert (tile.min(), tile.max()) == (0, 255)


@pytest.mark.parametrize("target", [0, 1])
def test_a_picture_made_for_a_class_has_a_higher_logit_than_noise(opened: maps.Opened, target: int) -> None:
    def logit(picture: np.ndarray) -> float:
        return float(np.asarray(opened.logits(picture[None].astype(np.float32)))[0, target])

    made = layers.maximise(opened, target, rng_for(1, "noise"), 24)
    assert (made.shape, made.dtype) == ((32, 32, 3), np.uint8)
    assert logit(made) > logit(layers.maximise(opened, target, rng_for(1, "noise"), 0)) + 1
    assert np.array_equal(made, layers.maximise(opened, target, rng_for(1, "noise"), 24))


def test_bars_rise_from_the_line_at_nought() -> None:
    drawn = layers.drawing(np.array([1.0, -1.0], np.float32), 100)
    blue = (drawn == (0, 114, 178)).all(axis=2)
    assert blue[:49, 10].all()
    assert not blue[51:, 10].any()
    assert blue[51:, 60].all()
    assert not blue[:49, 60].any()


@pytest.mark.parametrize("kind", ["functional", "pretrained", "hog_svm"])
def test_branches_and_a_network_inside_a_network_are_explained(kind: str, tmp_path: Path) -> None:
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    keras.utils.set_random_seed(2)
    if kind == "hog_svm":  # histograms side by side: no single last layer
        template = load_registry(installed=False).get("model", "hog_svm")
        model = template.load()((32, 32, 3), 2, template.params_type()())
    elif kind == "pretrained":
        template = load_registry(installed=False).get("model", "pretrained")
        model = template.load()((32, 32, 3), 2, template.params_type()(backbone="MobileNet", weights="random"))
    else:
        source = keras.Input((32, 32, 3))
        first = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(source)
        second = keras.layers.Conv2D(4, 1)(first)
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([first, second]))
        model = keras.Model(source, keras.layers.Softmax()(keras.layers.Dense(2)(x)))
    model.save(tmp_path / "model.keras")
    (tmp_path / "model.json").write_text(json.dumps({"classes": ["a", "b"], "input_shape_hwc": [32, 32, 3]}), "utf-8")
    opened = maps.open_model(tmp_path)
    image = spotted(4, 12)
    for method in ("grad_cam", "grad_cam_pp", "occlusion") if opened.halves else ("occlusion",):
        assert maps.METHODS[method](opened, image, 1).shape == (32, 32)
    assert maps.integrated_gradients(opened, image, 0, steps=4).shape == (32, 32)
    assert (layers.first_filters(opened.model) is None) == (kind == "hog_svm")
    assert layers.maximise(opened, 0, rng_for(1, "noise"), 2).shape == (32, 32, 3)
    found = list(layers.steps(opened, image, 40))
    assert found[-1].values.sum() == pytest.approx(1, abs=1e-4)
    words = " ".join(step.words for step in found)
    assert ("a nested network of" in words) == (kind == "pretrained")


def test_the_command_writes_a_page(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    images.write(tmp_path / "spot.png", spotted(4, 4))
    assert main(["explain", str(folder), "spot.png"]) == 0
    page = (tmp_path / "explain.html").read_text("utf-8")
    assert "The model predicts spot" in page
    assert page.count("data:image/jpeg") == 1 + len(maps.METHODS) + 3 + 1 + 9 + 1  # the image, maps, layers, filters, steps
    for words in ("First-layer filters", "Layer outputs", "ReLU: negative values become 0", "Activation maximisation: spot"):
        assert words in page
        assert page.index("spot.png") < page.index(words), "the page opens with the picture"
    assert "explain: running" in capsys.readouterr().out
    assert main(["explain", str(folder), "spot.png", "--about", "cat"]) in (1, 2)
    assert "has no class 'cat'" in "".join(capsys.readouterr())


def test_what_can_not_be_explained_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    images.write(tmp_path / "spot.png", spotted(4, 4))
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    assert main(["explain", str(folder), "bad.jpg"]) in (1, 2)
    assert "bad.jpg: " in "".join(capsys.readouterr())
    images.write(tmp_path / "other.png", spotted(20, 9))
    assert main(["explain", str(folder), "bad.jpg", "spot.png", "other.png", "--out", "both.html", "--maximise", "0"]) == 0
    assert "bad.jpg can't be used: " in capsys.readouterr().err
    page = (tmp_path / "both.html").read_text("utf-8")
    assert "The model predicts spot" in page
    assert page.index("other.png") < page.index("Summary by class</h2>")


def test_a_model_without_layers_is_covered_up(
    colour_project: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(colour_project.path)
    assert main(["explain", "model", "images/val/red/red_0.png", "--plugin", "by_colour.py"]) == 0
    page = Path("explain.html").read_text("utf-8")
    assert "This model is no network" in page
    assert "not possible: needs a Keras network, and this model is none" in page
    assert page.count("data:image/jpeg") == 2  # the picture, and where covering it costs most
    assert "Layer outputs" not in page


def test_a_network_without_places_has_no_grad_cam(tmp_path: Path) -> None:
    from pipekit.builtin.explain import ExplainParams
    from pipekit.builtin.explain.pages import build_sections
    from pipekit.errors import UserError
    from pipekit.learning.keras_backend import load_keras

    keras = load_keras()
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    )
    model.save(tmp_path / "model.keras")
    (tmp_path / "model.json").write_text(json.dumps({"classes": ["a", "b"], "input_shape_hwc": [8, 8, 3]}), "utf-8")
    images.write(tmp_path / "spot.png", spotted(4, 4))
    tracked: list[dict[str, Any]] = []

    def track(items: Any, **more: Any) -> Any:
        tracked.append(more)
        return items

    ctx: Any = SimpleNamespace(
        rng=lambda *parts: rng_for(0, *parts),
        track=track,
        component=load_registry(installed=False).get,
        out_dir=tmp_path,
    )
    params = ExplainParams.model_construct(images=(tmp_path / "spot.png",), maximise=0)
    (_, section), _ = build_sections(ctx, tmp_path, params)
    assert tracked == [{"total": 2, "label": "explain", "unit": "maps"}]
    verdicts = {row[0]: row[2] for row in section.tables[0].rows}
    assert verdicts["Grad-CAM"] == verdicts["Grad-CAM++"] == "not possible: no layer keeps the spatial layout"
    assert verdicts["occlusion"] in ("passes", "says little")
    with pytest.raises(UserError, match="none of these methods can explain"):
        list(build_sections(ctx, tmp_path, params.model_copy(update={"methods": ("grad_cam",)})))


@pytest.mark.parametrize(
    ("columns", "said"),
    [(8, "half of it lies in 25 % of the image, most at the upper left"), (11, "spread over the image")],
)
def test_a_map_whose_half_needs_three_tenths_of_the_picture_points_nowhere(columns: int, said: str) -> None:
    found = np.zeros((16, 16), np.float32)
    found[:, :columns] = 1
    assert where(found) == said


def test_a_few_loud_pixels_do_not_darken_a_map() -> None:
    """In 4 of 1,600 pixels the map is a hundred times as strong; the rest is shown in full all the same."""
    found = np.ones((40, 40), np.float32)
    found[:2, :2] = 100
    drawn = overlay(np.zeros((40, 40, 3), np.uint8), found)
    assert (drawn == drawn[0, 0]).all()


def test_a_map_is_put_into_words_on_a_grid_of_16_cells_per_side() -> None:
    """One pixel in each cell of the outermost of 16 columns: half of them are 8 of 256 cells."""
    found = np.zeros((64, 64), np.float32)
    found[::4, 0] = 1
    assert where(found).startswith("half of it lies in 3 % of the image")


@pytest.mark.parametrize(("likeness", "believable"), [(None, True), (0.69, True), (0.71, False)])
def test_maps_that_resemble_those_of_shuffled_weights_say_little(likeness: float | None, believable: bool) -> None:
    assert Kind("occlusion", lambda image, targets: [], likeness).believable == believable


def test_occlusion_covers_an_eighth_of_each_side() -> None:
    """A class that goes by a single pixel loses it under the squares of 4 px of 32 that cover it, half a square apart."""
    image = np.full((32, 32, 3), 100, np.uint8)
    image[17, 17] = 255
    (found,) = maps.occluded(lambda batch: (batch[:, 17, 17, :1] == 255).astype(np.float32), image, (0,))
    ys, xs = np.nonzero(found)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (14, 19, 14, 19)


def test_squares_side_by_side_cover_each_pixel_once() -> None:
    image = np.full((33, 32, 3), 100, np.uint8)
    image[17, 17] = 255
    seen = []

    def probabilities(batch: Any) -> Any:
        seen.append(len(batch))
        return (batch[:, 17, 17, :1] == 255).astype(np.float32)

    (found,) = maps.occluded(probabilities, image, (0,), apart=True)
    ys, xs = np.nonzero(found)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (16, 19, 16, 19)
    assert (sum(seen), set(found[ys, xs].tolist())) == (75, {1.0}), "9 x 8 squares and the image, in batches of one size"


def test_occlusion_predicts_by_the_features_where_there_are_some() -> None:
    image: Any = np.zeros((16, 16, 3), np.uint8)
    plain = SimpleNamespace(probabilities=lambda batch: pytest.fail("several times slower"))
    features = SimpleNamespace(probabilities=lambda batch: np.full((len(batch), 2), 0.5, np.float32))
    found = Studio(plain, SimpleNamespace(), None, features).map("occlusion", image, 1)  # type: ignore[arg-type]
    assert found.tolist() == np.zeros((16, 16)).tolist()


@pytest.mark.parametrize(("place", "side_px", "steps"), [("the stage", 4, 64), ("the report", 128, 32), ("the report", 129, 8)])
def test_integrated_gradients_take_their_number_of_steps(place: str, side_px: int, steps: int) -> None:
    """The logit rises only above 1 - 0.6 / steps of the image, which the last step alone exceeds: it is at 1 - 0.5 / steps."""
    import tensorflow as tf

    image = np.full((128, side_px, 1), 200, np.uint8)
    threshold = 200 * (1 - 0.6 / steps)

    def logits(batch: Any, training: bool) -> Any:
        return tf.nn.relu(tf.reduce_mean(batch, axis=(1, 2, 3))[:, None] - threshold)

    opened = maps.Opened(None, logits, SimpleNamespace(shape=(None, *image.shape)), ())
    found = (
        maps.integrated_gradients(opened, image, 0)
        if place == "the stage"
        else _mapper("integrated_gradients", opened)(image, [0])[0]
    )
    assert found.sum() / 200 == pytest.approx(1 / steps, rel=1e-3)


def pointing(*corners: tuple[int, int], side_px: int = 56) -> list[maps.Map]:
    """Maps with evidence in a square of a tenth of the image, and a little noise."""
    made = []
    for number, (y, x) in enumerate(corners):
        found = np.random.default_rng(number).random((side_px, side_px)).astype(np.float32) * 0.03
        found[y : y + 12, x : x + 12] = 1
        made.append(found)
    return made


def test_maps_of_a_class_that_point_at_one_place_are_said() -> None:
    corner = constant_place(pointing(*[(2, 40)] * 6))
    assert corner is not None
    assert (corner.where, corner.count, corner.mean.shape) == ("upper right", 6, (56, 56))
    assert "6 images explained as *stamp* point at the same" in corner.sentence("stamp")
    assert where(corner.mean).endswith("at the upper right")
    spread = [(2, 2), (40, 40), (2, 40), (40, 2), (20, 2), (2, 20)]
    assert constant_place(pointing(*spread)) is None
    assert constant_place(pointing(*[(22, 22)] * 6)) is None, "subjects are often in the centre"
    assert constant_place(pointing(*[(2, 40)] * 4)) is None, "a few images agree by chance"
    assert constant_place([np.zeros((9, 9), np.float32)] * 8) is None


def test_the_maps_of_a_class_are_summed_up() -> None:
    far, near = pointing((2, 2), (40, 40))
    mean = mean_map([far * 100, near])
    assert mean is not None
    assert mean.sum() == pytest.approx(1, abs=1e-3), "each map counts the same, however strong it is"
    assert mean[2:14, 2:14].sum() == pytest.approx(mean[40:52, 40:52].sum(), rel=0.05)
    blank = -np.ones((9, 9), np.float32)
    assert mean_map([blank]) is None
    table = class_table(("a", "b", "c"), {2: [far, far], 0: [blank]})
    assert [row[:2] for row in table.rows] == [("a", 1), ("c", 2)]
    assert (table.rows[0][2], table.rows[1][2].rpartition("most ")[2]) == ("no evidence for it", "at the upper left")


def test_a_map_of_shuffled_weights_that_is_blank_passes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, random = SimpleNamespace(), SimpleNamespace()
    made = np.arange(16, dtype=np.float32).reshape(4, 4)
    blind = np.full((4, 4), 0.5, np.float32)
    monkeypatch.setitem(maps.METHODS, "occlusion", lambda opened, image, target: made if opened is real else blind)
    monkeypatch.setattr(maps, "probabilities_of", lambda opened: None)
    monkeypatch.setattr(maps, "occluded", lambda *args, **named: [made])
    monkeypatch.setattr(maps, "occlusion", lambda opened, *args, **named: made if opened is real else blind)
    asked: Any = [(np.zeros((4, 4, 3), np.uint8), 0)]
    assert Studio(None, real, random).likeness("occlusion", *asked[0], made) is None  # type: ignore[arg-type]
    assert _checked("occlusion", real, random, asked).likeness is None  # type: ignore[arg-type]
    assert maps.is_constant(np.float32(0.3) + np.array([[0, 1e-8]], np.float32)), "but for rounding it is the same everywhere"
