"""Recipes as people write them, and every way to write them wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipekit.errors import UserError
from pipekit.recipe.compiled import compile_recipe
from pipekit.recipe.notation import check_ops, parse_ops
from pipekit.registry.registry import Registry, load_registry
from pipekit.rng import rng_for


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("hflip", [{"op": "hflip"}]),
        (
            "rotate(40)|hflip|albu.GaussNoise(p=0.3)",
            [{"op": "rotate", "limit_deg": 40}, {"op": "hflip"}, {"op": "albu.GaussNoise", "p": 0.3}],
        ),
        ("rotate(40, fill_mode=reflect)", [{"op": "rotate", "limit_deg": 40, "fill_mode": "reflect"}]),
        ("brightness([0.5, 1.5])", [{"op": "brightness", "range": [0.5, 1.5]}]),
        ("zoom(0.2, keep_aspect=true)", [{"op": "zoom", "amount": 0.2, "keep_aspect": True}]),
        (
            "one_of(blur|noise, hflip, p=0.5)",
            [
                {
                    "op": "one_of",
                    "ops": [{"op": "sequence", "ops": [{"op": "blur"}, {"op": "noise"}]}, {"op": "hflip"}],
                    "p": 0.5,
                }
            ],
        ),
        ("some_of(ops=[blur, noise], n=1)", [{"op": "some_of", "ops": [{"op": "blur"}, {"op": "noise"}], "n": 1}]),
    ],
)
def test_one_line_of_text(registry: Registry, text: str, tables: list[dict[str, Any]]) -> None:
    assert parse_ops(text, registry) == tables
    assert [call.name for call in check_ops(registry, text)] == [table["op"] for table in tables]


def test_all_forms_mean_the_same(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('ops = [{ op = "rotate", limit_deg = 10 }, "hflip"]\n')
    forms: list[Any] = [
        "mine.toml",
        "rotate(10)|hflip",
        ["rotate(10)", "hflip"],
        [{"op": "rotate", "limit_deg": 10}, {"op": "hflip"}],
        ["rotate(10)|hflip"],
    ]
    plain = [[call.to_plain() for call in check_ops(registry, form, tmp_path)] for form in forms]
    assert all(found == plain[0] for found in plain)
    assert check_ops(registry, plain[0]) == check_ops(registry, forms[1])


def test_presets_alone_and_among_others(registry: Registry) -> None:
    light = check_ops(registry, "light")
    assert check_ops(registry, ["light", "noise"]) == (*light, *check_ops(registry, "noise"))
    assert check_ops(registry, "light|noise") == check_ops(registry, ["light", "noise"])
    assert [call.name for call in check_ops(registry, "one_of(light, hflip)")] == ["one_of"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("rotat(40)", "no op called 'rotat'.*Did you mean 'rotate'"),
        ("light|medim", "no op called 'medim'.*Did you mean 'medium'"),
        ("hflip|rotate(limi=3)", r"no parameter called 'limi', in 'hflip\|rotate\(limi=3\)'.*Did you mean 'limit_deg'"),
        ("rotate(400)", "less than or equal to 180, got 400"),
        ("rotate(0)", "greater than 0"),
        ("hflip(p=1.2)", "less than or equal to 1, got 1.2"),
        ("noise(p=-0.1)", "greater than or equal to 0"),
        ("rotate(fill_mode=refect)", "'nearest', 'constant', 'reflect' or 'wrap', got 'refect'"),
        ("rotate(40|", "can't read the ops"),
        ("rotate(40, 30, 20, 10, 5)", "takes at most 4 values"),
        ("rotate(40, limit_deg=30)", "twice"),
        ("light(3)", "takes no values"),
        ("rotate(40)|hflip()()", "expected an op's name"),
        ("rotate(1+1)", "expected a plain value"),
        ("rotate(__import__('os').getcwd())", "expected a plain value"),
        ("__import__('os')", "no op called '__import__'"),
        ("rotate(**{'limit_deg': 3})", "expected name=value"),
        ("[hflip]", "expected an op's name"),
        ("", "can't read the ops"),
        ("nowhere.toml", "no such recipe file"),
        ("rotate(p=0)|hflip(p=0)", "never changes anything"),
        ("identity", "never changes anything"),
        ("shift(0, 0, fill_mode='wrap')|zoom(0)|rotate(p=0)", "never changes anything"),
        ("one_of(identity, brightness([1, 1]))", "never changes anything"),
        ("some_of(blur, noise, n=3)", "3 of 2 ops can't be chosen"),
        ("one_of(blur, noise, weights=[1])", "expected 2, one for each op, got 1"),
        ("one_of()", "is required"),
        ("brightness([1.5, 0.5])", "the smaller value comes first"),
        (3, "expected a list of ops"),
        ([3], "expected the name of a component"),
        ([{"limit_deg": 3}], "expected the name of a component"),
    ],
)
def test_mistakes_are_named(registry: Registry, value: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_ops(registry, value)
    assert re.search(message, str(caught.value)), str(caught.value)


def test_all_mistakes_at_once_each_with_its_place(registry: Registry) -> None:
    with pytest.raises(UserError) as caught:
        check_ops(registry, ["rotate(400)", "hflp", {"op": "one_of", "ops": [{"op": "blur", "sigma": 3}, "nois"]}])
    text = caught.value.message
    assert "ops[0].limit_deg" in text
    assert "ops[1].op: no op called 'hflp'" in text
    assert "ops[2].ops[0].sigma" in text
    assert "ops[2].ops[1].op: no op called 'nois'" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ops = 3", "holds no list of ops"),
        ("op = []", "no entry called 'op'.*Did you mean 'ops'"),
        ("ops = [", "not valid TOML"),
    ],
)
def test_recipe_files_are_checked(registry: Registry, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "r.toml").write_text(content)
    with pytest.raises(UserError) as caught:
        check_ops(registry, "r.toml", tmp_path)
    assert re.search(message, str(caught.value)), str(caught.value)


def test_a_recipe_that_uses_itself_ends(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('ops = ["b.toml"]')
    (tmp_path / "b.toml").write_text('ops = ["a.toml"]')
    with pytest.raises(UserError, match="recipes inside recipes"):
        check_ops(registry, "a.toml", tmp_path)


@settings(max_examples=150, deadline=None)
@given(text=st.text(alphabet="rotate()|,.=[]'\"hflip0123_- {}*+\n\\", max_size=40))
def test_no_text_breaks_the_parser(registry: Registry, text: str) -> None:
    try:
        check_ops(registry, text)
    except UserError as error:
        problem = error.message
        assert problem


@pytest.mark.parametrize(
    "ops", ["shift(0, 0.1)", "pad(0, square=True)", "one_of(identity, hflip)", "identity|blur", "greyscale"]
)
def test_what_changes_some_pictures_is_a_recipe(registry: Registry, ops: str) -> None:
    assert check_ops(registry, ops)


@pytest.mark.parametrize(("deep", "accepted"), [(8, True), (9, False)])
def test_recipes_may_be_eight_deep_inside_one(registry: Registry, tmp_path: Path, deep: int, accepted: bool) -> None:
    for number in range(deep):
        (tmp_path / f"{number}.toml").write_text(f'ops = ["{number + 1}.toml"]')
    (tmp_path / f"{deep}.toml").write_text('ops = [{ op = "hflip" }]')
    if accepted:
        assert [op.name for op in check_ops(registry, "0.toml", tmp_path)] == ["hflip"]
    else:
        with pytest.raises(UserError, match="recipes inside recipes, more than 8 deep"):
            check_ops(registry, "0.toml", tmp_path)


@pytest.mark.parametrize("preset", ["light", "medium", "heavy", "keras_tutorial"])
def test_presets_mirror_half_of_the_images(registry: Registry, preset: str) -> None:
    """As ``horizontal_flip`` of Keras does. A mirrored image is one whose homography has a negative determinant."""
    recipe = compile_recipe(preset, (16, 16), registry=registry)
    blank = np.zeros((16, 16, 3), np.uint8)
    matrices = [recipe.apply(blank, rng_for(0, number)).matrix for number in range(300)]
    assert np.mean([matrix is not None and np.linalg.det(matrix) < 0 for matrix in matrices]) == pytest.approx(0.5, abs=0.08)
