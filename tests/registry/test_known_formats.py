"""Formats that pipekit names and does not read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipekit.errors import UserError
from pipekit.registry.known_formats import KNOWN, refuse_known
from pipekit.registry.registry import load_registry
from pipekit.registry.sniffing import find_importer
from tests.builtin.annotated import picture, write

CASES = {
    "Supervisely": ["ds0/img/a.jpg", "ds0/ann/a.jpg.json", 'meta.json={"classes": [], "tags": []}'],
    "KITTI": ["training/image_2/a.png", "training/label_2/a.txt=Car 0 0 0 1 2 3 4"],
    "Cityscapes": ["leftImg8bit/train/x/a.png", "gtFine/train/x/a.png"],
    "AVA": ["frames/v/1.jpg", "annotations/ava_action_list_v2.2.pbtxt=item {}", "annotations/a.csv=v,0"],
    "MOT Challenge": ["MOT17-02/img1/000001.jpg", "MOT17-02/gt/gt.txt=1,1,9,4,3,3,1,1,1"],
    "WIDER FACE": ["WIDER_train/images/0--Parade/a.jpg", "wider_face_split/wider_face_train_bbx_gt.txt=a.jpg"],
    "DOTA": ["images/a.png", "labelTxt/a.txt=1 2 3 4 5 6 7 8 plane 0"],
    "CelebA": ["img_align_celeba/a.jpg", "list_attr_celeba.txt=1"],
    "Open Images": ["train/a.jpg", "train.csv=ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded"],
    "CVAT for video": ["images/a.jpg", 'annotations.xml=<annotations><meta/><track id="0"/></annotations>'],
    "VIA 3": ["a.jpg", 'x.json={"project": {}, "config": {}, "attribute": {}, "file": {}, "metadata": {}, "view": {}}'],
    "Label Studio's JSON-MIN": ["a.jpg", 'x.json=[{"image": "a.jpg", "annotator": 1, "annotation_id": 3}]'],
    "Datumaro": ["images/a.jpg", 'annotations/train.json={"dm_format_version": "1.0", "items": []}'],
    "LabelMe's web tool": [
        "Images/a/1.jpg",
        "Annotations/a/1.xml=<annotation><object><name>x</name><polygon><pt/></polygon></object></annotation>",
    ],
    "FiftyOne": ["data/a.jpg", "metadata.json={}", 'samples.json={"samples": []}'],
    "VoTT": ["a.jpg", 'x.json={"securityToken": "t", "assets": {}}'],
    "BDD100K": ["train/a.jpg", 'train.json=[{"name": "a.jpg", "attributes": {}, "labels": [{"box2d": {}}]}]'],
    "Labelbox": ["a.jpg", 'x.ndjson={"data_row": {}, "projects": {}}'],
    "SageMaker Ground Truth": ["a.jpg", 'output.manifest={"source-ref": "s3://b/a.jpg"}'],
    "Google's AutoML": ["a.jpg", "x.csv=TRAIN,gs://b/a.jpg,cat,0.1,0.1,,,0.2,0.2,,"],
    "a table of pixels, as of MNIST or FER-2013": ["train.csv=label," + ",".join(f"pixel{at}" for at in range(784))],
    "LMDB": ["data.mdb", "lock.mdb"],
    "TFRecord without images": ["train.tfrecord"],
    "MXNet's RecordIO": ["train.rec"],
    "WebDataset": ["0000.tar", "0001.tar"],
    "a MATLAB file, as of SVHN, Stanford Cars, Oxford Flowers or Pascal Context": ["digitStruct.mat"],
    "NumPy arrays": ["X.npy", "y.npy"],
    "a pickle, which can run any code": ["data.pkl"],
    "PyTorch tensors": ["training.pt"],
}


def tree(root: Path, files: list[str]) -> Path:
    for file in files:
        name, _, text = file.partition("=")
        if name.endswith((".jpg", ".png")):
            picture(root / name, (4, 4))
        else:
            write(root / name, text)
    return root


@pytest.mark.parametrize("name", CASES)
def test_a_known_format_is_named_with_a_way_in(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"seems to be {re.escape(name)} ") as caught:
        find_importer(load_registry(installed=False), tree(tmp_path, CASES[name]))
    assert caught.value.hint == next(known.way for known in KNOWN if known.name == name)


def test_every_known_format_has_a_case_and_a_line_in_the_documents() -> None:
    text = (Path(__file__).parents[2] / "docs/formats.md").read_text("utf-8")
    assert {known.name for known in KNOWN} == CASES.keys()
    assert [name for name in CASES if name not in text] == []


@pytest.mark.parametrize(
    "text",
    [
        "label," + ",".join(f"{row}x{column}" for row in range(1, 29) for column in range(1, 29)),
        "5," + ",".join(["0"] * 784),
        "emotion,pixels,Usage\n0,70 80 82,Training",
    ],
)
def test_tables_of_pixels_are_known_with_and_without_a_header(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="seems to be a table of pixels"):
        find_importer(load_registry(installed=False), tree(tmp_path, [f"train.csv={text}"]))


def test_a_known_format_in_a_folder_of_its_own_is_named(tmp_path: Path) -> None:
    """Datumaro's first files have no version."""
    root = tree(tmp_path, ["set/images/a.jpg", 'set/annotations/a.json={"categories": {"label": {"labels": []}}, "items": []}'])
    with pytest.raises(UserError, match="set seems to be Datumaro"):
        find_importer(load_registry(installed=False), root)


@pytest.mark.parametrize(
    "files",
    [
        ["dog/a.jpg", "cat/b.jpg", "notes.mat", "model.pt", "features.npy"],
        ["images/a.jpg", "labels/a.txt=0 0.5 0.5 0.5 0.5", "x.tfrecord"],
        ["dog/a.jpg", "cat/b.jpg", 'about.json={"assets": []}', "scores.csv=a,b\n1,2\n"],
        ["a.jpg", "b.jpg"],
    ],
)
def test_files_beside_a_format_that_is_read_do_not_stop_it(tmp_path: Path, files: list[str]) -> None:
    assert find_importer(load_registry(installed=False), tree(tmp_path, files)).fits


def test_a_file_of_its_own_is_named_too(tmp_path: Path) -> None:
    refuse_known(tree(tmp_path, ["dog/a.jpg"]))
    with pytest.raises(UserError, match=r"seems to be TFRecord without images \(x\.tfrecord\)"):
        find_importer(load_registry(installed=False), write(tmp_path / "x.tfrecord", ""))
