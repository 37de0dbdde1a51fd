"""Variants are those of the command line; a recipe's file is what its pages and ``--ops`` read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pipekit
from pipekit import images
from pipekit.commands.recipe import Recipe
from pipekit.commands.variants import variants_of
from pipekit.contract import NO_TARGETS
from pipekit.errors import PipekitError
from pipekit.studio import recipes
from pipekit.studio.project import Project
from tests.studio.asgi import Page
from tests.studio.test_dataset import parts

OPS = [{"op": "rotate", "limit_deg": 30}, {"op": "hflip"}]


def test_variants_are_those_of_the_command(work: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 2, (2, 2, 3)).repeat(32, 0).repeat(32, 1).astype(np.uint8) * 200
    images.write(work / "a.png", pixels)
    captions, files = variants_of(str(work / "a.png"), "x", NO_TARGETS, OPS, 64, 3, 7)
    assert captions[0].startswith("a.png")
    assert len(files) == len(captions) == 4
    shown = pipekit.preview(work / "a.png", ops=OPS, size_hw=[64, 64], variants=3, seed=7)
    assert [one for row in shown.captions for one in row] == captions
    again = variants_of(str(work / "a.png"), "x", NO_TARGETS, OPS, 64, 3, 7)
    assert (captions, files) == again
    assert variants_of(str(work / "a.png"), "x", NO_TARGETS, OPS, 64, 3, 8)[0] != captions
    assert images.decode(files[1]).shape == (64, 64, 3)


def test_the_pictures_are_those_of_the_command_line_with_the_saved_recipe(
    page: Page, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, before they become JPEG files."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).repeat(12, 0).repeat(12, 1).astype(np.uint8)
    images.write(work / "photos" / "cat" / "00.png", pixels)
    assert page.post("/api/recipes/first", {"ops": OPS, "known": ""}).status == 200
    drawn: list[Any] = []
    encode = images.encode

    def watched(image: Any, *how: Any) -> bytes:
        drawn.append(image)
        return encode(image, *how)

    monkeypatch.setattr(images, "encode", watched)
    captions = json.loads(parts(preview(page, size=64, count=5, seed=7).body)[0])[1]
    monkeypatch.undo()
    shown = images.encode(images.contact_sheet(drawn, captions, max_lines=9), "png")
    words = "augment photos/cat/00.png --preview --ops recipes/first.toml --size 64x64 --variants 5 --seed 7"
    command = [sys.executable, "-m", "pipekit", *words.split(), "--out", "sheet.png", "--no-show"]
    subprocess.run(command, check=True, cwd=work, capture_output=True)
    assert (work / "sheet.png").read_bytes() == shown


def preview(page: Page, **values: Any) -> Any:
    digest = page.get("/api/index").json["digest"]
    return page.post(f"/api/{digest}/preview", {"row": 0, "size": 32, "count": 2, "seed": 0, "ops": OPS, **values})


def test_a_preview_is_one_answer(page: Page) -> None:
    head, *files = parts(preview(page).body)
    name, captions = json.loads(head)
    assert (name, len(captions), len(files)) == ("00.png", 3, 3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ops": [{"op": "rotat"}]}, "rotat"),
        ({"ops": [{"op": "rotate", "limit_deg": -4}]}, "limit_deg"),
        ({"ops": [{"op": "rotate", "limit_deg": "many"}]}, "limit_deg"),
        ({"size": 5000}, "expected a size"),
        ({"count": 1000}, "variants"),
    ],
)
def test_what_is_wrong_is_said_and_is_no_error_of_the_server(page: Page, values: dict[str, Any], said: str) -> None:
    answer = preview(page, **values)
    assert answer.status == 422
    assert said in answer.json["message"]


def test_every_op_has_controls_of_known_kinds(page: Page) -> None:
    found = page.get("/api/ops").json
    assert {"rotate", "crop", "one_of"} <= {one["name"] for one in found["ops"]}
    for one in found["ops"]:
        for schema in one["params"].values():
            assert {"type", "anyOf", "enum", "default"} & set(schema), (one["name"], schema)


def ends(schema: Any) -> list[Any]:
    """What a control of a parameter gives at both ends; lists, texts and the like are not moved."""
    one = {**schema, **next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), {})}
    if "enum" in one:
        return [one["enum"][0], one["enum"][-1]]
    if one.get("type") == "boolean":
        return [False, True]
    if one.get("type") not in ("number", "integer"):
        return []
    low = one.get("minimum", one.get("exclusiveMinimum", 0))
    return [low, one.get("maximum", one.get("exclusiveMaximum", max(1, 4 * (one.get("default") or 1))))]


def test_each_control_at_its_ends_gives_pictures_or_says_why(page: Page, work: Path) -> None:
    image, said, made = str(work / "photos" / "cat" / "04.png"), [], 0
    for op in page.get("/api/ops").json["ops"]:
        for name, schema in op["params"].items():
            for value in ends(schema):
                try:
                    _, files = variants_of(image, "x", NO_TARGETS, [{"op": op["name"], name: value}], 24, 1, 0)
                except PipekitError as error:
                    said.append(str(error))
                else:
                    made += images.decode(files[1]).shape == (24, 24, 3)
    assert made > 50
    assert [one for one in said if not one.startswith("ops")] == [], "a message names its place"


def test_a_recipe_is_a_file_that_the_command_reads(page: Page, project: Project, work: Path) -> None:
    answer = page.post("/api/recipes/first", {"ops": OPS, "known": ""})
    assert answer.status == 200
    file = work / "recipes" / "first.toml"
    assert Recipe(str(file)).calls == Recipe(OPS).calls
    found = page.get("/api/recipes/first").json
    assert found["known"] == answer.json["known"]
    assert [one["op"] for one in found["ops"]] == ["rotate", "hflip"]
    again = page.post("/api/recipes/first", {"ops": found["ops"], "known": found["known"]})
    assert again.json["known"] == found["known"], "the same ops are the same bytes"


def test_a_file_that_was_changed_elsewhere_is_not_overwritten(page: Page, work: Path) -> None:
    known = page.post("/api/recipes/first", {"ops": OPS, "known": ""}).json["known"]
    file = work / "recipes" / "first.toml"
    file.write_text("# mine\n" + file.read_text("utf-8"), "utf-8")
    for said in (known, ""):
        assert page.post("/api/recipes/first", {"ops": [], "known": said}).status == 409
    assert file.read_text("utf-8").startswith("# mine\n")


NO_NAMES = [
    "..%2fx",
    "-x",
    ".x",
    "x%2fy",
    "..",
    "%2e%2e",
    "x%5c..%5cy",
    "x%00",
    "x%0a",
    "%2fetc%2fx",
    "%3Cimg%3E",
    "C:x",
    "x" * 62,
]


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_is_no_path(page: Page, work: Path, name: str) -> None:
    before = sorted(work.rglob("*"))
    for path in (f"/api/recipes/{name}", f"/api/recipes/{name}?preset=1"):
        assert page.get(path).status in (400, 404, 422)
        assert page.post(path, {"ops": OPS, "known": ""}).status in (404, 405, 422)
    assert sorted(work.rglob("*")) == before


def test_a_fresh_process_takes_over_after_some_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "MOST_TASKS", 2)
    monkeypatch.setattr(recipes.processes, "allowed", lambda: False)
    project: Any = SimpleNamespace(previews=None, num_tasks=0)
    pools, tasks = [], []
    for number in range(5):
        tasks.append(recipes.in_process(project, abs, -number))
        pools.append(project.previews)
    assert [task.result() for task in tasks] == [0, 1, 2, 3, 4], "what was asked of the former one is answered"
    assert [pools.index(pool) for pool in pools] == [0, 0, 2, 2, 4]
    project.previews.shutdown()
