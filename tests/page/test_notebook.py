"""HTML of results in a notebook: escaped, bounded, without absolute paths."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.page import notebook

HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.mark.parametrize(
    "html",
    [
        notebook.whole(title=HOSTILE),
        notebook.sentence(HOSTILE),
        notebook.note(HOSTILE),
        notebook.warnings([HOSTILE]),
        notebook.table([HOSTILE], [[HOSTILE]]),
        notebook.facts({HOSTILE: HOSTILE}),
        notebook.counts_table({HOSTILE: {HOSTILE: 1}}),
        notebook.picture(np.zeros((4, 4, 3), np.uint8), HOSTILE),
    ],
)
def test_names_are_escaped(html: str) -> None:
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "\"'&" not in html


def test_what_is_html_stays_html() -> None:
    assert "<td" in notebook.table(["a"], [[notebook.bar(1, 2)]])
    assert '<progress value="1" max="2">' in notebook.table(["a"], [[notebook.bar(1, 2)]])
    assert notebook.bar(3, None) == "<progress></progress>"


def test_long_tables_and_texts_are_cut() -> None:
    html = notebook.table(["n"], [[number] for number in range(40)], most=5)
    assert html.count("<tr") == 6
    assert "and 35 more rows" in html
    assert len(notebook.sentence("a" * 5000)) < 400
    assert "and 2 more warnings" in notebook.warnings(["a"] * 7)
    assert notebook.facts({"a": "", "b": None}) == ""


def test_counts_have_a_column_for_each_split() -> None:
    assert notebook.counts_table({"train": {}}) == "", "boxes without classes of images have no table of two words"
    html = notebook.counts_table({"train": {"cat": 3, "": 1}, "val": {"cat": 2}})
    assert [re.sub("<[^>]+>", " ", row).split() for row in html.split("<tr")[2:]] == [
        ['style="border-bottom:1px', "solid", 'rgba(128,128,128,.35)">', *rest]
        for rest in (["cat", "3", "2", "5"], ["(no", "class)", "1", "0", "1"])
    ]


def test_pictures_are_bounded() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1400, 3)).astype(np.uint8)
    html = notebook.picture(noise)
    data = base64.b64decode(re.findall(r"base64,([^\"]+)", html)[0])
    assert len(data) <= notebook.PICTURE_BYTES
    assert images.probe(data).width_px <= notebook.PICTURE_PX
    assert len(notebook.thumbnail(noise[:200, :300])) < 10_000
    assert images.decode(data).shape[2] == 3


def test_a_picture_that_is_gone_leaves_nothing(tmp_path: Path) -> None:
    assert notebook.file_picture(tmp_path / "gone.png") == ""
    assert notebook.file_thumbnail(str(tmp_path / "gone.png")) == ""


def test_no_absolute_path_is_shown(tmp_path: Path) -> None:
    assert str(tmp_path) not in notebook.whole(notebook.sentence(f"{tmp_path}/photos/cat.jpg can't be read"))
