"""The stages ``features``, ``match`` and ``stability``: what they write, and that it is right."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipekit import images
from pipekit.builtin.features import draw, matching, stability
from pipekit.builtin.features.matching import MatchingParams, match_features
from pipekit.builtin.features.section import SectionParams, section
from pipekit.builtin.features.stability import repeatability
from pipekit.builtin.features.stage import lines_of
from pipekit.contract import Sample
from pipekit.errors import PipekitError, UserError
from pipekit.keypoints.detection import Features, features_of
from pipekit.learning.evaluation import Evaluation
from pipekit.registry.registry import load_registry
from pipekit.testing import Project

PHOTOS = Path(__file__).parents[2] / "sample_data" / "photos"
HOMOGRAPHY = np.array([[0.85, 0.2, 30.0], [-0.15, 0.9, 90.0], [2e-4, 1e-4, 1.0]])


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return images.read(PHOTOS / "coffee.jpg")


def detect(image: NDArray[np.uint8], name: str, **values: Any) -> Features:
    component = load_registry().get("detector", name)
    return features_of(component.load()(image, component.params_type()(**values)), (image.shape[0], image.shape[1]))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def points(*places: tuple[float, float]) -> Features:
    return Features(np.array([(x, y, 1) for x, y in places], np.float32).reshape(-1, 3))


# --- the stage -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(pipekit_project: Project, photo: NDArray[np.uint8]) -> Path:
    """Two classes: a photograph, and images with nothing in them; one name needs quoting in a CSV."""
    for name, image in (
        ("cup/a cup, red.png", photo[:200, :300]),
        ("cup/b.png", photo[150:350, 200:500]),
        ("flat/black.png", np.zeros((40, 30, 3), np.uint8)),
        ("flat/dot.png", np.zeros((1, 1, 3), np.uint8)),
    ):
        path = pipekit_project.path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, image)
    return pipekit_project.path / "photos"


def run_features(project: Project, **values: Any) -> Path:
    stages = {"data": {"use": "import.folders", "path": "photos"}, "features": {"use": "features", **values}}
    outcome = project.run(stages)
    assert outcome.status == "finished"
    return outcome.run_dir


def test_points_arrays_counts_and_pictures(pipekit_project: Project, photos: Path) -> None:
    run_dir = run_features(pipekit_project, detector={"use": "orb", "max_points": 50}, preview_px=200)
    table = rows_of(next(run_dir.rglob("points.csv")))
    for row in rows_of(run_dir / "counts.csv"):
        mine = [point for point in table if point["id"] == row["id"]]
        expected = detect(images.read(photos / row["id"]), "orb", max_points=50)
        assert len(mine) == int(row["num_points"]) == len(expected)
        with np.load(next(run_dir.rglob("arrays")) / f"{row['id']}.npz", allow_pickle=False) as saved:
            np.testing.assert_array_equal(saved["points"], expected.points)
            if len(expected):
                np.testing.assert_array_equal(saved["descriptors"], expected.descriptors)
                assert str(saved["norm"]) == "hamming"
        if mine:
            assert float(mine[0]["x_px"]) == pytest.approx(expected.points[0, 0], abs=0.006)
        else:
            assert row["note"].startswith("nothing found: ")
    by_class = {row["label"]: row for row in rows_of(run_dir / "classes.csv")}
    assert (by_class["flat"]["images"], by_class["flat"]["without_features"], by_class["flat"]["max"]) == ("2", "2", "0")
    assert by_class["cup"]["images"] == "2"
    assert 0 < int(by_class["cup"]["min"]) <= int(by_class["cup"]["max"]) <= 50
    assert len(list((next(run_dir.rglob("previews"))).rglob("*.png"))) == 4
    assert images.read(run_dir / "features.png").ndim == 3


def test_the_digest_follows_the_points_and_the_classes(pipekit_project: Project, photos: Path) -> None:
    def digest(**values: Any) -> str:
        stages = {"data": {"use": "import.folders", "path": "photos"}, "features": {"use": "features", **values}}
        return pipekit_project.run(stages).artifact("features").digest

    first = digest(detector="fast", previews_per_class=1)
    assert digest(detector={"use": "fast", "threshold": 10}, previews_per_class=1) == first
    assert digest(detector={"use": "fast", "threshold": 30}, previews_per_class=1) != first
    assert digest(detector="fast", previews_per_class=2) != first
    (photos / "cup" / "b.png").rename(photos / "flat" / "b.png")
    assert digest(detector="fast", previews_per_class=1) != first


def test_parquet_holds_the_same_points(pipekit_project: Project, photos: Path) -> None:
    import pyarrow.parquet

    run_dir = run_features(pipekit_project, detector="fast", table="parquet", arrays=False, previews_per_class=0)
    table = pyarrow.parquet.read_table(next(run_dir.rglob("points.parquet")))
    counts = rows_of(run_dir / "counts.csv")
    assert table.num_rows == sum(int(row["num_points"]) for row in counts) > 0
    assert set(table["id"].to_pylist()) == {row["id"] for row in counts if row["num_points"] != "0"}
    assert not list(run_dir.rglob("points.csv"))
    assert not list(run_dir.rglob("*.npz"))


def test_other_pictures_detect_nothing_again(pipekit_project: Project, photos: Path) -> None:
    def shards() -> set[Path]:
        return {path.parent for path in (pipekit_project.path / ".pipekit" / "shards").rglob("rows.jsonl")}

    run_features(pipekit_project, detector="harris", previews_per_class=0)
    before = shards()
    assert before
    run_features(pipekit_project, detector="harris", previews_per_class=0, table="parquet")
    assert shards() == before
    run_features(pipekit_project, detector={"use": "harris", "k": 0.06}, previews_per_class=0)
    assert shards() > before


def test_the_plugin_in_the_documents(pipekit_project: Project, photos: Path) -> None:
    page = (PHOTOS.parents[1] / "docs" / "detectors.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    (pipekit_project.path / "bright.py").write_text(code, encoding="utf-8")
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    table = {
        "name": "trial",
        "plugins": ["./bright.py"],
        "stages": {
            "data": {"use": "import.folders", "path": "photos"},
            "features": {"use": "features", "detector": "brightest", "previews_per_class": 1, "preview_px": 64},
        },
    }
    outcome = run_plan(load_plan(table=table, base_dir=pipekit_project.path))
    counts = {row["id"]: int(row["num_points"]) for row in rows_of(outcome.run_dir / "counts.csv")}
    assert counts["cup/b.png"] > 0
    assert counts["flat/black.png"] == 0


# --- drawing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (64, 64), (900, 1400)])
def test_a_dot_is_seen_at_any_size(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 120, np.uint8)
    place = ((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    drawn = draw.draw_features(image, points(place), 640)
    dots = (drawn == draw.VERMILLION).all(axis=2)
    assert dots.sum() >= min(40, dots.size // 2)
    ys, xs = np.nonzero(dots)
    assert abs(xs.mean() - (drawn.shape[1] - 1) / 2) < 1.5
    assert abs(ys.mean() - (drawn.shape[0] - 1) / 2) < 1.5
    assert (image == 120).all()


def test_a_small_peak_survives_in_the_picture_of_a_large_map() -> None:
    response = np.zeros((2000, 2000), np.float32)
    response[1001, 333] = 1.0
    picture = draw.draw_map(response, (200, 200))
    assert (picture != draw.colours_of(np.zeros(1))[0]).any(axis=2).sum() >= 1


def test_the_colours_rise_in_brightness() -> None:
    colours = draw.colours_of(np.linspace(0, 1, 256)).astype(float)
    assert (np.diff(colours @ [0.2126, 0.7152, 0.0722]) > -1).all()


# --- matching ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sift", "orb", "akaze"])
def test_a_known_homography_is_found(photo: NDArray[np.uint8], name: str) -> None:
    other = cv2.warpPerspective(photo, HOMOGRAPHY, (600, 480)).astype(np.uint8)
    first, second = detect(photo, name, max_points=1500), detect(other, name, max_points=1500)
    found = match_features(first, second, MatchingParams())
    assert found.verified
    assert found.homography is not None
    back = found.homography @ HOMOGRAPHY  # there and back again
    corners = np.array([(0, 0, 1), (599, 0, 1), (599, 399, 1), (0, 399, 1)], float)
    moved = corners @ back.T
    assert np.abs(moved[:, :2] / moved[:, 2:] - corners[:, :2]).max() < 5
    again = match_features(first, second, MatchingParams())
    np.testing.assert_array_equal(found.pairs, again.pairs)
    np.testing.assert_array_equal(found.homography, again.homography)


def test_a_match_is_one_to_one_and_passes_the_ratio_test(photo: NDArray[np.uint8]) -> None:
    first, second = detect(photo, "sift"), detect(np.ascontiguousarray(photo[:, ::-1]), "sift")
    found = match_features(first, second, MatchingParams(ratio=0.9))
    assert len(np.unique(found.pairs[:, 0])) == len(np.unique(found.pairs[:, 1])) == len(found.pairs)
    assert first.descriptors is not None
    assert second.descriptors is not None
    for (a, b), ratio in zip(found.pairs, found.ratio, strict=True):
        distance = np.linalg.norm(second.descriptors.astype(float) - first.descriptors[a].astype(float), axis=1)
        assert distance.argmin() == b
        assert ratio == pytest.approx(distance[b] / np.sort(distance)[1], rel=1e-4)
        assert ratio < 0.9


def test_different_pictures_do_not_match(photo: NDArray[np.uint8]) -> None:
    cat = images.read(PHOTOS / "cat.jpg")
    assert not match_features(detect(photo, "sift"), detect(cat, "sift"), MatchingParams()).verified


def test_nothing_to_match() -> None:
    empty = points()
    found = match_features(empty, empty, MatchingParams())
    assert (len(found.pairs), found.homography, found.verified) == (0, None, False)


def test_the_match_stage_writes_the_aligned_image(pipekit_project: Project, photo: NDArray[np.uint8]) -> None:
    images.write(pipekit_project.path / "a.png", photo)
    images.write(pipekit_project.path / "b.png", cv2.warpPerspective(photo, HOMOGRAPHY, (600, 480)).astype(np.uint8))
    outcome = pipekit_project.run({"match": {"use": "match", "first": "a.png", "second": "b.png", "preview_px": 200}})
    said = json.loads(next(outcome.run_dir.rglob("match.json")).read_text())
    assert said["verified"]
    aligned = images.read(outcome.run_dir / "aligned.png")
    assert aligned.shape == photo.shape
    inner = (slice(80, -80), slice(80, -80))
    assert np.abs(aligned[inner].astype(int) - photo[inner]).mean() < 6


def test_points_without_descriptors_cannot_be_matched(pipekit_project: Project, photo: NDArray[np.uint8]) -> None:
    images.write(pipekit_project.path / "a.png", photo)
    with pytest.raises(PipekitError, match="without descriptors"):
        pipekit_project.run({"match": {"use": "match", "first": "a.png", "second": "a.png", "detector": "harris"}})


def test_a_file_that_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("words")
    with pytest.raises(UserError, match="a text file, not an image"):
        matching._read(matching.InputPath(tmp_path / "a.jpg"))


# --- stability -----------------------------------------------------------------------------------------------------------


def test_repeatability_is_counted_in_the_common_part() -> None:
    # The second image is the first moved by 50 px to the right: the common part of the first ends at x = 50.
    shift = np.array([[1.0, 0, 50], [0, 1, 0], [0, 0, 1]])
    first = points((20, 20), (30, 60), (40, 30), (90, 50))
    second = points((70, 20), (81, 61), (88, 30), (20, 50))
    # (20, 20) is found again, (30, 60) 1.41 px away, (40, 30) 2 px away; the others are not in both images.
    assert repeatability(first, second, shift, (100, 100), (100, 100), 1.5) == (pytest.approx(2 / 3), 3)
    assert repeatability(first, second, shift, (100, 100), (100, 100), 1.0) == (pytest.approx(1 / 3), 3)


@pytest.mark.parametrize(("x", "counted"), [(7.9, False), (8, True), (91.9, True), (92, False)])
def test_points_within_8_px_of_the_border_do_not_count(x: float, counted: bool) -> None:
    for found in (points((x, 50)), points((50, x))):
        assert repeatability(found, found, np.eye(3), (100, 100), (100, 100)) == ((1.0, 1) if counted else None)


def test_two_points_can_not_both_be_found_in_one() -> None:
    rate = repeatability(points((50, 50), (51, 50)), points((50, 50), (80, 80)), np.eye(3), (100, 100), (100, 100), 1.5)
    assert rate == (0.5, 2)


def test_an_image_without_points_says_nothing() -> None:
    assert repeatability(points(), points(), np.eye(3), (50, 50), (50, 50)) is None
    assert repeatability(points((25, 25)), points(), np.eye(3), (50, 50), (50, 50)) == (0.0, 0)


def test_a_quarter_turn_finds_every_corner_again(photo: NDArray[np.uint8]) -> None:
    square = np.ascontiguousarray(photo[:400, :400])
    turned = np.ascontiguousarray(np.rot90(square, -1))
    homography = np.array([[0.0, -1, 399], [1, 0, 0], [0, 0, 1]])
    found = [detect(image, "harris", max_points=10_000) for image in (square, turned)]
    rate = repeatability(found[0], found[1], homography, (400, 400), (400, 400), 0.5)
    assert rate is not None
    assert rate[0] > 0.98


def test_the_stage_compares_detectors(pipekit_project: Project, photo: NDArray[np.uint8]) -> None:
    for name in ("a", "b"):
        (pipekit_project.path / "photos" / name).mkdir(parents=True)
        images.write(pipekit_project.path / "photos" / name / "photo.png", photo[:240, 100:400])
    stages = {
        "data": {"use": "import.folders", "path": "photos"},
        "stability": {
            "use": "stability",
            "detectors": ["harris", {"use": "harris", "window": "box"}, "orb"],
            "angles_deg": [0.0001, 30],
            "scales": [0.7],
            "blur_sigmas_px": [0.01, 3],
            "brightness": [0.999, 0.6],
            "recipe": [{"op": "rotate", "limit_deg": 10}],
            "copies": 2,
        },
    }
    outcome = pipekit_project.run(stages)
    rates = {
        (row["detector"], row["change"], float(row["amount"])): float(row["repeatability"])
        for row in rows_of(outcome.run_dir / "stability.csv")
    }
    assert {detector for detector, _, _ in rates} == {"harris 1", "harris 2", "orb"}
    assert rates["harris 1", "blur", 0.01] == 1.0  # nothing has changed
    assert rates["harris 1", "rotation", 0.0001] > 0.97
    assert rates["harris 1", "blur", 3] < rates["harris 1", "brightness", 0.6] <= 1
    assert ("orb", "recipe", 2) in rates
    assert images.read(outcome.run_dir / "stability.png").ndim == 3


def test_the_overall_rate_weighs_each_change_alike() -> None:
    table = {("a", "blur", 1.0): (0.2, 9.0, 1), ("a", "scale", 1.0): (0.8, 9.0, 1), ("a", "scale", 2.0): (1.0, 9.0, 1)}
    assert math.isclose(stability.overall(table)["a"], 0.55)


def test_cells_are_no_points(pipekit_project: Project) -> None:
    stages = {"data": {"use": "import.folders", "path": "images"}, "stability": {"use": "stability", "detectors": ["hog"]}}
    with pytest.raises(PipekitError, match="no points that could be found again"):
        pipekit_project.run(stages)


# --- the report section --------------------------------------------------------------------------------------------------


def test_the_report_section_counts_right_and_wrong_images(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    registry = load_registry()
    images.write(tmp_path / "flat.png", np.full((40, 40, 3), 9, np.uint8))
    images.write(tmp_path / "cup.png", photo)
    (tmp_path / "broken.png").write_bytes(b"no image")
    names = ["cup.png", "flat.png", "broken.png", "cup.png"]
    evaluation = Evaluation(
        classes=("cup", "plate"),
        split="test",
        samples=tuple(Sample(f"{number}/{name}", str(tmp_path / name)) for number, name in enumerate(names)),
        y_true=np.array([0, 0, 0, 1]),
        probabilities=np.array([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1], [0.4, 0.6]]),
        metrics={},
        dataset=SimpleNamespace(),  # type: ignore[arg-type]
    )
    made = section(SimpleNamespace(component=registry.get), evaluation, SectionParams(pictures=1))  # type: ignore[arg-type]
    corners = f"{len(detect(photo, 'harris')):g}"
    assert made.tables[0].rows == (("cup", 1, corners, 1, "0"), ("plate", 1, corners, 0, "–"))
    assert [picture.tags for picture in made.pictures] == [
        {"class": "cup", "answer": "right"},
        {"class": "plate", "answer": "right"},
    ]
    assert images.decode(made.pictures[0].data).shape[1] > 600


@pytest.mark.parametrize("name", ["a.jpg", '50 %, "so".jpg', "100%d.jpg", "two\nlines.jpg"])
def test_rows_of_points_are_as_csv_reads_them(name: str) -> None:
    points = np.array([(1.25, 2, 3e-7), (470.5, 0, 12345678)], np.float32)
    angles = np.array([-1, 359.96], np.float32)
    for found, last in ((Features(points), ["", ""]), (Features(points, angle_deg=angles), ["", "360.0"])):
        rows = list(csv.reader(io.StringIO(lines_of(name, found))))
        assert rows[1] == [name, "470.50", "0.00", "1.23457e+07", *last]
        assert len(rows) == 2
    assert lines_of(name, Features(points[:0])) == ""


def test_an_image_that_can_not_be_read_is_left_out_of_the_comparison(
    pipekit_project: Project, photo: NDArray[np.uint8]
) -> None:
    folder = pipekit_project.path / "photos" / "a"
    folder.mkdir(parents=True)
    images.write(folder / "photo.png", photo[:120, 100:220])
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    stages = {
        "data": {"use": "import.folders", "path": "photos", "verify": "none"},
        "stability": {"use": "stability", "detectors": ["harris"], "changes": ["blur"], "blur_sigmas_px": [1]},
    }
    outcome = pipekit_project.run(stages)
    assert [row["images"] for row in rows_of(outcome.run_dir / "stability.csv")] == ["1"]
    assert any("broken.jpg is left out" in warning for stage in outcome.stages for warning in stage.warnings)
