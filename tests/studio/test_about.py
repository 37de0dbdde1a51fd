"""What is known of one image, what checks mean, and mistakes of the pipeline file with their lines."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.commands.browse import find_source
from pipekit.commands.components import meanings
from pipekit.commands.image_history import history_of
from pipekit.studio.project import Project
from tests.studio.asgi import Page
from tests.studio.test_mapping import features_of


def at(page: Page, path: str) -> Any:
    digest = page.get("/api/index").json["digest"]
    answer = page.get(f"/api/{digest}/{path}")
    assert answer.status == 200, answer.body
    return answer.json


def test_the_nearest_images_are_those_with_the_most_similar_features(page: Page, project: Project) -> None:
    assert at(page, "nearest/0") == {"state": "none", "words": ["embed", "photos", "--table", "none"], "has_some": False}
    folder = features_of(project, slice(0, 10))
    table = np.load(folder / "embeddings.npy").astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    wanted = np.argsort(-(table @ table[2]), kind="stable")[1:9].tolist()
    near = at(page, "nearest/2")["near"]
    assert [one["row"] for one in near] == wanted
    assert [one["similarity"] for one in near] == sorted((one["similarity"] for one in near), reverse=True)
    assert at(page, "nearest/11")["has_some"] is True, "this image has none"


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def test_what_was_made_of_an_image(page: Page, project: Project, work: Path) -> None:
    identity, sha256 = project.catalog.ids[0], project.catalog.hashes[0].tobytes().hex()
    run = work / "runs" / "first"
    write_table(run / "split/train/metadata.csv", [{"file_name": "a.png", "id": identity, "split": "train", "sha256": sha256}])
    made = {"of": identity, "sha256": sha256, "copy": 1, "steps": [["rotate", {"angle_deg": 3.14159}], ["hflip", {}]]}
    others = {**made, "of": "cat/04.png"}
    copies = [
        {"file_name": f"{name}.png", "id": name, "sha256": "", "split": "train", "extra_augmented": json.dumps(of)}
        for name, of in (("mine", made), ("other", others), ("../../../outside", made))
    ]
    write_table(run / "more/train/metadata.csv", copies)
    images.write(run / "more/train/mine.png", np.full((20, 30, 3), 90, np.uint8))
    images.write(work.parent / "outside.png", np.zeros((9, 9, 3), np.uint8))
    row = {"id": identity, "true": "cat", "predicted": "dog", "correct": "0", "confidence": "0.75", "sha256": sha256}
    write_table(run / "predictions.csv", [row])
    (run / "run.json").write_text("{}", "utf-8")
    found = at(page, "history/0")
    prediction = {"predicted": "dog", "true": "cat", "confidence": "0.75", "correct": "0"}
    assert found["runs"] == [{"name": "first", "splits": {"split": "train"}, "copies": 2, "prediction": prediction}]
    shown, outside = found["copies"]
    assert (shown["file"], shown["steps"]) == ("runs/first/more/train/mine.png", ["rotate angle_deg=3.142", "hflip"])
    assert shown["picture"].startswith("data:image/jpeg;base64,")
    assert outside["picture"] == "", "a file elsewhere is not read"
    assert at(page, "history/3")["runs"] == [], "another image"


NAMES = ["plain.png", 'a "quoted", name.png', "two\nlines.png", "rtl \u202e 𝔘.png", "back\\slash.png", "bad\udcff.png"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_found_among_others(tmp_path: Path, name: str) -> None:
    run = tmp_path / "runs" / "first"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}", "utf-8")
    made = [{"of": one, "sha256": "", "copy": 1, "steps": []} for one in (*NAMES, "other.png")]
    rows = [{"file_name": "x.png", "id": f"{at}", "extra_augmented": json.dumps(one)} for at, one in enumerate(made)]
    rows += [{"file_name": "x.png", "id": one, "extra_augmented": ""} for one in (*NAMES, "other.png")]
    for row in rows:
        row |= {"split": "val", "sha256": ""}
    write_table(run / "split/metadata.csv", rows)
    (found,) = history_of(tmp_path, name, "")["runs"]
    assert (found["splits"], found["copies"]) == ({"split": "val"}, 1)


def test_older_runs_are_counted(page: Page, work: Path) -> None:
    for number in range(23):
        folder = work / "runs" / f"r{number}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}", "utf-8")
    assert at(page, "history/0") == {"runs": [], "copies": [], "passed_over": 3}


def test_every_check_says_what_it_means(page: Page) -> None:
    found = page.get("/api/checks").json
    assert found == meanings("check")
    assert found["dark"]["text"] == "Even the brightest 1 % of the pixels are dark."
    assert all(one["summary"] and one["text"] for one in found.values())


PIPELINE = """[stages.data]
use = "import.folders"
path = "photos"

[stages.train]
use = "train"
model = "mpl"
epochs = -3
"""


def test_mistakes_of_the_pipeline_file_have_their_lines(work: Path) -> None:
    (work / "pipeline.toml").write_text(PIPELINE, "utf-8")
    project = Project(find_source())
    page = Page(project)
    found = {one["path"]: one for one in page.get("/api/pipeline/problems").json}
    assert (found["stages.train.epochs"]["line"], found["stages.train.epochs"]["text"]) == (8, "epochs = -3")
    assert "mlp" in found["stages.train.model.template"]["hint"]
    (work / "pipeline.toml").write_text("[stages.data\n", "utf-8")
    (broken,) = page.get("/api/pipeline/problems").json
    assert broken["message"]
    project.thumbs.close()


def test_no_pipeline_file_has_no_mistakes(page: Page) -> None:
    assert page.get("/api/pipeline/problems").json == []
