"""The stage ``augment_check``: a model that knows colours, under ops that leave colours alone and ops that don't."""

from __future__ import annotations

import csv
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pipekit
from pipekit import images
from pipekit.builtin.augment_check.forbidden import forbidden
from pipekit.builtin.augment_check.measure import Measured, _interval
from pipekit.builtin.augment_check.outputs import verdict
from pipekit.builtin.augment_check.strengths import neutral_values, scaled, settings_of, single, variants
from pipekit.cli import main
from pipekit.contract import Files, Sample
from pipekit.engine.run import run_plan
from pipekit.errors import PlanError, UserError
from pipekit.learning.significance import difference_interval
from pipekit.learning.trained_on import write_trained_on
from pipekit.params import Call
from pipekit.pipeline.plan import load_plan
from pipekit.recipe import compile_recipe
from pipekit.recipe.notation import check_ops
from pipekit.registry.registry import load_registry
from pipekit.rng import rng_for
from tests.builtin.conftest import COLOURS, ColourProject

REGISTRY = load_registry(installed=False)


def check(project: ColourProject, ops: Any, *, workers: int = 1, told: list[str] | None = None, **params: Any) -> Files:
    table = {
        "name": "trial",
        "seed": 3,
        "workers": workers,
        "plugins": ["./by_colour.py"],
        "stages": {
            "data": {"use": "import.folders", "path": "images"},
            "train": {"use": "made_model", "folder": "model"},
            "check": {"use": "augment_check", "model": "train", "dataset": "data", "ops": ops, **params},
        },
    }

    def listen(event: str, **values: Any) -> None:
        if event == "warning" and told is not None:
            told.append(values["message"])

    found = run_plan(load_plan(table=table, base_dir=project.path), listen).artifact("check")
    assert isinstance(found, Files)
    return found


def rows(found: Files) -> dict[tuple[str, float], dict[str, str]]:
    with (found.path / "augment_check.csv").open(newline="", encoding="utf-8") as file:
        return {(row["op"], float(row["strength"])): row for row in csv.DictReader(file)}


def op(text: str) -> Call:
    (call,) = check_ops(REGISTRY, text)
    return call


# --- strengths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "strength", "expected"),
    [
        ("rotate(40)", 0.25, {"limit_deg": 10.0}),
        ("brightness([0.6, 1.8])", 0.5, {"range": (0.8, 1.4)}),
        ("shift(0.2, 0.4)", 0.5, {"width": 0.1, "height": 0.2}),
        ("shift(2, 8)", 0.25, {"width": 1.0, "height": 2.0}),  # pixels stay pixels
        ("posterize(4)", 0.5, {"bits": 6}),
        ("zoom(range=[0.5, 1.5])", 0.5, {"range": (0.75, 1.25), "amount": 0.1}),
        ("jpeg([20, 60])", 0.5, {"quality": (60.0, 80.0)}),
    ],
)
def test_a_strength_is_a_part_of_the_way(text: str, strength: float, expected: dict[str, Any]) -> None:
    call = scaled(op(text), strength)
    found = {name: getattr(call.params, name) for name in neutral_values(op(text))}
    assert found == {name: pytest.approx(value) for name, value in expected.items()}
    assert scaled(op(text), 1.0).params == op(text).params


def test_what_has_no_strength() -> None:
    for text in ("hflip", "greyscale", "invert", "rotate90"):
        assert not neutral_values(op(text))
    assert not neutral_values(check_ops(REGISTRY, "hue_saturation(0, [1, 1])|hflip")[0])
    assert settings_of(op("hue_saturation(8, [1, 1])")) == "hue_deg 8"


WITH_STRENGTH = [
    component.name
    for component in REGISTRY.components("op")
    if component.name not in ("albu.*", "rescale")
    and any("neutral" in (field.json_schema_extra or {}) for field in component.params_type().model_fields.values())
]


@pytest.mark.parametrize("name", WITH_STRENGTH)
def test_an_op_at_its_neutral_values_changes_nothing(name: str) -> None:
    image = images.resize(np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8), (40, 48))
    found = compile_recipe([scaled(op(f"{name}(p=1)"), 1e-9)]).apply(image, rng_for(0)).image
    assert found.shape == image.shape
    # rounding, JPEG of quality 100, a line and a hole of one pixel: a level or two on average, where the op itself moves tens
    assert np.abs(found.astype(int) - image).mean() <= 2.5


