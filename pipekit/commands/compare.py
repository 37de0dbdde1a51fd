"""Compare the models of several runs with paired tests: which is better, and may the difference be chance?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.brief import Brief
from pipekit.commands.working import new_pipeline, run_pipeline
from pipekit.errors import UserError
from pipekit.files import write_text

if TYPE_CHECKING:
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.engine.outcome import Listener


@dataclass(frozen=True)
class Comparison(Brief):
    """Runs compared on the same images.

    Attributes:
        names: the names of the runs; the others are compared with the first.
        verdicts: one sentence for each of the others.
        data: all metrics, as in ``comparison.json``: ``pairs``, ``headline`` and more.
        page: the page with tests, metrics and the images that only one model gets right, as HTML.
    """

    names: tuple[str, ...]
    verdicts: tuple[str, ...]
    data: Mapping[str, Any] = field(repr=False)
    page: str = field(repr=False)

    def _repr_html_(self) -> str:
        from pipekit.commands.shown import of_comparison

        return of_comparison(self)


def compare(
    runs: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    plugins: Sequence[str] | None = (),
    disable: Sequence[str] | None = (),
    listener: Listener | None = None,
    **params: Any,
) -> Comparison:
    """Compare runs with the first of them, image by image, with paired tests.

    Args:
        runs: two or more runs (``runs/pets``), or ``RUN:STAGE``, whose models were measured on the same images.
        out: a file for the page; by default it is only returned.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.
        listener: receives each event of the run.
        **params: parameters of the ``compare`` stage: ``names``, ``pictures``, ``thumbnail_px``.

    Returns:
        A verdict for each pair, all metrics, and the page.

    Raises:
        PlanError: a parameter is unknown or has a wrong value; nothing was run.
        UserError: fewer than two runs, or one has no report.

    Example:
        >>> import pipekit
        >>> pipekit.compare(["runs/first", "runs/second"], out="compare.html").verdicts  # doctest: +SKIP
        ('second is better than first by 4.2 % ...',)
    """
    if isinstance(runs, (str, Path)) or len(runs) < 2:
        raise UserError(
            "a comparison needs at least two runs",
            "For example: pipekit compare runs/first runs/second. In Python: pipekit.compare(['runs/first', 'runs/second'])",
        )
    found = _compared(new_pipeline(plugins, disable), [str(run) for run in runs], listener, params)
    if out is not None:
        write_text(Path(out), found.page)
    return found


def compared_in(base: str, runs: Sequence[str], plugins: Sequence[str] = (), disable: Sequence[str] = ()) -> Comparison:
    """:func:`compare` for runs of another folder than the current one.

    Args:
        base: the folder that has ``runs/``.
        runs: relative to it.
    """
    pipeline = new_pipeline(plugins, disable)
    pipeline.base_dir = Path(base)
    return _compared(pipeline, list(runs), None, {})


def _compared(pipeline: AdhocPipeline, sources: list[str], listener: Listener | None, params: dict[str, Any]) -> Comparison:
    from pipekit.contract import Report
    from pipekit.engine.adhoc import find_artifact

    slots = []
    for place, source in enumerate(sources):
        report = find_artifact(source, Report, pipeline.base_dir)
        if report is None:
            raise UserError(f"no report in {source}", "Give runs whose pipeline has an `evaluate` stage: pipekit runs")
        slots.append(pipeline.give(f"report_{place}", report))
    names = tuple(params.pop("names", None) or short_names(sources))
    pipeline.add("compare", "compare", reports=slots, names=list(names), **params)
    folder = run_pipeline(pipeline, "compare", listener).artifact("compare").path
    found = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    page = (folder / "compare.html").read_text(encoding="utf-8")
    return Comparison(names, tuple(pair["verdict"] for pair in found["pairs"]), found, page)


def short_names(runs: Sequence[str]) -> list[str]:
    """The last part of each path, or the whole path if the last parts are not unique."""
    short = [Path(run).name or run for run in runs]
    return short if len(set(short)) == len(short) else [f"{run} ({place})" for place, run in enumerate(runs, 1)]
