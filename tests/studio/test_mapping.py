"""The map: positions for all images from features of most, found by the images' content; a selection is in the address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit.commands import image_map
from pipekit.commands.browse import Catalog, find_source
from pipekit.commands.image_map import find_features, place_images, points_of
from pipekit.studio.project import Project
from tests.studio.asgi import Page


def write_features(folder: Path, ids: list[str], hashes: list[str], table: Any) -> Path:
    """What ``pipekit embed`` leaves in the folder of its run."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "embeddings.npy", np.asarray(table, np.float16))
    lines = ["id,label,split,sha256,problem", *(f"{name},,,{sha256}," for name, sha256 in zip(ids, hashes, strict=True))]
    (folder / "images.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "embedder.json").write_text('{"name": "made up"}', "utf-8")
    return folder


def groups(count: int, seed: int = 0) -> Any:
    """Features of three groups, and the group of each row; the last row is like no other."""
    rng = np.random.default_rng(seed)
    kind = np.arange(count) % 3
    table = np.eye(3)[kind] @ rng.normal(size=(3, 8)) * 4 + rng.normal(size=(count, 8)) * 0.3
    table[-1] = rng.normal(size=8) * 9
    return table.astype(np.float16), kind


def features_of(project: Project, rows: Any = slice(None)) -> Path:
    catalog = project.catalog
    ids = np.array(catalog.ids)[rows].tolist()
    hashes = [one.tobytes().hex() for one in catalog.hashes[rows]]
    return write_features(project.source.base / "runs" / "embed", ids, hashes, groups(len(ids))[0])


def test_further_images_lie_among_those_that_they_resemble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, kind = groups(300)
    folder = write_features(tmp_path / "run", [f"{n}.png" for n in range(300)], [""] * 300, table)
    monkeypatch.setattr(image_map, "LANDMARKS", 60)
    assert place_images(str(folder), str(tmp_path / "map.npy"), "pca") == (300, 60)
    made = np.load(tmp_path / "map.npy")
    assert made.shape == (300, 3)
    assert (made[:, :2] >= 0).all()
    assert (made[:, :2] <= 1).all()
    centres = np.array([made[:-1][kind[:-1] == one, :2].mean(axis=0) for one in range(3)])
    nearest = np.linalg.norm(made[:-1, None, :2] - centres, axis=2).argmin(axis=1)
    assert (nearest == kind[:-1]).mean() > 0.98
    assert made[:, 2].argmax() == 299, "the outlier has the highest score"


def test_few_images_are_placed_by_the_projection_alone(tmp_path: Path) -> None:
    table, _ = groups(40)
    folder = write_features(tmp_path / "run", [f"{n}.png" for n in range(40)], [""] * 40, table)
    assert place_images(str(folder), str(tmp_path / "map.npy"), "pca") == (40, 40)
    made = np.load(tmp_path / "map.npy")
    assert made[:, :2].min() == 0
    assert made[:, :2].max() == 1
    assert place_images(str(folder), str(tmp_path / "again.npy"), "pca") == (40, 40)
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "map.npy").read_bytes()


def test_an_image_is_found_by_its_content(project: Project, work: Path) -> None:
    catalog = project.catalog
    assert find_features(catalog, work) is None
    hashes = [one.tobytes().hex() for one in catalog.hashes]
    write_features(work / "runs" / "old", list(catalog.ids)[:5], hashes[:5], groups(5)[0])
    write_features(work / "runs" / "most", [f"elsewhere/{n}" for n in range(11)], hashes[:0:-1], groups(11)[0])
    unlike = write_features(work / "runs" / "of_another_list", list(catalog.ids), hashes, groups(12)[0])
    np.save(unlike / "embeddings.npy", np.zeros((11, 4), np.float16))
    (work / "runs" / "broken").mkdir()
    (work / "runs" / "broken" / "embeddings.npy").write_bytes(b"")
    found = find_features(catalog, work)
    assert found is not None
    assert (found.folder.name, found.missing, found.rows.tolist()) == ("most", 1, [-1, *range(10, -1, -1)])


