"""Which images to label next, with a suggested class, and what more labels are likely to bring: by features on the disk.

The probe is a logistic regression on the features of the labelled images. Before each class has :data:`ENOUGH` labels, typical
images come first: those in the middle of groups in which nothing is labelled (Hacohen, Dekel and Weinshall 2022, "Active
Learning on a Budget"). Then those that the probe is unsure of, far from one another.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENOUGH = 8
"""Labels of each class, on average, from which the probe's doubts say more than the groups of images."""

MORE = 50
"""Further labels whose likely effect is stated."""

FEWEST = 30
"""Labelled images that a learning curve needs; each class at least :data:`FOLDS` of them."""

FOLDS = 5
DIMENSIONS = 64
PENALTY = 0.03
MOST_LABELLED = 2000
MOST_WAITING = 20_000
"""Images that a round considers: those with labels, and those without, drawn at random."""

SHARES = (0.25, 0.5, 1.0)
REPEATS = 4
POWERS = (0.25, 1.25)
"""How steeply the error falls with the number of labels; which power holds can't be known from three sizes."""

DRAWS = 400


def suggest(folder: str, rows: Sequence[int], labels: Sequence[str], count: int = 40) -> dict[str, Any]:
    """The next images to label.

    Args:
        folder: of a run with ``embeddings.npy``.
        rows: the row of ``embeddings.npy`` for each image; -1 for none.
        labels: the class of each image; "" for none, "-" for one that is left out.

    Returns:
        ``next``: ``{"row", "label", "p"}`` of at most ``count`` images; ``by``: ``typical`` or ``unsure``; ``probe``: its
        accuracy and the gain of :data:`MORE` labels as intervals, or the reason why they can't be stated.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    from pipekit.learning.out_of_fold import principal_components
    from pipekit.rng import rng_for

    rng = rng_for(0, "labelling")
    table, at = np.load(Path(folder) / "embeddings.npy", mmap_mode="r"), np.asarray(rows, np.int64)
    names = sorted({name for name in labels if name not in ("", "-")})
    code = {name: number for number, name in enumerate(names)} | {"": -1, "-": -2}
    classes = np.array([code[name] for name in labels], np.int64)
    known = _some(np.flatnonzero((classes >= 0) & (at >= 0)), MOST_LABELLED, rng)
    waiting = _some(np.flatnonzero((classes == -1) & (at >= 0)), MOST_WAITING, rng)
    both = np.concatenate([known, waiting])
    if not len(waiting):
        return {"next": [], "by": "", "probe": {"why": "every image has a class"}}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's about an early stop, which is a stronger penalty
        values = principal_components(table, DIMENSIONS, at[both])
        own, others, wanted = values[: len(known)], values[len(known) :], classes[known]
        chances = _probabilities(own, wanted, others, len(names))
        by = "unsure" if chances is not None and len(known) >= ENOUGH * len(names) else "typical"
        picked = _unsure(others, chances, count) if chances is not None and by == "unsure" else _typical(own, others, count)
        probe = what_more_brings(own, wanted, rng)
    found = []
    for one in picked:
        best = int(chances[one].argmax()) if chances is not None else -1
        p = float(chances[one, best]) if chances is not None else 0.0
        found.append({"row": int(waiting[one]), "label": names[best] if best >= 0 else "", "p": p})
    return {"next": found, "by": by, "probe": probe}


def _some(rows: NDArray[np.int64], most: int, rng: Any) -> NDArray[np.int64]:
    """At most that many of the rows, drawn at random."""
    import numpy as np

    return rows if len(rows) <= most else np.sort(rng.permutation(rows)[:most])


def _fitted(values: NDArray[Any], classes: NDArray[np.int64]) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=PENALTY, max_iter=200, tol=1e-3).fit(values, classes)


def _probabilities(own: NDArray[Any], classes: NDArray[np.int64], others: NDArray[Any], number: int) -> NDArray[Any] | None:
    """The probe's probabilities of images without a class; None with fewer than two classes."""
    import numpy as np

    if number < 2:
        return None
    model = _fitted(own, classes)
    found = np.zeros((len(others), number))
    found[:, model.classes_] = model.predict_proba(others)
    return found


def _typical(own: NDArray[Any], others: NDArray[Any], count: int) -> list[int]:
    """The middle image of each group, the largest group without a label first."""
    import numpy as np
    from sklearn.cluster import MiniBatchKMeans

    groups = min(len(others), max(2, min(400, len(own) + count)))
    made = MiniBatchKMeans(groups, random_state=0, n_init=1, batch_size=1024).fit(np.concatenate([own, others]))
    taken = set(made.labels_[: len(own)].tolist())
    group = made.labels_[len(own) :]
    sizes = np.bincount(group, minlength=groups)
    order = sorted(range(groups), key=lambda one: (one in taken, -sizes[one]))
    place = np.argsort(order)[group]
    away = np.linalg.norm(others - made.cluster_centers_[group], axis=1)
    by_group = np.lexsort((away, place))
    starts = np.searchsorted(place[by_group], place[by_group])
    turn = np.arange(len(by_group)) - starts  # the middle of each group first, then the second of each
    picked: list[int] = by_group[np.lexsort((place[by_group], turn))][:count].tolist()
    return picked


