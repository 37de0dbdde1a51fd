"""Files that an import passes over are counted by suffix, in the import's warning and in the dataset's meta."""

from __future__ import annotations

import json
import re
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.artifacts import Dataset
from pipekit.builtin.inspect.checks import imported as imported_checks
from pipekit.builtin.report.data import _passed_over
from pipekit.commands.scaffold import Request, plan
from pipekit.engine.outcome import Outcome
from pipekit.engine.run import run_plan, silent
from pipekit.errors import UserError
from pipekit.passed_over import OTHER, joined, passed_over, sentence
from pipekit.pipeline.plan import load_plan
from pipekit.registry.registry import load_registry
from pipekit.registry.sniffing import find_importer


def photos(folder: Path, count: int = 3) -> Path:
    """``cats`` and ``dogs`` with so many pictures each."""
    chance = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            images.write(folder / name / f"{number}.jpg", chance.integers(0, 255, (24, 24, 3), np.uint8))
    return folder


def beside(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"not opened here")
    return folder


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    folder = photos(tmp_path / "photos")
    beside(folder, *(f"cats/IMG_{number}.HEIC" for number in range(1, 5)), "dogs/IMG_5.heic", "dogs/clip.mp4", "dogs/notes.txt")
    return beside(folder, "cats/Thumbs.db", "dogs/.DS_Store", "dogs/._0.jpg", "dogs/desktop.ini")


SAID = "passed over 7 files that are not images pipekit reads: 5 .heic, 1 .mp4, 1 .txt (e.g. cats/IMG_1.HEIC)"


def imported(path: Path, use: str = "import.folders", *more: dict[str, Any]) -> Outcome:
    stages = {"data": {"use": use, "path": str(path)}} | {f"more{n}": stage for n, stage in enumerate(more)}
    base = path.parent / "project"
    base.mkdir(exist_ok=True)
    return run_plan(load_plan(table={"name": "test", "stages": stages}, base_dir=base), silent, publish=False)


def test_files_are_counted_by_suffix_with_three_examples(mixed: Path) -> None:
    assert passed_over(mixed) == {
        "counts": {".heic": 5, ".mp4": 1, ".txt": 1},
        "examples": {
            ".heic": ["cats/IMG_1.HEIC", "cats/IMG_2.HEIC", "cats/IMG_3.HEIC"],
            ".mp4": ["dogs/clip.mp4"],
            ".txt": ["dogs/notes.txt"],
        },
        "folders": [],
        "num_folders": 0,
    }
    assert passed_over(photos(mixed.parent / "plain")) == {} == joined([{}, {}])


def test_what_an_importer_reads_is_not_counted(mixed: Path) -> None:
    assert list(passed_over(mixed, (".txt", ".mp4"))["counts"]) == [".heic"]
    assert list(passed_over(mixed, None)["counts"]) == [".heic", ".mp4"]  # it does not say what it reads
    assert list(passed_over(mixed, (), [mixed / "dogs/notes.txt"])["counts"]) == [".heic", ".mp4"]


