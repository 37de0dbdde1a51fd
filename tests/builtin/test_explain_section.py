"""The report's section on what speaks for the answers."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipekit import images
from pipekit.builtin.explain import maps
from pipekit.builtin.explain.saliency_location import where
from pipekit.builtin.explain.section import MISTAKE, SURE, UNSURE, ExplainedParams, _kinds, choose, section
from pipekit.contract import Dataset, Sample, Section
from pipekit.learning.evaluation import Evaluation
from pipekit.learning.predictor import load_predictor
from pipekit.registry.registry import load_registry
from pipekit.rng import rng_for

KNOWS = {"accuracy": {"value": 0.9, "low": 0.8, "high": 1.0}, "baseline": {"accuracy": 0.5}}
"""The metrics of a model that is better than chance."""


def answers(y_true: list[int], probabilities: np.ndarray, paths: list[Path] | None = None, **more: Any) -> Evaluation:
    classes = tuple("abcdefgh"[: probabilities.shape[1]])
    samples = tuple(Sample(f"{i:04d}", str(paths[i]) if paths else "") for i in range(len(y_true)))
    dataset = Dataset(Path(), "", {}, lambda _: iter(samples), lambda _: iter(()))
    return Evaluation(classes, "test", samples, np.array(y_true), probabilities, dict(KNOWS), dataset, **more)


@given(st.integers(1, 5), st.integers(0, 60), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_most_telling_answers_are_chosen(num_classes: int, count: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = answers(rng.integers(0, num_classes, count).tolist(), rng.dirichlet(np.ones(num_classes), count))
    chosen = choose(found, most)
    places = [place for place, _ in chosen]
    kinds = Counter(why for _, why in chosen)
    assert len(places) == len(set(places)) == min(most, count)
    assert all((why == MISTAKE) == (not found.correct[place]) for place, why in chosen)
    if count >= most:
        assert kinds[MISTAKE] >= min(int((~found.correct).sum()), most // 3)
    mistakes = found.confidence[~found.correct]
    if kinds[MISTAKE]:
        assert max(found.confidence[place] for place, why in chosen if why == MISTAKE) == mistakes.max()
    if kinds[UNSURE]:
        assert min(found.confidence[place] for place, why in chosen if why == UNSURE) == found.confidence[found.correct].min()
    if kinds[SURE] >= num_classes:
        right = set(
            found.y_true[found.correct & ~np.isin(np.arange(count), [p for p, why in chosen if why == UNSURE])].tolist()
        )
        assert {int(found.y_true[place]) for place, why in chosen if why == SURE} == right


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ((slice(0, 8), slice(0, 8)), "half of it lies in 3 % of the image, most at the upper left"),
        ((slice(12, 20), slice(12, 20)), "half of it lies in 3 % of the image, most in the centre"),
        ((slice(24, 32), slice(8, 24)), "half of it lies in 6 % of the image, most at the bottom"),
        ((slice(0, 32), slice(0, 32)), "spread over the image"),
        ((slice(0, 0), slice(0, 0)), "no evidence for it"),
    ],
)
def test_a_map_in_words(inside: tuple[slice, slice], words: str) -> None:
    found = np.full((32, 32), -1.0, np.float32)
    found[inside] = 1
    assert where(found) == words


def test_pixels_here_and_there_are_no_place() -> None:
    assert where(np.random.default_rng(0).normal(0, 1, (64, 48)).astype(np.float32)) == "spread over the image"


# --- with models ----------------------------------------------------------------------------------------------------------


def build(kind: str, folder: Path) -> Path:
    """A small untrained network of one of the templates, saved as ``train`` saves it."""
    from pipekit.learning.keras_backend import load_keras

    load_keras().utils.set_random_seed(3)
    template = load_registry(installed=False).get("model", kind)
    model = template.load()((12, 16, 3), 3, template.params_type()())
    folder.mkdir()
    model.save(folder / "model.keras")
    (folder / "model.json").write_text(json.dumps({"classes": ["a", "b", "c"], "input_shape_hwc": [12, 16, 3]}), "utf-8")
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(1)
    paths = [folder / f"{number}.png" for number in range(4)]
    for path in paths:
        images.write(path, rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    return paths


def explained(folder: Path, paths: list[Path], **more: Any) -> tuple[Section, list[str]]:
    predictor = load_predictor(folder, load_registry(installed=False).get)
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.2, 0.2, 0.6], [0.1, 0.9, 0.0]])
    warnings: list[str] = []
    ctx: Any = SimpleNamespace(rng=lambda *parts: rng_for(0, *parts), track=lambda items, **_: items, warn=warnings.append)
    found = section(ctx, answers([0, 1, 1, 1], probabilities, paths, predictor=predictor, **more), ExplainedParams())
    assert found is not None
    return found, warnings


@pytest.mark.parametrize(
    ("kind", "possible"),
    [("simple_cnn", "Grad-CAM|integrated gradients|occlusion"), ("row_lstm", "integrated gradients|occlusion")],
)
def test_every_network_is_explained(kind: str, possible: str, pictures: list[Path], tmp_path: Path) -> None:
    folder = build(kind, tmp_path / "model")
    found, warnings = explained(folder, pictures)
    assert warnings == []
    assert len(found.pictures) == 4
    assert any(f"The maps are made by {name}" in found.markdown for name in possible.split("|"))
    assert "shuffled weights: " in found.markdown
    for picture in found.pictures:
        info = images.probe(picture.data)
        assert info.width_px > 2.5 * info.height_px
        assert "Evidence: " in picture.alt
        assert set(picture.tags) == {"prediction", "chosen as"}
    if kind == "simple_cnn":  # the same, each time
        assert explained(folder, pictures)[0] == found


def test_a_method_is_checked_on_the_first_four_images(tmp_path: Path) -> None:
    folder = build("mlp", tmp_path / "model")
    asked = [(np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8), seed % 3) for seed in range(5)]
    ctx: Any = SimpleNamespace(rng=lambda *parts: rng_for(0, *parts), warn=pytest.fail)
    kind, _ = _kinds(ctx, SimpleNamespace(folder=folder), asked)  # type: ignore[arg-type]
    opened = maps.open_model(folder)
    shuffled = maps.randomised(opened, rng_for(0, "randomise"))

    def likeness(image: np.ndarray, target: int) -> float:
        return maps.rank_correlation(*(maps.integrated_gradients(model, image, target, 32) for model in (opened, shuffled)))

    assert kind.name == "integrated_gradients"
    assert kind.likeness == pytest.approx(np.mean([likeness(image, target) for image, target in asked[:4]]))


def test_a_network_that_can_not_be_opened_is_asked_for_its_answers(pictures: list[Path], tmp_path: Path) -> None:
    folder = build("mlp", tmp_path / "model")
    predictor = load_predictor(folder, load_registry(installed=False).get)
    (folder / "model.keras").write_bytes(b"gone")
    warnings: list[str] = []
    ctx: Any = SimpleNamespace(rng=lambda *parts: rng_for(0, *parts), track=lambda items, **_: items, warn=warnings.append)
    evaluation = answers([0, 1], np.array([[0.7, 0.2, 0.1], [0.8, 0.1, 0.1]]), pictures, predictor=predictor)
    found = section(ctx, evaluation, ExplainedParams())
    assert found is not None
    assert "The maps are made by occlusion" in found.markdown
    assert len(warnings) == 1
    assert "made by occlusion" in warnings[0]
    assert section(ctx, replace(evaluation, predictor=None), ExplainedParams()) is None


def test_the_report_has_the_section_and_a_model_without_layers_is_covered_up(colour_project: Any) -> None:
    page = (colour_project.report() / "report.html").read_text("utf-8")
    assert "Explanations<" in page
    assert "could not be checked against the same model with shuffled weights" in page
    assert page.count('class="pictures strip"') == 1
    assert "✗ red, predicted as blue" in page
    assert "Explanations<" not in (colour_project.report({"explain": 0}) / "report.html").read_text("utf-8")
