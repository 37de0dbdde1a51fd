"""Columns, search and orders of a dataset; thumbnails that are never those of another image."""

from __future__ import annotations

import json
import os
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.commands.browse import find_source, picture, thumbnail
from pipekit.contract import Box, Keypoint, Sample, Targets
from pipekit.errors import ImageError, UserError
from pipekit.studio.project import Project
from pipekit.studio.thumbs import Thumbs
from tests.studio.asgi import Page
from tests.studio.conftest import paint


def parts(body: bytes) -> list[bytes]:
    (count,) = struct.unpack_from("<I", body)
    lengths = struct.unpack_from(f"<{count}I", body, 4)
    ends = np.cumsum([4 + 4 * count, *lengths]).tolist()
    return [body[one:other] for one, other in pairwise(ends)]


def thumbs_of(page: Page, rows: list[int]) -> Any:
    digest = page.get("/api/index").json["digest"]
    head, *files = parts(page.post(f"/api/{digest}/thumbs", struct.pack(f"<{len(rows)}I", *rows)).body)
    return json.loads(head), files


def test_the_columns_are_those_of_the_dataset(page: Page, project: Project) -> None:
    index = page.get("/api/index").json
    assert (index["count"], [column["name"] for column in index["columns"]]) == (12, ["label"])
    codes = np.frombuffer(page.get(f"/api/{index['digest']}/columns").body, "<i4")
    labels = [index["columns"][0]["values"][code] for code in codes]
    assert [(identity.split("/")[0]) for identity in project.catalog.ids] == labels
    assert list(project.catalog.ids) == sorted(project.catalog.ids)


def test_every_thumbnail_is_that_of_its_row(page: Page, project: Project) -> None:
    rows = [7, 0, 11, 3, 3]
    ids, files = thumbs_of(page, rows)
    assert ids == [project.catalog.ids[row] for row in rows]
    for identity, file in zip(ids, files, strict=True):
        assert abs(int(images.decode(file).mean()) - 10 * int(identity[-6:-4])) <= 1


