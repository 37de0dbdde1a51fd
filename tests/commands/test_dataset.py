"""``pipekit.dataset`` and ``pipekit.feed``: counts, splits, tables, pictures; batches that depend on seed, epoch and sample."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipekit as package
from pipekit import images
from pipekit.commands import dataset as tables
from pipekit.commands.dataset import ImageDataset
from pipekit.contract import Box, Sample, Targets
from pipekit.errors import UserError
from tests.commands.in_memory import held

CLASSES = ("<i>dog", "cat")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageDataset]:
    """Five images in train, two in val; opened once."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 1)):
        for name in CLASSES:
            for number in range(count - (split == "train" and name == "cat")):
                file = folder / "pets" / split / name / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                images.write(file, rng.integers(0, 256, (24, 32, 3)).astype(np.uint8))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / ".cache"))
        yield package.dataset("pets", workers=1)


def test_a_folder_counts_and_iterates(photos: ImageDataset) -> None:
    assert (len(photos), photos.classes) == (7, CLASSES)
    assert photos.counts == {"train": {"<i>dog": 3, "cat": 2}, "val": {"<i>dog": 1, "cat": 1}}
    assert [sample.split for sample in photos].count("val") == 2
    val = photos.split("val")
    assert (len(val), val.counts) == (2, {"val": {"<i>dog": 1, "cat": 1}})
    assert {sample.split for sample in val} == {"val"}
    assert len(photos.split("train", "val")) == 7
    assert photos.failed() == ()


def test_a_split_that_is_not_there(photos: ImageDataset) -> None:
    with pytest.raises(UserError, match="has no split 'vall'") as error:
        photos.split("vall")
    assert "val" in error.value.hint
    with pytest.raises(UserError, match="has no split 'train'"):
        photos.split("val").split("train")
    with pytest.raises(UserError, match="expected the name"):
        photos.split()


BOXED = [
    Sample("a", "a.jpg", "00", "cat", "", Targets(boxes=(Box(0, 1, 2, 3, "eye"), Box(4, 5, 6, 7, "ear"))), {"age": 3}),
    Sample("b", "b.jpg", "01", None, "", extra={"id": "B7", "where": [1, 2]}),
]


class Frames:
    """Stands for pandas and polars, whose import takes a second: a frame is the columns."""

    @staticmethod
    def DataFrame(columns: Any, **options: Any) -> Any:  # noqa: N802 - its name in both
        assert len({len(column) for column in columns.values()}) == 1
        return columns


def test_a_table_has_a_row_for_each_image_or_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_library", lambda name: Frames)
    frame = held(BOXED).to_pandas()
    assert frame["boxes"] == [2, 0]
    assert frame["label"] == ["cat", None]
    assert frame["age"] == [3, None]
    assert frame["id (source)"] == [None, "B7"]
    boxes = held(BOXED).to_pandas("boxes")
    assert [boxes[name] for name in ("id", "box_label", "x_min", "y_max")] == [["a", "a"], ["eye", "ear"], [0, 4], [3, 7]]
    with pytest.raises(UserError, match='rows is "images" or "boxes"'):
        held(BOXED).to_pandas("objects")  # type: ignore[arg-type]


def test_a_library_that_is_not_installed_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for frame in (held(BOXED).to_pandas, held(BOXED).to_polars):
        with pytest.raises(UserError, match="is not installed here") as error:
            frame()
        assert error.value.hint.startswith("pip install p")


def test_polars_receives_columns_of_one_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_library", lambda name: Frames)
    rows = [*BOXED, replace(BOXED[0], id="c", extra={"age": "old"})]
    found = held(rows).to_polars()
    assert found["age"] == ["3", None, "old"]
    assert found["where"] == [None, json.dumps([1, 2]), None]
    assert found["boxes"] == [2, 0, 2]


def test_it_shows_counts_and_pictures(photos: ImageDataset) -> None:
    html = photos._repr_html_()
    assert "&lt;i&gt;dog" in html
    assert "<i>dog" not in html
    assert "7 images, 2 classes" in html
    assert html.count("data:image/jpeg") == 1
    assert str(Path.cwd()) not in html.replace("data:", "")
    assert "data:image" not in held(BOXED)._repr_html_(), "images that are gone are no error"


def test_the_images_of_the_sheet_come_from_every_class() -> None:
    many = [Sample(f"{name}{number}", "x", label=name) for name in ("a", "b") for number in range(50)]
    many.append(Sample("c0", "x", label="c"))
    found = tables.chosen(iter(many), 7)
    assert [sample.label for sample in found] == ["a", "a", "a", "b", "b", "b", "c"]
    assert tables.chosen(iter(many[::-1]), 7) == found


