"""Several labels an image: labels that are always or never together, rare labels, combinations that are there once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from pipekit.builtin.inspect import examples
from pipekit.builtin.inspect.rows import columns_in
from pipekit.contract import Context, Finding, Params, param
from pipekit.tasks import MULTILABEL, labels_in, supports

LISTED = 8


class SeveralParams(Params):
    fewest: int = param(20, "Report labels with fewer images than this", unit="images", ge=0)
    ratio: float = param(20.0, "Largest allowed ratio of the images without a label to those with it", ge=1)


@examples.example(examples.co_occurrence)
@supports(MULTILABEL)
def co_occurrence(rows: Sequence[Mapping[str, Any]], ctx: Context, params: SeveralParams) -> Iterator[Finding]:
    """How often two labels are on one image; rare labels, labels that never appear alone, and combinations of one image.

    ``values`` of the first finding has the counts of each label and of each pair.
    """
    found = columns_in(rows)
    sets = {said: labels_in(said) or () for said in found.tally("label", found.good)}
    images = found.tally("label", found.good)
    single, pairs = Counter[str](), Counter[tuple[str, str]]()
    for said, count in images.items():
        single.update(dict.fromkeys(sets[said], count))
        pairs.update(dict.fromkeys(combinations(sorted(sets[said]), 2), count))
    total = images.total()
    if not total:
        return
    bare = sum(count for said, count in images.items() if not sets[said])
    labels = sum(count * len(sets[said]) for said, count in images.items())
    yield Finding(
        "co_occurrence",
        "info",
        f"{labels / total:.2f} labels an image on average, {len(images):,} combinations, {bare:,} images without a label; "
        f"the most frequent pairs: {_listed(pairs)}",
        values={
            "labels": dict(sorted(single.items())),
            "pairs": [[one, other, count] for (one, other), count in sorted(pairs.items())],
            "combinations": len(images),
            "without": bare,
        },
    )
    for said, few in (
        (f"fewer than {params.fewest} images", {name: n for name, n in single.items() if n < params.fewest}),
        (
            f"on less than one image in {params.ratio + 1:g}",
            {name: n for name, n in single.items() if total - n > params.ratio * n and n >= params.fewest},
        ),
    ):
        if few:
            listed = ", ".join(f"{name!r} ({count})" for name, count in sorted(few.items())[:LISTED])
            yield Finding("co_occurrence", "warning", f"labels on {said.removeprefix('on ')}: {listed}", values={"counts": few})
    for name, count in sorted(single.items()):
        companions = [other for other in single if other != name and pairs[min(name, other), max(name, other)] == count]
        if companions and count >= 2:
            yield Finding(
                "co_occurrence",
                "warning",
                f"{name!r} is never there without {', '.join(map(repr, sorted(companions)[:LISTED]))}: a model can't learn "
                "to tell them apart",
                values={"label": name, "with": sorted(companions)},
            )
    rare = [said for said, count in images.items() if count == 1 and len(sets[said]) > 1]
    if rare:
        wanted = set(rare)
        column = found.texts["label"]
        ids = [found.ids[at] for at, code in enumerate(column.codes.tolist()) if code >= 0 and column.names[code] in wanted]
        yield Finding("co_occurrence", "info", f"{len(rare):,} combinations of labels are there once", tuple(ids))


def _listed(pairs: Counter[tuple[str, str]]) -> str:
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:LISTED]
    return ", ".join(f"{one} and {other} ({count})" for (one, other), count in ordered) or "none"
