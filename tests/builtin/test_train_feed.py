"""The feed, the cache, blending, schedules and the data's checks: all of training that needs no TensorFlow."""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from pipekit import images
from pipekit.builtin.train import cache, data, mix
from pipekit.builtin.train.cache import Decoded, PixelFile, Place
from pipekit.builtin.train.compiling import rate_at
from pipekit.builtin.train.feed import Feed
from pipekit.builtin.train.params import TrainParams
from pipekit.builtin.train.stage import auto_batch_size
from pipekit.contract import Dataset, Sample
from pipekit.errors import ImageError, UserError
from pipekit.learning.input_size import infer_size
from pipekit.recipe import compile_recipe
from pipekit.registry.registry import load_registry
from pipekit.rng import Rng, rng_for

REGISTRY = load_registry(installed=False)
SHAPE = (4, 5, 3)
PIXELS = 60


def params(**values: Any) -> TrainParams:
    checked: TrainParams = REGISTRY.check_params(TrainParams, values)
    return checked


def load(file: str) -> images.Image:
    """An image whose every value is its number; numbers above 200 can't be read."""
    if int(file) > 200:
        raise ImageError("truncated JPEG")
    return np.full(SHAPE, int(file), np.uint8)


def speckle(image: images.Image, rng: Rng) -> images.Image:
    return np.asarray(image + rng.integers(0, 2, image.shape, np.uint8), np.uint8)


def feed(numbers: list[int], *, where: cache.Where = "off", folder: Path | None = None, **options: Any) -> Feed:
    files = [str(number) for number in numbers]
    return Feed(
        decoded=Decoded(files, files, load, Place(where), folder, PIXELS),
        shape_hwc=SHAPE,
        ids=files,
        targets=np.array(numbers, np.int64),
        weights=np.ones(len(files), np.float32),
        rng=lambda *parts: rng_for(3, *parts),
        **{"batch_size": 4, "shuffle": True, "augment": speckle, **options},
    )


def content(made: Any) -> list[tuple[bytes, bytes]]:
    return [(x.tobytes(), y.tobytes()) for x, y, _ in made]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 17), st.integers(1, 4), st.integers(0, 3))
def test_an_epoch_shows_every_image_exactly_once(count: int, batch_size: int, workers: int, epoch: int) -> None:
    with feed(list(range(count)), batch_size=batch_size, workers=workers) as made:
        batches = list(made.epoch(epoch))
    assert len(batches) == made.steps
    assert Counter(number for _, y, _ in batches for number in y.tolist()) == Counter(range(count))
    assert all(len(x) == batch_size for x, _, _ in batches[:-1])
    for x, y, _ in batches:  # each image is with its own target
        assert (abs(x.astype(int) - y.reshape(-1, 1, 1, 1)) <= 1).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.integers(1, 4), st.data())
def test_an_epoch_can_be_taken_up_at_any_batch(count: int, workers: int, draw: st.DataObject) -> None:
    with feed(list(range(count)), workers=1) as one, feed(list(range(count)), workers=workers) as other:
        whole = content(one.epoch(2))
        start = draw.draw(st.integers(0, one.steps))
        assert content(other.epoch(2, start)) == whole[start:]


def test_epochs_differ_and_the_same_epoch_does_not() -> None:
    with feed(list(range(30))) as made:
        assert content(made.epoch(0)) == content(made.epoch(0)) != content(made.epoch(1))


def test_the_order_is_the_lists_without_shuffling() -> None:
    with feed(list(range(10)), shuffle=False) as made:
        assert [n for _, y, _ in made.epoch(5) for n in y.tolist()] == list(range(10))


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_the_cache_changes_no_byte(where: cache.Where, tmp_path: Path) -> None:
    with feed(list(range(20)), where=where, folder=tmp_path) as cached, feed(list(range(20))) as plain:
        for epoch in (0, 1):
            assert content(cached.epoch(epoch)) == content(plain.epoch(epoch))


def test_a_second_epoch_from_the_cache_reads_no_file() -> None:
    calls: Counter[str] = Counter()
    lock = threading.Lock()

    def counting(file: str) -> images.Image:
        with lock:
            calls[file] += 1
        return load(file)

    files = [str(number) for number in range(12)]
    decoded = Decoded(files, files, counting, Place("memory"))
    for _ in range(3):
        assert [int(decoded.image(number)[0, 0, 0]) for number in range(12)] == list(range(12))  # type: ignore[index]
    assert set(calls.values()) == {1}