def test_topmost_folders_without_an_image_are_named(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    beside(folder, "birds/1.heic", "birds/old/2.heic", "train/owls/3.heic", "train/cats/4.jpg", "train/owls/deep/er/5.heic")
    beside(folder, "cats-2/6.heic", "dogs/old/7.heic")
    (folder / "empty").mkdir()
    found = passed_over(folder)
    assert found["folders"] == ["birds/", "cats-2/", "dogs/old/"]
    assert found["num_folders"] == 4
    assert "no image can be read in birds/, cats-2/, dogs/old/ and 1 more" in sentence(found)


def test_empty_folders_are_named(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    for name in ("owls", "train/hawks/old", "cats/none", "kites"):
        (folder / name).mkdir(parents=True)
    beside(folder, "owls/.gitkeep", "kites/Thumbs.db")
    (folder / "project/.pipekit").mkdir(parents=True)
    (folder / "linked").mkdir()
    (folder / "linked/cats").symlink_to(folder / "cats")  # its images are there, by another path
    found = passed_over(folder)
    assert found == {
        "counts": {},
        "examples": {},
        "folders": [],
        "num_folders": 0,
        "empty": ["cats/none/", "kites/", "owls/"],
        "num_empty": 4,
    }
    assert sentence(found) == "found 4 empty folders: cats/none/, kites/, owls/ and 1 more"
    assert passed_over(folder, None) == {}, "an importer that does not say what it reads"
    beside(folder, "owls/notes.txt")
    both = joined([passed_over(folder), found])
    assert both["num_empty"] == 3 + 4
    assert "passed over 1 file that is not an image" in sentence(both)
    assert ", and found 7 empty folders: cats/none/, kites/, train/" in sentence(both)
    assert passed_over(folder, (".txt",)) == {**found, "empty": ["cats/none/", "kites/", "train/"], "num_empty": 3}


def test_an_empty_class_folder_is_named_by_import_and_inspect(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    (folder / "owls").mkdir()
    (stage,) = imported(folder).stages
    assert list(stage.warnings) == ["found 1 empty folder: owls/"]
    assert stage.facts == {"images": "6", "classes": "2", "empty folders": "1"}
    dataset: Any = stage.artifact
    (found,) = imported_checks.passed_over([], None, imported_checks.ImportedParams(), dataset)  # type: ignore[arg-type]
    assert (found.severity, found.message) == ("warning", "the import found 1 empty folder: owls/")


def test_the_sentence_says_what_to_do(mixed: Path) -> None:
    assert sentence({}) == ""
    assert sentence(passed_over(mixed)).startswith(f"{SAID}. To use them: install the plugin that reads HEIC, in a checkout")
    assert "`pip install ./plugins/pipekit-heif`, or convert HEIC to JPEG: `heif-convert" in sentence(passed_over(mixed))
    assert "import.videos" in sentence(passed_over(mixed))
    beside(mixed, "a.psd", "b.jxl", "d.CR2", "scan.DCM")
    said = sentence(passed_over(mixed))
    for part in ("convert .jxl and .psd to JPEG or PNG", "export raw photographs (.cr2) as JPEG", "./plugins/pipekit-dicom`"):
        assert part in said
    assert sentence(passed_over(beside(mixed.parent / "one", "readme.txt"))) == (
        "passed over 1 file that is not an image pipekit reads: 1 .txt (e.g. readme.txt)"
    )


def test_names_without_end_stay_in_flat_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def many(root: Path) -> Any:
        yield str(root), (f"IMG.{number:06}" for number in range(30_000))
        yield str(root / "b"), (f"{number}.x{number}" for number in range(30_000))

    monkeypatch.setattr("pipekit.passed_over.walk", many)
    tracemalloc.start()
    found = passed_over(tmp_path)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 500_000
    assert found["counts"]["without a suffix"] == 30_000
    assert len(found["counts"]) == 50 + 1, "the others count as one"
    assert sum(found["counts"].values()) == 60_000
    assert len(found["examples"][OTHER]) == 3
    assert "30,000 without a suffix" in sentence(found)


def test_several_imports_add_up(mixed: Path) -> None:
    other = passed_over(beside(mixed.parent / "other", "a/1.txt", "b/2.txt"))
    both = joined([passed_over(mixed), {}, other])
    assert both["counts"] == {".heic": 5, ".txt": 3, ".mp4": 1}
    assert both["examples"][".txt"] == ["dogs/notes.txt", "a/1.txt", "b/2.txt"]


# --- through the import ---------------------------------------------------------------------------------------------------


def test_an_import_warns_and_a_cached_one_again(mixed: Path) -> None:
    for cached in (False, True):
        (stage,) = imported(mixed).stages
        assert stage.cached is cached
        assert [text for text in stage.warnings if text.startswith(SAID)] == list(stage.warnings) != []
        assert stage.artifact.meta["passed_over"]["counts"] == {".heic": 5, ".mp4": 1, ".txt": 1}


def test_the_digest_stays_and_the_count_goes_with_the_dataset(mixed: Path) -> None:
    plain, _ = imported(photos(mixed.parent / "plain"), "import.folders", {"use": "split", "dataset": "data"}).stages
    found, split = imported(mixed, "import.folders", {"use": "split", "dataset": "data"}).stages
    assert found.artifact.digest == plain.artifact.digest
    assert isinstance(split.artifact, Dataset)
    assert split.artifact.meta["passed_over"] == found.artifact.meta["passed_over"]
    assert "passed_over" not in plain.artifact.meta


def test_a_class_folder_with_nothing_but_heic_is_named(tmp_path: Path) -> None:
    folder = beside(photos(tmp_path / "photos"), "birds/1.heic", "birds/2.heic")
    (stage,) = imported(folder).stages
    assert any(
        "no image can be read in birds/. To use them: install the plugin that reads HEIC" in text for text in stage.warnings
    )


def test_a_tree_with_nothing_but_heic_says_what_is_there(tmp_path: Path) -> None:
    folder = beside(tmp_path / "photos", "birds/1.heic", "owls/2.heic")
    with pytest.raises(UserError, match=r"no image below .*: passed over 2 files .* 2 \.heic .* convert HEIC"):
        imported(folder)
    with pytest.raises(UserError, match=r"no importer recognises .*: passed over 2 files .* convert HEIC"):
        find_importer(load_registry(), folder)


@pytest.mark.parametrize("form", ["csv", "metadata", "yolo", "voc"])
def test_annotations_that_are_read_are_not_passed_over(tmp_path: Path, form: str) -> None:
    folder = photos(tmp_path / "photos")
    path = folder
    if form in ("csv", "metadata"):
        path = folder / f"{'labels' if form == 'csv' else 'metadata'}.csv"
        path.write_text("file_name,label\ncats/0.jpg,cat\ndogs/0.jpg,dog\n", "utf-8")
        path = path if form == "csv" else folder
    elif form == "yolo":
        (folder / "cats/0.txt").write_text("0 0.5 0.5 0.2 0.2\n", "utf-8")
        (folder / "classes.txt").write_text("cat\n", "utf-8")
    else:
        (folder / "cats").rename(folder / "JPEGImages")
        shutil.rmtree(folder / "dogs")
        (folder / "Annotations").mkdir()
        (folder / "Annotations/0.xml").write_text("<annotation><filename>0.jpg</filename></annotation>", "utf-8")
    (stage,) = imported(path, f"import.{form}").stages
    assert "passed_over" not in stage.artifact.meta
    beside(folder, "extra/IMG_1.heic")
    (stage,) = imported(path, f"import.{form}").stages
    assert stage.artifact.meta["passed_over"]["counts"] == {".heic": 1}


def test_the_pipeline_file_in_the_folder_is_not_counted(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    (folder / "pipeline.toml").write_text('name = "a"\n[stages.data]\nuse = "import.folders"\npath = "."\n', "utf-8")
    (stage,) = run_plan(load_plan(folder / "pipeline.toml"), silent, publish=False).stages
    assert stage.warnings == ()


def test_a_scaffold_says_it_of_its_source(mixed: Path) -> None:
    project = plan(Request(mixed.parent / "pets", source=mixed, layout="flat"))
    project.close()
    assert [text for text in project.warnings if text.startswith(SAID)] == project.warnings != []


@pytest.mark.parametrize(("kinds", "said"), [(6, "1 .f"), (7, "1 .f, 1 of other suffixes"), (9, "1 .f, 3 of other suffixes")])
def test_six_suffixes_are_named_and_the_rest_counted(kinds: int, said: str) -> None:
    suffixes = [f".{letter}" for letter in "abcdefghi"[:kinds]]
    found = {"counts": dict.fromkeys(suffixes, 1), "examples": {".a": ["x.a"]}, "folders": [], "num_folders": 0}
    assert f"reads: 1 .a, 1 .b, 1 .c, 1 .d, 1 .e, {said} (e.g. x.a)" in sentence(found)


def test_the_run_s_table_counts_them(mixed: Path) -> None:
    found, split = imported(mixed, "import.folders", {"use": "split", "dataset": "data"}).stages
    assert found.facts == {"images": "6", "classes": "2", "passed over": "7"}
    assert "passed over" not in split.facts


def test_an_inspection_has_a_finding_and_a_new_file_is_in_it(mixed: Path) -> None:
    def findings() -> list[dict[str, Any]]:
        made = imported(mixed, "import.folders", {"use": "inspect", "dataset": "data"}).artifact("more0")
        found = json.loads((made.path / "inspect.json").read_text("utf-8"))["findings"]
        assert SAID[:11] in (made.path / "inspect.html").read_text("utf-8")
        return [finding for finding in found if finding["check"] == "passed_over"]

    (first,) = findings()
    assert first["severity"] == "warning"
    assert first["message"].startswith("the import " + SAID)
    assert first["values"]["examples"][".mp4"] == ["dogs/clip.mp4"]
    beside(mixed, "dogs/IMG_6.heic")
    (second,) = findings()
    assert second["values"]["counts"][".heic"] == 6


def test_a_text_file_is_no_warning(tmp_path: Path) -> None:
    folder = beside(photos(tmp_path / "photos"), "cats/notes.txt")
    made = imported(folder, "import.folders", {"use": "inspect", "dataset": "data"}).artifact("more0")
    found = json.loads((made.path / "inspect.json").read_text("utf-8"))["findings"]
    assert [finding["severity"] for finding in found if finding["check"] == "passed_over"] == ["info"]


def test_the_report_has_a_table_of_them(mixed: Path) -> None:
    table = _passed_over(passed_over(mixed))
    assert table.rows[0] == (".heic", 5, "cats/IMG_1.HEIC, cats/IMG_2.HEIC, cats/IMG_3.HEIC")
    assert table.caption == "Files that the import passed over"


# --- what an import checks of the classes --------------------------------------------------------------------------------


@pytest.mark.parametrize("most_rows", [20_000, 0])
def test_the_same_file_under_two_classes_is_said_on_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_rows: int
) -> None:
    """Of more images than ``MOST_ROWS``, columns are compared."""
    monkeypatch.setattr("pipekit.registry.cheap_checks.MOST_ROWS", most_rows)
    folder = photos(tmp_path / "photos")
    for copy in ("dogs/copy.jpg", "dogs/copy2.jpg", "cats/copy3.jpg"):
        shutil.copy(folder / "cats/1.jpg", folder / copy)
    (stage,) = imported(folder).stages
    (said,) = stage.warnings
    assert said.startswith("1 image has several classes: the same file lies under two labels. For example: ")
    assert re.search(r"cats/(1|copy3).jpg is 'cats', dogs/copy2?.jpg is 'dogs'", said)


def test_classes_whose_names_differ_in_capitals_or_encoding_are_a_finding() -> None:
    from pipekit.builtin.inspect.checks.imported import ImportedParams, similar_names

    def found(*names: str) -> list[str]:
        rows = [{"id": str(at), "label": name, "ok": True} for at, name in enumerate(names)]
        return [finding.message for finding in similar_names(rows, None, ImportedParams())]  # type: ignore[arg-type]

    assert found("cat", "dog", "1-0", "10") == []
    end = ". The stage rename_classes makes them one"
    assert found("Cat", "cat", "dog", "golden retriever", "Golden_Retriever") == [
        f"names that may mean one class: 'Cat' and 'cat'; 'Golden_Retriever' and 'golden retriever'{end}"
    ]
    assert found("\xfc", "u\u0308") == [f"names that may mean one class: 'u\\u0308' and '\\xfc'{end}"]


def test_one_class_is_a_finding(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    for path, said in (("photos", []), ("photos/cats", ["info"])):
        made = imported(tmp_path / path, "import.folders", {"use": "inspect", "dataset": "data"}).artifact("more0")
        found = json.loads((made.path / "inspect.json").read_text("utf-8"))["findings"]
        assert [finding["severity"] for finding in found if finding["check"] == "one_class"] == said


def test_what_was_passed_over_is_said_where_no_image_can_be_used(tmp_path: Path) -> None:
    folder = beside(tmp_path / "photos", "cats/broken.jpg", "dogs/IMG_5.heic")
    with pytest.raises(UserError, match="no usable image") as caught:
        imported(folder)
    assert "passed over 1 file that is not an image pipekit reads: 1 .heic (e.g. dogs/IMG_5.heic)" in caught.value.hint
    assert "./plugins/pipekit-heif" in caught.value.hint
