"""Variants of a recipe: each op by itself, at fractions of its strength."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipekit.contract import Call
from pipekit.recipe.compiled import CompiledRecipe
from pipekit.recipe.notation import neutral_values
from pipekit.recipe.preview import always

WHOLE = "the whole recipe"


@dataclass(frozen=True)
class Variant:
    """One row of the table: an op at a strength.

    Attributes:
        op: its name, with its settings if the recipe has several ops of that name.
        settings: its parameters at this strength; empty for an op without a strength.
        strength: a fraction of the strength in the recipe.
        scalable: whether other strengths are possible.
    """

    op: str
    settings: str
    strength: float
    scalable: bool
    recipe: CompiledRecipe


def variants(
    calls: Sequence[Call], strengths: Sequence[float], compile: Callable[[Sequence[Call]], CompiledRecipe]
) -> list[Variant]:
    """All rows: the ops in order, each at its strengths, then the whole recipe."""
    ops = list({repr(call.to_plain()): call for call in map(always, single(calls))}.values())
    names = [call.name for call in ops]
    found = []
    for number, call in enumerate(ops):
        name = (
            call.name
            if names.count(call.name) == 1
            else f"{call.name} ({settings_of(call) or names[: number + 1].count(call.name)})"
        )
        scalable = bool(neutral_values(call))
        for strength in sorted(set(strengths)) if scalable else [1.0]:
            weaker = scaled(call, strength)
            words = settings_of(weaker) if scalable else ""
            found.append(Variant(name, words, strength, scalable, compile([weaker])))
    return [*found, Variant(WHOLE, "", 1.0, False, compile(calls))]


def single(calls: Sequence[Call]) -> Iterator[Call]:
    """The ops, with those inside ``one_of`` and similar ops one by one, and without ops that never change anything."""
    for call in calls:
        inner = getattr(call.params, "ops", None)
        if inner:
            yield from single(inner)
        elif call.name != "identity":
            yield call


def scaled(call: Call, strength: float) -> Call:
    """The op with its parameters interpolated between their neutral values and those of the recipe."""
    changed: dict[str, Any] = {}
    for name, neutral in neutral_values(call).items():
        value = getattr(call.params, name)
        if isinstance(value, tuple):
            changed[name] = tuple(_between(neutral, one, strength) for one in value)
        else:
            changed[name] = _between(neutral, value, strength)
            if value >= 1 > changed[name] and neutral == 0 and "unit" not in (_extra(call, name) or {}):
                changed[name] = 1.0  # such a parameter counts pixels from 1 on, and is a fraction of the side below
    return replace(call, params=call.params.model_copy(update=changed))


def _extra(call: Call, name: str) -> Any:
    return type(call.params).model_fields[name].json_schema_extra


def _between(neutral: float, value: Any, strength: float) -> Any:
    found = neutral + strength * (value - neutral)
    return round(found) if isinstance(value, int) else found


def settings_of(call: Call) -> str:
    """``limit_deg 20``: the parameters that hold a strength."""
    words = []
    for name in neutral_values(call):
        value = getattr(call.params, name)
        numbers = value if isinstance(value, tuple) else (value,)
        words.append(f"{name} {' to '.join(f'{number:.3g}' for number in numbers)}")
    return ", ".join(words)
