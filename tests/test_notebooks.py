"""The notebooks of docs/notebooks run from top to bottom, in the folder that they are written for, and find what they say."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "notebooks"
NAMES = ("first-classifier", "boxes-and-masks", "find-problems")


def cells(name: str) -> list[dict[str, Any]]:
    return json.loads((FOLDER / f"{name}.ipynb").read_text("utf-8"))["cells"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a notebook as Jupyter would, in a clone's folder; returns the results of its cells and its variables."""
    shutil.copytree(ROOT / "sample_data" / "textures" / "images", tmp_path / "sample_data" / "textures" / "images")
    shutil.copytree(ROOT / "sample_data" / "photos", tmp_path / "sample_data" / "photos")
    here = tmp_path / "docs" / "notebooks"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def run(name: str) -> tuple[list[Any], dict[str, Any]]:
        results: list[Any] = []
        values: dict[str, Any] = {"__name__": "__main__"}
        for cell in cells(name):
            if cell["cell_type"] == "code":
                code = ast.parse("".join(cell["source"]))
                last = code.body.pop() if isinstance(code.body[-1], ast.Expr) else None
                exec(compile(code, name, "exec"), values)
                if isinstance(last, ast.Expr):
                    results.append(eval(compile(ast.Expression(last.value), name, "eval"), values))
        for result in results:
            getattr(result, "_repr_html_", str)()
        return results, values

    return run


def test_the_notebooks_are_all_of_the_folder_and_carry_no_outputs() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NAMES)
    listed = (FOLDER / "index.md").read_text("utf-8")
    for name in NAMES:
        assert f"\n{name}\n" in listed
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells(name))


@pytest.mark.timeout(900)
def test_a_first_classifier(run: Any) -> None:
    results, values = run("first-classifier")
    assert values["run"].status == "finished"
    predictions = next(one for one in results if isinstance(one, list) and len(one) == 2)
    assert [one.predicted for one in predictions] == ["grass", "gravel"]
    assert values["found"][0].predicted == "none of these" or values["found"][0].unknown


def test_masks_and_boxes(run: Any) -> None:
    results, values = run("boxes-and-masks")
    captions, boxes, keypoints = results[0]
    assert len(boxes) == 1
    assert ("hflip" in captions) == (keypoints[0].label == "right_eye")
    labels = sorted((values["folder"] / "augmented").rglob("*.txt"))
    assert len(labels) == 4
    assert all(label.read_text().startswith("1 ") for label in labels), "head keeps the number 1, though tail has no box"


def test_what_is_wrong_with_a_dataset(run: Any) -> None:
    _, values = run("find-problems")
    said = {(one["check"], name) for one in values["found"].findings for name in one["samples"]}
    assert said >= {
        ("corrupt", "gravel/broken.jpg"),
        ("suspected_labels", "grass/wrong_1.jpg"),
        ("suspected_labels", "gravel/wrong_2.jpg"),
        ("near_duplicates", "brick/small_copy.jpg"),
        ("near_duplicates", "grass/mirrored.jpg"),
        ("dark", "gravel/black.jpg"),
    }