def _unsure(others: NDArray[Any], chances: NDArray[Any], count: int) -> list[int]:
    """Images with the least margin between the two likeliest classes, each far from those before it."""
    import numpy as np

    ordered = np.sort(chances, axis=1)
    margin = ordered[:, -1] - ordered[:, -2]
    pool = np.argsort(margin, kind="stable")[: 8 * count]
    found = [0]
    away = np.linalg.norm(others[pool] - others[pool[0]], axis=1)
    while len(found) < min(count, len(pool)):
        found.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(others[pool] - others[pool[found[-1]]], axis=1))
        away[found] = -1
    return [int(pool[one]) for one in found]


def what_more_brings(values: NDArray[Any], classes: NDArray[np.int64], rng: Any, more: int = MORE) -> dict[str, Any]:
    """The probe's accuracy on images that it did not learn from, and how much ``more`` labels are likely to add.

    The probe learns from a quarter, a half and all of four folds, and is tried on the fifth: its error falls as
    ``a + b / labels**power``, with ``a`` no less than 0 (Figueroa et al. 2012 fit such curves). The intervals (95 %) are
    Jeffreys' for the accuracy, the upper end raised by what the fifth fold adds; for the gain those of the bootstrap over the
    images and over the draws of the parts, with the power unknown, and with the random choice of the labelled images.

    Returns:
        ``accuracy`` and ``gain``: ``(low, high)``, shares; or ``why`` they can't be stated.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    from pipekit.learning.out_of_fold import fold_of_groups

    counts = np.bincount(classes) if len(classes) else np.zeros(1, np.int64)
    if len(classes) < FEWEST or (counts > 0).sum() < 2 or counts[counts > 0].min() < FOLDS:
        return {"why": f"it needs {FEWEST} labelled images, and {FOLDS} of each class"}
    _, groups = np.unique(values, axis=0, return_inverse=True)  # copies of one file are never on both sides
    fold = fold_of_groups(classes, groups.ravel(), rng, FOLDS)
    right = np.zeros((len(SHARES), REPEATS, len(classes)))
    with threadpool_limits(1):  # threads cost more than they bring on small tables
        for one in range(FOLDS):
            inside, outside = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
            for repeat in range(REPEATS):
                mixed = rng.permutation(inside)
                for place, share in enumerate(SHARES):
                    some = mixed[: max(2, round(share * len(mixed)))]
                    right[place, repeat, outside] = _right(values, classes, some, outside)
    sizes = np.array([max(2.0, share * 0.8 * len(classes)) for share in SHARES])
    wrong = float((1 - right[-1].mean(axis=0)).sum())
    now = rng.beta(wrong + 0.5, len(classes) - wrong + 0.5, DRAWS)  # Jeffreys: no mistake seen is not no mistake
    by_fold = np.stack([right[1][:, fold == one].mean(axis=1) for one in range(FOLDS)])
    spread = np.sqrt(
        by_fold.var(axis=1, ddof=1).mean() / FOLDS * more / (len(classes) + more)
    )  # which images are labelled is chance
    gains, of_all = np.empty(DRAWS), np.empty(DRAWS)
    for draw in range(DRAWS):
        images = rng.integers(0, len(classes), len(classes))
        error = np.array([1 - of[rng.integers(0, REPEATS)][images].mean() for of in right])
        power = rng.uniform(*POWERS)
        slope = np.linalg.pinv(np.stack([np.ones(len(sizes)), sizes**-power], axis=1))[1]
        step = len(classes) ** -power - (len(classes) + more) ** -power
        most = now[draw] * (1 - (len(classes) / (len(classes) + more)) ** power)  # where a is 0
        four_fifths = sizes[-1] ** -power - len(classes) ** -power  # the probe of the page learns from all folds
        of_all[draw] = 1 - now[draw] + float(np.clip(slope @ error * four_fifths, 0, now[draw]))
        gains[draw] = min(float(slope @ error) * step, most) + rng.normal(0, spread)
    low, high = np.quantile(gains, [0.025, 0.975])
    worst, best = np.quantile(1 - now, 0.025), np.quantile(of_all, 0.975)
    return {"accuracy": [float(worst), float(best)], "gain": [float(low), float(high)], "more": more}


def _right(values: NDArray[Any], classes: NDArray[np.int64], some: NDArray[np.int64], outside: NDArray[np.int64]) -> Any:
    import numpy as np

    if len(np.unique(classes[some])) < 2:
        return (classes[outside] == classes[some[0]]).astype(float)
    return (_fitted(values[some], classes[some]).predict(values[outside]) == classes[outside]).astype(float)
