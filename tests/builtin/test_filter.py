"""The stage ``filter``: its grammar, the columns, and what it says of mistakes."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipekit import images
from pipekit.builtin.filter import grammar
from pipekit.builtin.filter.columns import COLUMNS, Condition
from pipekit.builtin.filter.grammar import (
    COMPARISONS,
    MAX_DEPTH,
    All,
    Among,
    Column,
    Compared,
    GrammarError,
    Literal,
    Matched,
    Not,
    Truth,
    parse,
)
from pipekit.contract import Box, Sample, Targets
from pipekit.errors import StageError, UserError
from tests.conftest import DATA, Trial


def sample(**extra: Any) -> Sample:
    targets = Targets(boxes=(Box(0, 0, 5, 5, "dog"), Box(1, 1, 4, 4, "cat")))
    return Sample("pets/dog_12.jpg", "", label="dog", split="train", targets=targets, extra=extra)


def holds(text: str, **extra: Any) -> bool:
    return Condition(text)(sample(**extra))


# --- the grammar ---------------------------------------------------------------------------------------------------------


def test_not_binds_before_and_before_or() -> None:
    found = parse("a == 1 or not b == 2 and c == 3")
    assert isinstance(found, grammar.Any)
    first, second = found.parts
    assert isinstance(first, Compared)
    assert isinstance(second, All)
    assert isinstance(second.parts[0], Not)


def test_parentheses_bind_first() -> None:
    found = parse("(a == 1 or b == 2) and c == 3")
    assert isinstance(found, All)
    assert isinstance(found.parts[0], grammar.Any)


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("label = 'cat'", "write '==' instead of '='", 7),
        ("label == 'a' && label == 'b'", "write 'and' instead of '&&'", 14),
        ("label == 'a' AND split == 'train'", "expected 'and', 'or' or the end, got 'AND'", 14),
        ("label == ", "expected a value after '==', got the end", 10),
        ("", "expected a column or a value, got the end", 1),
        ("(label == 'a'", "expected ')' for the '(' at character 1, got the end", 14),
        ("label == 'a')", "this ')' closes nothing", 13),
        ("label == 'a", "the text that begins with ' has no end", 10),
        ("label in 'cat'", "expected a list after 'in'", 10),
        ("label in ['cat', dog]", "a list holds values; a text stands in quotes: 'dog'", 18),
        ("label in ['cat' 'dog']", "expected ']' or ','", 17),
        ("label in []", "expected a value in the list", 11),
        ("label matches dog", "expected a pattern in quotes", 15),
        ("1 < width < 5", "write 'a < b and b < c'", 11),
        ("width not 5", "expected 'in' or 'matches' after 'not'", 11),
        ("width > 3px", "expected a number", 9),
        ("label; drop", "';' means nothing here", 6),
        ("'cat'", "expected a comparison", 6),
        ("width > 'a'", "'width' is a number, and 'a' is a text", 9),
        ("label == 3", "'label' is a text, and 3 is a number; a text stands in quotes", 10),
        ("label in [1, 2]", "'label' is a text", 7),
        ("label", "'label' is a text; compare it", 1),
        ("mask > false", "compares numbers or texts", 6),
        ("width matches '1*'", "a pattern matches texts", 1),
        ("box_labels == 'dog'", "write: 'dog' in box_labels", 1),
        ("'dog' in label", "holds one value; write ==", 10),
        ("owner == None", "write 'none' instead of 'None'", 10),
        ("__import__('os')", "expected 'and', 'or' or the end, got '('", 11),
    ],
)
def test_a_mistake_has_its_position(text: str, message: str, at: int) -> None:
    with pytest.raises(GrammarError) as caught:
        assert Condition(text).expression
    said, shown, mark = str(caught.value).splitlines()
    assert message in said
    assert f"(at character {at})" in said
    assert shown == f"    {text}"
    assert mark.index("^") - 4 == at - 1


def test_a_mark_stands_below_its_line() -> None:
    with pytest.raises(GrammarError) as caught:
        parse("label == 'a'\nand width >")
    assert str(caught.value).splitlines()[1:] == ["    and width >", "               ^"]


def test_depth_is_limited() -> None:
    parse("(" * MAX_DEPTH + "a == 1" + ")" * MAX_DEPTH)
    with pytest.raises(GrammarError, match="within one another"):
        parse("not " * 1000)
    with pytest.raises(GrammarError, match="at most"):
        parse("a == 1 or " * 2000 + "a == 1")


def written(found: Any) -> str:
    """An expression as text."""
    if isinstance(found, Not):
        return f"not ({written(found.part)})"
    if isinstance(found, Truth):
        return f"`{found.column.name}`"
    if isinstance(found, Compared):
        return f"{written(found.left)} {found.operator} {written(found.right)}"
    if isinstance(found, Among):
        return f"{written(found.value)} in [{', '.join(written(Literal(one, 0)) for one in found.options)}]"  # type: ignore[union-attr]
    if isinstance(found, Matched):
        return f"{written(found.value)} matches {written(Literal(found.pattern, 0))}"
    if isinstance(found, Column):
        return f"`{found.name}`"
    if isinstance(found, Literal):
        if isinstance(found.value, str):
            escaped = found.value.replace("\\", "\\\\").replace("'", "\\'")
            return f"'{escaped}'"
        return repr(found.value).lower()
    word = " and " if isinstance(found, All) else " or "
    return word.join(f"({written(part)})" for part in found.parts)


def plain(found: Any) -> Any:
    """An expression without positions, and without the groups that parentheses make."""
    if isinstance(found, (Column, Literal)):
        return type(found).__name__, repr(getattr(found, "name", None)), repr(getattr(found, "value", None))
    if isinstance(found, (Not, All, grammar.Any)):
        parts = (found.part,) if isinstance(found, Not) else found.parts
        return type(found).__name__, *map(plain, parts)
    if isinstance(found, Truth):
        return "Truth", plain(found.column)
    if isinstance(found, Compared):
        return found.operator, plain(found.left), plain(found.right)
    if isinstance(found, Among):
        return "in", plain(found.value), found.options
    return "matches", plain(found.value), found.pattern


columns = st.builds(Column, st.text(st.characters(exclude_characters="`", exclude_categories=["Cs"]), min_size=1), st.just(0))
values = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5), st.booleans(), st.none())
literals = st.builds(Literal, values, st.just(0))
leaves = st.one_of(
    st.builds(Truth, columns),
    st.builds(Compared, st.sampled_from(COMPARISONS), columns, literals, st.just(0)),
    st.builds(Among, columns, st.lists(values, min_size=1, max_size=3).map(tuple), st.just(0)),
    st.builds(Matched, columns, st.text(max_size=5), st.just(0)),
)
groups = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        *(st.builds(kind, st.lists(inner, min_size=2, max_size=3).map(tuple)) for kind in (All, grammar.Any)),
    ),
    max_leaves=8,
)


@given(groups)
def test_what_is_written_is_read(found: Any) -> None:
    assert plain(parse(written(found))) == plain(found)


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["(", ")", "not", "and", "in", "[", "a", "'b'", "3", "==", ","])).map(" ".join)
)
def test_any_text_is_an_expression_or_an_error_with_a_position(text: str) -> None:
    try:
        assert Condition(text).expression
    except GrammarError as error:
        assert "(at character " in str(error)  # noqa: PT017 - the other outcome is right too


# --- values --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "label == 'dog'",
        "label != 'cat'",
        "label in ['cat', 'dog'] and split == 'train'",
        "label not in ['cat']",
        "id matches 'pets/*' and name matches 'dog_??.jpg'",
        "not name matches 'DOG*'",
        "boxes >= 2 and boxes < 3",
        "'cat' in box_labels and not 'cow' in box_labels",
        "box_labels matches 'd*'",
        "not mask",
        "mask == false",
        "keypoints == 0",
        "year < 2020 and year >= 1e3",
        "year in [2019, 2020]",
        "year == '2019'",
        "first < last",
        "day < '2020-02-01'",
        "`date taken` == '1 May'",
        "extra.width == 'wide'",
        "made.copy == 3",
        "tags == none or 'red' in tags",
        "owner == none and owner != 'me'",
        "not owner == 'me'",
        "not owner > 3 and not owner < 3 and not owner matches '*'",
        "empty == '' and not empty < 3",
        "flag and flag == true and not other",
        "(label == 'cat' or label == 'dog') and boxes == 2",
        'name == "dog_12.jpg" and quote == "it\'s"',
        r"quote == 'it\'s'",
    ],
)
def test_an_expression_holds(text: str) -> None:
    extra = {"year": "2019", "first": "9", "last": "10", "day": "2020-01-31", "date taken": "1 May", "width": "wide"}
    further = {"made": {"copy": 3}, "tags": ["red"], "empty": "", "flag": "true", "other": False, "quote": "it's"}
    assert holds(text, **extra, **further)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("year > 2000", r"year \('unknown'\) can't be compared with 2000"),
        ("tags == 'red'", "the column 'tags' is a list; write: 'value' in tags"),
        ("'red' in year", "the column 'year' is 'unknown', not a list"),
        ("year", "the column 'year' is 'unknown', not true or false"),
    ],
)
def test_a_value_that_can_not_be_compared_is_said(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        holds(text, year="unknown", tags=["red"])


def test_every_column_has_a_row_in_the_page() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs/stages/filter.md").read_text("utf-8").partition("## Expressions")[0]
    assert [name for name in COLUMNS if f"`{name}`" not in page] == []


# --- the stage -----------------------------------------------------------------------------------------------------------


def draw(trial: Trial, name: str, width: int = 40, height: int = 30) -> None:
    path = trial.path / "images" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = sum(map(ord, name)) % 256
    images.write(path, np.full((height, width, 3), shade, np.uint8))


STAGES = {"data": DATA, "some": {"use": "filter", "where": "width >= 40"}}


def kept(trial: Trial, where: str, **settings: Any) -> list[str]:
    outcome = trial.run({**STAGES, "some": {"use": "filter", "where": where}}, **settings)
    return [one.id for one in outcome.artifact("some")]


def test_sizes_labels_and_unchanged_parts(trial: Trial) -> None:
    for number in range(8):
        draw(trial, f"{'ab'[number % 2]}/{number}.png", 36 + number)
    outcome = trial.run(STAGES, shard_size=2)
    assert [one.id for one in outcome.artifact("some")] == ["a/4.png", "a/6.png", "b/5.png", "b/7.png"]
    assert outcome.artifact("some").meta["facts"] == {"kept": "4", "left out": "4"}
    before = trial.shards()
    draw(trial, "a/more.png", 99)
    outcome = trial.run(STAGES, shard_size=2)
    assert "a/more.png" in [one.id for one in outcome.artifact("some")]
    assert 0 < len(trial.shards() - before) <= 2, "the parts that did not change come from the store"


def test_columns_of_a_table(trial: Trial) -> None:
    with (trial.path / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "label", "year"])
        for number, year in enumerate(["2018", "2021", "unknown"]):
            draw(trial, f"{number}.png")
            table.writerow([f"images/{number}.png", "ab"[number % 2], year])
    data = {"use": "import.csv", "path": "table.csv"}

    def run(where: str, **settings: Any) -> Any:
        return trial.run({"data": data, "some": {"use": "filter", "where": where}}, **settings).artifact("some")

    assert [one.id for one in run("year != 'unknown' and year < 2020")] == ["images/0.png"]
    with pytest.raises(StageError, match="1 of 3 samples can't be used"):
        run("year < 2020")
    listed = run("year < 2020", max_failed=0.5)
    assert [(one.id, one.reason) for one in listed.failed()] == [
        ("images/2.png", "year ('unknown') can't be compared with 2020 by <")
    ]
    with pytest.raises(UserError, match=r"no image has a column 'yaer' \(where, character 19\)") as caught:
        run("label == 'a' and (yaer < 2020)")
    assert "Did you mean 'year'?" in caught.value.hint
    assert "further columns: year" in caught.value.hint


def test_an_unknown_class_is_a_warning_and_nothing_kept_an_error(trial: Trial) -> None:
    draw(trial, "cat/1.png")
    draw(trial, "dog/1.png")
    assert kept(trial, "label != 'cta'") == ["cat/1.png", "dog/1.png"]
    (warning,) = trial.told("warning")
    assert warning["message"] == "no image has the label 'cta' (where, character 10). Did you mean 'cat'?"
    with pytest.raises(UserError, match="none of 2 images fulfils: width > 99") as caught:
        kept(trial, "width > 99")
    assert "cat, dog" in caught.value.hint


def test_a_mistake_is_found_before_anything_runs(trial: Trial) -> None:
    with pytest.raises(UserError) as caught:
        trial.plan({"data": DATA, "some": {"use": "filter", "where": "label = 'cat'"}})
    assert "write '==' instead of '='" in str(caught.value)
