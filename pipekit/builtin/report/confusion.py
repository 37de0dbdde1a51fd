"""Section ``confusion``: the confusion matrix. Each cell shows its images."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.report.phrasing import count, percent
from pipekit.contract import Context, Section, Table
from pipekit.learning.evaluation import Evaluation
from pipekit.page.markdown import literal
from pipekit.page.plots import plot, shortened

STRONG = 0.62
"""Share of a row above which a cell of the figure is so dark that its text must be light."""
MOST_IN_HTML = 40
"""Number of classes above which the clickable matrix is too large to read; the list of pairs says more."""


def section(ctx: Context, evaluation: Evaluation) -> Section:
    classes, metrics = evaluation.classes, evaluation.metrics
    matrix = np.array(metrics["confusion_matrix"], np.int64)
    pairs = tuple((p["true"], p["predicted"], p["count"], p["share_of_true"]) for p in metrics["confused_most"])
    wrong = int(matrix.sum() - np.trace(matrix))
    if wrong:
        worst = metrics["confused_most"][0]
        words = (
            f"{count(wrong, 'mistake')}. The most frequent: {literal(worst['true'])} predicted as "
            f"{literal(worst['predicted'])}, {count(worst['count'], 'time')} "
            f"({percent(worst['share_of_true'])} of the {literal(worst['true'])} images)."
        )
    else:
        words = "No mistakes."
    small = len(classes) <= MOST_IN_HTML
    how = " Rows are true classes, columns are predicted classes. Choose a cell to see its images." if small else ""
    figures = tuple(replace(figure, on_page=not small) for figure in _figure(matrix, classes))
    return Section(
        "Confusion matrix",
        f"Which classes does the model confuse? {words}{how}",
        html=_table(matrix, classes) if small else "",
        tables=(Table(("true", "predicted", "images", "share of the class"), pairs, "Most frequent mistakes"),)
        if pairs
        else (),
        figures=figures,
    )


def _table(matrix: NDArray[np.int64], classes: tuple[str, ...]) -> str:
    """The matrix as an HTML table: counts, or shares of the row; correct cells are blue, wrong ones orange."""
    from markupsafe import Markup

    support = matrix.sum(axis=1)
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(name) for name in classes)
    rows = []
    for i, name in enumerate(classes):
        cells = []
        for j, other in enumerate(classes):
            rate = matrix[i, j] / support[i] if support[i] else 0.0
            shown = Markup('<span class="count">{:,}</span><span class="rate">{}</span>').format(
                int(matrix[i, j]), f"{rate:.2f}" if support[i] else "–"
            )
            shown = (
                _link(name, other, int(matrix[i, j]), int(support[i]), shown)
                if matrix[i, j]
                else Markup("<span>{}</span>").format(shown)
            )
            kind = "hit" if i == j else ""
            cells.append(Markup('<td class="{}" style="--v:{:.3f}">{}</td>').format(kind, rate, shown))
        rows.append(Markup('<tr><th scope="row">{}</th>{}</tr>').format(name, Markup("").join(cells)))
    button = (
        '<p><button type="button" class="needs-script" hidden aria-pressed="false" data-toggle="show-rates">Rates</button></p>'
    )
    chosen = (
        '<div class="cell" hidden><h3></h3><p aria-live="polite"></p><ul class="pictures"></ul>'
        '<a href="#pictures" data-filter="{}" hidden>Show all in Example images</a></div>'
    )
    return (
        f'<div class="confusion" data-matrix><div>{button}<div class="scroll" tabindex="0" role="group" '
        'aria-label="Confusion matrix"><table class="matrix">'
        f'<thead><tr><td class="axis">true \\ predicted</td>{head}</tr></thead>'
        f"<tbody>{Markup('').join(rows)}</tbody></table></div></div>{chosen}</div>"
    )


def _link(true: str, predicted: str, number: int, support: int, shown: Any) -> Any:
    """A cell's link to its images; the page's script shows them beside the matrix."""
    from markupsafe import Markup, escape

    return Markup('<a href="#pictures" data-filter="{}" data-name="{}" data-count="{:,}" aria-label="{}">{}</a>').format(
        escape(json.dumps({"true": true, "predicted": predicted})),
        f"{true}, classified correctly" if true == predicted else f"{true} predicted as {predicted}",
        number,
        f"{number} of {support} {true} predicted as {predicted}: show them",
        shown,
    )


def _figure(matrix: NDArray[np.int64], classes: tuple[str, ...]) -> Any:
    size = min(12.0, max(3.6, 1.6 + 0.55 * len(classes)))
    support = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    rates = matrix / support

    def draw(axes: Any) -> None:
        image = axes.imshow(rates, cmap="Blues", vmin=0, vmax=1)
        names = shortened(classes)
        axes.grid(False)
        if len(classes) <= MOST_IN_HTML:
            axes.set_xticks(range(len(classes)), names, rotation=45, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(len(classes)), names)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        if len(classes) <= 20:
            for (i, j), n in np.ndenumerate(matrix):
                axes.text(j, i, f"{n:,}", ha="center", va="center", color="#ffffff" if rates[i, j] > STRONG else "#101418")
        axes.figure.colorbar(image, ax=axes, shrink=0.8, label="share of the class")

    right = int(np.trace(matrix))
    return plot(
        "confusion_matrix",
        draw,
        alt=f"Confusion matrix of {len(classes)} classes: {right} of {int(matrix.sum())} images lie on the diagonal.",
        caption="Counts, coloured by their share of the row.",
        size_in=(size + 1.0, size),
    )