def test_options_of_a_dataset_of_a_run_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipekit.engine.adhoc import AdhocPipeline

    monkeypatch.setattr(AdhocPipeline, "dataset", lambda self, source, **params: self.give("data", held(BOXED).artifact))
    assert len(package.dataset("pets:split")) == 2
    with pytest.raises(UserError, match="imported with its own parameters"):
        package.dataset("pets:split", verify="none")


# --- feeds ------------------------------------------------------------------------------------------------------------------


def test_a_batch_depends_on_seed_epoch_and_sample_alone(photos: ImageDataset) -> None:
    feed = package.feed(photos, "rotate(40)|hflip", 2, size_hw=(8, 9), split="train", seed=5, workers=1)
    assert (len(feed), feed.classes, feed.counts) == (3, CLASSES, {"<i>dog": 3, "cat": 2})
    epoch = list(feed.epoch(3))
    assert [(pixels.shape, pixels.dtype, labels.dtype) for pixels, labels in epoch] == [
        ((2, 8, 9, 3), np.uint8, np.int64),
        ((2, 8, 9, 3), np.uint8, np.int64),
        ((1, 8, 9, 3), np.uint8, np.int64),
    ]
    other = package.feed(photos, package.Recipe("rotate(40)|hflip", seed=5), 2, size_hw=(8, 9), split="train", workers=3)
    for (pixels, labels), (again, same) in zip(epoch, other.epoch(3), strict=True):
        assert np.array_equal(pixels, again)
        assert np.array_equal(labels, same)
    assert np.array_equal(feed.batch(3, 1)[0], epoch[1][0])
    assert not np.array_equal(feed.order(3), feed.order(4))
    assert sorted(feed.order(3)) == [0, 1, 2, 3, 4]
    assert not np.array_equal(np.sort(feed.batch(4, 0)[0].ravel()), np.sort(epoch[0][0].ravel()))
    seven = package.feed(photos, "rotate(40)|hflip", 2, size_hw=(8, 9), split="train", seed=7)
    assert not np.array_equal(seven.batch(3, 0)[0], epoch[0][0])
    with pytest.raises(IndexError, match="batch 3 of 3"):
        feed.batch(0, 3)


def test_an_image_is_drawn_the_same_in_any_batch(photos: ImageDataset) -> None:
    options: Any = {"size_hw": (8, 9), "split": "train", "shuffle": False}
    alone = [pixels[0] for pixels, _ in package.feed(photos, "rotate(40)", 1, **options).epoch(1)]
    together = package.feed(photos, "rotate(40)", 5, **options).batch(1, 0)[0]
    assert np.array_equal(np.stack(alone), together)


def test_without_a_recipe_images_are_resized(photos: ImageDataset) -> None:
    feed = package.feed(photos.split("val"), None, 8, size_hw=(24, 32), shuffle=False, labels="one_hot", rescale=1 / 255)
    pixels, labels = feed.batch(7, 0)
    assert pixels.dtype == np.float32
    assert np.allclose(pixels[0] * 255, images.read(feed.samples[0].image), atol=1e-3)
    assert labels.tolist() == [[1, 0], [0, 1]]
    turned = package.feed(photos.split("val"), None, 8, size_hw=(24, 32), shuffle=False, classes=CLASSES[::-1])
    assert turned.batch(0, 0)[1].tolist() == [1, 0]
    assert "first images of epoch 0" in feed._repr_html_()


def test_an_image_that_can_not_be_read_is_left_out_and_said(photos: ImageDataset, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG")
    samples = [*photos.split("val"), Sample("bad", str(tmp_path / "bad.png"), label="cat", split="val")]
    feed = package.feed(held(samples), None, 3, size_hw=(8, 8), split="val", shuffle=False)
    with pytest.warns(UserWarning, match="bad is left out of the feed"):
        pixels, labels = feed.batch(0, 0)
    assert (len(pixels), labels.tolist()) == (2, [0, 1])
    assert list(feed.failed) == ["bad"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(feed.batch(1, 0)[0]) == 2, "it is said once"
    alone = package.feed(held(samples[2:]), None, 3, size_hw=(8, 8), split="val")
    with (
        pytest.warns(match="bad is left out"),
        pytest.raises(UserError, match="none of the images of a batch can be read: bad"),
    ):
        alone.batch(0, 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "the dataset has the splits train, val"),
        ({"split": "test"}, "has no split 'test'"),
        ({"split": "val", "batch_size": 0}, "batch_size must be at least 1"),
        ({"split": "val", "labels": "onehot"}, 'labels is "int" or "one_hot"'),
        ({"split": "val", "classes": ["cat"]}, "which is not among classes"),
        ({"split": "val", "fit": "squash"}, "fit is stretch, crop, pad"),
        ({"split": "val", "size_hw": (0, 8)}, "size_hw is"),
    ],
)
def test_what_a_feed_refuses(options: dict[str, Any], said: str, photos: ImageDataset) -> None:
    with pytest.raises(UserError, match=said):
        package.feed(photos, **options)