def test_a_cache_on_disk_is_there_after_a_restart_as_far_as_it_was_flushed(tmp_path: Path) -> None:
    first = Decoded(["1", "2", "3"], ["1", "2", "3"], load, Place("disk"), tmp_path, PIXELS)
    first.image(0)
    first.flush()
    first.image(1)  # not flushed: a restart may not trust it

    read: list[str] = []

    def noting(file: str) -> images.Image:
        read.append(file)
        return load(file)

    again = Decoded(["1", "2", "3"], ["1", "2", "3"], noting, Place("disk"), tmp_path, PIXELS)
    assert [int(again.image(n)[0, 0, 0]) for n in range(3)] == [1, 2, 3]  # type: ignore[index]
    assert read == ["2", "3"]


def test_images_that_cant_be_read_are_left_out_and_listed() -> None:
    with feed([1, 2, 250, 3, 251, 252, 253, 254], shuffle=False) as made:
        batches = list(made.numbered(0))
        assert [(number, y.tolist()) for number, (_, y, _) in batches] == [(0, [1, 2, 3])]
        assert {failure.id for failure in made.decoded.failed.values()} == {"250", "251", "252", "253", "254"}
        assert {failure.reason for failure in made.decoded.failed.values()} == {"truncated JPEG"}


def test_stopping_in_the_middle_of_an_epoch_leaves_no_thread_behind() -> None:
    with feed(list(range(40)), workers=3) as made:
        batches = made.epoch(0)
        next(batches)
        batches.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("feed") and thread.is_alive()]


def test_where_decoded_images_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "free_memory_bytes", lambda: 1000)
    assert cache.choose("auto", 250, tmp_path) == Place("memory", 250)
    assert cache.choose("auto", 251, tmp_path).where == "disk"
    assert cache.choose("auto", 2**60, tmp_path) == Place("off")
    assert cache.choose("memory", 2**60, tmp_path) == Place("memory")


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_no_more_is_kept_than_may_be(where: cache.Where, tmp_path: Path) -> None:
    read: list[str] = []

    def noting(file: str) -> images.Image:
        read.append(file)
        return load(file)

    files = [str(number) for number in range(4)]
    decoded = Decoded(files, files, noting, Place(where, 2.5 * PIXELS), tmp_path, PIXELS)
    for _ in range(2):
        assert [int(decoded.image(n)[0, 0, 0]) for n in range(4)] == [0, 1, 2, 3]  # type: ignore[index]
    assert read == ["0", "1", "2", "3", "2", "3"]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])), min_size=1, max_size=12), st.data())
def test_a_file_of_pixels_gives_back_images_of_any_size(shapes: list[tuple[int, int, int]], draw: st.DataObject) -> None:
    written = draw.draw(st.integers(0, len(shapes)))
    pictures = [rng_for(0, number).integers(0, 256, shape, np.uint8) for number, shape in enumerate(shapes)]
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "EXTENT_BYTES", 100)  # several extents, some of one image only
        file = PixelFile(Path(name), len(shapes), 243)
        for number in range(written):
            file.put(number, pictures[number])
        file.flush()
        for number in range(written, len(shapes)):  # written and not flushed: gone after a restart
            file.put(number, pictures[number])
        for number, picture in enumerate(pictures):
            np.testing.assert_array_equal(file.get(number), picture)
        again = PixelFile(Path(name), len(shapes), 243)
        assert [again.get(number) is not None for number in range(len(shapes))] == [n < written for n in range(len(shapes))]
        for number in reversed(range(len(shapes))):
            again.put(number, pictures[number])
        for number, picture in enumerate(pictures):
            np.testing.assert_array_equal(again.get(number), picture)


def test_a_full_disk_leaves_images_out_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_allocate", full)
    decoded = Decoded(["1"], ["1"], load, Place("disk"), tmp_path, PIXELS)
    for _ in range(2):
        assert decoded.image(0) is not None
    decoded.flush()


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """JPEGs and a PNG of different sizes, some of them much larger than 24 x 32."""
    sizes = [(40, 50), (33, 200), (260, 300), (24, 32), (20, 20)]
    for number, size in enumerate(sizes):
        pixels = rng_for(0, number).integers(0, 256, (*size, 3), np.uint8)
        images.write(tmp_path / f"{number}.{'png' if number == 2 else 'jpg'}", pixels)
    return sorted(str(path) for path in tmp_path.iterdir())


