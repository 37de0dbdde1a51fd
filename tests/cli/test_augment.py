"""``pipekit augment``: previews to look at, copies on disk, and what it refuses."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.engine import views, worker
from pipekit.testing.checks import write_tiny_dataset
from tests.cli.conftest import Pipekit

PHOTOS = Path(__file__).parents[2] / "sample_data" / "photos"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "cat.jpg"
    path.write_bytes((PHOTOS / "cat.jpg").read_bytes())
    return path


def test_a_preview_is_a_picture_that_repeats(pipekit: Pipekit, photo: Path) -> None:
    done = pipekit("augment", "cat.jpg", "--preview", "--ops", "keras_tutorial", "--variants", "3", "--no-show")
    assert (done.code, done.out.split(), done.err) == (0, ["augment-preview.png"], "")
    first = Path("augment-preview.png").read_bytes()
    assert images.decode(first).shape[1] > 2 * 240
    assert pipekit("augment", "cat.jpg", "again.png", "--preview", "--ops", "keras_tutorial", "--variants", "3").code == 0
    assert Path("again.png").read_bytes() == first
    assert pipekit("augment", "cat.jpg", "other.png", "--preview", "--variants", "3", "--seed", "1").code == 0
    assert Path("other.png").read_bytes() != first


def test_a_page_stands_alone(pipekit: Pipekit, photo: Path) -> None:
    done = pipekit("augment", "cat.jpg", "p.png", "--html", "--ops", "rotate(40)|hflip", "--variants", "4")
    assert done.out.split() == ["p.png", "p.html"]
    page = Path("p.html").read_text("utf-8")
    assert page.count("type='range'") == 4
    assert page.count("data:image/jpeg;base64,") == 8
    assert not re.search(r"(src|href)=(?!['\"]data:)", page)
    assert "rotate angle_deg=" in page


def test_each_has_a_row_for_each_op_and_steps_a_tile(pipekit: Pipekit, photo: Path) -> None:
    heights = []
    for ops in ("hflip", "hflip|invert", "hflip|invert|blur"):
        assert pipekit("augment", "cat.jpg", "e.png", "--each", "--ops", ops, "--variants", "2").code == 0
        heights.append(images.read("e.png").shape[0])
    assert heights[1] - heights[0] > 100
    assert heights[2] - heights[1] > 100
    widths = []
    for ops in ("hflip(p=1)", "hflip(p=1)|invert|identity"):
        assert pipekit("augment", "cat.jpg", "s.png", "--steps", "--ops", ops).code == 0
        widths.append(images.read("s.png").size)
    assert widths[1] > widths[0]


def test_a_folder_shows_images_from_all_over(pipekit: Pipekit, tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "images")
    before = {path: path.read_bytes() for path in (tmp_path / "images").rglob("*.png")}
    assert pipekit("augment", "images", "--preview", "--variants", "8").code == 0
    assert images.read("augment-preview.png").shape[0] > 3 * 200
    assert before == {path: path.read_bytes() for path in (tmp_path / "images").rglob("*.png")}


def test_copies_on_disk(pipekit: Pipekit, tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "images")
    done = pipekit("augment", "images", "out", "--ops", "rotate|hflip", "--copies", "2", "--size", "20x24")
    assert done.code == 0, done.err
    copies = sorted(Path("out").rglob("*.aug*.png"))
    assert len(copies) == 2 * 18
    assert all(images.read(path).shape == (20, 24, 3) for path in copies)
    assert len(list(Path("out").rglob("*.png"))) == 3 * 18
    rows = list(csv.DictReader(next(Path("out").rglob("metadata.csv")).open(encoding="utf-8")))
    history = json.loads(next(row["extra_augmented"] for row in rows if row["extra_augmented"]))
    assert np.array(history["matrix"]).shape == (3, 3)
    assert history["steps"][0][0] == "rotate"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["images"], "no output folder is given"),
        (["images", "images/out"], "lies inside the source"),
        (["images", "images"], "lies inside the source"),
        (["images", "there"], "there exists already"),
        (["images", "out", "--ops", "rotat(3)"], "Did you mean 'rotate'?"),
        (["images", "out", "--ops", "rotate(40, p=1.2)"], "less than or equal to 1"),
        (["images", "out", "--ops", "hflip(p=0)"], "never changes anything"),
        (["images", "out", "--ops", "crop(500, 500)", "--size", "100"], "larger than the image"),
        (
            ["images", "out", "--fill", "mirror"],
            "error: --fill: input should be 'nearest', 'constant', 'reflect' or 'wrap', got 'mirror'",
        ),
        (["images", "out", "--size", "big"], "--size takes height and width"),
        (["images", "--preview", "--ops", "hflip(p=0)"], "never changes anything"),
        (["images", "--preview", "--ops", "crop(500, 500)", "--size", "100"], "larger than the image"),
        (["nowhere", "--preview"], "no such file or folder"),
        (["cat.jpg", "cat.jpg", "--preview"], "the preview is a PNG file"),
        (["same.png", "same.png", "--preview"], "is the source"),
        (["images", "images/p.png", "--preview"], "lies inside the source"),
    ],
)
def test_what_it_refuses(pipekit: Pipekit, photo: Path, tmp_path: Path, words: list[str], message: str) -> None:
    write_tiny_dataset(tmp_path / "images")
    (tmp_path / "there").mkdir()
    images.write(tmp_path / "same.png", np.zeros((9, 9, 3), np.uint8))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = pipekit("augment", *words)
    assert done.code == 2
    assert message in done.err
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert before.items() <= after.items()


@pytest.mark.parametrize(
    ("place", "number"),
    [
        ("store", errno.ENOSPC),
        ("store", errno.EROFS),
        ("target", errno.ENOSPC),
        ("target", errno.EROFS),
        ("target", errno.EACCES),
    ],
)
def test_a_disk_that_takes_nothing(
    pipekit: Pipekit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, place: str
) -> None:
    write_tiny_dataset(tmp_path / "images")
    before = {path: path.read_bytes() for path in (tmp_path / "images").rglob("*.png")}

    def refused(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        if place == "store":
            patch.setattr(worker, "write_new", refused)
        else:
            patch.setattr(views, "copy_file", refused)
        done = pipekit("augment", "images", "out", "--ops", "hflip", "--copies", "1", "--workers", "1")
    assert done.code in (1, 2)
    assert os.strerror(number) in done.err
    assert "Traceback" not in done.err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".cache") == ["images"]
    assert before == {path: path.read_bytes() for path in (tmp_path / "images").rglob("*.png")}
    assert pipekit("augment", "images", "out", "--ops", "hflip", "--copies", "1").code == 0
    assert len(list(Path("out").rglob("*.aug1.png"))) == 18


def test_what_was_written_can_be_imported(pipekit: Pipekit, tmp_path: Path) -> None:
    """A pipeline reads the folder that augment wrote, with the classes of the source; below another folder it is named."""
    write_tiny_dataset(tmp_path / "photos", 2)
    assert pipekit("augment", "photos", "more/copies", "--ops", "hflip(p=1)", "--copies", "1").code == 0
    classes = sorted(path.name for path in (tmp_path / "photos").iterdir())
    assert pipekit("sniff", "more/copies").code == 0
    for use in ("folders", "metadata"):
        file = tmp_path / f"{use}.toml"
        file.write_text(f'name = "{use}"\n[stages.data]\nuse = "import.{use}"\npath = "more/copies"\n', "utf-8")
        assert pipekit("run", file, "--quiet").code == 0
        data = json.loads((tmp_path / f"runs/{use}/run.json").read_text("utf-8"))["stages"][0]
        with (tmp_path / f"runs/{use}/data/metadata.csv").open(newline="") as table:
            rows = list(csv.DictReader(table))
        assert (sorted({row["label"] for row in rows}), data["warnings"]) == (classes, [])
        assert len(rows) == len(list((tmp_path / "more/copies").rglob("*.png"))) > 0
    done = pipekit("inspect", "more")
    assert done.code == 2
    assert "copies" in done.err
    write_tiny_dataset(tmp_path / "more", 2)
    done = pipekit("inspect", "more")
    assert "because pipekit wrote it: copies." in done.err
