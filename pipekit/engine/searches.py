"""Searches of ``[matrix]``: called, and their proposals checked before anything runs by them."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pipekit.contract import Call, SearchSpace, Trial, ValueRange
from pipekit.errors import PipekitError, PluginError
from pipekit.pipeline.matrix_table import Matrix
from pipekit.registry.component import error_text
from pipekit.registry.param_rows import toml_text


class Search:
    """The combinations of a matrix, in the order in which they run.

    Attributes:
        total: the number of combinations; of a search that goes by results, the largest number.
    """

    def __init__(self, matrix: Matrix, seed: int) -> None:
        self._matrix = matrix
        self._steps: Generator[Any, Trial, Any] | None = None
        self._listed: list[dict[str, Any]] | None = None
        if not isinstance(matrix.search, Call):
            self._who, self._listed = "", list(grid(matrix))
        else:
            self._who = f"search {matrix.search.name!r} of plugin {matrix.search.component.plugin!r}"
            self._begin(matrix.search, seed)
        self.total = matrix.trials if self._listed is None else len(self._listed)

    def _begin(self, call: Call, seed: int) -> None:
        from pipekit.rng import rng_for

        matrix = self._matrix
        values = {
            name: choices if isinstance(choices, ValueRange) else tuple(copy.deepcopy(choices))
            for name, choices in matrix.values.items()
        }
        space = SearchSpace(values, matrix.goal, matrix.trials, seed)
        found = self._called(lambda: call.load()(space, call.params, rng_for(seed, "search")))
        if isinstance(found, Generator):
            self._steps = found
            return
        if not isinstance(found, (list, tuple)):
            raise PluginError(
                f"{self._who} must return a list of combinations or be a generator of them, "
                f"and returned a value of type {type(found).__name__}"
            )
        if not 0 < len(found) <= matrix.trials:
            raise PluginError(f"{self._who} returned {len(found):,} combinations; trials asks for 1 to {matrix.trials:,}")
        self._listed = [self._checked(one) for one in found]

    def known(self) -> list[dict[str, Any]]:
        """The combinations that are known before anything has run: all of them, or the first if it goes by results."""
        return self._listed if self._listed is not None else list(itertools.islice(self.run([]), 1))

    def run(self, trials: Sequence[Trial]) -> Iterator[dict[str, Any]]:
        """Each combination in turn.

        Args:
            trials: the caller adds the result of each combination before it asks for the next.

        Raises:
            PluginError: the search raises, or it proposes something else than one of the values for each name.
        """
        if self._steps is None:
            yield from self._listed or ()
            return
        steps = self._steps
        for number in range(self._matrix.trials):
            result: Any = trials[-1] if number else None
            try:
                found = self._called(partial(steps.send, result))
            except StopIteration:
                if not number:
                    raise PluginError(f"{self._who} proposed no combination") from None
                return
            yield self._checked(found)

    def _called(self, call: Any) -> Any:
        try:
            return call()
        except (PipekitError, StopIteration):
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"{self._who} failed: {error_text(error)}") from error

    def _checked(self, found: Any) -> dict[str, Any]:
        """A proposal with the values as the file has them, in the order of the names there."""
        if not isinstance(found, Mapping):
            raise PluginError(f"{self._who} must propose a mapping of names to values, and gave {found!r:.80}")
        known = self._matrix.values
        for words, names in (("without", known.keys() - found.keys()), ("with the unknown name", found.keys() - known.keys())):
            if names:
                raise PluginError(f"{self._who} proposed a combination {words} {min(map(str, names))!r}")
        return {name: self._value(name, choices, found[name]) for name, choices in known.items()}

    def _value(self, name: str, choices: list[Any] | ValueRange, given: Any) -> Any:
        value = given.item() if hasattr(given, "dtype") and getattr(given, "ndim", 0) == 0 else given  # a number of NumPy
        if not isinstance(choices, ValueRange):
            same = [one for one in choices if one == value and isinstance(one, bool) == isinstance(value, bool)]
            if not same:
                listed = ", ".join(toml_text(one) for one in choices)
                raise PluginError(f"{self._who} proposed {name} = {value!r:.80}; the values are: {listed}")
            return same[0]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise PluginError(f"{self._who} proposed {name} = {value!r:.80}, expected a finite number")
        if not choices.low <= value <= choices.high:
            raise PluginError(f"{self._who} proposed {name} = {value!r}; the range is {choices.low:g} to {choices.high:g}")
        if choices.whole and value != int(value):
            raise PluginError(f"{self._who} proposed {name} = {value!r}, expected an integer")
        return int(value) if choices.whole else float(value)


def grid(matrix: Matrix) -> Iterator[dict[str, Any]]:
    """Every combination, the last name changing fastest."""
    lists = [choices for choices in matrix.values.values() if isinstance(choices, list)]
    for values in itertools.product(*lists):
        yield dict(zip(matrix.values, values, strict=True))


def first_of_each(matrix: Matrix) -> dict[str, Any]:
    """The first value of each name, or the lowest of its range: with them the names can be checked before anything runs."""
    return {name: choices.at(0) if isinstance(choices, ValueRange) else choices[0] for name, choices in matrix.values.items()}
