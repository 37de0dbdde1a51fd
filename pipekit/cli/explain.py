"""``pipekit explain``: where a trained model looks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipekit.cli.loading import Disabled, Plugins
from pipekit.commands.working import registry_with


def explain(
    model: Annotated[str, typer.Argument(help="A run (runs/NAME), a folder with model.keras and model.json, or the file")],
    images: Annotated[list[Path], typer.Argument(help="One image or several", exists=True, dir_okay=False)],
    about: Annotated[
        str, typer.Option(metavar="CLASS", help="The class that is explained; default: the predicted one", show_default=False)
    ] = "",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.html", help="Where the page goes")] = Path("explain.html"),
    plugin: Plugins = None,
    disable: Disabled = None,
) -> int:
    """Show what in a picture speaks for a class, and what the model's layers make of it.

    Grad-CAM, Grad-CAM++, integrated gradients and occlusion, each checked against the same model with shuffled weights.
    """
    from pipekit import ui
    from pipekit.engine.adhoc import AdhocPipeline

    adhoc = AdhocPipeline(registry=registry_with(plugin, disable))
    adhoc.add("explain", "explain", model=adhoc.model(model), images=[str(path.absolute()) for path in images], about=about)
    outcome = adhoc.run()
    for warning in outcome.stages[-1].warnings:
        ui.warn(warning)
    ui.write_text(out, (outcome.stages[-1].artifact.path / "explain.html").read_text(encoding="utf-8"))
    ui.note(f"Explained: {out}")
    return 0