def test_most_ops_have_a_strength() -> None:
    assert {"rotate", "brightness", "blur", "cutout", "zoom"} <= set(WITH_STRENGTH)


def test_combinators_are_taken_apart() -> None:
    calls = check_ops(REGISTRY, "one_of(identity, blur|noise, one_of(invert, hflip))|rotate")
    assert [call.name for call in single(calls)] == ["blur", "noise", "invert", "hflip", "rotate"]


def test_rows_have_names_of_their_own() -> None:
    calls = check_ops(REGISTRY, "blur|greyscale(p=0.1)|rotate(10)|greyscale|rotate(20)|rotate90([1])|rotate90([2])")
    names = [row.op for row in variants(calls, [1.0], compile_recipe)]
    assert names == [
        *("blur", "greyscale", "rotate (limit_deg 10)", "rotate (limit_deg 20)", "rotate90 (1)", "rotate90 (2)"),
        "the whole recipe",
    ]


# --- what it says --------------------------------------------------------------------------------------------------------


def test_an_op_that_destroys_the_label_shows(colour_project: ColourProject) -> None:
    found = check(colour_project, "rotate(30)|hflip|hue_saturation(180)|greyscale(p=0.1)", split="test", copies=3)
    table = rows(found)
    plain = table["none", 0.0]
    assert float(plain["accuracy"]) == pytest.approx(22 / 24, abs=1e-4)
    assert plain["images"] == "24"
    # a mean colour does not hang on where pixels are; without colour, only a guess is left
    for name, strength in (("rotate", 0.25), ("rotate", 1.0), ("hflip", 1.0)):
        assert table[name, strength]["accuracy"] == plain["accuracy"]
        assert table[name, strength]["verdict"] == "harmless"
    assert float(table["greyscale", 1.0]["accuracy"]) <= 0.5
    assert table["greyscale", 1.0]["verdict"] == "the model fails on it"
    assert [s for n, s in table if n == "hflip"] == [1.0]
    falls = [float(table["hue_saturation", strength]["drop"]) for strength in (0.25, 0.5, 1.0)]
    assert falls == sorted(falls)
    assert falls[-1] > 0.4
    row = table["hue_saturation", 1.0]
    assert float(row["drop_low"]) < float(row["drop"]) < float(row["drop_high"])
    page = (found.path / "augment_check.html").read_text("utf-8")
    assert "<strong>Your labels forbid greyscale</strong>: it changes colours, which the classes name" in page
    assert page.count("data:image/jpeg") == 3 * len(table)
    assert images.read(found.path / "augment_check.png").shape[1] > 800
    assert found.meta["facts"]["fails on"] == "2"
    assert "greyscale" in found.meta["headline"]


def test_the_split_is_val_unless_said(colour_project: ColourProject) -> None:
    assert "18 images (val)" in check(colour_project, "hflip").meta["headline"]
    assert "78 images (all)" in check(colour_project, "hflip", split="all").meta["headline"]
    assert "5 images (train)" in check(colour_project, "hflip", split="train", max_images=5).meta["headline"]


def test_workers_change_nothing(colour_project: ColourProject, tmp_path: Path) -> None:
    first = check(colour_project, "medium", workers=1)
    text = (first.path / "augment_check.csv").read_text()
    shutil.rmtree(colour_project.path / ".pipekit")
    again = check(colour_project, "medium", workers=3, batch_size=5)
    assert (again.path / "augment_check.csv").read_text() == text
    assert again.digest == first.digest


def test_mirrored_classes_are_counted_by_their_new_name(colour_project: ColourProject) -> None:
    swapped = check(colour_project, "hflip", mirror_labels={"red": "blue", "blue": "red"})
    assert float(rows(swapped)["hflip", 1.0]["accuracy"]) == pytest.approx(1 / 3, abs=1e-4)


