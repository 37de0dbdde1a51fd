"""Line numbers of TOML: every key that tomllib finds has one, and it is right."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipekit.pipeline.toml_lines import line_numbers, nearest_line

TEXT = '''\
# a comment with = and [brackets]
name = "x # no comment"
"quoted \\"key\\"" = 1
'literal.key' = 2
dotted.inner . deep = 3

[stages.train]   # a comment
model = { template = "cnn", "a b" = [1, { c = 2 }] }
augment = [
  { op = "rotate", limit = 40 },   # one
  # none
  { op = "hflip" }, [
    1,
    2 ],
]
text = """
several = lines
[not a header]
""\\"still text"""
raw = \'\'\'
'quotes''\'\'\'
when = 1979-05-27 07:32:00
last = 1
[[list]]
a = 1
[[list]]
a = 2
[list.sub]
b = 3
[[list.inner]]
c = 4
["stages".'other one']
use = "x"'''


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key and list item of a parsed file."""
    found = [place] if place else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [inner for key, item in items for inner in places(item, (*place, key))]


def test_every_form_of_toml() -> None:
    lines = line_numbers(TEXT)
    assert set(places(tomllib.loads(TEXT))) == set(lines)
    rows = TEXT.splitlines()

    def row(*place: Any) -> str:
        return rows[lines[place] - 1]

    assert row("name").startswith("name")
    assert row('quoted "key"') == '"quoted \\"key\\"" = 1'
    assert row("dotted", "inner", "deep").startswith("dotted")
    assert row("stages") == row("stages", "train") == "[stages.train]   # a comment"
    assert row("stages", "train", "model", "a b", 1, "c").startswith("model")
    assert row("stages", "train", "augment", 0, "limit") == '  { op = "rotate", limit = 40 },   # one'
    assert row("stages", "train", "augment", 1, "op").startswith('  { op = "hflip" }')
    assert row("stages", "train", "augment", 2, 1) == "    2 ],"
    assert row("stages", "train", "last") == "last = 1"
    assert row("list", 1, "a") == "a = 2"
    assert row("list", 1, "sub", "b") == "b = 3"
    assert row("list", 1, "inner", 0, "c") == "c = 4"
    assert row("stages", "other one", "use") == 'use = "x"'


def test_the_nearest_line_of_what_is_not_written() -> None:
    lines = line_numbers(TEXT)
    assert nearest_line(lines, ("stages", "train", "epochs")) == lines["stages", "train"]
    assert nearest_line(lines, ("stages", "train", "augment", 0, "p")) == lines["stages", "train", "augment", 0]
    assert nearest_line(lines, ("nothing",)) is None


# --- against tomllib -----------------------------------------------------------------------------------------------------

bare = st.text("abcXYZ019_-", min_size=1, max_size=4)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def basic(text: str) -> str:
    """A TOML basic string."""
    escaped = "".join(
        f"\\u{ord(letter):04x}" if ord(letter) < 32 or ord(letter) == 127 or letter in '"\\' else letter for letter in text
    )
    return f'"{escaped}"'


keys = st.one_of(bare, anything.map(basic), st.text('ab .#=[]{}"', max_size=5).map(lambda text: f"'{text}'"))
spaces = st.sampled_from(["", " ", "\t "])
breaks = st.sampled_from(["", "\n", ' # a comment ]}"\n', "\r\n", "\n\n  "])
scalars = st.one_of(
    st.sampled_from(["1", "-1.5e3", "true", "inf", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00", "07:32:00", "0xff"]),
    anything.map(basic),
    st.sampled_from(
        ["''", "'a # b'", '""""""', '"""a\nb = 1\n[c]"""', "'''\n'x'\n'''", '"""\\\n  z"""', '"""q""""', "'''a'''''"]
    ),
)


@st.composite
def arrays(draw: Any, inner: Any) -> str:
    items = [draw(breaks) + draw(inner) + draw(breaks) for _ in range(draw(st.integers(0, 3)))]
    end = draw(st.sampled_from(["", ","])) if items else ""
    return "[" + ",".join(items) + end + draw(breaks) + "]"


@st.composite
def inline_tables(draw: Any, inner: Any) -> str:
    names = draw(st.lists(keys, max_size=3, unique=True))
    return "{" + ", ".join(f"{name}{draw(spaces)}={draw(spaces)}{draw(inner)}" for name in names) + "}"


values = st.recursive(scalars, lambda inner: st.one_of(arrays(inner), inline_tables(inner)), max_leaves=6)


@st.composite
def documents(draw: Any) -> str:
    text = ""
    for _ in range(draw(st.integers(0, 4))):
        dotted = f"{draw(spaces)}.{draw(spaces)}".join(draw(st.lists(keys, min_size=1, max_size=3)))
        kind = draw(st.sampled_from(["", "[%s]\n", "[[%s]]\n", "[ %s ] # x\r\n"]))
        text += kind % dotted if kind else ""
        for _ in range(draw(st.integers(0, 3))):
            name = f"{draw(spaces)}.{draw(spaces)}".join(draw(st.lists(keys, min_size=1, max_size=2)))
            text += f"{draw(spaces)}{name}{draw(spaces)}={draw(spaces)}{draw(values)}{draw(spaces)}"
            text += draw(st.sampled_from(["\n", " # end\n", "\r\n", "\n\n# [x]\n"]))
    return text


@settings(max_examples=200, deadline=None)
@given(documents())
def test_every_key_of_any_document_is_found_on_its_line(text: str) -> None:
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    text = text.replace("\r\n", "\n")  # as reading a file does
    lines = line_numbers(text)
    assert set(places(parsed)) <= set(lines)
    rows = text.split("\n")
    for place, line in lines.items():
        named = [step for step in place if isinstance(step, str)]
        if not isinstance(place[-1], str) or not named[-1].isalnum() or not named[-1].isascii():
            continue
        assert named[-1] in rows[line - 1]
