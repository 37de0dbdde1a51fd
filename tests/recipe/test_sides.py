"""Left and right of keypoints: mirror tables, and recipes that may mirror."""

from __future__ import annotations

import numpy as np
import pytest

from pipekit.contract import Box, Category, Keypoint, Sample, Targets
from pipekit.recipe import compile_recipe
from pipekit.recipe.sides import NumberedParams, counterparts_of, may_mirror, numbered_columns
from pipekit.registry.registry import load_registry

OWL = Category("owl", keypoints=("0", "1", "beak"), mirror=(1, 0, 2))
FISH = Category("fish", keypoints=("0", "left_fin", "right_fin"))
BROKEN = Category("ant", keypoints=("0", "1"), mirror=(1,))


def test_each_class_has_its_own_table_and_other_points_what_all_classes_agree_on() -> None:
    assert counterparts_of([OWL, FISH, BROKEN]) == {
        "owl": {"0": "1", "1": "0", "beak": "beak"},
        "": {"beak": "beak", "left_fin": "right_fin", "right_fin": "left_fin"},
    }
    assert counterparts_of([FISH, BROKEN]) == {}


def test_numbers_count_where_no_table_has_them() -> None:
    boxes = (Box(1, 1, 9, 9, "owl"), Box(1, 1, 9, 9, "fish"))
    points = [Keypoint(2, 2, "1", of=0), Keypoint(2, 2, "7", of=0), Keypoint(2, 2, "12", of=1), Keypoint(2, 2, "eye", of=1)]
    samples = [Sample(str(at), "", targets=Targets(boxes=boxes, keypoints=(point,))) for at, point in enumerate(points)]
    samples += [Sample("val", "", split="val", targets=Targets(keypoints=(Keypoint(2, 2, "3"),))), Sample("none", "")]
    params = NumberedParams(splits=("train",), counterparts=counterparts_of([OWL, FISH]))
    found = numbered_columns(samples, params)["highest"]
    assert np.array_equal(found, [-1, 7, 12, -1, -1, -1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ("hflip", True),
        ("vflip(p=0.01)", True),
        ("one_of(rotate, transpose)", True),
        ("albu.D4", True),
        ("rotate(40)|shift(0.2, 0.2)|crop(4000, 4000)", False),
        ("rotate90|brightness", False),
        ("hflip(p=0)|rotate(40)", False),
        ("albu.GaussNoise", False),
    ],
)
def test_recipes_that_may_mirror(ops: str, expected: bool) -> None:
    assert may_mirror(compile_recipe(ops, registry=load_registry(installed=False))) == expected
