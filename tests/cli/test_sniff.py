"""The command that says which format something has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipekit.registry.registry import load_registry
from pipekit.testing.checks import write_tiny_dataset


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_tiny_dataset(tmp_path / "photos", 1)
    return tmp_path / "photos"


def test_the_format_and_why_no_other(pipekit, photos: Path) -> None:
    done = pipekit("sniff", "photos")
    assert done.code == 0
    rows = [line.split(None, 2) for line in done.out.splitlines()[1:]]
    assert rows[0] == ["folders", "yes", "3 class folders: discs, squares, stripes"]
    assert {row[0] for row in rows} == {component.name for component in load_registry().components("importer")}
    assert {row[1] for row in rows[1:]} == {"no"}
    assert ["voc", "no", "no folder 'Annotations' in it, and no .xml files of VOC beside images"] in rows


def test_what_could_read_it_too(pipekit, tmp_path: Path) -> None:
    for name in ("dog1.jpg", "dog2.jpg", "cat1.jpg", "cat2.jpg"):
        (tmp_path / name).touch()
    lines = pipekit("sniff", ".").out.splitlines()
    assert lines[1].split(None, 2) == ["names", "yes", "files named after 2 classes: cat, dog"]
    assert lines[2].split(None, 3)[:3] == ["folders", "it", "could"]
    assert lines[2].endswith("; names is more specific")


def test_as_json(pipekit, photos: Path) -> None:
    found = json.loads(pipekit("sniff", "photos", "--json").out)
    assert (found["path"], found["importer"]) == ("photos", "folders")
    reason = "3 class folders: discs, squares, stripes"
    assert found["verdicts"][0] == {"importer": "folders", "fits": True, "reason": reason}
    assert all(verdict["reason"] for verdict in found["verdicts"])


def test_where_none_or_several_fit_the_table_still_says_why(pipekit, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    done = pipekit("sniff", ".")
    assert done.code == 2
    assert "no folder 'Annotations' in it" in done.out
    assert done.err.strip() == "error: no importer recognises ."
    (tmp_path / "a.json").write_text('{"images": [], "annotations": [], "categories": []}')
    (tmp_path / "metadata.csv").touch()
    done = pipekit("sniff", ".")
    assert done.code == 2
    assert [line.split(None, 3)[:3] for line in done.out.splitlines()[1:3]] == [
        [n, "it", "could"] for n in ("coco", "metadata")
    ]
    assert "more than one way: coco (COCO annotations: a.json); metadata (metadata.csv)" in done.err
    assert "--format coco" in done.err
    found = json.loads(pipekit("sniff", ".", "--json").out)
    assert found["importer"] == ""


def test_an_archive_says_what_unpacks_it(pipekit, tmp_path: Path) -> None:
    (tmp_path / "photos.zip").touch()
    done = pipekit("sniff", "photos.zip")
    assert done.code == 2
    assert "pipekit scaffold NAME --from photos.zip" in done.err


def test_no_such_path(pipekit) -> None:
    done = pipekit("sniff", "nowhere")
    assert done.code == 2
    assert "no such file or folder: nowhere" in done.err
    assert done.out == ""
