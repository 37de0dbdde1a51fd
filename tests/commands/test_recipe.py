"""``pipekit.Recipe``: images in memory, their targets, Keras' arguments, TOML, what it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

import pipekit as package
from pipekit import images
from pipekit.errors import PipekitError, UserError

OPS = "rotate(40, fill_mode=reflect)|hflip|one_of(blur|noise, brightness, p=0.7)"


@pytest.fixture(scope="module")
def photo() -> Any:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def recipe() -> package.Recipe:
    return package.Recipe(OPS, seed=3)


def test_the_kth_call_draws_variant_k(photo: Any) -> None:
    recipe = package.Recipe(OPS, seed=3)
    before = photo.copy()
    first, second = recipe(photo), recipe(photo)
    assert (first.shape, first.dtype) == ((40, 60, 3), np.uint8)
    assert np.array_equal(photo, before)
    assert recipe.drawn == 2
    again = package.Recipe(OPS, seed=3)
    assert np.array_equal(again(photo, 2), second)
    assert np.array_equal(again(photo), first), "a call that names its variant counts as none"
    assert not np.array_equal(first, second)
    assert not np.array_equal(package.Recipe(OPS, seed=4)(photo, 1), first)


def test_a_variant_is_the_copy_of_augment(photo: Any, recipe: package.Recipe, tmp_path: Path) -> None:
    """Previews are compared with what ``augment`` writes in tests/cli/test_augment.py."""
    images.write(tmp_path / "1.png", photo)
    (row,) = package.preview(tmp_path / "1.png", ops=OPS, seed=3, variants=2).captions
    assert row[2].splitlines() == list(recipe.apply(photo, 2, id="1.png").captions)
    assert row[2].splitlines() != list(recipe.apply(photo, 2).captions)


def test_annotations_move_with_the_pixels(photo: Any) -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[5:15, 10:30] = 2
    moved = package.Recipe("hflip(p=1)").apply(
        photo, mask=mask, boxes=[(10, 5, 30, 15, "cat"), package.Box(0, 0, 4, 4)], keypoints=[(10, 5, "left eye"), (1, 2)]
    )
    assert np.array_equal(moved.image, photo[:, ::-1])
    assert moved.mask is not None
    assert np.array_equal(moved.mask, mask[:, ::-1])
    assert [(box.x_min, box.x_max, box.label) for box in moved.boxes] == [(30, 50, "cat"), (56, 60, "")]
    assert [(point.x, point.label) for point in moved.keypoints] == [(49, "right eye"), (58, "")]
    assert moved.mirrored


def test_pil_images_and_files_are_images_too(photo: Any, recipe: package.Recipe, tmp_path: Path) -> None:
    wanted = recipe(photo, 1)
    assert np.array_equal(recipe(Pillow.fromarray(photo), 1), wanted)
    images.write(tmp_path / "a.png", photo)
    assert np.array_equal(recipe(tmp_path / "a.png", 1), wanted)
    grey = recipe(Pillow.fromarray(photo[..., 0]), 1)
    assert grey.shape == (40, 60, 3)


def test_a_pil_image_is_turned_as_its_file_is(photo: Any, tmp_path: Path) -> None:
    picture, exif = Pillow.fromarray(photo), Pillow.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    plain = package.Recipe("hflip(p=1)")
    assert np.array_equal(plain(Pillow.open(tmp_path / "turned.png")), plain(tmp_path / "turned.png"))
    assert plain(tmp_path / "turned.png").shape == (60, 40, 3)


ZEROS = np.zeros((8, 9, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "said", "hint"),
    [
        (ZEROS / 255, "values of float64 from 0 to 0", "(image * 255)"),
        ((ZEROS + 200).astype(np.float32), "from 200 to 200", "image.round().astype"),
        (ZEROS.astype(np.int64) - 1, "values of int64 from -1 to -1", "clip(0, 255)"),
        (ZEROS[..., 0], "a grey image of shape (8, 9)", "np.repeat"),
        (ZEROS[..., :1], "a grey image of shape (8, 9, 1)", "np.repeat"),
        (np.zeros((8, 9, 4), np.uint8), "alpha", "image[..., :3]"),
        (ZEROS[None], "a batch of shape (1, 8, 9, 3)", "for image in batch"),
        (ZEROS.transpose(2, 0, 1), "channels first", "transpose(1, 2, 0)"),
        (np.zeros((8, 9, 5), np.uint8), "shape (8, 9, 5)", "(height, width, 3)"),
        (ZEROS[:0], "an empty image", "at least 1"),
        (np.full((2, 2, 3), "a"), "values of <U1", "uint8"),
        (None, "got NoneType", "(height, width, 3)"),
        (Pillow.new("F", (3, 3)), "mode F has more than 8 bits", "path of its file"),
        ("no_such.jpg", "no such file", ""),
    ],
)
def test_what_is_no_image_is_said_with_what_makes_it_one(image: Any, said: str, hint: str, recipe: package.Recipe) -> None:
    with pytest.raises(PipekitError) as error:
        recipe(image)
    assert said in error.value.message
    assert hint.lower() in error.value.hint.lower()


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"boxes": [(5, 5, 1, 1)]}, "x_max > x_min"),
        ({"boxes": [(5, 5, 1)]}, "expected a box"),
        ({"boxes": [(1, 2, 3, float("nan"))]}, "expected a box"),
        ({"boxes": [1, 2, 3, 4]}, "expected a box"),
        ({"keypoints": [("a", "b")]}, "expected a keypoint"),
        ({"keypoints": [(1, 2, 3)]}, "expected a keypoint"),
        ({"mask": np.zeros((8, 9), np.float32)}, "class numbers, uint8, got float32"),
        ({"mask": np.zeros((4, 4), np.uint8)}, "the mask has"),
        ({"variant": 0}, "from 1 on, got 0"),
        ({"variant": 1.5}, "from 1 on, got 1.5"),
    ],
)
def test_targets_that_are_wrong(targets: dict[str, Any], said: str, recipe: package.Recipe) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        recipe.apply(ZEROS, **targets)


def test_a_mask_of_booleans_is_one_of_two_classes(recipe: package.Recipe) -> None:
    found = recipe.apply(ZEROS, 1, mask=np.ones((8, 9), bool)).mask
    assert found is not None
    assert (found.dtype, int(found.max())) == (np.uint8, 1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fill_mode": "constant", "fill_value": 9, "size_hw": (32, 48), "fit": "pad", "mask_fill": 255},
        {"mirror_labels": {'left "eye"': "right.eye", "right.eye": 'left "eye"'}, "min_visible": 0.25, "full_resolution": True},
    ],
)
@pytest.mark.parametrize("ops", [OPS, "medium", "trivial", "resized_crop(area=[0.3, 1])|posterize(bits=3)"])
def test_the_toml_is_the_recipe_in_a_pipeline_file(ops: str, options: dict[str, Any], tmp_path: Path) -> None:
    from pipekit.pipeline.plan import load_plan

    recipe = package.Recipe(ops, **options)
    (tmp_path / "images").mkdir()
    (tmp_path / "pipeline.toml").write_text(
        f'name = "x"\n[stages.data]\nuse = "import.folders"\npath = "images"\n[stages.augment]\nuse = "augment"\n'
        f'dataset = "data"\n{recipe.to_toml()}\n',
        encoding="utf-8",
    )
    params: Any = load_plan(tmp_path / "pipeline.toml").stage("augment").params
    assert [call.to_plain() for call in params.ops] == [call.to_plain() for call in recipe.calls]
    assert params.compiled() == recipe.compiled


def test_the_toml_without_options_is_a_recipe_file(photo: Any, recipe: package.Recipe, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(recipe.to_toml(), encoding="utf-8")
    again = package.Recipe(str(file), seed=3)
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert np.array_equal(again(photo, 5), recipe(photo, 5))
    assert again != package.Recipe(str(file), seed=4)


def test_its_text_is_code_that_makes_it() -> None:
    recipe = package.Recipe(OPS, seed=3, size_hw=(8, 9), fill_mode="wrap")
    assert eval(repr(recipe), {"Recipe": package.Recipe}) == recipe


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ops": "rotat(4)"}, "rotat"),
        ({"ops": "rotate(999)"}, "limit_deg"),
        ({"fill_mode": "mirror"}, "fill_mode"),
        ({"size_hw": (0, 4)}, "size_hw"),
        ({"ops": "crop(99, 99)", "size_hw": (8, 8)}, "larger than the image"),
        ({"ops": "hflip(p=0)"}, "never changes anything"),
        ({"plugins": ["gone.py"]}, "no such file"),
    ],
)
def test_a_recipe_that_is_wrong(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        package.Recipe(**options)


def test_the_preview_is_made_of_the_variants(photo: Any, recipe: package.Recipe) -> None:
    shown = recipe.preview(photo, 3)
    assert shown.sheet.ndim == 3
    assert [len(row) for row in shown.captions] == [4]
    assert shown.captions[0][2].splitlines() == list(recipe.apply(photo, 2).captions)
    assert shown._repr_html_().count("data:image/jpeg") == 1
    with pytest.raises(UserError, match="within 1 and 100"):
        recipe.preview(photo, 0)


def test_it_shows_its_ops(recipe: package.Recipe) -> None:
    html = recipe._repr_html_()
    assert "rotate" in html
    assert "limit_deg = 40" in html
    assert "seed: 3" in html


# --- Keras' arguments -----------------------------------------------------------------------------------------------------


def test_the_tutorial_of_keras_is_its_preset() -> None:
    """The preset ``keras_tutorial`` was compared with Keras' own functions (tests/builtin/test_ops_keras.py)."""
    found = package.Recipe.from_keras(
        rotation_range=40,
        width_shift_range=0.2,
        height_shift_range=0.2,
        shear_range=0.2,
        zoom_range=0.2,
        horizontal_flip=True,
        fill_mode="nearest",
    )
    assert found == package.Recipe("keras_tutorial")


