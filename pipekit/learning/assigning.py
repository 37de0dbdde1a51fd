"""Splitters, samplers and comparison metrics of plugins: called, and their answers checked before anything goes by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipekit.contract import Call, SplitUnit
from pipekit.errors import PipekitError, PluginError
from pipekit.rng import Rng, rng_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def assigned(
    splitter: Any, units: Sequence[SplitUnit], fractions: Mapping[str, float], params: Any, seed: int, who: str = "it"
) -> list[str]:
    """The split of each unit, by a splitter. Units that have a place keep it.

    The splitter gets the units in the order of their keys, so that the order of the images decides nothing.

    Raises:
        PluginError: the splitter raises, or its answer is not one name of ``fractions`` for each unit.
    """
    order = sorted(range(len(units)), key=lambda n: (not units[n].place, units[n].place, units[n].key))
    given = tuple(units[n] for n in order)
    found = _called(who, lambda: splitter(given, dict(fractions), params, rng_for(seed, "splitter")))
    if isinstance(found, (str, Mapping)) or not isinstance(found, Sequence):
        raise PluginError(f"{who} must return a list with a split for each unit, and returned {_form(found)}")
    if len(found) != len(units):
        raise PluginError(f"{who} returned {len(found):,} splits for {len(units):,} units; each unit needs one")
    wrong = next((name for name in found if not isinstance(name, str) or name not in fractions), None)
    if wrong is not None:
        raise PluginError(f"{who} returned the split {wrong!r}; there are: {', '.join(fractions)}")
    places = [unit.place for unit in units]
    for number, name in zip(order, found, strict=True):
        places[number] = places[number] or name
    return places


def drawn(sampler: Any, targets: NDArray[Any], epoch: int, params: Any, rng: Rng, who: str = "it") -> NDArray[np.int64]:
    """The positions of the images of an epoch, by a sampler.

    Raises:
        PluginError: the sampler raises, or its answer is not as many positions as there are images.
    """
    import numpy as np

    given = targets.view()
    given.flags.writeable = False
    found = np.asarray(_called(who, lambda: sampler(given, epoch, params, rng)))
    if found.shape != (len(targets),) or found.dtype.kind not in "iu":
        raise PluginError(
            f"{who} must return ({len(targets)},) whole numbers, a position for each image, and returned {_form(found)}"
        )
    outside = found[(found < 0) | (found >= len(targets))]
    if len(outside):
        raise PluginError(f"{who} returned the position {int(outside[0])}; there are 0 to {len(targets) - 1}")
    return found.astype(np.int64)


def scored(metric: Any, rows: Sequence[Mapping[str, str]], params: Any, who: str = "it") -> NDArray[np.float64]:
    """A number for each image, by a comparison metric.

    Args:
        rows: rows of a report's ``predictions.csv``.

    Raises:
        PluginError: the metric raises, or its answer is not a finite number for each row.
    """
    import numpy as np

    answer = _called(who, lambda: metric(rows, params))
    try:
        found = np.asarray(answer, np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (len(rows),):
        raise PluginError(f"{who} must return ({len(rows)},) numbers, one for each image, and returned {_form(answer)}")
    if not np.isfinite(found).all():
        at = int(np.flatnonzero(~np.isfinite(found))[0])
        raise PluginError(f"{who} is {found[at]} for the image {rows[at].get('id', at)}")
    return found


def name_of(call: Call) -> str:
    """``splitter 'by_time' of plugin 'acme'``, for errors."""
    return f"{call.kind} {call.name!r} of plugin {call.component.plugin!r}"


def _called(who: str, call: Any) -> Any:
    try:
        return call()
    except PipekitError:
        raise
    except Exception as error:
        raise PluginError(f"{who} failed: {type(error).__name__}: {error}") from error


def _form(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{tuple(shape)} {getattr(value, 'dtype', '')}".strip()
    return f"{len(value)} values of type {type(value).__name__}" if isinstance(value, (list, tuple)) else type(value).__name__
