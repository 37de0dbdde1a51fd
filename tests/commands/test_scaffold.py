"""Making and filling a project."""

from __future__ import annotations

import shutil
import tomllib
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.commands.scaffold import Project, Request, carry_out, plan
from pipekit.errors import UserError
from pipekit.pipeline.plan import load_plan
from tests.images.test_codec import png_claiming


def photos(folder: Path, names: list[str], seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(seed)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        images.write(folder / name, images.resize(chance.integers(0, 255, (14, 14, 3), np.uint8), (48, 64)))
    return folder


def flat(folder: Path, count: int = 20, start: int = 1, seed: int = 0) -> Path:
    return photos(folder, [f"{label}_{n}.jpg" for label in ("dog", "cat") for n in range(start, start + count)], seed)


def make(root: Path, source: Path | None = None, **wanted: Any) -> Project:
    project = plan(Request(root, source=source, **wanted))
    carry_out(project)
    return project


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_an_empty_project_has_the_folders_and_a_pipeline_that_is_right(tmp_path: Path) -> None:
    make(tmp_path / "pets", classes=("dog", "cat"))
    folders = {p.relative_to(tmp_path / "pets").as_posix() for p in (tmp_path / "pets").rglob("*") if p.is_dir()}
    assert folders == {"images"} | {
        f"images/{split}{label}" for split in ("train", "val", "test") for label in ("", "/dog", "/cat")
    }
    assert tomllib.loads((tmp_path / "pets/pipeline.toml").read_text("utf-8"))["name"] == "pets"
    assert [stage.use for stage in load_plan(tmp_path / "pets/pipeline.toml").stages] == [
        "import.folders",
        "split",
        "embed",
        "train",
        "evaluate",
    ]
    assert load_plan(tmp_path / "pets/pipeline.toml").stage("train").params.model.name == "auto"


@pytest.mark.parametrize("layout", ["val", "valid", "validation"])
def test_filling_divides_each_class(tmp_path: Path, layout: Any) -> None:
    project = make(tmp_path / "pets", flat(tmp_path / "photos"), layout=layout)
    for label in ("dog", "cat"):
        sizes = [len(list((tmp_path / "pets/images" / split / label).iterdir())) for split in ("train", layout, "test")]
        assert sizes == [14, 3, 3]
        assert [project.counts[split][label] for split in ("train", layout, "test")] == sizes


def test_a_flat_project_is_divided_by_its_pipeline(tmp_path: Path) -> None:
    make(tmp_path / "pets", flat(tmp_path / "photos"), layout="flat", fractions={"train": 0.5, "val": 0.25, "test": 0.25})
    assert len(list((tmp_path / "pets/images/dog").iterdir())) == 20
    written = tomllib.loads((tmp_path / "pets/pipeline.toml").read_text("utf-8"))
    assert written["stages"]["split"]["fractions"] == {"train": 0.5, "val": 0.25, "test": 0.25}


def test_repeating_does_nothing_and_more_photographs_move_none(tmp_path: Path) -> None:
    source = flat(tmp_path / "photos")
    make(tmp_path / "pets", source)
    before = tree(tmp_path / "pets")
    again = make(tmp_path / "pets", source)
    assert (len(again.transfers), again.present) == (0, 40)
    assert tree(tmp_path / "pets") == before
    flat(source, 11, start=21, seed=1)
    more = make(tmp_path / "pets", source)
    assert (len(more.transfers), more.present) == (22, 40)
    after = tree(tmp_path / "pets")
    assert {name: after[name] for name in before if "images" in name} == {
        name: data for name, data in before.items() if "images" in name
    }


def test_own_changes_to_the_files_stay(tmp_path: Path) -> None:
    make(tmp_path / "pets", classes=("a",))
    (tmp_path / "pets/pipeline.toml").write_text("mine", "utf-8")
    make(tmp_path / "pets", classes=("a", "b"))
    assert (tmp_path / "pets/pipeline.toml").read_text("utf-8") == "mine"
    assert (tmp_path / "pets/images/train/b").is_dir()


def test_rename_counts_on(tmp_path: Path) -> None:
    source = flat(tmp_path / "photos", 4)
    make(tmp_path / "pets", source, rename=True, layout="flat")
    flat(source, 2, start=9, seed=1)
    make(tmp_path / "pets", source, rename=True, layout="flat")
    assert sorted(p.name for p in (tmp_path / "pets/images/dog").iterdir()) == [f"dog_{n}.jpg" for n in range(1, 7)]


def test_two_files_of_one_name_both_come_in(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", ["dog/a/1.jpg", "dog/b/1.jpg", "cat/1.jpg"])
    make(tmp_path / "pets", source, layout="flat")
    assert sorted(p.name for p in (tmp_path / "pets/images/dog").iterdir()) == ["1-2.jpg", "1.jpg"]


def test_exact_copies_come_in_once(tmp_path: Path) -> None:
    source = flat(tmp_path / "photos", 10)
    shutil.copy(source / "dog_1.jpg", source / "dog_99.jpg")
    project = make(tmp_path / "pets", source)
    assert (len(project.transfers), project.present) == (20, 1)


@pytest.mark.parametrize("how", ["copy", "hardlink", "symlink", "move"])
def test_ways_to_bring_in(tmp_path: Path, how: Any) -> None:
    source = flat(tmp_path / "photos", 3)
    before = tree(source)
    make(tmp_path / "pets", source, how=how, layout="flat")
    made = tmp_path / "pets/images/dog/dog_1.jpg"
    assert made.read_bytes() == before["dog_1.jpg"]
    assert made.is_symlink() == (how == "symlink")
    assert (made.stat().st_nlink == 2) == (how == "hardlink")
    assert tree(source) == ({} if how == "move" else before)


def test_an_archive_a_table_and_split_folders_fill_it_too(tmp_path: Path) -> None:
    source = flat(tmp_path / "photos", 10)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as out:
        for path in source.iterdir():
            out.write(path, f"photos/{path.name}")
    assert Counter(t.target.parent.name for t in make(tmp_path / "a", tmp_path / "p.zip", how="move").transfers) == {
        "dog": 10,
        "cat": 10,
    }
    lines = [
        "file,label,split",
        *(f"photos/{p.name},{p.name[:3]},{'test' if p.name[4] == '1' else 'train'}" for p in source.iterdir()),
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines), "utf-8")
    make(tmp_path / "b", tmp_path / "t.csv", layout="valid")
    assert sorted(p.name for p in (tmp_path / "b/images/test/dog").iterdir()) == ["dog_1.jpg", "dog_10.jpg"]
    assert len(list((tmp_path / "b/images/valid/dog").iterdir())) in (1, 2)
    make(tmp_path / "c", tmp_path / "b/images")
    inside = [{n.replace("valid", "val"): d for n, d in tree(tmp_path / name / "images").items()} for name in ("b", "c")]
    assert inside[0] == inside[1]


def test_classes_choose_and_bad_files_are_listed(tmp_path: Path) -> None:
    source = flat(tmp_path / "photos", 8)
    (source / "dog_9.jpg").write_text("no image", "utf-8")
    project = make(tmp_path / "pets", source, classes=("dog",), layout="flat")
    assert len(project.transfers) == 8
    reasons = Counter(reason for _, reason in project.left_out)
    assert reasons["its class 'cat' is not asked for"] == 8
    assert any("not an image" in reason for reason in reasons)


def test_a_plan_touches_nothing(tmp_path: Path) -> None:
    source = flat(tmp_path / "photos", 8)
    plan(Request(tmp_path / "pets", source=source)).close()
    assert not (tmp_path / "pets").exists()
    assert {p.name for p in tmp_path.iterdir()} == {"photos"}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({}, "needs classes"),
        ({"classes": ("a/b",)}, "can't be the name of a folder"),
        ({"classes": ("..",)}, "can't be the name of a folder"),
        ({"source": Path("nowhere")}, "no such file or folder"),
        ({"source": Path("pets/images")}, "lies in the project itself"),
    ],
)
def test_what_can_not_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        plan(Request(Path("pets"), **wanted))
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pets").write_text("", "utf-8")
    with pytest.raises(UserError, match="is a file"):
        plan(Request(tmp_path / "pets", classes=("a",)))


