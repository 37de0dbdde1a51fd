"""Is a model better than chance? The one test that every verdict about a model's predictions asks first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipekit.learning.significance import exact


def better_than_chance(hits: float, total: float, most_frequent: float) -> bool:
    """Whether a model clearly beats always predicting the most frequent class.

    Args:
        hits, total: correct predictions, and all.
        most_frequent: the share of the images that the most frequent class would be correct for.

    Returns:
        True if the 95 % interval of the accuracy (Clopper and Pearson 1934) lies above that share.

    >>> better_than_chance(51, 120, 0.5), better_than_chance(75, 120, 0.5)
    (False, True)
    """
    return exact(hits, total)[0] > most_frequent


def knows_something(metrics: Mapping[str, Any]) -> bool:
    """:func:`better_than_chance` for the content of ``metrics.json``, whose interval allows for groups of images."""
    return bool(metrics["accuracy"]["low"] > metrics["baseline"]["accuracy"])


def trained_to_know(model: Mapping[str, Any]) -> bool | None:
    """Whether a model was better than chance on val in its kept epoch, by its ``model.json``; None if that isn't recorded.

    Where val comes in groups (patients, videos), each counts as one image: nothing says how alike its images are.
    """
    history, kept = model.get("history") or [], model.get("kept_epoch")
    number, most_frequent = (model.get("images") or {}).get("val"), model.get("val_most_frequent")
    if not isinstance(kept, int) or not 1 <= kept <= len(history) or not number or most_frequent is None:
        return None
    accuracy = history[kept - 1].get("val_accuracy")
    counted = min(number, model.get("val_groups") or number)
    return None if accuracy is None else better_than_chance(round(accuracy * number) * counted / number, counted, most_frequent)
