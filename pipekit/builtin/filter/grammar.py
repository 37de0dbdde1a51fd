"""The expressions of ``filter``: tokens, and a recursive descent parser. Nothing is ever executed as Python.

::

    expression := conjunction ("or" conjunction)*
    conjunction := negation ("and" negation)*
    negation := "not" negation | "(" expression ")" | comparison
    comparison := value [("==" | "!=" | "<" | "<=" | ">" | ">=") value
                        | ["not"] "in" (list | column)
                        | ["not"] "matches" text]
    list := "[" literal ("," literal)* "]"
    value := literal | column
    literal := number | text | "true" | "false" | "none"
    column := name ("." name)* | "`" any characters "`"
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

MAX_CHARACTERS = 10_000
MAX_DEPTH = 100
"""Depth of parentheses and ``not``."""

Plain: TypeAlias = str | int | float | bool | None
"""A literal."""


class GrammarError(ValueError):
    """An expression that can't be read: what is wrong, at which character from 1, and the place marked by ``^``."""

    def __init__(self, message: str, text: str, at: int) -> None:
        before, after = text[:at].rpartition("\n")[2], text[at:].partition("\n")[0]
        shown = f"{before[-60:]}{after[:40]}"
        super().__init__(f"{message} (at character {at + 1})\n    {shown}\n    {' ' * min(len(before), 60)}^")


# --- what a parser returns -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    value: Plain
    at: int


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Compared:
    """``left operator right``; the operator is one of :data:`COMPARISONS`."""

    operator: str
    left: Literal | Column
    right: Literal | Column
    at: int


@dataclass(frozen=True, slots=True)
class Among:
    """``value in [...]``, or ``value in column``, where the column holds several values."""

    value: Literal | Column
    options: tuple[Plain, ...] | Column
    at: int


@dataclass(frozen=True, slots=True)
class Matched:
    """``value matches "pattern"``."""

    value: Column
    pattern: str
    at: int


@dataclass(frozen=True, slots=True)
class Truth:
    """A column by itself, which is true or false."""

    column: Column


@dataclass(frozen=True, slots=True)
class Not:
    part: Expression


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Any:
    parts: tuple[Expression, ...]


Expression: TypeAlias = "Compared | Among | Matched | Truth | Not | All | Any"

COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
WORDS = ("and", "or", "not", "in", "matches", "true", "false", "none")
INSTEAD = {"=": "==", "<>": "!=", "&&": "and", "||": "or", "!": "not", "&": "and", "|": "or", "~": "matches", "=~": "matches"}
"""What other languages write, and what is written here."""

# --- tokens --------------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
    | (?P<word>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
    | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | `(?P<quoted>[^`]+)`
    | (?P<sign>==|!=|<=|>=|<>|&&|\|\||=~|[<>()\[\],=!&|~])""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """``kind``: number, word, text, quoted, sign, or end."""

    kind: str
    text: str
    at: int

    @property
    def shown(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text)


def tokens_of(text: str) -> list[Token]:
    """The tokens of an expression, with one of the kind ``end`` as the last.

    Raises:
        GrammarError: a character begins no token.
    """
    if len(text) > MAX_CHARACTERS:
        raise GrammarError(f"an expression has at most {MAX_CHARACTERS:,} characters, this one {len(text):,}", text, 0)
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            _no_token(text, at)
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(Token(kind, match[kind], at))
        at = match.end()
    return [*found, Token("end", "", len(text))]


def _no_token(text: str, at: int) -> NoReturn:
    character = text[at]
    if character in "'\"`":
        raise GrammarError(f"the text that begins with {character} has no end", text, at)
    if character.isdigit() or character in "+-.":
        raise GrammarError(
            "expected a number; a text stands in quotes, a column with other characters in `backticks`", text, at
        )
    raise GrammarError(f"{character!r} means nothing here; text stands in quotes", text, at)


# --- the parser ----------------------------------------------------------------------------------------------------------


