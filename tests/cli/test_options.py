from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, strategies

from pipekit.cli.options import flag_of, read_value
from pipekit.params import Call
from pipekit.registry.param_rows import toml_text


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("3", int, 3),
        ("0.5", float, 0.5),
        ("5", str, "5"),
        ("5", str | None, "5"),
        ("5", int | str, 5),
        ("auto", int | Literal["auto"], "auto"),
        ("true", Literal["true", "false"], "true"),
        ("[1, 2]", tuple[int, ...], [1, 2]),
        ('["a"]', list[str], ["a"]),
        ("a, b", tuple[str, ...], ["a", "b"]),
        ("a", list[str], ["a"]),
        ("a, b", str | tuple[str, ...], "a, b"),
        ("shift(0.1, 0.2)|hflip", tuple[Call, ...], "shift(0.1, 0.2)|hflip"),
        ("hflip", tuple[Call, ...], "hflip"),
        ("mean(1, 2)", list[str], "mean(1, 2)"),
        ("{ train = 0.7 }", dict[str, float], {"train": 0.7}),
        ('{"train": 0.7}', dict[str, float], {"train": 0.7}),
        ("a/b", Path, "a/b"),
        ("not [ toml", float, "not [ toml"),
        (True, bool, True),
    ],
)
def test_a_value_is_read_as_what_is_meant(text: object, annotation: object, value: object) -> None:
    assert read_value(text, annotation) == value


def test_a_parameter_gives_way_to_the_commands_own_option() -> None:
    assert flag_of("image_size_px", {"out"}) == "image-size-px"
    assert flag_of("out", {"out"}) == "param-out"


PLAIN = strategies.one_of(
    strategies.booleans(),
    strategies.integers(-(2**53), 2**53),
    strategies.floats(allow_nan=False, allow_infinity=False),
    strategies.text(strategies.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20),
)


@given(strategies.recursive(PLAIN, lambda inner: strategies.lists(inner, max_size=3), max_leaves=6))
def test_what_is_shown_as_a_default_can_be_typed(value: object) -> None:
    """The text that --help and the tables show for a default reads back as that default."""
    assert read_value(toml_text(value)) == value