MOVING = [{"op": "rotate", "limit_deg": 20}, {"op": "zoom", "amount": 0.2}, {"op": "hflip"}, {"op": "brightness"}]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_moving_recipe_makes_the_same_from_files_as_from_what_was_kept(
    photos: list[str], channels: int, tmp_path: Path
) -> None:
    recipe = compile_recipe(MOVING, (24, 32), registry=REGISTRY)
    assert data.moves_first(recipe)

    def made(place: Place) -> list[list[tuple[bytes, bytes]]]:
        with Feed(
            decoded=Decoded(photos, photos, data.Decoder((24, 32), channels), place, tmp_path / "kept", 24 * 32 * channels),
            shape_hwc=(24, 32, channels),
            ids=photos,
            targets=np.arange(len(photos)),
            weights=np.ones(len(photos), np.float32),
            batch_size=2,
            rng=lambda *parts: rng_for(3, *parts),
            shuffle=True,
            augment=data.augmenter(recipe, channels),
        ) as one:
            return [content(one.epoch(epoch)) for epoch in (0, 1, 1)]

    nothing = made(Place("off"))
    assert nothing[0] != nothing[1] == nothing[2]
    assert made(Place("memory")) == made(Place("disk")) == nothing


def test_a_decoded_image_is_no_larger_than_the_recipe_needs(photos: list[str]) -> None:
    for file in photos:
        whole = images.read(file)
        kept = data.Decoder((24, 32), 3)(file)
        assert kept.shape == (min(24, whole.shape[0]), min(32, whole.shape[1]), 3)
    samples = [Sample(file, file) for file in photos]
    expected = sum(data.Decoder((24, 32), 3)(file).nbytes for file in photos)
    assert data.decoded_bytes(samples, (24, 32), 3) == expected


def test_a_large_picture_is_averaged_on_its_way_down(tmp_path: Path) -> None:
    """Stripes of one pixel, which a linear resize in one step would turn into broad ones, become grey."""
    stripes = np.zeros((200, 390, 3), np.uint8)
    stripes[:, ::2] = 255
    images.write(tmp_path / "stripes.png", stripes)
    kept = data.Decoder((24, 32), 3)(str(tmp_path / "stripes.png"))
    assert abs(kept.astype(int) - 127).max() < 20


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        (["keras_tutorial"], True),
        ([{"op": "rotate", "limit_deg": 5}, "noise"], True),
        ([{"op": "rotate", "limit_deg": 5, "p": 0.1}], False),
        (["hflip", "vflip", {"op": "rotate90", "turns": [0, 2]}], False),
        (["noise", "rotate"], False),
        ([], False),
    ],
)
def test_the_resize_is_left_to_a_warp_only_where_there_is_one(ops: list[Any], expected: bool) -> None:
    assert data.moves_first(compile_recipe(ops, (24, 32), registry=REGISTRY)) == expected


def test_a_grey_image_moves_as_a_coloured_one() -> None:
    image = rng_for(0).integers(0, 256, (30, 40, 1), np.uint8)
    recipe = compile_recipe(MOVING[:3], (24, 32), registry=REGISTRY)
    grey = data.augmenter(recipe, 1)(image, rng_for(1))
    np.testing.assert_array_equal(grey, data.OnColour(recipe)(image, rng_for(1)))
    assert grey.shape == (24, 32, 1)


def mosaic(*values: Any) -> Any:
    """It has no alpha."""
    return mix.mosaic(*values[:-1])


# --- blending ------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 9), st.sampled_from([mix.mixup, mix.cutmix, mosaic]), st.floats(0.1, 4), st.integers(0, 99))
def test_blended_labels_are_shares_of_the_blended_pixels(count: int, blend: Any, alpha: float, seed: int) -> None:
    # image n has the value 10 n everywhere and its own class: the mean pixel must be what the labels say
    pixels = np.repeat(10 * np.arange(count, dtype=np.uint8), 36).reshape(count, 6, 6, 1)
    x, y, weights = blend(pixels, np.eye(count, dtype=np.float32), np.ones(count, np.float32), rng_for(seed, "mix"), alpha)
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(weights, 1, rtol=1e-5)
    np.testing.assert_allclose(x.mean(axis=(1, 2, 3)), y @ (10 * np.arange(count)), atol=1e-3)


