"""The page Try: predictions by the process of `pipekit serve`, known images that are alike, why there is no Grad-CAM."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import ImageError, UserError, images
from pipekit.commands import trying as ways
from pipekit.commands.browse import find_source
from pipekit.commands.predict import predict
from pipekit.studio.project import Project
from tests.studio.asgi import Answer, Page, ask
from tests.studio.conftest import paint
from tests.studio.hostile import files as hostile_files
from tests.studio.served import write_model


def write_run(base: Path, name: str = "colours") -> Path:
    """A run with a model that needs no TensorFlow."""
    folder = write_model(base / "runs" / name)
    (folder / "run.json").write_text(json.dumps({"stages": [{"name": "evaluate", "headline": "accuracy 0.9"}]}), "utf-8")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A studio whose folder has a run; one process for all tests of this module."""
    base = tmp_path_factory.mktemp("trying")
    (base / ".pipekit").mkdir()
    paint(base / "photos")
    write_run(base)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        project = Project(find_source("photos"))
        page = Page(project)
        yield page
        page.app.app.state.trying.end()
        project.thumbs.close()


def post(page: Page, path: str, body: bytes) -> Answer:
    return ask(page.app, path, "POST", page.posting, body)


def base_of(page: Page) -> Path:
    found: Any = page.app.app
    folder: Path = found.state.project.source.base
    return folder


def test_the_runs_are_listed_with_what_they_can_show(place: Page) -> None:
    found = place.get("/api/try").json
    assert [(one["name"], one["headline"]) for one in found["runs"]] == [("colours", "accuracy 0.9")]
    assert "needs a Keras network" in found["runs"][0]["no_grad_cam"]
    assert found["features"] is None
    assert b"/static/try.js" in place.get("/try").body


def test_a_prediction_is_that_of_the_command(place: Page) -> None:
    loaded = "tensorflow" in sys.modules  # by another test of this process
    file = base_of(place) / "photos" / "cat" / "04.png"
    (expected,) = predict(base_of(place) / "runs" / "colours", file)
    found = post(place, "/api/try/colours", file.read_bytes()).json
    assert found["predicted"] == expected.predicted
    assert found["top"] == [{"class": name, "probability": share} for name, share in expected.probabilities]
    assert ("tensorflow" in sys.modules) == loaded


@pytest.mark.parametrize("name", ["zeros", "svg", "truncated jpeg", "png bomb", "empty", "json"])
def test_what_is_no_image_is_refused(place: Page, name: str) -> None:
    answer = post(place, "/api/try/colours", hostile_files()[name][0])
    assert answer.status in (415, 422)
    assert answer.json["message"]


def test_another_name_than_that_of_a_run_is_refused(place: Page) -> None:
    data = images.encode(np.zeros((20, 20, 3), np.uint8), "png")
    for name in ("..", "nothing", "%2e%2e", "..%2f..%2fetc"):
        assert post(place, f"/api/try/{name}", data).status in (404, 405, 422)
    assert ask(place.app, "/api/try/colours", "POST", place.own, data).status == 403


def test_without_a_keras_network_there_is_a_sentence(place: Page) -> None:
    data = images.encode(np.zeros((20, 20, 3), np.uint8), "png")
    answer = post(place, "/api/try/colours/grad_cam", data)
    assert (answer.status, answer.json["message"]) == (422, place.get("/api/try").json["runs"][0]["no_grad_cam"])


def test_a_run_that_was_trained_again_has_another_model(place: Page) -> None:
    """Last of the tests that share the process: its run is another one now."""
    data = images.encode(np.full((20, 20, 3), (250, 0, 0), np.uint8), "png")
    assert post(place, "/api/try/colours", data).json["predicted"] == "red"
    write_model(base_of(place) / "runs" / "colours", classes=["rot", "gruen", "blau"])
    assert post(place, "/api/try/colours", data).json["predicted"] == "rot"


