"""The progress of one run, or of each run of a pipeline with ``[matrix]``, and the result of the latter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pipekit.ui import NAME, coloured, duration, say, table, warn
from pipekit.ui.progress import RunDisplay

if TYPE_CHECKING:
    from types import TracebackType

    from pipekit.engine.matrix import Combination, MatrixOutcome

OF_ONE_RUN = ("run_finished",)


class CombinationsDisplay:
    """A listener for one run, or for all combinations: each has its own display while it runs, and one line when it is done.

    A display is entered with the first event of its run, so that nothing is drawn while the pipeline is checked.

    Args:
        make: creates the display of one run.
        as_json: forward every event and print nothing else.
    """

    def __init__(self, make: Callable[[], RunDisplay], as_json: bool) -> None:
        self._make = make
        self._as_json = as_json
        self._stack = ExitStack()
        self._display: RunDisplay | None = None
        self._several = False

    def __enter__(self) -> CombinationsDisplay:
        if self._as_json:  # what a plugin prints while it is loaded goes to stderr, too
            self._display = self._stack.enter_context(self._make())
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, failure, trace)

    def __call__(self, event: str, /, **values: Any) -> None:
        if self._as_json:
            assert self._display is not None
            self._display(event, **values)
        elif event == "combination_started":
            self._several = True
            say(f"{values['number']} of {values['total']}: {_words(values['values'])}", NAME)
            self._display = self._stack.enter_context(self._make())
        elif event == "combination_finished":
            self._stack.close()
            result = values["error"] or values["headline"]
            say(f"  {_number(values['score'])}  {result}".rstrip())
        elif not (self._several and event in OF_ONE_RUN):
            if self._display is None:
                self._display = self._stack.enter_context(self._make())
            self._display(event, **values)


def show_combinations(outcome: MatrixOutcome) -> None:
    """Print the table of all combinations, the best on top and marked."""
    names = list(outcome.combinations[0].values)
    order = sorted(outcome.combinations, key=lambda row: (row is not outcome.best, row.number))
    rows = []
    for row in order:
        style = NAME if row is outcome.best else ""
        cells = [row.run, *(_words({name: row.values[name]}, bare=True) for name in names), _score(row)]
        rows.append([coloured(cell, style) for cell in (*cells, row.error or row.headline, duration(row.seconds))])
    say()
    table(("run", *names, outcome.select, "result", "time"), rows)
    say()
    for warning in outcome.warnings:
        warn(warning)
    if outcome.best is not None:
        say(f"Best by {outcome.select}: {_words(outcome.best.values)}. {outcome.best.headline}".rstrip(), NAME)
        if outcome.best.sd is not None:
            say(
                f"Each combination was trained with {len(outcome.best.of_seeds)} seeds, and the mean chose; ± is the standard "
                "deviation between seeds. `pipekit compare` compares two of them as recipes: name the runs of the table."
            )
        if len(outcome.combinations) > 1 and "val" in outcome.select:
            say(
                f"{outcome.select} chose among {len(outcome.combinations)} runs, so it flatters the best one; a test metric "
                "that chose nothing doesn't. Read that of the best run only."
            )
        say(f"Results: {outcome.run_dir}, and the table in matrix.csv there")


def _words(values: Mapping[str, Any], bare: bool = False) -> str:
    from pipekit.registry.param_rows import toml_text

    return ", ".join(toml_text(value) if bare else f"{name} = {toml_text(value)}" for name, value in values.items())


def _score(row: Combination) -> str:
    return _number(row.score) + ("" if row.sd is None else f" ± {row.sd:.2g}")


def _number(score: float | None) -> str:
    return "-" if score is None else f"{score:.4g}"
