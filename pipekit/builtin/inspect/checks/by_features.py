"""Checks that see pictures by the features of a pretrained network; they say nothing without an ``embed`` stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipekit.builtin.inspect import examples
from pipekit.contract import Context, Finding, Params, param
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

if TYPE_CHECKING:
    from pipekit.builtin.inspect.sight import Sight

Rows = Sequence[Mapping[str, Any]]


class ForeignParams(Params):
    spreads: float = param(
        5.0, "Report an image whose similarity to its neighbours lies so many spreads below its class's median", gt=1
    )


class AlikeParams(Params):
    apart: float = param(
        0.75,
        "Report two classes if the upper end of the interval of the accuracy between them lies below this; chance is 0.5",
        gt=0.5,
        lt=1,
    )


class LabelsParams(Params):
    least_chance: float = param(
        0.01,
        "Several labels: report a label that is wrong with at least this probability, by a cautious estimate. A higher one "
        "gives a shorter list, with fewer right labels and fewer wrong ones",
        gt=0,
        lt=1,
    )


@examples.example(examples.foreign)
@supports(CLASSES, MULTILABEL, NUMBER)
def foreign(rows: Rows, ctx: Context, params: ForeignParams, features: Sight | None = None) -> Iterator[Finding]:
    """Images that resemble no other: another subject, a drawing among photographs, a test card."""
    if features is not None:
        from pipekit.builtin.inspect.unusual import find_foreign

        yield from find_foreign(rows, features, params.spreads)


@examples.example(examples.suspected_labels)
@supports(CLASSES, MULTILABEL, NUMBER)
def suspected_labels(rows: Rows, ctx: Context, params: LabelsParams, features: Sight | None = None) -> Iterator[Finding]:
    """Images that a model, which did not learn from them, confidently takes for another class than their label's.

    With several labels for each image: labels that are missing or wrong. With numbers: those far from what the picture looks
    like.
    """
    if features is None:
        return
    if getattr(rows, "task", CLASSES) != CLASSES:
        from pipekit.builtin.inspect.suspects_of_tasks import find_suspects_of_task

        yield from find_suspects_of_task(rows, features, params.least_chance)
        return
    from pipekit.builtin.inspect.unusual import find_suspects

    yield from find_suspects(rows, features)


@examples.example(examples.alike_classes)
@supports(CLASSES, MULTILABEL, why={NUMBER: "numbers have no classes that could be alike"})
def alike_classes(rows: Rows, ctx: Context, params: AlikeParams, features: Sight | None = None) -> Iterator[Finding]:
    """Pairs of classes whose images a model can't tell apart."""
    if features is not None:
        from pipekit.builtin.inspect.unusual import find_alike

        yield from find_alike(rows, features, params.apart)
