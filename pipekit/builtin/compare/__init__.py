"""The stage ``compare``: which of several models is better on the same images, with paired significance tests."""

from __future__ import annotations

from typing import Annotated

from pipekit.contract import Call, Context, Files, Params, Report, Uses, param, stage
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports, task_of


class CompareParams(Params):
    names: tuple[str, ...] = param((), "Names of the reports, in their order; empty: A, B, C …")
    metrics: tuple[Annotated[Call, Uses("compare_metric")], ...] = param(
        (), "Further metrics of plugins, each with the paired difference and its interval", in_key="changed"
    )
    pictures: int = param(96, "Maximum number of thumbnails of images where the models disagree", unit="images", ge=0, le=2000)
    thumbnail_px: int = param(160, "Longest side of a thumbnail", unit="px", ge=32, le=1024)


@supports(CLASSES, MULTILABEL, NUMBER)
@stage(libraries=("scikit-learn", "scipy"))
def compare(ctx: Context, reports: tuple[Report, ...], params: CompareParams) -> Files:
    """Compare each report with the first one, image by image, and write ``compare.html`` and ``comparison.json``."""
    import json

    from pipekit.builtin.compare import further, of_task
    from pipekit.builtin.compare.paired import compare_all, read_answers
    from pipekit.builtin.compare.sections import FOLDED, build_sections, top_of
    from pipekit.errors import UserError
    from pipekit.page import render

    names = params.names or tuple(chr(ord("A") + place % 26) for place in range(len(reports)))
    if len(reports) < 2:
        raise UserError(
            f"a comparison needs at least two reports, got {len(reports)}", 'For example: reports = ["first", "second"].'
        )
    if len(names) != len(reports) or len(set(names)) != len(names):
        raise UserError(
            f"each of the {len(reports)} reports needs a unique name, got {list(names)}", "Give each report its own name."
        )
    answers = [read_answers(name, report.path) for name, report in zip(names, reports, strict=True)]
    task = of_task.one_task(names, [task_of(report) for report in reports])
    found = compare_all(answers) if task == CLASSES else of_task.compare_all(answers, task)
    if params.metrics:
        found["further"] = further.compare_all(answers, params.metrics, task)
    (ctx.out_dir / "comparison.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    sections = list(build_sections(answers, found, params))
    top = top_of(found, dict(sections))
    page = render("Model comparison", sections, lead="Which model is better on the same images?", top=top, folded=FOLDED)
    (ctx.out_dir / "compare.html").write_text(page, "utf-8", errors="replace")
    return ctx.artifact(Files, headline=found["headline"])