def test_a_thumbnail_is_made_once_whatever_the_server(page: Page, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    _, first = thumbs_of(page, [0, 1])
    monkeypatch.setattr("pipekit.studio.project.thumbnail", None)
    again = Thumbs(project.state / "thumbs")
    key = project.catalog.hashes[1].tobytes()
    assert again.get(key, lambda: b"made again") == first[1]
    again.close()


def test_a_kill_while_a_thumbnail_was_written_costs_that_one_alone(tmp_path: Path) -> None:
    keys = [bytes([16 * number]) * 32 for number in range(3)]
    thumbs = Thumbs(tmp_path)
    assert [thumbs.get(key, lambda key=key: key[:1] * 9) for key in keys] == [key[:1] * 9 for key in keys]  # type: ignore[misc]
    thumbs.close()
    (file,) = [path for path in tmp_path.iterdir() if path.stat().st_size]
    os.truncate(file, file.stat().st_size - 4)
    again = Thumbs(tmp_path)
    assert again.get(keys[1], lambda: b"new") == keys[1][:1] * 9
    assert again.get(keys[2], lambda: b"new") == b"new"
    again.close()


def test_an_address_of_before_a_change_shows_nothing_else(page: Page, work: Path) -> None:
    """The digest is in each address: a picture that a browser keeps for a year is never another one's."""
    old = page.get("/api/index").json["digest"]
    assert page.get(f"/api/{old}/image/0").status == 200
    for number in range(2):
        images.write(work / "photos" / "cat" / "00.png", np.full((20, 30, 3), 250 - number, np.uint8))
        new = page.get("/api/index").json["digest"]
    assert new != old
    assert page.get(f"/api/{old}/image/0").status == 410
    assert "Reload" in page.get(f"/api/{old}/columns").json["hint"]


def test_a_file_that_changes_meanwhile_gets_no_thumbnail(page: Page, work: Path) -> None:
    page.get("/api/index")
    (work / "photos" / "cat" / "00.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match="changed"):
        thumbnail(str(work / "photos" / "cat" / "00.png"), "1" * 64, 160)


def test_a_damaged_image_is_a_row_like_any_other(page: Page, work: Path) -> None:
    (work / "photos" / "cat" / "98.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    (work / "photos" / "cat" / "99.jpg").write_bytes(b"<html><script>alert(1)</script>")
    index = page.get("/api/index").json
    for row in (6, 7):
        answer = page.get(f"/api/{index['digest']}/image/{row}")
        assert (answer.status, answer.headers["content-type"]) == (422, "application/json")
        assert page.get(f"/api/{index['digest']}/facts/{row}").json["error"]
    assert thumbs_of(page, [6, 7])[1] == [b"", b""]


@pytest.mark.parametrize("text", ["<html><script>alert(1)</script></html>", "<svg xmlns='http://www.w3.org/2000/svg'></svg>"])
def test_a_page_with_the_name_of_an_image_is_never_sent(work: Path, text: str) -> None:
    (work / "photos" / "cat" / "00.png").write_text(text, "utf-8")
    page = Page(Project(find_source("photos")))
    digest = page.get("/api/index").json["digest"]
    for path in (f"/api/{digest}/image/0", f"/api/{digest}/image/0?drawn=1"):
        answer = page.get(path)
        assert (answer.status, answer.headers["content-type"]) == (422, "application/json")
        assert text.encode() not in answer.body
    assert thumbs_of(page, [0])[1] == [b""]


def test_search_and_order(page: Page, project: Project) -> None:
    digest = page.get("/api/index").json["digest"]
    found = np.frombuffer(page.get(f"/api/{digest}/search?q=DOG/0").body, "<u4")
    assert [project.catalog.ids[row] for row in found] == ["dog/01.png", "dog/03.png", "dog/05.png", "dog/07.png", "dog/09.png"]
    ordered = np.frombuffer(page.get(f"/api/{digest}/order?by=label").body, "<u4")
    assert ordered.tolist() == list(range(12))
    assert page.get(f"/api/{digest}/order?by=nothing").status == 422


def test_further_columns_are_filters(work: Path) -> None:
    lines = ["image,label,height_cm,farm", *(f"cat/{n:02}.png,cat,{n}.5,farm {n % 3}" for n in range(0, 12, 2))]
    (work / "photos" / "list.csv").write_text("\n".join(lines) + "\n", "utf-8")
    catalog = Project(find_source("photos/list.csv", "csv")).catalog
    assert catalog.numbers["height_cm"].tolist() == [0.5, 2.5, 4.5, 6.5, 8.5, 10.5]
    assert set(catalog.categories["farm"].names) == {"farm 0", "farm 1", "farm 2"}


def test_what_inspect_found_is_a_column(project: Project, page: Page) -> None:
    project.inspection.parent.mkdir(parents=True)
    finding = {"check": "dark", "severity": "warning", "message": "2 dark images", "samples": ["cat/00.png", "dog/01.png"]}
    remove = [{"id": "cat/00.png", "sha256": "", "match": "", "check": "dark", "reason": "dark"}]
    project.inspection.write_text(json.dumps({"findings": [finding], "remove": remove, "summary": []}), "utf-8")
    index = page.get("/api/index").json
    assert "finding" in [column["name"] for column in index["columns"]]
    (group,) = page.get(f"/api/{index['digest']}/findings").json["groups"]
    assert (group["rows"], group["remove"], group["copies"]) == ([0, 6], [0], False)
    assert page.get(f"/api/{index['digest']}/facts/0").json["findings"][0]["check"] == "dark"


def test_a_project_is_its_pipeline_file(work: Path) -> None:
    (work / "pipeline.toml").write_text(
        'name = "p"\n[stages.data]\nuse = "import.folders"\npath = "photos"\ncorrections = "corrections.csv"\n'
        '[stages.split]\nuse = "split"\ndataset = "data"\n',
        "utf-8",
    )
    (work / "split.csv").write_text("id,sha256,label,split\ncat/00.png,,cat,val\n", "utf-8")
    source = find_source()
    assert (source.words, source.use) == (["photos", "--format", "folders"], "import.folders")
    catalog = Project(source).catalog
    assert catalog.categories["split"].tolist()[:2] == ["val", None]


def test_where_there_is_nothing_to_open_it_says_what_to_give(work: Path) -> None:
    with pytest.raises(UserError, match=r"no pipeline.toml") as caught:
        find_source()
    assert "pipekit scaffold" in caught.value.hint
    with pytest.raises(UserError, match="no such file or folder"):
        find_source("nowhere")


def test_boxes_outlines_keypoints_and_masks_are_drawn(tmp_path: Path) -> None:
    images.write(tmp_path / "a.png", np.zeros((60, 80, 3), np.uint8))
    outline = (5.0, 5.0, 40.0, 5.0, 40.0, 40.0)
    targets = Targets(boxes=(Box(4, 4, 50, 50, "cat", (outline,)),), keypoints=(Keypoint(70, 10, "eye"),))
    sample = Sample("a", str(tmp_path / "a.png"), targets=targets)
    plain, _ = picture(sample)
    drawn, kind = picture(sample, drawn=True)
    assert kind == "image/png"
    assert images.decode(plain).max() == 0
    pixels = images.decode(drawn)
    assert pixels[4, 30].any(), "the box"
    assert pixels[22, 22].any(), "the outline's long side"
    assert pixels[10, 70].any(), "the keypoint"


def test_paint_is_what_the_tests_read(tmp_path: Path) -> None:
    paint(tmp_path, 1)
    assert images.read(tmp_path / "dog" / "01.png").mean() == 10
