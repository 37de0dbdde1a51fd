"""The importer ``cvat``, on files written by hand after those that CVAT exports."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipekit.builtin.importers import cvat, xml_items
from pipekit.builtin.importers.annotated import FileParams
from pipekit.builtin.importers.stated_size import SCALED
from pipekit.contract import Adjusted, Box, Keypoint, Sample
from pipekit.errors import UserError
from tests.builtin.annotated import picture, sort_out, write

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>7</id><labels><label><name>car</name></label><label><name>tree</name></label></labels></task></meta>
"""


def cvat_file(path: Path, *images: str) -> Path:
    return write(path, HEAD + "\n".join(images) + "\n</annotations>\n")


def image(name: str, *shapes: str, size: str = 'width="60" height="40"', more: str = "") -> str:
    return f'<image id="0" name="{name}" {size} {more}>\n' + "\n".join(shapes) + "\n</image>"


def test_boxes_polygons_points_and_tags(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    picture(tmp_path / "images/sub/b.png")
    shapes = (
        '<box label="car" occluded="1" z_order="3" xtl="5" ytl="6" xbr="15" ybr="26" source="manual">'
        '<attribute name="colour">red</attribute></box>',
        '<polygon label="tree" occluded="0" z_order="0" points="10.0,10.0;30.0,10.0;30.0,20.0"/>',
        '<points label="wheel" points="7.5,8.0"/>',
        '<points label="light" points="1,2;3,4"/>',
        '<tag label="street"/>',
    )
    cvat_file(tmp_path / "annotations.xml", image("a.png", *shapes, more='subset="Validation"'), image("sub/b.png"))
    assert cvat.sniff(tmp_path) == "CVAT annotations: annotations.xml"
    (first, second), failed = sort_out(cvat.read(tmp_path, FileParams(label="single")))
    assert failed == {}
    assert (first.id, first.label, first.split) == ("images/a.png", "street", "val")
    corners = (10, 10, 30, 10, 30, 20)
    about = {"occluded": True, "z_order": 3, "attributes": {"colour": "red"}}
    assert first.targets.boxes == (Box(5, 6, 15, 26, "car", facts=about), Box(10, 10, 30, 20, "tree", outline=(corners,)))
    assert first.targets.keypoints == (Keypoint(7.5, 8, "wheel"), Keypoint(1, 2, "light 1"), Keypoint(3, 4, "light 2"))
    assert first.extra == {}
    assert (second.id, second.label, second.targets.boxes, second.extra) == ("images/sub/b.png", None, (), {})


def test_turned_boxes_ellipses_masks_and_skeletons(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    shapes = (
        '<box label="car" xtl="20" ytl="10" xbr="40" ybr="20" rotation="90"/>',
        '<ellipse label="tree" cx="30" cy="20" rx="10" ry="5"/>',
        '<mask label="road" rle="1, 2, 2, 1" left="4" top="6" width="3" height="2"/>',
        '<skeleton label="person"><points label="head" outside="0" occluded="0" points="10,10"/>'
        '<points label="hand" outside="0" occluded="1" points="20,30"/><points label="foot" outside="1" points="0,0"/>'
        "</skeleton>",
    )
    (sample,), failed = sort_out(cvat.read(cvat_file(tmp_path / "x.xml", image("a.png", *shapes)), FileParams()))
    assert failed == {}
    car, tree, road, person = sample.targets.boxes
    assert [round(edge, 6) for edge in (car.x_min, car.y_min, car.x_max, car.y_max)] == [25, 5, 35, 25]
    assert len(car.outline[0]) == 8
    assert (tree.x_min, tree.y_min, tree.x_max, tree.y_max) == (20, 15, 40, 25)
    # The rows of the mask are .XX and ..X
    assert (road.x_min, road.y_min, road.x_max, road.y_max) == pytest.approx((5, 6, 7, 8), abs=0.2)
    assert person == Box(10, 10, 20, 30, "person")
    assert sample.targets.keypoints == (Keypoint(10, 10, "head", True, 3), Keypoint(20, 30, "hand", False, 3))


def test_what_can_not_be_used_is_listed_with_file_line_and_value(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    shapes = (
        '<box label="car" xtl="x" ytl="6" xbr="15" ybr="26"/>',
        '<box label="car" xtl="1" ytl="6" xbr="15"/>',
        '<box xtl="1" ytl="6" xbr="15" ybr="9"/>',
        '<polygon label="car" points="1,2;3"/>',
        '<polygon label="car" points="1,2;3,4"/>',
        '<polyline label="lane" points="1,2;3,4"/>',
        '<mask label="road" rle="1,2" left="4" top="6" width="3" height="2"/>',
        '<box label="car" xtl="70" ytl="6" xbr="75" ybr="26"/>',
        '<box label="car" xtl="1" ytl="6" xbr="nan" ybr="26"/>',
        '<tag label="day"/>',
        '<tag label="night"/>',
        '<box label="car" xtl="1" ytl="2" xbr="3" ybr="4"/>',
    )
    cvat_file(tmp_path / "x.xml", image("a.png", *shapes), image("gone.png"), image(""), image("a.png"))
    (sample,), failed = sort_out(cvat.read(tmp_path, FileParams()))
    assert (sample.label, sample.targets.boxes, sample.extra) == (None, (Box(1, 2, 3, 4, "car"),), {"tags": ["day", "night"]})
    assert failed == {
        "a.png object 1": "x.xml line 6: xtl is 'x', not a number",
        "a.png object 2": "x.xml line 7: ybr is missing",
        "a.png object 3": "x.xml line 8: label is missing",
        "a.png object 4": "x.xml line 9: points: '3' is not a pair x,y",
        "a.png object 5": "x.xml line 10: a polygon of 'car' has 2 corners; expected three or more",
        "a.png object 6": "x.xml line 11: a polyline of 'lane' is not read: it encloses no area",
        "a.png object 7": "x.xml line 12: the run lengths of a mask of 'road' do not fill its 3 x 2 px",
        "a.png object 8": "x.xml line 13: a box of 'car' lies outside the image (60 x 40 px): 70, 6, 75, 26",
        "a.png object 9": "x.xml line 14: xbr is 'nan', not a number",
        "a.png classes": "x.xml: 2 classes (day, night); an image has one class here",
        "gone.png": "no such image; x.xml line 19 names it",
        "x.xml line 22": "an image without a name",
        "a.png again": "x.xml line 25 names it again, after x.xml line 5",
    }


def test_boxes_of_an_image_of_another_scale_are_scaled(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    box = '<box label="car" xtl="20" ytl="10" xbr="60" ybr="40"></box>'
    cvat_file(tmp_path / "x.xml", image("a.png", box, size='width="120" height="80"'))
    found = list(cvat.read(tmp_path, FileParams()))
    (sample,) = (item for item in found if isinstance(item, Sample))
    assert sample.targets.boxes == (Box(10, 5, 30, 20, "car"),)
    assert [item.how for item in found if isinstance(item, Adjusted)] == [SCALED]


@pytest.mark.parametrize("size", ['width="40" height="60"', 'width="sixty" height="40"'])
def test_an_image_of_another_size_than_stated_is_listed(tmp_path: Path, size: str) -> None:
    picture(tmp_path / "a.png")
    cvat_file(tmp_path / "x.xml", image("a.png", size=size))
    samples, failed = sort_out(cvat.read(tmp_path, FileParams()))
    assert (samples, list(failed)) == ([], ["a.png"])
    assert failed["a.png"].startswith("x.xml line 5: ")
    assert "the image has 60 x 40 px" in failed["a.png"] or "width is 'sixty'" in failed["a.png"]


def test_a_subset_before_the_name_is_not_taken_for_a_part_of_its_path(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    picture(tmp_path / "images/b.png")
    cvat_file(
        tmp_path / "annotations.xml", image("a.png", more='subset="Train"'), image("C:/photos/b.png", more='subset="Train"')
    )
    assert [row.id for row in cvat.read(tmp_path, FileParams()) if isinstance(row, Adjusted)] == ["images/b.png"]


def test_the_subsets_of_a_project_may_have_images_of_the_same_name(tmp_path: Path) -> None:
    for subset in ("Test", "Train"):
        picture(tmp_path / "images" / subset / "a.png")
    images = [image("a.png", more=f'subset="{subset}"') for subset in ("Train", "Test")]
    cvat_file(tmp_path / "annotations.xml", *images, image("a.png"))
    found, failed = sort_out(cvat.read(tmp_path, FileParams()))
    assert [(row.id, row.split) for row in found] == [("images/Train/a.png", "train"), ("images/Test/a.png", "test")]
    reason = "annotations.xml line 11: a.png: there are 2 images 'a.png', in Test, Train; write the folder before the name"
    assert failed == {"a.png": reason}
    cvat_file(tmp_path / "annotations.xml", image("b.png", more='subset="Train"'))
    picture(tmp_path / "images/Test/b.png")
    found, failed = sort_out(cvat.read(tmp_path, FileParams()))
    assert (found, list(failed.values())) == ([], ["annotations.xml line 5: subset Train, but the image lies in Test"])


def test_images_are_found_by_the_last_parts_of_their_names_and_by_split(tmp_path: Path) -> None:
    for folder in ("train", "valid"):
        picture(tmp_path / folder / "a.png")
        cvat_file(tmp_path / folder / "annotations.xml", image(f"C:\\data\\{folder}\\a.png"))
    found, failed = sort_out(cvat.read(tmp_path, FileParams()))
    assert failed == {}
    assert [(row.id, row.split) for row in found] == [("train/a.png", "train"), ("valid/a.png", "val")]
    assert cvat.sniff(tmp_path) == "CVAT annotations: train/annotations.xml, valid/annotations.xml"
    cvat_file(tmp_path / "x.xml", image("../../etc/passwd"))
    assert sort_out(cvat.read(tmp_path / "x.xml", FileParams())) == (
        [],
        {"../../etc/passwd": "no such image; x.xml line 5 names it"},
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("words", "x.xml is not XML"),
        ("<annotation/>", "x.xml begins with 'annotation', not with 'annotations'"),
        (
            HEAD + "<track id='0'/></annotations>",
            "x.xml has tracks of a video, or no image; export the task as 'CVAT for images 1.1'",
        ),
    ],
)
def test_other_xml_is_no_cvat(tmp_path: Path, text: str, reason: str) -> None:
    answer = cvat.sniff(write(tmp_path / "x.xml", text).parent)
    assert not answer
    assert answer.reason == reason  # type: ignore[union-attr]
    with pytest.raises(UserError, match="no CVAT annotations"):
        list(cvat.read(tmp_path, FileParams()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + image("a.png") + "<image", r"x\.xml: not XML: unclosed token \(line 7\)"),
        (HEAD + image("a.png") + "</x>", r"x\.xml: not XML: mismatched tag \(line 7\)"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations><image name="a.png"/></annotations>', "it defines entities"),
    ],
)
def test_a_damaged_file_is_an_error_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / "x.xml", text)
    with pytest.raises(UserError, match=message):
        list(cvat.read(tmp_path, FileParams()))


def test_elements_are_read_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_items, "BLOCK_BYTES", 7)
    file = write(tmp_path / "x.xml", "<a>\n<b x='1'>t<c/>\n</b><d><b x='2'/></d>\n</a>")
    found = list(xml_items.elements(file, ("b",)))
    assert [(one.line, one.attributes, one.text, [child.tag for child in one.children]) for one in found] == [
        (2, {"x": "1"}, "t\n", ["c"]),
        (3, {"x": "2"}, "", []),
    ]