def test_an_unsplit_folder_is_measured_with_a_warning(colour_project: ColourProject) -> None:
    (colour_project.path / "images" / "val").rename(colour_project.path / "fresh")
    table = {
        "name": "t",
        "plugins": ["./by_colour.py"],
        "stages": {
            "data": {"use": "import.folders", "path": "fresh"},
            "train": {"use": "made_model", "folder": "model"},
            "check": {"use": "augment_check", "ops": "hflip"},
        },
    }
    told: list[str] = []
    plan = load_plan(table=table, base_dir=colour_project.path)
    run_plan(plan, lambda event, **values: told.append(values["message"]) if event == "warning" else None)
    assert any("no split" in message for message in told)


def test_what_it_refuses(colour_project: ColourProject) -> None:
    with pytest.raises(PlanError, match="less than or equal to 1"):
        check(colour_project, "hflip", strengths=[2.0])
    with pytest.raises(PlanError, match="Did you mean 'hflip'"):
        check(colour_project, "hflop")
    with pytest.raises(UserError, match="no image to measure on in the split 'tset'"):
        check(colour_project, "hflip", split="tset")
    for name in ("val", "test"):
        (colour_project.path / "images" / name).rename(colour_project.path / name)
    with pytest.raises(UserError, match="no image is held out"):
        check(colour_project, "hflip")


def test_a_model_that_only_guesses_is_told_so(colour_project: ColourProject) -> None:
    colour_project.model(sureness=0.0)  # it always says the first class
    page = (check(colour_project, "hflip").path / "augment_check.html").read_text("utf-8")
    assert "Without accuracy to lose" in page


