"""Parameters in words."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from pipekit.contract import Call, InputPath, Params, Uses, param
from pipekit.registry.param_rows import ParamRow, param_rows, toml_text, type_text


class Mode(Enum):
    NEAR = "near"
    FAR = "far"


class Inner(Params):
    size_px: int = param(3, "Side", unit="px", ge=1, le=9)
    again: Inner | None = param(None, "The same inside")


class Outer(Params):
    rate: float = param(1e-3, "Step", gt=0, lt=1)
    limit_deg: float = param(40.0, "Largest rotation", unit="deg", ge=0, le=180)
    count: int | None = param(None, "How many", ge=1)
    name: str = param(..., "What it is called", min_length=1, max_length=10)
    words: tuple[str, ...] = param((), "Words", max_length=3)
    pair: tuple[int, int] = param((150, 150), "Height and width", unit="px")
    mode: Literal["a", "b"] = param("a", "Which")
    how: Mode = param(Mode.NEAR, "How")
    op: Annotated[Call, Uses("op", key="op")] = param(..., "One op")
    ops: tuple[Annotated[Call, Uses("op", key="op")], ...] = param((), "Ops")
    shares: dict[str, float] = param({"train": 0.7}, "Shares")
    path: InputPath | None = param(None, "A file")
    folder: Path = param(Path("out"), "A folder")
    inner: Inner = param(Inner(), "A table")
    several: tuple[Inner, ...] = param((), "Tables")
    batch: int = param(32, "Samples at once", in_key=False, multiple_of=8)
    fast: bool = param(False, "In a\n    hurry")
    any: Any = param(None, "Whatever")


ROWS = {row.name: row for row in param_rows(Outer)}


@pytest.mark.parametrize(
    ("name", "kind", "bounds", "default", "unit"),
    [
        ("rate", "float", "above 0 to below 1", "0.001", ""),
        ("limit_deg", "float", "0 to 180", "40", "deg"),
        ("count", "int", "at least 1", "none", ""),
        ("name", "text", "1 to 10 characters", "required", ""),
        ("words", "list of text", "at most 3 items", "[]", ""),
        ("pair", "2 × int", "", "[150, 150]", "px"),
        ("mode", '"a" or "b"', "", '"a"', ""),
        ("how", '"near" or "far"', "", '"near"', ""),
        ("op", "op", "", "required", ""),
        ("ops", "list of op", "", "[]", ""),
        ("shares", "table of float", "", "{ train = 0.7 }", ""),
        ("path", "path that exists", "", "none", ""),
        ("folder", "path", "", '"out"', ""),
        ("inner", "table", "", "{ size_px = 3 }", ""),
        ("inner.size_px", "int", "1 to 9", "3", "px"),
        ("inner.again", "table", "", "none", ""),
        ("several", "list of table", "", "[]", ""),
        ("several[].size_px", "int", "1 to 9", "3", "px"),
        ("batch", "int", "a multiple of 8", "32", ""),
        ("fast", "true or false", "", "false", ""),
        ("any", "any value", "", "none", ""),
    ],
)
def test_a_row(name: str, kind: str, bounds: str, default: str, unit: str) -> None:
    row = ROWS[name]
    assert (row.type, row.bounds, row.default, row.unit) == (kind, bounds, default, unit)


def test_rows_come_in_the_order_of_the_fields_with_tables_opened() -> None:
    names = [row.name for row in param_rows(Outer)]
    assert [name for name in names if "." not in name] == list(Outer.model_fields)
    assert names[names.index("inner") + 1] == "inner.size_px"


def test_a_table_in_itself_ends() -> None:
    assert [row.name for row in param_rows(Inner)] == ["size_px", "again"]


def test_what_else_a_row_says() -> None:
    assert ROWS["name"].required
    assert not ROWS["rate"].required
    assert not ROWS["batch"].in_key
    assert ROWS["fast"].description == "In a hurry"
    assert ROWS["limit_deg"].details == "float, 0 to 180, in deg"


def test_no_parameters() -> None:
    assert param_rows(Params) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "true"),
        (0.1, "0.1"),
        (1e-7, "1e-07"),
        (0.1 + 0.2, "0.30000000000000004"),
        ('a "b" ü', '"a \\"b\\" ü"'),
        ([1, "a"], '[1, "a"]'),
        ({"a": None, "b": {"c": 1}}, "{ b = { c = 1 } }"),
        ({}, "{}"),
        (Path("a/b"), '"a/b"'),
        (Inner(), "{ size_px = 3 }"),
        (Call("op", "hflip", Params(), {"p": 0.5}, None, "op"), '{ op = "hflip", p = 0.5 }'),
    ],
)
def test_values_as_toml_writes_them(value: Any, text: str) -> None:
    assert toml_text(value) == text


def test_a_name_for_a_plain_class() -> None:
    assert type_text(complex) == "complex"
    assert type_text(list) == "list"


def test_a_row_without_unit_and_bounds() -> None:
    assert ParamRow("a", "int", "1", "", "", "", False).details == "int"
