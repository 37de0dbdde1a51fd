"""The columns of a sample that an expression can name, and the value of an expression for a sample."""

from __future__ import annotations

import fnmatch
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from pipekit.builtin.filter.grammar import (
    WORDS,
    All,
    Among,
    Column,
    Compared,
    Expression,
    GrammarError,
    Literal,
    Matched,
    Not,
    Truth,
    parse,
)
from pipekit.contract import Sample
from pipekit.errors import UserError, did_you_mean

TEXT, NUMBER, TRUTH, TEXTS = "a text", "a number", "true or false", "a list of texts"

META = "extra."
"""Before the name of a further column of the dataset that has the name of a column of every dataset."""


class Seen:
    """A sample, whose header is read only where a column needs it."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample

    @cached_property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels as displayed.

        Raises:
            ImageError: the file is no image.
        """
        from pipekit import images

        info = images.probe(images.read_bytes(self.sample.image))
        return info.width_px, info.height_px


@dataclass(frozen=True, slots=True)
class Known:
    """A column of every dataset."""

    type: str
    value: Callable[[Seen], Any]
    summary: str


COLUMNS: Mapping[str, Known] = {
    "id": Known(TEXT, lambda seen: seen.sample.id, "the id, such as `cat/1.jpg`"),
    "name": Known(TEXT, lambda seen: seen.sample.id.rpartition("/")[2], "the last part of the id: `1.jpg`"),
    "label": Known(TEXT, lambda seen: seen.sample.label, "the class; `none` for an image without one"),
    "labels": Known(TEXTS, lambda seen: list(seen.sample.labels or ()), "the labels, in a dataset of several labels an image"),
    "value": Known(NUMBER, lambda seen: seen.sample.value, "the number, in a dataset of numbers"),
    "split": Known(TEXT, lambda seen: seen.sample.split or None, "`train`, `val` or `test`; `none` while unassigned"),
    "width": Known(NUMBER, lambda seen: seen.size_wh[0], "the width in pixels, as displayed"),
    "height": Known(NUMBER, lambda seen: seen.size_wh[1], "the height in pixels, as displayed"),
    "aspect": Known(NUMBER, lambda seen: seen.size_wh[0] / seen.size_wh[1], "width divided by height"),
    "boxes": Known(NUMBER, lambda seen: len(seen.sample.targets.boxes), "the number of boxes"),
    "keypoints": Known(NUMBER, lambda seen: len(seen.sample.targets.keypoints), "the number of keypoints"),
    "mask": Known(TRUTH, lambda seen: bool(seen.sample.targets.mask), "whether there is a mask"),
    "box_labels": Known(
        TEXTS, lambda seen: sorted({box.label for box in seen.sample.targets.boxes}), "the classes of the boxes"
    ),
}

SYNONYMS = {"class": "label", "classes": "label", "file": "name", "filename": "name", "w": "width", "h": "height"}

Test: TypeAlias = Callable[[Seen], bool]


@dataclass(frozen=True)
class Condition:
    """An expression, ready to be asked of samples.

    Raises:
        GrammarError: it can't be read, or compares what can't be compared.

    >>> from pipekit.contract import Sample
    >>> cat = Sample("cat/1.jpg", "", label="cat", extra={"camera": "A7", "year": "2019"})
    >>> [Condition(text)(cat) for text in ("label == 'cat' and year < 2020", "camera matches 'B*'", "owner != none")]
    [True, False, False]
    """

    text: str

    @cached_property
    def expression(self) -> Expression:
        found = parse(self.text)
        _check(found, self.text)
        return found

    @cached_property
    def _test(self) -> Test:
        return _compiled(self.expression)

    def __call__(self, sample: Sample) -> bool:
        """Whether the sample fulfils the expression.

        Raises:
            UserError: a value can't be compared with another one.
            ImageError: a column needs the image's size, and the file is no image.
        """
        return self._test(Seen(sample))

    def meta_columns(self) -> dict[str, Column]:
        """The further columns of the dataset that it names, by their names without ``extra.``."""
        return {column.name.removeprefix(META): column for column in columns_in(self.expression) if column.name not in COLUMNS}


def columns_in(found: Expression) -> Iterator[Column]:
    """Every column that an expression names, in order."""
    if isinstance(found, Not):
        yield from columns_in(found.part)
    elif isinstance(found, Truth):
        yield found.column
    elif isinstance(found, Matched):
        yield found.value
    elif isinstance(found, Compared):
        yield from (side for side in (found.left, found.right) if isinstance(side, Column))
    elif isinstance(found, Among):
        yield from (side for side in (found.value, found.options) if isinstance(side, Column))
    else:
        for part in found.parts:
            yield from columns_in(part)