def test_loops_of_links_and_bombs_are_left_out(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", ["dog/1.jpg", "dog/2.jpg", "cat/1.jpg"])
    (source / "dog/round").symlink_to(source, target_is_directory=True)
    (source / "dog/itself.jpg").symlink_to(source / "dog/itself.jpg")
    (source / "dog/bomb.png").write_bytes(png_claiming(60_000, 60_000))
    project = make(tmp_path / "pets", source, layout="flat")
    assert dict(project.left_out) == {
        "dog/itself.jpg": "Too many levels of symbolic links",
        "dog/bomb.png": 'more than 178 megapixels; import it with verify = "none" and cut it with the stage tile',
    }
    assert set(tree(tmp_path / "pets/images")) == {"dog/1.jpg", "dog/2.jpg", "cat/1.jpg"}


def test_images_without_a_class_are_told_of(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", ["a.jpg", "b.jpg"])
    with pytest.raises(UserError, match="have no class"):
        make(tmp_path / "pets", source, layout="flat")


def test_the_verb_makes_what_the_command_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pipekit
    from pipekit.cli import main
    from tests.cli.pictures import class_folders

    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "photos", {"cat": 6, "dog": 6}, size_px=32)
    wanted: dict[str, Any] = {"source": "photos", "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}, "rename": True}
    would = pipekit.scaffold("python/pets", dry_run=True, **wanted)
    assert not Path("python").exists()
    made = pipekit.scaffold("python/pets", **wanted)
    assert main(["scaffold", "shell/pets", "--from", "photos", "--fractions", "0.5,0.25,0.25", "--rename"]) == 0
    files = {path.relative_to("python"): path.read_bytes() for path in Path("python").rglob("*") if path.is_file()}
    assert files == {path.relative_to("shell"): path.read_bytes() for path in Path("shell").rglob("*") if path.is_file()}
    assert made.counts == would.counts
    for wrong, said in (
        ({"layout": "vall"}, "layout: expected"),
        ({"how": "cp"}, "how: "),
        ({"fractions": {"train": 2}}, "fractions: "),
    ):
        with pytest.raises(UserError, match=said):
            pipekit.scaffold("other", classes=["a"], **wrong)