def test_a_recipe_of_another_size_is_refused(photos: ImageDataset) -> None:
    recipe = package.Recipe("hflip", size_hw=(4, 4))
    with pytest.raises(UserError, match=r"the recipe makes images of \[4, 4\] px, the feed is asked for \[224, 224\]"):
        package.feed(photos, recipe, split="val")
    assert package.feed(photos, recipe, split="val", size_hw=(4, 4)).batch(0, 0)[0].shape == (2, 4, 4, 3)


def test_images_without_labels_are_refused() -> None:
    with pytest.raises(UserError, match="b has no label"):
        package.feed(held(BOXED))
    with pytest.raises(UserError, match="expected a dataset"):
        package.feed(7)  # type: ignore[arg-type]


def test_a_feed_of_several_labels_and_of_numbers(photos: ImageDataset) -> None:
    files = [sample.image for sample in photos]
    sets = (("a",), (), ("b", "a"))
    several = [Sample(str(n), file, labels=labels) for n, (file, labels) in enumerate(zip(files, sets, strict=False))]
    feed = package.feed(held(several, task="multilabel", classes=("a", "b")), None, 2, size_hw=(8, 9), shuffle=False)
    assert (feed.task, feed.classes, feed.counts) == ("multilabel", ("a", "b"), {"a": 2, "b": 1})
    assert (feed.labels.dtype, feed.labels.tolist()) == (np.float32, [[1, 0], [0, 0], [1, 1]])
    assert np.array_equal(feed.batch(0, 0)[1], feed.labels[:2])
    assert [feed._named(one) for one in feed.labels] == ["a", "none", "a, b"]
    assert "Feed: 3 images" in feed._repr_html_()
    numbers = [Sample(str(n), file, value=float(n) / 3) for n, file in enumerate(files[:3])]
    feed = package.feed(held(numbers, task="number"), None, 2, size_hw=(8, 9), shuffle=False)
    assert (feed.classes, feed.counts, feed.labels.dtype, feed.labels.shape) == ((), {}, np.float32, (3,))
    assert feed.batch(0, 1)[1].tolist() == [np.float32(2 / 3)]
    assert "0.3333" in feed._named(feed.labels[1])
    assert len(package.feed(held(numbers, task="number"), "rotate(9)", size_hw=(8, 9), keep_value=True)) == 1
    assert "Feed: 3 images" in feed._repr_html_()


@pytest.mark.parametrize(
    ("sample", "task", "options", "said"),
    [
        ({}, "multilabel", {}, "has no label"),
        ({}, "number", {}, "has no number"),
        ({"labels": ("c",)}, "multilabel", {"classes": ("a",)}, "label 'c', which is not among classes"),
        ({"labels": ("a",)}, "multilabel", {"labels": "one_hot"}, "is for one class for each image; several labels are"),
        ({"value": 1.0}, "number", {"classes": ("a",)}, "has a number for each image"),
        ({"value": 1.0}, "number", {"recipe": "rotate(9)"}, "the ops rotate move the pixels"),
    ],
)
def test_what_a_feed_of_other_tasks_refuses(sample: Any, task: str, options: Any, said: str, photos: ImageDataset) -> None:
    with pytest.raises(UserError, match=said):
        package.feed(held([Sample("x", next(iter(photos)).image, **sample)], task=task), **options)


def test_keras_and_tensorflow_receive_the_batches(photos: ImageDataset) -> None:
    feed = package.feed(photos, "rotate(40)|hflip", 2, size_hw=(8, 9), split="train", labels="one_hot", workers=1)
    given = feed.py_dataset(first_epoch=1)
    assert len(given) == 3
    assert np.array_equal(given[1][0], feed.batch(1, 1)[0])
    given.on_epoch_end()  # Keras calls it before the first epoch too
    assert np.array_equal(given[2][0], feed.batch(1, 2)[0])
    given.on_epoch_begin()
    given.on_epoch_end()
    assert np.array_equal(given[0][0], feed.batch(2, 0)[0])
    data = feed.tf_dataset()
    assert int(data.cardinality()) == 3
    for epoch in (0, 1):
        for number, (pixels, labels) in enumerate(data):
            wanted = feed.batch(epoch, number)
            assert np.array_equal(pixels.numpy(), wanted[0])
            assert np.array_equal(labels.numpy(), wanted[1])