def literals_of(found: Expression, name: str) -> Iterator[tuple[str, int]]:
    """The texts that an expression compares with the column ``name`` for equality, each with its position."""
    if isinstance(found, Not):
        yield from literals_of(found.part, name)
    elif isinstance(found, Compared) and found.operator in ("==", "!="):
        sides = (found.left, found.right)
        if any(isinstance(side, Column) and side.name == name for side in sides):
            yield from ((side.value, side.at) for side in sides if isinstance(side, Literal) and isinstance(side.value, str))
    elif isinstance(found, Among) and isinstance(found.value, Column) and found.value.name == name:
        if isinstance(found.options, tuple):
            yield from ((option, found.at) for option in found.options if isinstance(option, str))
    elif not isinstance(found, (Compared, Among, Matched, Truth)):
        for part in found.parts:
            yield from literals_of(part, name)


# --- what can be compared ------------------------------------------------------------------------------------------------


def _check(found: Expression, text: str) -> None:
    """Refuse comparisons that the types of the columns of every dataset exclude."""
    for column in columns_in(found):
        if column.name.lower() in WORDS:
            raise GrammarError(f"write {column.name.lower()!r} instead of {column.name!r}", text, column.at)
    if isinstance(found, Not):
        _check(found.part, text)
    elif isinstance(found, Truth):
        if (type := _type(found.column)) not in (None, TRUTH):
            raise GrammarError(f"{found.column.name!r} is {type}; compare it, such as with ==", text, found.column.at)
    elif isinstance(found, Compared):
        _check_compared(found, text)
    elif isinstance(found, Among):
        _check_among(found, text)
    elif isinstance(found, Matched):
        if (type := _type(found.value)) in (NUMBER, TRUTH):
            raise GrammarError(f"{found.value.name!r} is {type}, and a pattern matches texts", text, found.value.at)
    else:
        for part in found.parts:
            _check(part, text)


def _check_compared(found: Compared, text: str) -> None:
    for one, other in ((found.left, found.right), (found.right, found.left)):
        if isinstance(one, Column) and _type(one) == TEXTS:
            raise GrammarError(f"{one.name!r} is {TEXTS}; write: 'dog' in {one.name}", text, one.at)
        _check_type(one, other, text)
    ordered = found.operator not in ("==", "!=")
    for side in (found.left, found.right):
        if ordered and (_type(side) == TRUTH or (isinstance(side, Literal) and side.value is None)):
            raise GrammarError(f"{found.operator!r} compares numbers or texts; write == or != here", text, found.at)


def _check_among(found: Among, text: str) -> None:
    if isinstance(found.options, Column):
        if (type := _type(found.options)) not in (None, TEXTS):
            raise GrammarError(f"{found.options.name!r} is {type}, which holds one value; write ==", text, found.options.at)
        return
    if _type(found.value) == TEXTS and isinstance(found.value, Column):
        raise GrammarError(f"{found.value.name!r} is {TEXTS}; write: 'dog' in {found.value.name}", text, found.value.at)
    for option in found.options:
        _check_type(found.value, Literal(option, found.at), text)


def _check_type(one: Literal | Column, other: Literal | Column, text: str) -> None:
    """The types of a column of every dataset and of what it is compared with must agree."""
    if not (isinstance(one, Column) and one.name in COLUMNS):
        return
    mine, theirs = _type(one), _type(other)
    if theirs is not None and mine != theirs:
        shown = repr(other.value) if isinstance(other, Literal) else repr(other.name)
        hint = "; a text stands in quotes" if mine == TEXT and isinstance(other, Literal) else ""
        raise GrammarError(f"{one.name!r} is {mine}, and {shown} is {theirs}{hint}", text, other.at)


def _type(side: Literal | Column) -> str | None:
    """The type of a column or value; None if only the rows tell, and for ``none``."""
    if isinstance(side, Column):
        return COLUMNS[side.name].type if side.name in COLUMNS else None
    if side.value is None:
        return None
    return TRUTH if isinstance(side.value, bool) else NUMBER if isinstance(side.value, (int, float)) else TEXT


def unknown(name: str, known: list[str]) -> str:
    """What is said of a column that no row has."""
    near = did_you_mean(name, [*COLUMNS, *known])
    if name.lower() in SYNONYMS:
        near = f"Did you mean {SYNONYMS[name.lower()]!r}?"
    further = f"This dataset's further columns: {', '.join(known)}." if known else "This dataset has no further columns."
    return f"{near} Columns of every dataset: {', '.join(COLUMNS)}. {further}".strip()


# --- values --------------------------------------------------------------------------------------------------------------

