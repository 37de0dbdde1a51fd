"""``pipekit.near_duplicates``: files in groups, with how they differ; the stage ``inspect`` finds the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipekit as package
from pipekit import images
from pipekit.commands import near_duplicates as module
from pipekit.errors import UserError

PHOTO = Path(__file__).parents[2] / "sample_data" / "photos" / "coffee.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph, four copies of it, another image twice, and a damaged file."""
    folder = tmp_path_factory.mktemp("photos")
    photo = images.thumbnail(images.read(PHOTO), 300)
    images.write(folder / "a.jpg", photo)
    shutil.copyfile(folder / "a.jpg", folder / "b same.jpg")
    images.write(folder / "c small.jpg", images.resize(photo, (120, 180)))
    images.write(folder / "d <mirrored>.png", np.ascontiguousarray(photo[:, ::-1]))
    noise = np.random.default_rng(0).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    images.write(folder / "n1.png", images.resize(noise, (50, 50)))
    images.write(folder / "n2.png", images.resize(noise, (40, 40)))
    images.write(folder / "other.png", images.resize(noise[::-1].copy() // 2, (60, 60)))
    (folder / "z.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Any:
    return package.near_duplicates(folder, workers=2)


def test_files_are_grouped_and_the_differences_said(found: Any) -> None:
    names = [[Path(path).name for path in group] for group in found]
    assert names == [["a.jpg", "b same.jpg", "c small.jpg", "d <mirrored>.png"], ["n1.png", "n2.png"]]
    words = {Path(pair.second).name: pair.words for pair in found.pairs}
    assert words["b same.jpg"] == "the same file"
    assert words["c small.jpg"] == "resized or saved again"
    assert words["d <mirrored>.png"] == "mirrored"
    assert words["n2.png"] == "resized or saved again"
    assert (len(found), found.num_images) == (2, 7)
    assert [Path(path).name for path, _ in found.failed] == ["z.jpg"]
    assert len(found.to_remove) == 4


def test_a_list_of_files_gives_the_same(found: Any, folder: Path) -> None:
    files = [folder / "n2.png", str(folder / "a.jpg"), folder / "n1.png"]
    again = package.near_duplicates(files)
    assert [[Path(path).name for path in group] for group in again.groups] == [["n2.png", "n1.png"]]
    assert package.near_duplicates(folder / "other.png").groups == ()


def test_a_group_is_connected_through_its_members() -> None:
    assert module._spanning([(0, 3), (1, 3), (1, 2), (4, 5)], [[0, 1, 2, 3], [4, 5]]) == [(0, 3), (3, 1), (1, 2), (4, 5)]


def test_it_shows_groups_with_thumbnails(found: Any, folder: Path) -> None:
    html = found._repr_html_()
    assert "2 groups of near duplicates among 7 images" in html
    assert html.count("data:image/jpeg") == 6
    assert "d &lt;mirrored&gt;.png: mirrored" in html
    assert "be read: z.jpg" in html
    assert str(folder) not in html


def test_features_come_from_inspect(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The findings of the stage become groups and pairs."""
    findings = [
        {"check": "exact_duplicates", "samples": ["a", "b"], "values": {}},
        {"check": "near_duplicates", "samples": ["a", "c", "d"], "values": {"pairs": [["a", "c", "cropped to about 80 %"]]}},
    ]
    found = module._of_findings(findings, {name: f"p/{name}.jpg" for name in "abcd"}, 9)
    assert found.groups == (("p/a.jpg", "p/b.jpg", "p/c.jpg", "p/d.jpg"),)
    assert [(pair.second, pair.words) for pair in found.pairs] == [
        ("p/b.jpg", "the same file"),
        ("p/c.jpg", "cropped to about 80 %"),
        ("p/d.jpg", "resized or saved again"),
    ]


@pytest.mark.parametrize(
    ("files", "options", "said"),
    [
        ("gone", {}, "no such file or folder: gone"),
        ([], {}, "there are no images"),
        ("gone", {"distance_bits": 16}, "within 0 and 15"),
        (["a.jpg", "b.jpg"], {"features": True}, "one folder or one dataset"),
    ],
)
def test_what_it_refuses(files: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        package.near_duplicates(files, **options)