def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        GrammarError: with the position.

    >>> parse("width >= 64 and label in ['cat', 'dog']").parts[0]
    Compared(operator='>=', left=Column(name='width', at=0), right=Literal(value=64, at=9), at=6)
    >>> parse("label = 'cat'")
    Traceback (most recent call last):
    pipekit.builtin.filter.grammar.GrammarError: write '==' instead of '=' (at character 7)
        label = 'cat'
              ^
    """
    parser = _Parser(text)
    found = parser.expression()
    if (token := parser.token).kind != "end":
        parser.fail(_unexpected(token), token)
    return found


def _unexpected(token: Token) -> str:
    if token.text in INSTEAD and token.kind == "sign":
        return f"write {INSTEAD[token.text]!r} instead of {token.text!r}"
    if token.text in COMPARISONS:
        return "a comparison has two sides; write 'a < b and b < c'"
    if token.text == ")":
        return "this ')' closes nothing"
    return f"expected 'and', 'or' or the end, got {token.shown}"


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._tokens, self._number, self._depth = text, tokens_of(text), 0, 0

    @property
    def token(self) -> Token:
        return self._tokens[self._number]

    def fail(self, message: str, token: Token) -> NoReturn:
        raise GrammarError(message, self._text, token.at)

    def _next(self) -> Token:
        token = self.token
        self._number += token.kind != "end"
        return token

    def _takes(self, *texts: str) -> Token | None:
        """The next token, if it is one of these words or signs."""
        token = self.token
        return self._next() if token.kind in ("word", "sign") and token.text in texts else None

    def _expect(self, text: str, why: str) -> Token:
        return self._takes(text) or self.fail(f"expected {text!r} {why}, got {self.token.shown}", self.token)

    def expression(self) -> Expression:
        parts = [self._conjunction()]
        while self._takes("or"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _conjunction(self) -> Expression:
        parts = [self._negation()]
        while self._takes("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _negation(self) -> Expression:
        if (opened := self._takes("not", "(")) is None:
            return self._comparison()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self.fail(f"more than {MAX_DEPTH} parentheses and 'not' within one another", opened)
        if opened.text == "not":
            found: Expression = Not(self._negation())
        else:
            found = self.expression()
            self._expect(")", f"for the '(' at character {opened.at + 1}")
        self._depth -= 1
        return found

    def _comparison(self) -> Expression:
        left = self._value("a column or a value")
        token = self.token
        if found := self._takes(*COMPARISONS):
            return Compared(found.text, left, self._value(f"a value after {found.text!r}"), found.at)
        negated = self._takes("not")
        if self._takes("in"):
            return _negated(Among(left, self._options(), token.at), negated)
        if self._takes("matches"):
            return _negated(self._matched(left, token), negated)
        if negated:
            self.fail(f"expected 'in' or 'matches' after 'not', got {self.token.shown}", self.token)
        if token.kind == "sign" and token.text in INSTEAD:
            self.fail(_unexpected(token), token)
        if isinstance(left, Literal):
            self.fail(f"expected a comparison, such as == or in, got {token.shown}", token)
        return Truth(left)

    def _matched(self, left: Literal | Column, operator: Token) -> Matched:
        if isinstance(left, Literal):
            self.fail("a column stands before 'matches'", operator)
        token = self._next()
        if token.kind != "text":
            self.fail(f"expected a pattern in quotes after 'matches', such as 'dog*', got {token.shown}", token)
        return Matched(left, _unquoted(token.text), operator.at)

    def _options(self) -> tuple[Plain, ...] | Column:
        if self.token.kind in ("word", "quoted") and self.token.text not in WORDS:
            return self._column(self._next())
        opened = self._takes("[", "(")
        if opened is None:
            self.fail(f"expected a list after 'in', such as ['cat', 'dog'], got {self.token.shown}", self.token)
        found = [self._literal()]
        while self._takes(","):
            found.append(self._literal())
        self._expect("]" if opened.text == "[" else ")", f"or ',' in the list from character {opened.at + 1}")
        return tuple(found)

    def _literal(self) -> Plain:
        token = self.token
        value = self._value("a value in the list")
        if isinstance(value, Column):
            self.fail(f"a list holds values; a text stands in quotes: {value.name!r}", token)
        return value.value

    def _value(self, expected: str) -> Literal | Column:
        token = self._next()
        if token.kind == "word" and token.text in WORDS[:-3]:
            self.fail(f"expected {expected}, got {token.shown}", token)
        if token.kind == "number":
            return Literal(_number(token.text), token.at)
        if token.kind == "text":
            return Literal(_unquoted(token.text), token.at)
        if token.kind == "word" and token.text in ("true", "false", "none"):
            return Literal({"true": True, "false": False, "none": None}[token.text], token.at)
        if token.kind not in ("quoted", "word"):
            self.fail(f"expected {expected}, got {token.shown}", token)
        return self._column(token)

    @staticmethod
    def _column(token: Token) -> Column:
        return Column(token.text, token.at)


def _negated(found: Expression, negated: Token | None) -> Expression:
    return found if negated is None else Not(found)


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("+-").isdecimal() else float(text)


def _unquoted(text: str) -> str:
    r"""A text without its quotes; ``\'``, ``\"`` and ``\\`` stand for the character."""
    return re.sub(r"\\(['\"\\])", r"\1", text[1:-1])
