"""``export(import(x))`` keeps images, boxes, polygons, keypoints, numbers, order, names, ids and flags.

The files are written here from random numbers, and what comes out is read by pycocotools or by ``readers``, which know nothing
of our code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
import yaml

from pipekit import images
from pipekit.contract import Categories, Category
from pipekit.engine.adhoc import AdhocPipeline
from tests.builtin.annotated import write
from tests.builtin.readers import read_voc, read_yolo

NAMES = ["zebra", "apple", "10", "9", "Ärger & Co", "two words", "a_b", "猫", "unused", "Zebra"]
"""In no order that sorting gives; two of them are numbers, two differ in case only."""

SEEDS = (0, 1, 2)


class Chance:
    """Random images and shapes inside them."""

    def __init__(self, seed: int) -> None:
        self.numbers = np.random.default_rng(seed)
        self.names = [str(name) for name in self.numbers.permutation(NAMES)]
        self.used = self.names[: int(self.numbers.integers(1, 8))]

    def picture(self, path: Path) -> tuple[int, int]:
        """Write an image; its width and height."""
        width, height = (int(side) for side in self.numbers.integers(40, 120, 2))
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, images.resize(self.numbers.integers(0, 255, (5, 5, 3), np.uint8), (height, width)))
        return width, height

    def below(self, limit: int) -> int:
        return int(self.numbers.integers(limit))

    def label(self) -> str:
        return self.used[self.below(len(self.used))]

    def box(self, size: tuple[int, int], whole: bool = False) -> list[float]:
        """Left, top, right, bottom."""
        if whole:
            left, top = self.below(size[0] - 3), self.below(size[1] - 3)
            return [left, top, left + 1 + self.below(size[0] - left - 1), top + 1 + self.below(size[1] - top - 1)]
        found: list[float] = []
        for side in size:
            low = float(self.numbers.uniform(0, side - 4))
            found += [low, float(self.numbers.uniform(low + 2, side))]
        return [round(value, 2) for value in (found[0], found[2], found[1], found[3])]

    def polygon(self, size: tuple[int, int]) -> list[float]:
        """x, y, x, y … around a centre, so that no lines cross."""
        angles = np.linspace(0, 2 * np.pi, 3 + self.below(6), endpoint=False) + self.numbers.uniform(0, 2 * np.pi)
        radius = min(size) / 2 - 1
        corners = np.array(size) / 2 + np.stack([np.cos(angles), np.sin(angles)], 1) * self.numbers.uniform(radius / 2, radius)
        return [round(float(value), 2) for value in corners.ravel()]


def export(folder: Path, importer: str, exporter: str, **params: Any) -> tuple[Path, list[str]]:
    adhoc = AdhocPipeline(base_dir=folder, settings={"executor": "serial"})
    data = adhoc.add("data", f"import.{importer}", path=str(folder / "in"), **params)
    adhoc.add("out", f"export.{exporter}", dataset=data)
    outcome = adhoc.run()
    return outcome.stages[-1].artifact.path, [text for stage in outcome.stages for text in stage.warnings]


def around(polygon: list[float]) -> list[float]:
    return [min(polygon[::2]), min(polygon[1::2]), max(polygon[::2]), max(polygon[1::2])]


def opened(file: Path) -> Any:
    from pycocotools.coco import COCO

    return COCO(file)


# --- COCO ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_coco(tmp_path: Path, seed: int) -> None:
    chance = Chance(seed)
    ids = [int(number) for number in chance.numbers.permutation(200)[: len(chance.names)]]
    categories: list[dict[str, Any]] = [
        {"id": number, "name": name, "supercategory": "things"} for number, name in zip(ids, chance.names, strict=True)
    ]
    categories[0] |= {"keypoints": ["right_hand", "left_hand", "nose"], "skeleton": [[3, 1], [2, 3]]}
    number = 1000
    for split in ("train", "val"):
        content: dict[str, Any] = {"images": [], "annotations": [], "categories": categories}
        for at in chance.numbers.permutation(20)[:5]:
            width, height = chance.picture(tmp_path / f"in/{split}/{at}.png")
            image = {"id": 500 - int(at), "file_name": f"{at}.png", "width": width, "height": height, "license": int(at) % 3}
            content["images"].append(image)
            for _ in range(chance.below(4)):
                number -= 1 + chance.below(3)
                content["annotations"].append(coco_object(chance, number, image, categories))
        write(tmp_path / f"in/annotations/instances_{split}.json", json.dumps(content))
    out, warnings = export(tmp_path, "coco", "coco")
    assert not [text for text in warnings if "left out" in text]
    for split in ("train", "val"):
        one, other = (opened(root / f"annotations/instances_{split}.json") for root in (tmp_path / "in", out))
        assert other.dataset["categories"] == one.dataset["categories"]
        assert other.imgs == one.imgs
        for image in other.imgs.values():
            assert (out / "images" / split / image["file_name"]).is_file()
        assert other.anns.keys() == one.anns.keys()
        for key, expected in one.anns.items():
            compare(other.anns[key], expected)


def coco_object(chance: Chance, number: int, image: dict[str, Any], categories: list[dict[str, Any]]) -> dict[str, Any]:
    size = image["width"], image["height"]
    label = chance.label()
    category = next(entry for entry in categories if entry["name"] == label)
    polygon = chance.polygon(size) if chance.below(2) else []
    edges = around(polygon) if polygon else chance.box(size)
    box = [edges[0], edges[1], round(edges[2] - edges[0], 2), round(edges[3] - edges[1], 2)]
    found: dict[str, Any] = {"id": number, "image_id": image["id"], "category_id": category["id"], "bbox": box}
    found |= {"segmentation": [polygon] if polygon else [], "iscrowd": int(not chance.below(4))}
    found["area"] = round(box[2] * box[3] * float(chance.numbers.uniform(0.3, 0.9)), 3)
    if chance.below(2):
        found["attributes"] = {"occluded": True, "colour": "red"}
    if "keypoints" in category:
        points = [[chance.below(size[0]), chance.below(size[1]), 1 + chance.below(2)] for _ in range(2)]
        found |= {"keypoints": [0, 0, 0, *points[0], *points[1]], "num_keypoints": 2}
    return found


def compare(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name == "segmentation":
            assert [np.asarray(polygon) for polygon in found[name]] == [
                pytest.approx(np.asarray(one), abs=0.01) for one in value
            ]
        elif name == "bbox":
            assert found[name] == pytest.approx(value, abs=0.011)
        else:
            assert found[name] == value, name


# --- YOLO ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("task", ["detect", "segment", "obb", "pose"])
def test_yolo(tmp_path: Path, task: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = Chance(seed)
    described: dict[str, Any] = {"train": "images/train", "val": "images/val", "names": dict(enumerate(chance.names))}
    if task == "pose":
        described |= {"kpt_shape": [3, 3], "flip_idx": [0, 2, 1]}
    for split in ("train", "val"):
        for at in range(4):
            size = chance.picture(tmp_path / f"in/images/{split}/{split}{at}.png")
            lines = [yolo_line(chance, task, size) for _ in range(chance.below(4))]
            write(tmp_path / f"in/labels/{split}/{split}{at}.txt", "".join(f"{line}\n" for line in lines))
    write(tmp_path / "in/data.yaml", yaml.safe_dump(described, allow_unicode=True))
    out, warnings = export(tmp_path, "yolo", "yolo")
    assert warnings == []
    monkeypatch.chdir(tmp_path)
    one, other = read_yolo(tmp_path / "in/data.yaml"), read_yolo(out / "data.yaml")
    assert other.names == one.names
    if one.poses:
        assert [other.described[key] for key in ("kpt_shape", "flip_idx")] == [[3, 3], [0, 2, 1]]
    for split in ("train", "val"):
        assert other.labels[split].keys() == one.labels[split].keys()
        for name, expected in one.labels[split].items():
            found = other.labels[split][name]
            assert found[:, 0].tolist() == expected[:, 0].tolist()
            assert found == pytest.approx(expected, abs=3e-4), "a hundredth of a pixel of the smallest image"
            for ours, theirs in zip(other.segments.get(name, []), one.segments.get(name, []), strict=True):
                assert ours == pytest.approx(theirs, abs=3e-4)
            if name in one.poses:
                assert other.poses[name] == pytest.approx(one.poses[name], abs=1e-7)


def yolo_line(chance: Chance, task: str, size: tuple[int, int]) -> str:
    number = chance.names.index(chance.label())
    width, height = size
    left, top, right, bottom = chance.box(size)
    values = [(left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height]
    if task == "segment":
        values = [value / size[at % 2] for at, value in enumerate(chance.polygon(size))]
    elif task == "obb":
        angle, long = float(chance.numbers.uniform(0, 3)), min(size) / 3
        across = np.array([np.cos(angle), np.sin(angle)]) * long
        along = np.array([-across[1], across[0]]) / 3
        corners = np.array(size) / 2 + [across + along, across - along, -across - along, -across + along]
        values = (corners / size).ravel().tolist()
    elif task == "pose":
        for _ in range(3):
            values += [*chance.numbers.uniform(0, 0.98, 2).tolist(), 1 + chance.below(2)] if chance.below(4) else [0, 0, 0]
    return " ".join([str(number), *(f"{value:.8g}" for value in values)])


# --- VOC -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_voc(tmp_path: Path, seed: int) -> None:
    chance = Chance(seed)
    for at in range(8):
        size = chance.picture(tmp_path / f"in/JPEGImages/{at}.png")
        objects = "".join(voc_object(chance, size) for _ in range(chance.below(5)))
        sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
        write(
            tmp_path / f"in/Annotations/{at}.xml",
            f"<annotation><filename>{at}.png</filename>{sides}{objects}</annotation>",
        )
        sets = tmp_path / f"in/ImageSets/Main/{('train', 'val')[at % 2]}.txt"
        sets.parent.mkdir(parents=True, exist_ok=True)
        with sets.open("a") as file:
            file.write(f"{at}\n")
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::", *(f"{name}:9,9,9::" for name in chance.names)]
    write(tmp_path / "in/labelmap.txt", "\n".join(lines))
    out, warnings = export(tmp_path, "voc", "voc")
    assert not warnings
    one, other = read_voc(tmp_path / "in"), read_voc(out)
    for stem, expected in one.items():
        assert other[stem] == expected | {"image": out / f"JPEGImages/{stem}.png"}
        assert other[stem]["image"].read_bytes() == expected["image"].read_bytes()
    assert other.keys() == one.keys()
    listed = [line.partition(":")[0] for line in (out / "labelmap.txt").read_text("utf-8").splitlines()]
    assert listed[1:] == ["background", *chance.names]


def test_names_that_a_labelmap_has_no_room_for_are_said(tmp_path: Path) -> None:
    from pipekit.builtin.exporters import voc
    from tests.builtin.test_round_trip_property import dataset_of

    names = ("a:b", "two  words", "#1", "plain")
    said = list(voc.limits(dataset_of([], [Category(name, at) for at, name in enumerate(names)]), voc.ImagesParams()))
    assert said == [
        "labelmap.txt has no room for ':' and repeated spaces: 'a_b' stands there for 'a:b'",
        "programs other than pipekit take the line of '#1' in labelmap.txt for a comment",
    ]


def test_a_class_that_looks_like_a_comment_keeps_its_place(tmp_path: Path) -> None:
    from pipekit.builtin.importers import voc

    for at, name in enumerate("ab"):
        Chance(at).picture(tmp_path / f"JPEGImages/{name}.png")
        write(tmp_path / f"Annotations/{name}.xml", f"<annotation><filename>{name}.png</filename></annotation>")
    write(
        tmp_path / "labelmap.txt",
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\n#1:9,9,9::\n# dog: no class\ncat:1,2,3::\n",
    )
    lists = [row for row in voc.read(tmp_path, voc.VocParams()) if isinstance(row, Categories)]
    assert [[entry.name for entry in found.entries] for found in lists] == [["#1", "cat"], ["background", "#1", "cat"]]


def voc_object(chance: Chance, size: tuple[int, int]) -> str:
    left, top, right, bottom = chance.box(size, whole=True)
    edges = {"xmin": left + 1, "ymin": top + 1, "xmax": right, "ymax": bottom}
    flags = {tag: chance.below(2) for tag in ("truncated", "occluded", "difficult")}
    parts = {"name": chance.label().replace("&", "&amp;"), "pose": ("Left", "Unspecified")[chance.below(2)], **flags}
    box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in edges.items())
    return f"<object>{''.join(f'<{tag}>{value}</{tag}>' for tag, value in parts.items())}<bndbox>{box}</bndbox></object>"


# --- CVAT and LabelMe, which come back as COCO ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_cvat(tmp_path: Path, seed: int) -> None:
    chance = Chance(seed)
    labels = "".join(f"<label><name>{text(name)}</name><type>any</type></label>" for name in chance.names)
    svg = '<line data-type="edge" data-node-from="2" data-node-to="1"/>' + "".join(
        f'<circle data-element-id="{at}" data-node-id="{at}" data-label-name="{name}"/>'
        for at, name in ((1, "tail"), (2, "head"))
    )
    labels += f"<label><name>fish</name><type>skeleton</type><svg>{text(svg)}</svg></label>"
    labels += "".join(f"<label><name>{name}</name><parent>fish</parent></label>" for name in ("tail", "head"))
    expected: dict[str, list[dict[str, Any]]] = {}
    parts = [f"<annotations><meta><task><labels>{labels}</labels></task></meta>"]
    for at in range(6):
        size = chance.picture(tmp_path / f"in/images/{at}.png")
        expected[f"{at}.png"] = []
        parts.append(f'<image id="{at}" name="{at}.png" width="{size[0]}" height="{size[1]}">')
        for _ in range(chance.below(4)):
            shape, described = cvat_shape(chance, size)
            parts.append(shape)
            expected[f"{at}.png"].append(described)
        parts.append("</image>")
    write(tmp_path / "in/annotations.xml", "\n".join([*parts, "</annotations>"]))
    out, warnings = export(tmp_path, "cvat", "coco")
    assert not warnings
    found = opened(out / "annotations/instances_all.json")
    assert [entry["name"] for entry in found.dataset["categories"]] == [*chance.names, "fish"]
    fish = found.dataset["categories"][-1]
    assert (fish["keypoints"], fish["skeleton"]) == (["tail", "head"], [[2, 1]])
    compare_all(found, expected)


def cvat_shape(chance: Chance, size: tuple[int, int]) -> tuple[str, dict[str, Any]]:
    label, occluded = chance.label(), chance.below(2)
    head = f'label={quoteattr(label)} occluded="{occluded}" z_order="0"'
    attributes = {"occluded": True} if occluded else {}
    described: dict[str, Any] = {"label": label, "attributes": attributes, "polygon": []}
    kind = chance.below(3)
    if kind == 0:
        left, top, right, bottom = described["box"] = chance.box(size)
        attributes["colour"] = "red"
        inner = '<attribute name="colour">red</attribute>'
        return f'<box {head} xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}">{inner}</box>', described
    if kind == 1:
        polygon = described["polygon"] = chance.polygon(size)
        described["box"] = around(polygon)
        points = ";".join(f"{x},{y}" for x, y in zip(polygon[::2], polygon[1::2], strict=True))
        return f'<polygon {head} points="{points}"/>', described
    left, top, right, bottom = described["box"] = chance.box(size)
    right, bottom = min(right, size[0] - 1), min(bottom, size[1] - 1)
    described |= {"label": "fish", "box": [left, top, right, bottom], "attributes": {}}
    described["keypoints"] = [left, top, 2, right, bottom, 1]
    points = f'<points label="head" occluded="1" points="{right},{bottom}"/><points label="tail" points="{left},{top}"/>'
    return f'<skeleton label="fish">{points}</skeleton>', described


def text(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;")


def compare_all(found: Any, expected: dict[str, list[dict[str, Any]]]) -> None:
    """The objects of each image, in their order."""
    names = {entry["id"]: entry["name"] for entry in found.dataset["categories"]}
    assert sorted(image["file_name"] for image in found.imgs.values()) == sorted(expected)
    for key, image in found.imgs.items():
        own = [entry for entry in found.dataset["annotations"] if entry["image_id"] == key]
        for entry, wanted in zip(own, expected[image["file_name"]], strict=True):
            left, top, right, bottom = wanted["box"]
            assert names[entry["category_id"]] == wanted["label"]
            assert entry["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=0.011)
            assert entry.get("attributes", {}) == wanted["attributes"]
            assert [pytest.approx(polygon, abs=0.011) for polygon in entry["segmentation"]] == (
                [wanted["polygon"]] if wanted["polygon"] else []
            )
            assert entry.get("keypoints", []) == pytest.approx(wanted.get("keypoints", []), abs=0.011)


@pytest.mark.parametrize("seed", SEEDS)
def test_labelme(tmp_path: Path, seed: int) -> None:
    chance = Chance(seed)
    write(tmp_path / "in/labels.txt", "\n".join(["__ignore__", "_background_", *chance.names]))
    expected: dict[str, list[dict[str, Any]]] = {}
    for at in range(6):
        size = chance.picture(tmp_path / f"in/{at}.png")
        shapes = []
        expected[f"{at}.png"] = []
        for _ in range(chance.below(4)):
            polygon = chance.polygon(size) if chance.below(2) else []
            box = around(polygon) if polygon else chance.box(size)
            flat = polygon or box
            label, group = chance.label(), chance.below(3) or None
            points = [list(pair) for pair in zip(flat[::2], flat[1::2], strict=True)]
            shapes.append(
                {
                    "label": label,
                    "shape_type": "polygon" if polygon else "rectangle",
                    "points": points,
                    "group_id": group,
                    "flags": {"hidden": bool(group), "wet": False},
                }
            )
            attributes = {"group_id": group, "flags": ["hidden"]} if group else {}
            expected[f"{at}.png"].append({"label": label, "box": box, "polygon": polygon, "attributes": attributes})
        content = {"shapes": shapes, "imagePath": f"{at}.png", "imageWidth": size[0], "imageHeight": size[1]}
        write(tmp_path / f"in/{at}.json", json.dumps(content))
    out, warnings = export(tmp_path, "labelme", "coco")
    assert not warnings
    found = opened(out / "annotations/instances_all.json")
    listed = [(entry["id"], entry["name"]) for entry in found.dataset["categories"]]
    assert listed == list(enumerate(["_background_", *chance.names]))
    compare_all(found, expected)