def test_an_explanation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage runs to its end, and says why there is no map of a model without layers."""
    loaded = "tensorflow" in sys.modules
    temporary, work = tmp_path / "temporary", tmp_path / "work"
    temporary.mkdir()
    run = write_run(work)
    monkeypatch.chdir(work)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="needs a Keras network"):
        ways.grad_cam(f"runs/{run.name}", images.encode(np.zeros((20, 20, 3), np.uint8), "png"))
    assert sorted(tmp_path.rglob("*")) == before
    assert Path.cwd() == work
    assert ("tensorflow" in sys.modules) == loaded


# --- known images that are alike, without a process ---------------------------------------------------------------------------


def embedder_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean colour as features."""

    def means(pixels: Any) -> Any:
        return pixels.reshape(len(pixels), -1, 3).mean(axis=1).astype(np.float32)

    monkeypatch.setattr(ways, "_embedder", lambda *_: (means, (8, 8)))


def write_features(folder: Path, colours: list[tuple[int, int, int]]) -> None:
    folder.mkdir(parents=True)
    np.save(folder / "embeddings.npy", np.array(colours, np.float16))
    rows = [f"{number}.png,a,train,{number:064x}," for number in range(len(colours))]
    bad = "bad.png,a,train,,it can't be read"
    (folder / "images.csv").write_text("\n".join(["id,label,split,sha256,problem", rows[0], bad, *rows[1:]]) + "\n", "utf-8")


def test_the_nearest_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder_by_hand(monkeypatch)
    colours = [(250, 10, 10), (10, 250, 10), (200, 100, 10), (10, 10, 250)]
    write_features(tmp_path / "runs" / "embed", colours)
    folder = tmp_path / "runs" / "embed"
    found = ways.nearest(folder, images.encode(np.full((30, 20, 3), (250, 10, 10), np.uint8), "png"), 3)
    own = np.array(colours, float)
    cosines = own @ own[0] / np.linalg.norm(own, axis=1) / np.linalg.norm(own[0])
    assert [row for row, _ in found] == np.argsort(-cosines)[:3].tolist()
    np.testing.assert_allclose([near for _, near in found], sorted(cosines, reverse=True)[:3], atol=1e-3)
    with pytest.raises(ImageError):
        ways.nearest(folder, b"no image", 3)


def test_near_images_are_those_of_the_dataset(place: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run has the dataset's images in another order, and one that the dataset has not."""
    catalog = place.app.app.state.project.catalog
    hashes = [one.tobytes().hex() for one in catalog.hashes]
    folder = base_of(place) / "runs" / "features"
    write_features(folder, [(1, 2, 3)] * 4)
    rows = [f"x{number}.png,,,{sha256}," for number, sha256 in enumerate([hashes[5], "1" * 64, hashes[0], hashes[7]])]
    (folder / "images.csv").write_text("\n".join(["id,label,split,sha256,problem", *rows]) + "\n", "utf-8")
    (folder / "embedder.json").write_text("{}", "utf-8")

    class Process:
        def ask(self, files: list[bytes], **head: Any) -> Future[dict[str, Any]]:
            assert (head["do"], head["folder"]) == ("nearest", str(folder))
            answer: Future[dict[str, Any]] = Future()
            answer.set_result({"nearest": [[3, 0.9], [1, 0.8], [0, 0.7]]})
            return answer

    monkeypatch.setattr(place.app.app.state.trying, "worker", lambda *_: Process())
    digest = place.get("/api/index").json["digest"]
    data = images.encode(np.zeros((20, 20, 3), np.uint8), "png")
    try:
        assert place.get("/api/try").json["features"] == "features"
        found = post(place, f"/api/try/colours/nearest?digest={digest}", data).json
    finally:
        shutil.rmtree(folder)
    labels = catalog.categories["label"]
    assert found == [
        {"row": row, "label": labels.names[labels.codes[row]], "similarity": near} for row, near in ((7, 0.9), (5, 0.7))
    ]


def test_features_of_another_embedder(tmp_path: Path) -> None:
    write_features(tmp_path / "runs" / "embed", [(1, 2, 3)])
    (tmp_path / "runs" / "embed" / "embedder.json").write_text('{"embedder": "efficientnet_lite0", "version": "0"}', "utf-8")
    with pytest.raises(UserError, match="another version"):
        ways.nearest(tmp_path / "runs" / "embed", images.encode(np.zeros((8, 8, 3), np.uint8), "png"), 1)