def test_cutmix_takes_every_pixel_from_one_image() -> None:
    pixels = np.repeat(10 * np.arange(8, dtype=np.uint8), 100).reshape(8, 10, 10, 1)
    x, _, _ = mix.cutmix(pixels, np.eye(8, dtype=np.float32), np.ones(8, np.float32), rng_for(1), 1.0)
    assert set(np.unique(x)) <= set(range(0, 80, 10))


def test_no_blending_without_alpha() -> None:
    assert mix.mixer(0, 0) is None


def test_a_mosaic_holds_four_whole_images() -> None:
    chance = rng_for(2)
    pixels = chance.integers(0, 256, (5, 40, 48, 3), np.uint8)
    x, y, weights = mix.mosaic(pixels, np.eye(5, dtype=np.float32), np.ones(5, np.float32), rng_for(4, "mosaic"))
    assert x.shape == pixels.shape
    assert weights == pytest.approx(1)
    drawn = rng_for(4, "mosaic")
    row, column = int(drawn.integers(10, 30, endpoint=True)), int(drawn.integers(12, 36, endpoint=True))
    fields = [(slice(0, row), slice(0, column)), (slice(0, row), slice(column, 48))]
    fields += [(slice(row, 40), slice(0, column)), (slice(row, 40), slice(column, 48))]
    orders = [np.arange(5), *(drawn.permutation(5) for _ in range(3))]
    for image in range(5):
        expected = np.zeros(5)
        for (down, across), order in zip(fields, orders, strict=True):
            height, width = down.stop - down.start, across.stop - across.start
            expected[order[image]] += height * width / (40 * 48)
            whole = images.resize(pixels[order[image]], (height, width), "area").astype(np.float32)
            assert np.abs(x[image, down, across] - whole).max() <= 2
        np.testing.assert_allclose(y[image], expected, rtol=1e-5)


def test_a_part_of_the_batches_are_mosaics() -> None:
    pixels = np.repeat(10 * np.arange(4, dtype=np.uint8), 64).reshape(4, 8, 8, 1)
    blend = mix.mixer(0, 0, 0.5)
    assert blend is not None
    rng = rng_for(7)
    made = [blend(pixels, np.eye(4, dtype=np.float32), np.ones(4, np.float32), rng)[0] for _ in range(60)]
    unchanged = sum(np.array_equal(x, pixels) for x in made)
    assert 15 <= unchanged <= 45
    assert all(x.dtype == np.float32 for x in made)


# --- schedules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "step", "expected"),
    [
        ({"schedule": "constant"}, 73, 0.5),
        ({"schedule": "cosine"}, 0, 0.5),
        ({"schedule": "cosine"}, 50, 0.25),  # half way: half of it
        ({"schedule": "cosine"}, 100, 0.0),
        ({"schedule": "linear"}, 25, 0.375),
        ({"schedule": "exponential", "decay": 0.01}, 50, 0.05),
        ({"schedule": "step", "decay": 0.5, "decay_epochs": 3}, 29, 0.5),
        ({"schedule": "step", "decay": 0.5, "decay_epochs": 3}, 30, 0.25),
        ({"schedule": "step", "decay": 0.5, "decay_epochs": 3}, 60, 0.125),
        ({"schedule": "cosine", "warmup_epochs": 2}, 9, 0.25),  # step 10 of 20
        ({"schedule": "cosine", "warmup_epochs": 2}, 20, 0.5),
        ({"schedule": "cosine", "warmup_epochs": 2}, 60, 0.25),
    ],
)
def test_learning_rates(values: dict[str, Any], step: int, expected: float) -> None:
    chosen = params(epochs=10, learning_rate=0.5, **values)
    assert rate_at(chosen, step, 10) == pytest.approx(expected, abs=1e-12)


