"""The importers ``box_csv`` and ``roboflow_masks``, on tables written by hand after those of their tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipekit.builtin.importers import box_csv, csv, roboflow_masks
from pipekit.builtin.importers.box_csv import BoxCsvParams
from pipekit.builtin.importers.boxes import CUT
from pipekit.contract import Adjusted, Box, Params, Rejected
from pipekit.errors import UserError
from tests.builtin.annotated import picture, sort_out, write

TENSORFLOW = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TENSORFLOW + "a.png,60,40,dog,5,6,15,26\nb.png,60,40,cat,1,2,3,4\na.png,60,40,cat,1,2,3,4\n", "dog cat"),
        ("a.png,5,6,15,26,dog\nb.png,,,,,\na.png,1,2,3,4,cat\n", "dog cat"),
        ("/data/images/a.png,5,6,15,26,dog\n/data/images/b.png,,,,,\n/data/images/a.png,1,2,3,4,cat\n", "dog cat"),
        ("Image;Label;x_min;y_min;x_max;y_max\na.png;dog;5;6;15;26\na.png;cat;1;2;3;4\nb.png;;;;;\n", "dog cat"),
        ("path,x,y,w,h,label\na.png,5,6,10,20,dog\na.png,1,2,2,2,cat\nb.png,1,2,2,2,cat\n", "dog cat"),
        (
            'image_id,width,height,bbox\na,60,40,"[5.0, 6.0, 10, 20]"\na,60,40,"[1, 2, 2, 2]"\nb,60,40,"[1, 2, 2, 2]"\n',
            "object object",
        ),
        ("file,left,top,width,height,label\na.png,5,6,10,20,dog\na.png,1,2,2,2,cat\nb.png,1,2,2,2,cat\n", "dog cat"),
        ("img,class,x_center,y_center,w,h\na.png,dog,10,16,10,20\na.png,cat,2,3,2,2\nb.png,cat,2,3,2,2\n", "dog cat"),
        (
            "image,label,bbox\na.png,dog,5 6 10 20\na.png,cat,(1; 2; 2; 2)\nb.png,cat,{1,2,2,2}\n".replace(
                "{1,2,2,2}", '"{1,2,2,2}"'
            ),
            "dog cat",
        ),
        ("id,x,y,width,height\na,5,6,10,20\na,1,2,2,2\nb,1,2,2,2\n", "object object"),
    ],
)
def test_one_row_per_box(tmp_path: Path, text: str, expected: str) -> None:
    for name in "ab":
        picture(tmp_path / f"images/{name}.png")
    write(tmp_path / "ann.csv", text)
    assert box_csv.sniff(tmp_path) == "one row per box: ann.csv"
    (first, second), failed = sort_out(box_csv.read(tmp_path, BoxCsvParams()))
    assert failed == {}
    one, other = expected.split()
    assert (first.id, second.id) == ("images/a.png", "images/b.png")
    assert first.targets.boxes == (Box(5, 6, 15, 26, one), Box(1, 2, 3, 4, other))
    said = csv.sniff(tmp_path / "ann.csv")
    assert said == Rejected("a table with one row per box; read it with import.box_csv")


def test_splits_are_folders_names_of_files_or_a_column(tmp_path: Path) -> None:
    for folder in ("train", "valid"):
        picture(tmp_path / "roboflow" / folder / "a.png")
        write(tmp_path / "roboflow" / folder / "_annotations.csv", TENSORFLOW + "a.png,60,40,dog,5,6,15,26\n")
    found, failed = sort_out(box_csv.read(tmp_path / "roboflow", BoxCsvParams(label="single")))
    assert failed == {}
    assert [(row.id, row.split, row.label) for row in found] == [("train/a.png", "train", "dog"), ("valid/a.png", "val", "dog")]
    for name in "ab":
        picture(tmp_path / f"other/images/{name}.png")
    for split, name in (("train", "a"), ("test", "b")):
        write(tmp_path / f"other/data/{split}_labels.csv", TENSORFLOW + f"{name}.png,60,40,dog,5,6,15,26\n")
        write(tmp_path / f"other/{split}_labels.csv", TENSORFLOW + f"{name}.png,60,40,dog,5,6,15,26\n")
    found, failed = sort_out(box_csv.read(tmp_path / "other", BoxCsvParams()))
    assert [(row.id, row.split) for row in found] == [("images/b.png", "test"), ("images/a.png", "train")]
    column = "filename,split,class,xmin,ymin,xmax,ymax\na.png,Validation,dog,5,6,15,26\nb.png,odd,dog,5,6,15,26\n"
    found, failed = sort_out(box_csv.read(write(tmp_path / "other/x.csv", column), BoxCsvParams()))
    assert [(row.id, row.split) for row in found] == [("images/a.png", "val")]
    assert failed == {
        "images/b.png": "x.csv line 3: split 'odd', expected one of train, training, val, valid, validation, dev, test, testing"
    }


def test_what_can_not_be_used_is_listed_with_file_line_and_value(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    rows = (
        "a.png,60,40,dog,left,6,15,26",
        "a.png,60,40,,5,6,15,26",
        "a.png,60,40,dog,15,6,5,26",
        "a.png,60,40,dog,0.1,0.2,0.9,0.9",
        "a.png,60,40,dog,5,6",
        "a.png,60,40,dog,70,6,80,26",
        "b.png,40,60,dog,5,6,15,26",
        "gone.png,60,40,dog,5,6,15,26",
        ",60,40,dog,5,6,15,26",
        "c.png,wide,40,dog,5,6,15,26",
    )
    write(tmp_path / "x.csv", TENSORFLOW + "\n".join(rows))
    (sample,), failed = sort_out(box_csv.read(tmp_path, BoxCsvParams()))
    assert (sample.id, sample.targets.boxes) == ("a.png", ())
    assert failed == {
        "a.png line 2": "x.csv line 2: number 1 of the box is 'left', not a number",
        "a.png line 3": "x.csv line 3: a box without a class",
        "a.png line 4": "x.csv line 4: a box of 'dog' has no size: -10 x 20 px",
        "a.png line 5": "x.csv line 5: the box is given in fractions of the image (0.1, 0.2, 0.9, 0.9); pixels are expected",
        "a.png line 6": "x.csv line 6: number 3 of the box is '', not a number",
        "a.png line 7": "x.csv line 7: a box of 'dog' lies outside the image (60 x 40 px): 70, 6, 80, 26",
        "b.png": "x.csv line 8: its annotations are for 40 x 60 px, and the image has 60 x 40 px",
        "gone.png": "no such image; x.csv line 9 names it",
        "x.csv line 10": "no image in column 1: ['', '60', '40', 'dog', '5', '6', '15', '26']",
        "c.png": "x.csv line 11: width is 'wide', not a number",
    }
    write(tmp_path / "x.csv", 'image_id,bbox\na,"[5.0, 6.0, 10, 20]"\nb,"[1, 2"\nc,"[1, 2, ""x"", 4]"\n')
    _, failed = sort_out(box_csv.read(tmp_path, BoxCsvParams()))
    assert failed == {
        "b.png line 3": "x.csv line 3: the box is '[1, 2', not [left, top, width, height]",
        "c.png line 4": "x.csv line 4: number 3 of the box is 'x', not a number",
    }


@pytest.mark.parametrize("first", [0, 1])
def test_four_points_are_an_outline(tmp_path: Path, first: int) -> None:
    picture(tmp_path / "a.png")
    names = ",".join(f"{axis}{at}" for at in range(first, first + 4) for axis in "xy")
    write(tmp_path / "x.csv", f"image,{names},label\na.png,10,5,20,15,10,25,0,15,dog\n")
    (sample,), failed = sort_out(box_csv.read(tmp_path, BoxCsvParams()))
    assert failed == {}
    (box,) = sample.targets.boxes
    assert (box.x_min, box.y_min, box.x_max, box.y_max, box.outline) == (0, 5, 20, 25, ((10, 5, 20, 15, 10, 25, 0, 15),))


def test_two_corners_in_place_of_a_size_are_listed_with_the_option(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / "x.csv", 'image,bbox\na.png,"[40, 20, 50, 30]"\na.png,"[1, 2, 9, 9]"\n')
    (sample,), failed = sort_out(box_csv.read(tmp_path, BoxCsvParams()))
    assert sample.targets.boxes == (Box(1, 2, 10, 11, "object"),)
    assert list(failed) == ["a.png line 2"]
    assert 'fits as two corners: state box = "corners"' in failed["a.png line 2"]
    (sample,), failed = sort_out(box_csv.read(tmp_path, BoxCsvParams(box="corners")))
    assert (sample.targets.boxes, failed) == ((Box(40, 20, 50, 30, "object"), Box(1, 2, 9, 9, "object")), {})
    found = list(box_csv.read(tmp_path, BoxCsvParams(box="size")))
    assert Adjusted("a.png", CUT) in found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Pixel Value, Class\n0, background\n", "the classes of masks beside it; read its folder with import.roboflow_masks"),
        ("filename,region_shape_attributes\na.png,{}\n", "an export of VGG Image Annotator; read it with import.via"),
    ],
)
def test_other_tables_are_named_and_no_boxes(tmp_path: Path, text: str, reason: str) -> None:
    picture(tmp_path / "a.png")
    file = write(tmp_path / "_classes.csv", text)
    assert csv.sniff(file) == Rejected(reason)
    assert box_csv.sniff(file) == Rejected("no table with columns of a box, such as xmin, ymin, xmax, ymax")
    with pytest.raises(UserError, match="no table of boxes"):
        list(box_csv.read(tmp_path, BoxCsvParams()))


@pytest.mark.parametrize(
    "text",
    ["image,label\na.png,dog\n", "image,age\na.png,1\n", "image,label,x\na.png,1,0\n", "a.png,dog\n", "file,x,y\na.png,1,1\n"],
)
def test_one_row_per_image_is_still_a_table(tmp_path: Path, text: str) -> None:
    picture(tmp_path / "a.png")
    file = write(tmp_path / "x.csv", text)
    assert not box_csv.sniff(file)
    assert box_csv.other_table(file) == ""


# --- masks ---------------------------------------------------------------------------------------------------------------


def test_masks_beside_their_images(tmp_path: Path) -> None:
    for name in ("train/a.jpg", "train/a_mask.png", "train/b.jpg", "valid/c.jpg", "valid/c_mask.png"):
        picture(tmp_path / name)
    for folder in ("train", "valid"):
        write(tmp_path / folder / "_classes.csv", "Pixel Value, Class\n0, background\n2, zebra\n1, cat\n")
    said = "images, their masks beside them, and _classes.csv: background, zebra, cat"
    assert roboflow_masks.sniff(tmp_path) == said
    found, failed = sort_out(roboflow_masks.read(tmp_path, Params()))
    assert [(row.id, row.split, Path(row.targets.mask).name) for row in found] == [
        ("train/a.jpg", "train", "a_mask.png"),
        ("valid/c.jpg", "val", "c_mask.png"),
    ]
    assert failed == {"train/b.jpg": "no mask b_mask.png beside it"}
    assert roboflow_masks.class_names(tmp_path / "train/_classes.csv") == {0: "background", 2: "zebra", 1: "cat"}


@pytest.mark.parametrize("row", ["x, cat", "300, cat", "1", "-1, cat", "1,"])
def test_a_damaged_list_of_classes_is_an_error_with_its_line(tmp_path: Path, row: str) -> None:
    picture(tmp_path / "a.jpg")
    write(tmp_path / "_classes.csv", f"Pixel Value, Class\n0, background\n{row}\n")
    assert not roboflow_masks.sniff(tmp_path)
    with pytest.raises(UserError, match=r"_classes\.csv line 3: .*expected a value from 0 to 255 and a class"):
        list(roboflow_masks.read(tmp_path, Params()))