def test_the_command(
    colour_project: ColourProject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(colour_project.path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(colour_project.path / "cache"))
    words = ["augment", "--check", "model", "images", "--ops", "greyscale|rotate", "--plugin", "by_colour.py"]
    assert main([*words, "out", "--strength", "0.5", "--strength", "1"]) == 0
    said = capsys.readouterr().out
    assert "the model fails on it" in said
    assert said.rstrip().endswith("augment_check.html")
    assert sorted(path.suffix for path in Path("out").iterdir()) == [".csv", ".html", ".png"]
    found = pipekit.check_augmentation(
        "model", "images", out="python", ops="greyscale|rotate", strengths=[0.5, 1.0], plugins=["by_colour.py"]
    )
    assert (Path("python") / "augment_check.csv").read_bytes() == (Path("out") / "augment_check.csv").read_bytes()
    assert found.page.read_bytes() == (Path("out") / "augment_check.html").read_bytes()
    assert {row["op"] for row in found.rows} >= {"greyscale", "rotate"}
    with pytest.raises(PlanError) as caught:
        pipekit.check_augmentation("model", "images", copies=0, plugins=["by_colour.py"])
    assert [problem.path for problem in caught.value.problems] == ["copies"]
    assert main([*words, "--size", "20"]) == 2
    assert "--size" in capsys.readouterr().err
    assert main([*words, "images/out"]) == 2
    assert main([*words, "out"]) == 2
    assert main([*words, "--split", "a", "--split", "b"]) == 2
    assert main([*words, "--preview"]) == 2
    assert main([*words]) == 0
    assert Path("runs/augment-check/augment_check.html").is_file()
    assert len(COLOURS) == 3


@pytest.mark.parametrize(
    ("drop", "confidence_drop", "said"),
    [
        (0.3, 0.3, "fails"),
        (0.2, 0.2, "costs"),
        (0.03, 0.0, "costs"),
        (0.01, 0.06, "unsure"),
        (0.01, 0.04, "harmless"),
    ],
)
def test_the_verdict_goes_by_what_is_lost(drop: float, confidence_drop: float, said: str) -> None:
    """Half of what it knows beyond chance (here 0.5), 2 points of accuracy, 5 points of the true class's probability."""
    one, none = np.ones(40), np.zeros(1)
    measured = Measured(
        split="val",
        classes=("a", "b"),
        labels=("a", "b") * 20,
        variants=(),
        copies=1,
        plain_right=one,
        plain_confidence=one,
        correct=np.full((40, 1), 1 - drop),
        confidence=np.full((40, 1), 1 - confidence_drop),
        low=none + 0.001,
        high=none + 0.5,
        shown=(),
    )
    assert verdict(measured, 0) == said


def test_an_interval_is_as_exact_as_two_thousand_resamples_are() -> None:
    """A quantile q of R resamples of normal values has a standard error of sqrt(q (1 - q) / R) over the density there."""
    falls = np.random.default_rng(0).normal(0, 1, (300, 200))
    low, high = _interval(SimpleNamespace(rng=lambda *parts: rng_for(0, *parts)), falls)  # type: ignore[arg-type]
    error = (falls.std(axis=0) / np.sqrt(300))[None]
    away = (np.stack([low, high]) - falls.mean(axis=0)) / error - np.array([[-1.96], [1.96]])
    expected = np.sqrt(0.025 * 0.975 / 2000) / 0.0584
    assert np.sqrt((away**2).mean()) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize(("changed", "resampled"), [(0, False), (9, False), (10, True)])
def test_few_changed_answers_have_the_interval_of_tango(changed: int, resampled: bool) -> None:
    falls = np.zeros((60, 1))
    falls[:changed] = 1
    low, high = _interval(SimpleNamespace(rng=lambda *parts: rng_for(0, *parts)), falls)  # type: ignore[arg-type]
    wide = difference_interval(changed, 0, 60)
    assert high[0] > low[0]
    assert (high[0] == pytest.approx(wide[1])) is not resampled


def test_groups_of_images_count_and_not_images() -> None:
    """86 of 144 are better than chance (0.5) as single images, and not as 18 patients with eight alike images each."""
    groups = np.repeat(np.arange(18), 8)
    right = np.repeat(np.arange(18) < 11, 8).astype(np.float64)
    right[:2] = 0
    one, none = np.ones(144), np.zeros(1)
    measured = Measured("val", ("a", "b"), ("a", "b") * 72, (), 1, right, one, right[:, None], one[:, None], none, none, ())
    assert measured.knows_something
    assert not replace(measured, groups=groups).knows_something
    ctx = SimpleNamespace(rng=lambda *parts: rng_for(0, *parts))
    alone, together = (_interval(ctx, right[:, None], of) for of in (None, groups))  # type: ignore[arg-type]
    assert (together[1] - together[0])[0] == pytest.approx(8**0.5 * (alone[1] - alone[0])[0], rel=0.15)
    single = _interval(ctx, right[:, None], np.arange(144))  # type: ignore[arg-type]
    assert np.array_equal(np.stack(single), np.stack(alone))


def test_a_model_no_better_than_chance_calls_no_op_harmless(colour_project: ColourProject) -> None:
    """51 of 120 at a chance of 0.5: each op was called harmless."""
    found = check(colour_project, "hflip|rotate")
    assert {row["verdict"] for row in rows(found).values()} == {"", "harmless"}
    colour_project.model(sureness=0.0)
    found = check(colour_project, "hflip|rotate")
    assert {row["verdict"] for row in rows(found).values()} == {"", "no verdict: the model is not better than chance"}
    assert "no verdict on the ops" in found.meta["headline"]


@pytest.mark.parametrize(
    ("op_name", "classes", "word"),
    [
        ("hflip", ("turn left", "turn_right"), "left and right"),
        ("vflip", ("6", "7", "9"), "letters or digits"),
        ("hue_saturation", ("red apple", "green apple"), "colours"),
        ("vflip", ("shirt", "shoe"), ""),
        ("rotate", ("left", "right"), ""),
        ("greyscale", ("cat", "black dog"), ""),
    ],
)
def test_what_labels_forbid_is_known_by_their_names(op_name: str, classes: tuple[str, ...], word: str) -> None:
    reason = forbidden(op_name, classes, {})
    assert word in reason
    assert bool(reason) == bool(word)


def test_mirror_labels_lift_the_ban_of_a_flip() -> None:
    assert forbidden("hflip", ("left", "right"), {"left": "right", "right": "left"}) == ""


def test_only_images_that_the_model_was_not_trained_on_are_measured(colour_project: ColourProject) -> None:
    sources = sorted((colour_project.path / "images" / "val").rglob("*.png"))[:5]
    seen = [Sample(path.name, str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in sources]
    write_trained_on(colour_project.path / "model", seen)
    told: list[str] = []
    found = check(colour_project, "hflip", told=told)
    assert "13 images (val)" in found.meta["headline"]
    assert any("5 of 18 images are left out, since the model was trained on them" in message for message in told)
