"""Masks on import, in `inspect` and under geometric ops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from pipekit import ImageError, images
from pipekit.engine.outcome import Outcome
from pipekit.engine.run import run_plan, silent
from pipekit.errors import PlanError, UserError
from pipekit.images.mask_checks import problem
from pipekit.pipeline.plan import load_plan

CLASSES = np.zeros((40, 60), np.uint8)
CLASSES[10:20, 10:20] = 1
CLASSES[20:30, 30:50] = 2

COLOURS = ("#000000", "#800000", "#008000")
CODED = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)[CLASSES]


def dataset(folder: Path, masks: dict[str, np.ndarray], suffix: str = ".png") -> Path:
    for name, mask in masks.items():
        (folder / "data/masks").mkdir(parents=True, exist_ok=True)
        (folder / "data/images").mkdir(parents=True, exist_ok=True)
        level = 40 + 20 * len(list((folder / "data/images").iterdir()))
        images.write(folder / f"data/images/{name}.png", np.full((40, 60, 3), level, np.uint8))
        Pillow.fromarray(mask).save(folder / f"data/masks/{name}{suffix}")
    return folder


def run(folder: Path, *more: dict[str, Any], **params: Any) -> Outcome:
    stages = {"data": {"use": "import.masks", "path": "data", **params}} | {f"s{n}": stage for n, stage in enumerate(more)}
    return run_plan(load_plan(table={"name": "t", "stages": stages}, base_dir=folder), silent, publish=False)


def failed(outcome: Outcome) -> dict[str, str]:
    return {failure.id: failure.reason for failure in outcome.artifact("data").failed()}


# --- on import -----------------------------------------------------------------------------------------------------------


def test_a_mask_of_another_size_is_listed(tmp_path: Path) -> None:
    dataset(tmp_path, {"a": CLASSES, "b": CLASSES[:20]})
    made = run(tmp_path, max_failed=1.0)
    assert failed(made) == {"b.png": "its mask has 60 x 20 px, and the image 60 x 40 px; they must have the same size"}
    assert [sample.id for sample in made.artifact("data")] == ["a.png"]
    assert made.artifact("data").meta["num_failed"] == 1


def test_colours_are_named_and_a_table_makes_them_class_numbers(tmp_path: Path) -> None:
    dataset(tmp_path, {"a": CODED})
    with pytest.raises(UserError, match="a colour-coded mask with 3 colours: #000000, #008000, #800000; state them"):
        run(tmp_path)
    (sample,) = run(tmp_path, colours=COLOURS).artifact("data")
    assert (images.read_mask(sample.targets.mask) == CLASSES).all()
    assert (images.read_mask(tmp_path / "data/masks/a.png", COLOURS) == CLASSES).all()
    with pytest.raises(UserError, match="the mask has 1 colour: #008000, which colours does not name"):
        run(tmp_path, colours=COLOURS[:2])
    with pytest.raises(PlanError):
        run(tmp_path, colours=["green"])


NAMES = ("background", "road", "car")


@pytest.mark.parametrize(
    ("text", "coded"),
    [
        ("value,name\n0,background\n1,road\n2,car\n", False),
        ("Pixel Value, Class\n0, background\n1, road\n2, car\n", False),
        ("name,r,g,b\nbackground,0,0,0\nroad,128,0,0\ncar,0,128,0\n", True),
        ("class,colour\nbackground,#000000\nroad,800000\ncar,#008000\n", True),
    ],
)
def test_a_table_names_the_values_and_the_names_come_back_from_an_export(tmp_path: Path, text: str, coded: bool) -> None:
    dataset(tmp_path, {"a": CODED if coded else CLASSES})
    (tmp_path / "table.csv").write_text(text, "utf-8")
    made = run(tmp_path, {"use": "export.masks", "dataset": "data"}, table="table.csv")
    listed = made.artifact("data").categories("masks")
    assert [(entry.number, entry.name) for entry in listed] == [*enumerate(NAMES)]
    (sample,) = made.artifact("data")
    assert (images.read_mask(sample.targets.mask) == CLASSES).all()
    written = {"use": "import.masks", "path": str(made.artifact("s0").path)}
    again = run_plan(load_plan(table={"name": "t", "stages": {"data": written}}, base_dir=tmp_path), silent, publish=False)
    assert again.artifact("data").categories("masks") == listed, "of classes.csv"


def test_names_of_values_are_a_parameter_and_formats_without_them_say_so(tmp_path: Path) -> None:
    dataset(tmp_path, {"a": CLASSES})
    made = run(tmp_path, {"use": "export.webdataset", "dataset": "data"}, names=["background", "", "car"])
    assert [(entry.number, entry.name) for entry in made.artifact("data").categories("masks")] == [
        (0, "background"),
        (2, "car"),
    ]
    (said,) = made.stages[-1].warnings
    assert said == "webdataset: this format holds masks, but not the names of their values (2): they are left out"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,size\nroad,3\n", "has the columns name, size"),
        ("value,name\n300,road\n", "line 2: value '300', expected a whole number from 0 to 255"),
        ("value,name\n1,\n", "line 2: value 1 has no name"),
        ("value,name\n1,road\n1,car\n", "line 3: value 1 is there twice, 'road' and 'car'"),
        ("name,r,g,b\nroad,1,2,x\n", "line 2: colour 1, 2, x, expected three numbers"),
        ("name,colour\nroad,green\n", "'#green' is no colour"),
        ("value,name,colour\n1,road,#000000\n", "the values must be 0, 1, 2"),
    ],
)
def test_tables_of_values_that_can_not_be_used_are_errors(tmp_path: Path, text: str, said: str) -> None:
    dataset(tmp_path, {"a": CLASSES})
    (tmp_path / "table.csv").write_text(text, "utf-8")
    with pytest.raises(UserError, match=said):
        run(tmp_path, table="table.csv")


def test_artefacts_of_jpeg_are_found(tmp_path: Path) -> None:
    dataset(tmp_path, {"a": CLASSES * 100}, ".jpg")
    with pytest.raises(UserError, match=r"its mask has JPEG artefacts: .* values"):
        run(tmp_path)
    for classes, quality in ((3, 70), (9, 95)):  # a few values, which look like class numbers
        drawn = np.zeros((40, 60), np.uint8)
        drawn[5:20, 5:30], drawn[30:] = 1, classes
        Pillow.fromarray(drawn).save(tmp_path / "few.jpg", quality=quality)
        few = np.asarray(Pillow.open(tmp_path / "few.jpg"))
        assert len(np.unique(few)) <= 8
        assert "may be JPEG artefacts. Export masks as PNG" in problem(few, few.shape, True)
        assert problem(few.clip(max=1), few.shape, True) == "" == problem(few, few.shape, False)
    damaged = np.asarray(Pillow.open(tmp_path / "data/masks/a.jpg"))
    assert "JPEG artefacts" in problem(damaged, damaged.shape, True)
    assert problem(np.arange(200, dtype=np.uint8).reshape(10, 20), (10, 20), False) == "", "200 instances"


def test_grey_with_alpha_is_a_mask(tmp_path: Path) -> None:
    both = Pillow.merge("LA", [Pillow.fromarray(CLASSES), Pillow.fromarray(np.full_like(CLASSES, 255))])
    both.save(tmp_path / "m.png")
    assert (images.read_mask(tmp_path / "m.png") == CLASSES).all()
    Pillow.merge("LA", [Pillow.fromarray(CLASSES), Pillow.fromarray(CLASSES)]).save(tmp_path / "m.png")
    with pytest.raises(ImageError, match="one channel"):
        images.read_mask(tmp_path / "m.png")


def test_a_mask_drawn_on_the_stored_pixels_is_turned_with_its_photograph(tmp_path: Path) -> None:
    dataset(tmp_path, {"a": CLASSES})
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "data/images/a.png", exif=exif)
    for verify in ("decode", "none"):  # as `inspect` imports
        (sample,) = run(tmp_path, verify=verify).artifact("data")
        assert (images.read_mask(sample.targets.mask) == np.rot90(CLASSES, -1)).all()


def test_masks_that_can_not_be_used_are_findings_of_the_command(tmp_path: Path) -> None:
    dataset(tmp_path, {"a": CODED, "b": CLASSES[:20], "c": CLASSES})
    made = run(tmp_path, {"use": "inspect", "dataset": "data"}, verify="none").artifact("s0")
    found = [f for f in json.loads((made.path / "inspect.json").read_text("utf-8"))["findings"] if f["check"] == "masks"]
    assert [(finding["severity"], finding["samples"]) for finding in found] == [
        ("error", ["a.png"]),
        ("error", ["b.png"]),
        ("info", []),
    ]


# --- in inspect ----------------------------------------------------------------------------------------------------------


def test_inspect_lists_the_values(tmp_path: Path) -> None:
    ignored = CLASSES.copy()
    ignored[:2] = 255
    dataset(tmp_path, {"a": CLASSES, "b": ignored, "c": CLASSES * 0})
    made = run(tmp_path, {"use": "inspect", "dataset": "data"}).artifact("s0")
    found = [f for f in json.loads((made.path / "inspect.json").read_text("utf-8"))["findings"] if f["check"] == "masks"]
    assert found[0]["message"].startswith("3 masks with the values 0, 1, 2, 255: 255 is taken for 'ignore'")
    assert found[0]["values"]["masks_with_value"] == {"0": 3, "1": 2, "2": 2, "255": 1}
    assert (found[1]["message"], found[1]["samples"]) == ("the mask has one value only", ["c.png"])


# --- under geometric ops -------------------------------------------------------------------------------------------------


def rotated(folder: Path, **params: Any) -> set[int]:
    stage = {"use": "augment", "dataset": "data", "ops": [{"op": "rotate", "limit_deg": 60}]}
    stage |= {"copies": 2, "keep_originals": False, "fill_mode": "constant", "format": "png", **params}
    return {int(v) for s in run(folder, stage).artifact("s0") for v in np.unique(images.read_mask(s.targets.mask))}


def test_new_areas_are_ignored_where_the_mask_has_ignore(tmp_path: Path) -> None:
    dataset(tmp_path, {"a": np.where(CLASSES == 2, np.uint8(255), np.uint8(1))})
    assert rotated(tmp_path) == {1, 255}
    assert rotated(tmp_path, mask_fill=7) == {1, 7, 255}


def test_a_mask_of_0_and_255_is_filled_with_0(tmp_path: Path) -> None:
    dataset(tmp_path, {"a": np.full((40, 60), 255, np.uint8)})
    assert rotated(tmp_path) == {0, 255}
