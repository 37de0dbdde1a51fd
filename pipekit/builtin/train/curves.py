"""Learning curves: loss and metrics of training and validation, the gap between them, and the kept epoch."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from pipekit.builtin.train.loop import Row

TRAIN, VAL, KEPT = "#0072b2", "#d55e00", "#555555"
"""Blue and vermilion of Okabe and Ito's colour-blind-safe palette; validation is also dashed."""

COLUMNS = 3
"""Number of panels in a row."""


def draw(folder: Path, history: Sequence[Row], kept: int, words: str) -> None:
    """Draw ``curves.png`` and ``curves.svg``, with one panel for each metric."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = [name for name in history[0] if not name.startswith("val_") and name != "learning_rate"]
    epochs = range(1, len(history) + 1)
    with mpl.rc_context({"svg.hashsalt": "pipekit", "font.size": 10, "svg.fonttype": "path"}):
        columns = min(len(names), COLUMNS)
        rows = -(-len(names) // columns)
        figure = Figure(figsize=(max(6.0, 5.0 * columns), 0.8 + 3.6 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for spare in panels[len(names) :]:
            spare.remove()
        for axes, name in zip(panels, names, strict=False):
            ours = [row[name] for row in history]
            axes.plot(epochs, ours, color=TRAIN, marker="o", markersize=3, label="training")
            if f"val_{name}" in history[0]:
                theirs = [row[f"val_{name}"] for row in history]
                axes.plot(epochs, theirs, color=VAL, linestyle="--", marker="s", markersize=3, label="validation")
                axes.fill_between(epochs, ours, theirs, color=VAL, alpha=0.12, linewidth=0, label="gap")
            axes.axvline(kept + 1, color=KEPT, linestyle=":", label=f"kept: epoch {kept + 1}")
            axes.set(title=name.replace("_", " "), xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.set_xlim(0.5, len(history) + 0.5)
            if name in ("accuracy", "precision", "recall", "f1", "auc"):
                axes.set_ylim(min(0.0, *ours) if min(ours) < 0.5 else 0.45, 1.02)
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
        if words:
            figure.supxlabel(textwrap.fill(words, 48 * columns + 24), fontsize=9)
        figure.savefig(folder / "curves.png", dpi=120, metadata={"Software": None})
        figure.set_layout_engine("none")  # keep the layout: computing it again takes as long as drawing
        figure.savefig(folder / "curves.svg", metadata={"Date": None, "Creator": None})


def draw_range_test(
    folder: Path, tried: Sequence[tuple[float, float]], losses: Sequence[float], rate: float, words: str
) -> None:
    """Draw ``learning_rate.png`` and ``.svg``: the loss at each rate of the range test, and the rate that was taken."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rates = [tried_rate for tried_rate, _ in tried]
    with mpl.rc_context({"svg.hashsalt": "pipekit", "font.size": 10, "svg.fonttype": "path"}):
        figure = Figure(figsize=(7.0, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.plot(rates, losses, color=TRAIN, alpha=0.35, linewidth=1, label="loss of each batch")
        axes.plot(rates, [mean for _, mean in tried], color=TRAIN, label="moving average")
        axes.axvline(rate, color=KEPT, linestyle=":", label=f"taken: {rate:.2g}")
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss", title="Learning rate range test")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
        figure.supxlabel(textwrap.fill(words, 84), fontsize=9)
        figure.savefig(folder / "learning_rate.png", dpi=120, metadata={"Software": None})
        figure.set_layout_engine("none")
        figure.savefig(folder / "learning_rate.svg", metadata={"Date": None, "Creator": None})