def test_every_argument_that_can_be_carried_is() -> None:
    found = package.Recipe.from_keras(
        seed=5,
        size_hw=(32, 32),
        width_shift_range=13,
        zoom_range=[0.5, 2.0],
        channel_shift_range=30.0,
        vertical_flip=True,
        brightness_range=(0.5, 1.5),
        rescale=1.2,
        fill_mode="constant",
        cval=7.0,
        data_format="channels_last",
        validation_split=0.0,
        featurewise_center=False,
    )
    assert [call.name for call in found.calls] == ["shift", "zoom", "channel_shift", "vflip", "brightness", "rescale"]
    shift: Any = found.calls[0].params
    assert (shift.width, shift.height) == (12, 0), "Keras draws whole pixels below 13"
    zoom: Any = found.calls[1].params
    assert zoom.range == (0.5, 2.0)
    assert (found.compiled.fill_mode, found.compiled.fill_value, found.compiled.size_hw) == ("constant", 7, (32, 32))
    assert found.seed == 5


def test_no_argument_changes_nothing(photo: Any) -> None:
    assert np.array_equal(package.Recipe.from_keras()(photo), photo)
    assert package.Recipe.from_keras(rotation_range=0, zoom_range=0.0, brightness_range=None).calls == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rescale": 1 / 255}, "rescale=1/255"),
        ({"preprocessing_function": abs}, "preprocessing_function: it is Python"),
        ({"zca_whitening": True, "featurewise_center": True}, "featurewise_center: .*zca_whitening|zca_whitening: .*feat"),
        ({"rotation_rage": 3}, "rotation_range"),
        ({"zoom_range": 1.5}, "zoom_range: the zoom 1 - 1.5"),
        ({"zoom_range": (2, 1)}, "zoom_range: expected two numbers"),
        ({"width_shift_range": [1, 2]}, "width_shift_range: no op draws from a list"),
        ({"brightness_range": 0.3}, "brightness_range: expected two"),
        ({"rotation_range": 270}, "rotation_range: expected a number from 0 to 180"),
        ({"fill_mode": "mirror"}, "fill_mode"),
        ({"fill_mode": "constant", "cval": 0.5}, "cval"),
        ({"interpolation_order": 3}, "interpolation_order"),
    ],
)
def test_what_cant_be_carried_is_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        package.Recipe.from_keras(**arguments)
    assert "can be carried: rotation_range" in error.value.hint