def test_without_features_it_says_the_cost_and_the_command(page: Page) -> None:
    digest = page.get("/api/index").json["digest"]
    found = page.get(f"/api/{digest}/map").json
    assert (found["state"], found["missing"]) == ("none", 12)
    assert found["words"] == ["embed", "photos", "--table", "none"]
    assert found["cost"]["seconds"] > 0
    assert page.post("/api/command", {"kind": "embed"}).json["words"] == found["words"]
    assert page.get(f"/api/{digest}/points").status == 422


def ready(page: Page, digest: str, by: str) -> Any:
    while (found := page.get(f"/api/{digest}/map?by={by}").json)["state"] == "working":
        pass
    return found


def test_the_map_of_a_dataset(page: Page, project: Project) -> None:
    features_of(project, slice(1, None))
    before = page.get("/api/index").json["digest"]
    assert ready(page, before, "pca")["state"] == "ready"
    points = np.frombuffer(page.get(f"/api/{before}/points?by=pca").body, "<f4").reshape(2, 12)
    assert np.isnan(points[:, 0]).all()
    assert not np.isnan(points[:, 1:]).any()
    assert page.get(f"/api/{before}/map?by=nothing").status == 422
    assert ready(page, before, "tsne")["run"] == "embed"
    index = page.get("/api/index").json
    assert "outlier_score" in [column["name"] for column in index["columns"]]
    assert index["digest"] != before, "a browser keeps the columns of an address for a year"
    codes = page.get(f"/api/{index['digest']}/columns").body
    assert len(codes) == 4 * 12 * len(index["columns"])


def test_columns_of_one_address_never_change(page: Page, project: Project) -> None:
    before = page.get("/api/index").json
    project.inspection.parent.mkdir(parents=True)
    finding = {"check": "dark", "severity": "warning", "message": "dark", "samples": ["cat/00.png"]}
    project.inspection.write_text(json.dumps({"findings": [finding], "remove": [], "summary": []}), "utf-8")
    after = page.get("/api/index").json
    assert len(after["columns"]) == len(before["columns"]) + 1
    assert after["digest"] != before["digest"]
    assert len(page.get(f"/api/{before['digest']}/columns").body) == 4 * 12 * len(before["columns"])


def test_rows_without_features_have_no_place(tmp_path: Path) -> None:
    np.save(tmp_path / "map.npy", np.arange(6, dtype=np.float32).reshape(2, 3))
    found = points_of(tmp_path / "map.npy", np.array([1, -1, 0, 5]))
    assert found[[0, 2]].tolist() == [[3, 4, 5], [0, 1, 2]]
    assert np.isnan(found[[1, 3]]).all()


def test_a_row_of_a_catalog_without_hashes_is_found_by_its_id(tmp_path: Path) -> None:
    catalog = Catalog("d", ["a", "b"], np.zeros((2, 32), np.uint8), {}, {}, lambda rows: {})
    write_features(tmp_path / "runs" / "embed", ["b", "c"], ["", ""], groups(2)[0])
    found = find_features(catalog, tmp_path)
    assert found is not None
    assert found.rows.tolist() == [-1, 0]


def test_a_file_that_cannot_be_read_is_not_offered_a_computation(work: Path) -> None:
    (work / "photos" / "cat" / "98.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    project = Project(find_source("photos"))
    page, rows = (
        Page(project),
        [row for row, name in enumerate(project.catalog.ids) if name not in ("cat/98.png", "dog/11.png")],
    )
    assert page.get(f"/api/{project.catalog.address}/map").json["unreadable"] == 0, "nothing is computed yet"
    features_of(project, rows)
    found = page.get(f"/api/{project.catalog.address}/map").json
    assert (found["missing"], found["unreadable"]) == (2, 1)
    project.thumbs.close()