Value: TypeAlias = Callable[[Seen], Any]

ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compiled(found: Expression) -> Test:
    if isinstance(found, Not):
        inner = _compiled(found.part)
        return lambda seen: not inner(seen)
    if isinstance(found, Truth):
        return _truth(found.column)
    if isinstance(found, Compared):
        return _comparison(found)
    if isinstance(found, Among):
        return _membership(found)
    if isinstance(found, Matched):
        return _match(found)
    parts = [_compiled(part) for part in found.parts]
    if isinstance(found, All):
        return lambda seen: all(part(seen) for part in parts)
    return lambda seen: any(part(seen) for part in parts)


def _value(side: Literal | Column) -> Value:
    if isinstance(side, Literal):
        value = side.value
        return lambda seen: value
    if side.name in COLUMNS:
        return COLUMNS[side.name].value
    name = side.name.removeprefix(META)
    return lambda seen: meta_value(seen.sample.extra, name)


def meta_value(extra: Mapping[str, Any], name: str) -> Any:
    """The value of a further column, or of one inside it: ``augmented.copy``; None if there is none."""
    if name in extra:
        return extra[name]
    first, dot, rest = name.partition(".")
    inner = extra.get(first)
    return meta_value(inner, rest) if dot and isinstance(inner, Mapping) else None


def _truth(column: Column) -> Test:
    value = _value(column)

    def test(seen: Seen) -> bool:
        found = value(seen)
        if isinstance(found, str) and found.lower() in ("true", "false"):
            return found.lower() == "true"
        if found is None or isinstance(found, bool):
            return bool(found)
        raise UserError(f"the column {column.name!r} is {_shown(found)}, not true or false; compare it, such as with ==")

    return test


def _comparison(found: Compared) -> Test:
    left, right = _value(found.left), _value(found.right)
    texts = any(isinstance(side, Literal) and isinstance(side.value, str) for side in (found.left, found.right))

    def pair(seen: Seen) -> tuple[Any, Any]:
        values = left(seen), right(seen)
        for side, value in zip((found.left, found.right), values, strict=True):
            if isinstance(value, (list, tuple, Mapping)) and None not in values:
                name = side.name if isinstance(side, Column) else ""
                raise UserError(f"the column {name!r} is {_shown(value)}; write: 'value' in {name}")
        return values

    if found.operator in ("==", "!="):
        wanted = found.operator == "=="
        return lambda seen: _equal(*pair(seen)) is wanted
    compare = ORDER[found.operator]

    def test(seen: Seen) -> bool:
        one, other = pair(seen)
        if one in (None, "") or other in (None, ""):
            return False
        if texts and isinstance(one, str) and isinstance(other, str):
            return compare(one, other)
        a, b = _number(one), _number(other)
        if a is not None and b is not None:
            return compare(a, b)
        if isinstance(one, str) and isinstance(other, str):
            return compare(one, other)
        raise UserError(f"{_named(found.left, one)} can't be compared with {_named(found.right, other)} by {found.operator}")

    return test


def _membership(found: Among) -> Test:
    value = _value(found.value)
    if isinstance(found.options, tuple):
        options = found.options
        return lambda seen: any(_equal(value(seen), option) for option in options)
    column, several = found.options, _value(found.options)

    def test(seen: Seen) -> bool:
        members = several(seen)
        if members is None:
            return False
        if not isinstance(members, (list, tuple)):
            raise UserError(f"the column {column.name!r} is {_shown(members)}, not a list; compare it with == or matches")
        return any(_equal(value(seen), member) for member in members)

    return test


def _match(found: Matched) -> Test:
    value, pattern = _value(found.value), re.compile(fnmatch.translate(found.pattern))

    def test(seen: Seen) -> bool:
        given = value(seen)
        members = given if isinstance(given, (list, tuple)) else [given]
        return any(bool(pattern.match(_text(member))) for member in members if member is not None)

    return test


def _equal(one: Any, other: Any) -> bool:
    """Equality, where a text that is written as a number or as true or false equals what it says."""
    if isinstance(one, str) == isinstance(other, str) or one is None or other is None:
        return bool(one == other)
    text, value = (one, other) if isinstance(one, str) else (other, one)
    if isinstance(value, bool):
        return bool(text.lower() == str(value).lower())
    return bool(_number(text) == value)


def _number(value: Any) -> float | None:
    """A number, or a text that is one; None for anything else."""
    if isinstance(value, (bool, int, float)):
        return float(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(value: Any) -> str:
    kind = "a list" if isinstance(value, (list, tuple)) else "a table" if isinstance(value, Mapping) else repr(value)
    return kind[:60]


def _named(side: Literal | Column, value: Any) -> str:
    return f"{side.name} ({_shown(value)})" if isinstance(side, Column) else _shown(value)
