"""Parameters: checked, nested, and in a form that a key can be made of."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import ValidationError, model_validator

from pipekit.errors import UserError
from pipekit.params import Call, InputPath, Params, Uses, canonical, param
from pipekit.registry.component import Component
from pipekit.registry.registry import Registry, load_registry


class Form(Enum):
    ROUND = "round"


class Inner(Params):
    width_px: int = param(1, "Width", unit="px", ge=1)


class Options(Params):
    p: float = param(1.0, "How often", ge=0, le=1)


class Outer(Params):
    size_px: int = param(3, "Size", unit="px", ge=1)
    names: list[str] = param([], "Names")
    table: dict[str, float] = param({}, "Numbers by name")
    inner: Inner = param(Inner(), "A table")
    inners: tuple[Inner, ...] = param((), "Several tables")
    form: Form = param(Form.ROUND, "Form")
    choice: Literal["a", "b"] = param("a", "One of two")
    kinds: frozenset[str] = param(frozenset(), "A set")
    batch: int = param(8, "Not in the key", in_key=False)


class Reader(Params):
    path: InputPath = param(..., "What to read")


class Caller(Params):
    ops: tuple[Annotated[Call, Uses("op", "op", Options)], ...] = param((), "Ops")
    executor: Annotated[Call, Uses("executor")] = param("serial", "An executor")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(installed=False)


def problems(registry: Registry, kind: type[Params], values: dict[str, Any]) -> dict[tuple[Any, ...], tuple[str, str]]:
    found, listed = registry.problems(kind, values, Path("/nowhere"))
    assert (found is None) == bool(listed)
    return {place: (message, hint) for place, message, hint in listed}


def test_parameters_are_frozen_and_their_defaults_are_not_shared() -> None:
    one, other = Outer(), Outer()
    one.names.append("x")
    one.table["x"] = 1
    assert (other.names, other.table) == ([], {})
    with pytest.raises(ValidationError):
        one.size_px = 4  # type: ignore[misc]


def test_every_problem_has_its_place(registry: Registry) -> None:
    found = problems(
        registry,
        Outer,
        {
            "size_px": 0,
            "table": {"x": "y"},
            "inner": {"widht_px": 2},
            "inners": [{}, {"width_px": 0}],
            "choice": "c",
            "nams": 1,
        },
    )
    assert found == {
        ("size_px",): ("input should be greater than or equal to 1, got 0", ""),
        ("table", "x"): ("input should be a valid number, unable to parse string as a number, got 'y'", ""),
        ("inner", "widht_px"): ("no parameter called 'widht_px'", "Did you mean 'width_px'?"),
        ("inners", 1, "width_px"): ("input should be greater than or equal to 1, got 0", ""),
        ("choice",): ("input should be 'a' or 'b', got 'c'", ""),
        ("nams",): ("no parameter called 'nams'", "Did you mean 'names'?"),
    }


class Range(Params):
    low: int = param(0, "From")
    high: int = param(1, "To")

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self


class Either(Params):
    values: list[int] | Range = param(Range(), "These, or from here to there")
    names: list[str] | Literal["auto"] = param("auto", "Names, or found out")
    sizes: tuple[int | Annotated[list[Inner], "of several parts"], ...] = param((), "Numbers, or tables")
    table: dict[str, int | list[int] | None] | None = param(None, "By name")


@pytest.mark.parametrize(
    ("values", "place", "message"),
    [
        ({"names": 5}, ("names",), "input should be a valid list, or 'auto', got 5"),
        ({"names": ["a", 5]}, ("names", 1), "input should be a valid string, got 5"),
        (
            {"sizes": [3, "x"]},
            ("sizes", 1),
            "input should be a valid integer, unable to parse string as an integer, or a valid list",
        ),
        (
            {"sizes": [3, [{}, {"width_px": 0}]]},
            ("sizes", 1, 1, "width_px"),
            "input should be greater than or equal to 1, got 0",
        ),
        (
            {"table": {"x": "y"}},
            ("table", "x"),
            "input should be a valid integer, unable to parse string as an integer, or a valid",
        ),
        ({"values": {"low": 3}}, ("values",), "low must not be above high"),
        ({"values": {"low": "x"}}, ("values", "low"), "input should be a valid integer"),
        ({"sizes": "3"}, ("sizes",), "expected a list, got '3'"),
        ({"table": 5}, ("table",), "input should be a valid dictionary, got 5"),
    ],
)
def test_a_value_of_one_of_several_types_is_one_problem(
    registry: Registry, values: dict[str, Any], place: tuple[str | int, ...], message: str
) -> None:
    ((found, (text, _)),) = problems(registry, Either, values).items()
    assert found == place
    assert text.startswith(message)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(registry: Registry, value: float) -> None:
    assert list(problems(registry, Outer, {"table": {"x": value}})) == [("table", "x")]


def test_a_default_out_of_bounds_is_found(registry: Registry) -> None:
    class Wrong(Params):
        size: int = param(0, "Size", ge=1)

    assert ("size",) in problems(registry, Wrong, {})


# --- nested components ---------------------------------------------------------------------------------------------------


def test_a_component_is_chosen_by_name_or_by_a_table(registry: Registry) -> None:
    params = registry.check_params(
        Caller, {"ops": ["hflip", {"op": "rotate", "limit_deg": 10, "p": 0.5}], "executor": "threads"}
    )
    flip, rotate = params.ops
    assert (flip.kind, flip.name, flip.options) == ("op", "hflip", {"p": 1.0})
    assert (rotate.name, rotate.params.limit_deg, rotate.options) == ("rotate", 10, {"p": 0.5})  # type: ignore[attr-defined]
    assert rotate.load() is registry.get("op", "rotate").load()
    again = registry.check_params(Caller, params.model_dump(mode="json"))
    assert again == params, "the JSON form says it all"


def test_problems_of_nested_components_have_their_full_place(registry: Registry) -> None:
    found = problems(
        registry,
        Caller,
        {
            "ops": ["hflip", {"op": "rotat"}, {"op": "rotate", "limit_deg": 400, "p": 2}, {"limit_deg": 3}, 5],
            "executor": "thread",
        },
    )
    assert set(found) == {
        ("ops", 1, "op"),
        ("ops", 2, "limit_deg"),
        ("ops", 2, "p"),
        ("ops", 3),
        ("ops", 4),
        ("executor", "use"),
    }
    assert found["ops", 1, "op"] == ("no op called 'rotat'", "Did you mean 'rotate'? List them: pipekit components op")
    assert "expected the name of a component of kind 'op'" in found["ops", 4][0]


# --- files ---------------------------------------------------------------------------------------------------------------


def test_a_path_is_relative_to_the_pipeline_file_and_must_exist(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    for given in ("a.txt", "./a.txt", "x/../a.txt", str(tmp_path / "a.txt")):
        (tmp_path / "x").mkdir(exist_ok=True)
        assert registry.check_params(Reader, {"path": given}, tmp_path).path == tmp_path / "a.txt"
    for given in ("b.txt", "", 3, None, ["a.txt"], "a\0b"):
        with pytest.raises(UserError, match="path: "):
            registry.check_params(Reader, {"path": given}, tmp_path)


# --- keys ----------------------------------------------------------------------------------------------------------------


def key(value: Any) -> Any:
    return canonical(value, lambda path: f"content of {path.name}", lambda component: {"lib": "1"})


def test_the_form_of_parameters_in_a_key() -> None:
    assert key(Outer(kinds=frozenset("ba"), table={"z": 1, "a": 2}, inners=(Inner(),))) == {
        "choice": "a",
        "form": "round",
        "inner": {"width_px": 1},
        "inners": [{"width_px": 1}],
        "kinds": ["a", "b"],
        "names": [],
        "size_px": 3,
        "table": {"a": 2.0, "z": 1.0},
    }
    assert key(Outer()) == key(Outer(size_px=3, batch=99)), "defaults written out change nothing"


def test_a_key_has_a_files_content_and_a_components_version(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    assert key(registry.check_params(Reader, {"path": "a.txt"}, tmp_path)) == {"path": {"content": "content of a.txt"}}
    call = registry.check_params(Caller, {"ops": ["hflip"]}).ops[0]
    found = key(call)
    assert found["component"] == ["op", "hflip", call.component.version]
    assert found["options"] == {"p": 1.0}
    newer = Call(call.kind, call.name, call.params, call.options, Component("op", "hflip", None, version=9))
    assert key(newer)["component"] == ["op", "hflip", 9]
