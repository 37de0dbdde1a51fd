"""Rows: round trips, sorting in flat memory, locations that survive a move, digests that hang on content alone."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipekit import Box, Keypoint, Sample, Targets
from pipekit.store import rows
from pipekit.store.locations import Locations, Row
from pipekit.store.rows import Sorter, content, decode, digest, dumps, encode, from_row, to_row

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Any text, with what file names that are not UTF-8 become in Python (U+DC80 to U+DCFF).
texts = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)))
numbers = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)
boxes = st.builds(Box, numbers, numbers, numbers, numbers, texts)
points = st.builds(Keypoint, numbers, numbers, texts, st.booleans())
targets = st.builds(
    Targets,
    mask=st.just(""),
    boxes=st.lists(boxes, max_size=2).map(tuple),
    keypoints=st.lists(points, max_size=2).map(tuple),
) | st.builds(Targets, mask=texts.filter(bool), mask_sha256=texts)
samples = st.builds(
    Sample,
    texts,
    texts,
    texts,
    st.none() | texts,
    st.sampled_from(["", "train", "val", "test"]),
    targets,
    st.dictionaries(texts, plain, max_size=3),
)


@given(samples)
def test_a_sample_comes_back_from_its_row(sample: Sample) -> None:
    assert from_row(json.loads(dumps(to_row(sample)))) == sample


@given(samples)
def test_a_line_is_canonical_and_comes_back(sample: Sample) -> None:
    row = to_row(sample)
    line = encode(row)
    assert from_row(decode(line)) == sample
    assert encode(decode(line)) == line == encode(dict(reversed(row.items())))
    assert b"\n" not in line


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": float("-inf")}], {"a": None, "b": float("nan")}])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        encode(value)


def test_numbers_of_numpy_are_numbers() -> None:
    row = {"id": "a", "x": np.float64(0.00001), "y": np.float64(1.5), "z": 2**70, "w": None}
    assert decode(encode(row)) == row
    assert encode(decode(encode(row))) == encode(row)


@given(samples, texts)
def test_content_is_the_same_wherever_the_file_lies(sample: Sample, place: str) -> None:
    moved = replace(sample, image=place)
    if sample.targets.mask:
        moved = replace(moved, targets=replace(moved.targets, mask=place + "x"))
    assert content(to_row(moved)) == content(to_row(sample))


@pytest.mark.parametrize(
    "change",
    [
        {"id": "b"},
        {"sha256": "1"},
        {"label": "dog"},
        {"label": None},
        {"split": "test"},
        {"extra": {"source": 1}},
        {"targets": Targets(boxes=(Box(0, 0, 2, 1),))},
        {"targets": Targets(keypoints=(Keypoint(0, 0),))},
        {"targets": Targets(mask="m.png", mask_sha256="2")},
    ],
)
def test_content_changes_with_everything_else(change: dict[str, Any]) -> None:
    sample = Sample("a", "a.png", "0", "cat", "train", Targets(boxes=(Box(0, 0, 1, 1),)))
    assert content(to_row(replace(sample, **change))) != content(to_row(sample))


@given(st.lists(texts, max_size=4), st.lists(texts, max_size=4))
def test_digests_of_different_parts_differ(one: list[str], other: list[str]) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)
    assert digest("ab", "c") != digest("a", "bc")


def test_json_is_canonical_and_refuses_what_is_no_number() -> None:
    assert dumps({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"é"],"b":1}'
    with pytest.raises(ValueError, match="Out of range"):
        dumps(float("nan"))


# --- sorting -------------------------------------------------------------------------------------------------------------


@SLOW
@given(st.dictionaries(texts, st.dictionaries(texts, plain), max_size=30), st.integers(1, 7))
def test_the_sorter_agrees_with_sorted(tmp_path: Path, pairs: dict[str, Any], spill: int) -> None:
    sorter = Sorter(tmp_path / "runs", spill * 100)
    for key, row in pairs.items():
        sorter.add(key, row)
    assert list(sorter) == [(key, pairs[key]) for key in sorted(pairs)]
    assert not list(tmp_path.glob("runs/*")), "the runs on disk are gone"


# --- locations -----------------------------------------------------------------------------------------------------------

names = st.text(string.ascii_letters + " é@/\\-.", min_size=1).filter(lambda name: not name.startswith("/"))
roots = st.sampled_from(["/p/.pipekit/", "/p/", "/data/", "/p2/", "/p/images/", "/"])


@given(roots, names)
def test_unpack_undoes_pack(root: str, name: str) -> None:
    locations = Locations(Path("/p/.pipekit"), Path("/p"))
    assert locations.unpack(locations.pack(root + name)) == root + name


@given(names)
def test_what_lies_in_the_project_moves_with_it(name: str) -> None:
    here, there = Locations(Path("/p/.pipekit"), Path("/p")), Locations(Path("/q/r/.pipekit"), Path("/q/r"))
    assert there.unpack(here.pack(f"/p/{name}")) == f"/q/r/{name}"
    assert there.unpack(here.pack(f"/p/.pipekit/{name}")) == f"/q/r/.pipekit/{name}"
    assert there.unpack(here.pack(f"/data/{name}")) == f"/data/{name}"


@given(names)
def test_a_folder_that_moved_is_found_and_keeps_its_first_place_in_rows(name: str) -> None:
    locations = Locations(Path("/p/.pipekit"), Path("/p"))
    locations.moved = {"/data/old": "/data/new"}
    assert locations.unpack(f"/data/old/{name}") == f"/data/new/{name}"
    assert locations.pack(f"/data/new/{name}") == f"/data/old/{name}"
    assert locations.unpack(f"/data/older/{name}") == f"/data/older/{name}", "only whole folder names count"
    row = locations.plain({"id": "x", "image": f"/data/old/{name}"})
    assert Locations(locations.store, locations.project).unpack(row["image"]) == f"/data/new/{name}"


@pytest.mark.parametrize("moved", [{}, {"/data/old": "/data/new"}])
@pytest.mark.parametrize("becomes", [{}, {"/p/.pipekit/tmp/x": "/p/.pipekit/artifacts/ab/key"}])
def test_rows_for_others_name_present_locations(moved: dict[str, str], becomes: dict[str, str]) -> None:
    """Also where most need no look: rows of images outside the store."""
    locations = Locations(Path("/p/.pipekit"), Path("/p"))
    locations.moved.update(moved)
    locations.becomes.update(becomes)
    simple = Locations(Path("/p/.pipekit"), Path("/p"))
    paths = [
        "@project/cat.png",
        "@store/artifacts/ab/key/files/cat.png",
        "@store/parts/cat.png",
        "/data/old/cat.png",
        "/cat.png",
    ]
    for image in paths:
        for mask in (None, *paths):
            row: Row = {"id": "x", "image": image, **({} if mask is None else {"targets": {"mask": mask}})}
            assert locations.plain(row) == simple.pack_row(locations.unpack_row(row))


def test_masks_are_located_like_images() -> None:
    locations = Locations(Path("/p/.pipekit"), Path("/p"))
    row = to_row(Sample("a", "/p/a.png", targets=Targets("/p/masks/a.png", "1")))
    packed = locations.pack_row(row)
    assert packed["image"] == "@project/a.png"
    assert packed["targets"]["mask"] == "@project/masks/a.png"
    assert locations.unpack_row(packed) == row
    assert row["image"] == "/p/a.png", "the row itself is left as it was"


def test_many_sorted_files_become_one(tmp_path: Path) -> None:
    sorter = Sorter(tmp_path / "runs", 3 * 220)
    keys = [f"{number * 7919 % 1000:04}\n\udc80" for number in range(1000)]
    for place, key in enumerate(keys):
        sorter.add(key, {"id": key, "n": place})
        if place % 50 == 0 and place:
            assert len(list((tmp_path / "runs").iterdir())) <= rows.MAX_RUNS
    assert list(sorter) == sorted(((key, {"id": key, "n": place}) for place, key in enumerate(keys)), key=lambda pair: pair[0])
    assert list((tmp_path / "runs").iterdir()) == []