def test_a_learning_rate_that_follows_from_the_optimizer() -> None:
    rates = {name: rate_at(params(optimizer=name), 0, 10) for name in ("adam", "sgd", "adadelta")}
    assert rates == {"adam": 0.001, "sgd": 0.01, "adadelta": 1.0}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"warmup_epochs": 20}, "must be less than epochs"),
        ({"mixup": 0.2, "label_mode": "sparse"}, "mixup needs label_mode"),
        ({"mosaic": 0.2, "label_mode": "sparse"}, "mosaic needs label_mode"),
        ({"keep": "last", "patience": 3}, "patience needs keep"),
        ({"model": {"template": "simple_cnm"}}, "Did you mean 'simple_cnn'"),
        ({"model": {"template": "simple_cnn", "dropout": 2}}, "model.dropout"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        params(**values)
    assert words in str(caught.value)


# --- the data ------------------------------------------------------------------------------------------------------------


def dataset(*rows: tuple[str, str | None, str], tmp_path: Path) -> Dataset:
    samples = [Sample(f"{n}", str(tmp_path / f"{n}.png"), label=label, split=split) for n, (_, label, split) in enumerate(rows)]
    counts: dict[str, dict[str, int]] = {}
    for sample in samples:
        if sample.label is not None:
            counts.setdefault(sample.split, Counter())[sample.label] += 1
    classes = sorted({label for _, label, _ in rows if label is not None})
    meta = {"num_samples": len(samples), "classes": classes, "counts": counts}
    return Dataset(tmp_path, "", meta, lambda _: iter(samples), lambda _: iter(()))


class Ears:
    """A context that only keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def checked(found: Dataset) -> list[str]:
    ears = Ears()
    data.check_parts(ears, found, data.read_part(found, "train", True), data.read_part(found, "val", True), True)  # type: ignore[arg-type]
    return ears.warnings


def test_what_cant_be_learnt_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no labelled image in the split 'train' \(found val: 1\)") as caught:
        checked(dataset(("a", "cat", "val"), tmp_path=tmp_path))
    assert "use = 'split'" in caught.value.hint
    with pytest.raises(UserError, match="all 1 training images are of one class, 'cat'"):
        checked(dataset(("a", "cat", "train"), ("b", "dog", "val"), tmp_path=tmp_path))


def test_what_is_odd_is_said(tmp_path: Path) -> None:
    rows = [("x", "cat", "train")] * 5 + [("y", "dog", "train"), ("z", "cat", "val"), ("w", "cow", "test")]
    no_cow, no_dog_in_val, uneven = checked(dataset(*rows, tmp_path=tmp_path))
    assert "no training image of 'cow'" in no_cow
    assert "no image of 'cow', 'dog' in the split 'val'" in no_dog_in_val
    assert "5 images of 'cat', 1 of 'dog'" in uneven
    assert "class_weights" in uneven
    (no_val,) = checked(dataset(("x", "cat", "train"), ("y", "dog", "train"), tmp_path=tmp_path))
    assert "no split 'val'" in no_val


def test_class_weights_are_scikit_learns() -> None:
    numbers = np.array([0] * 7 + [2] * 3 + [1] * 2)
    part = data.Part(tuple(Sample(str(n), "") for n in range(12)), numbers)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=numbers)
    np.testing.assert_allclose(data.class_weights(part, 3, "balanced"), expected[numbers], rtol=1e-6)
    assert set(data.class_weights(part, 3, "none").tolist()) == {1.0}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(64, 48)] * 3, (64, 48)),
        ([(28, 28)], (28, 28)),
        ([(300, 300)] * 3, (160, 160)),
        ([(100, 120), (90, 200), (300, 400)], (100, 100)),
        ([(20, 20), (30, 30)], (32, 32)),
    ],
)
def test_the_input_size_follows_from_the_images(
    sizes: list[tuple[int, int]], expected: tuple[int, int], tmp_path: Path
) -> None:
    rows = []
    for number, size in enumerate(sizes):
        images.write(tmp_path / f"{number}.png", np.zeros((*size, 3), np.uint8))
        rows.append(Sample(f"{number}", str(tmp_path / f"{number}.png")))
    assert infer_size(rows) == expected


def test_no_readable_image_is_a_word(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(UserError, match="none of the 1 training images that were tried can be read"):
        infer_size([Sample("a", str(tmp_path / "a.jpg"))])


@pytest.mark.parametrize(("count", "expected"), [(1, 8), (160, 8), (320, 16), (640, 32), (100_000, 32)])
def test_batches_leave_enough_steps(count: int, expected: int) -> None:
    assert auto_batch_size(count) == expected


def test_ops_see_a_grey_image_as_colour_and_leave_it_grey() -> None:
    image = np.arange(0, 240, 2, dtype=np.uint8).reshape(10, 12, 1)
    seen: list[tuple[int, ...]] = []

    def look(picture: images.Image, rng: Any) -> images.Image:
        seen.append(picture.shape)
        return picture

    np.testing.assert_array_equal(data.OnColour(look)(image, rng_for(0)), image)
    assert seen == [(10, 12, 3)]
