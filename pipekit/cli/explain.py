"""``pipekit explain``: heat maps that explain predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipekit.cli.loading import Disabled, Plugins
from pipekit.cli.options import with_options_of


@with_options_of("explain")
def explain(
    model: Annotated[str, typer.Argument(help="A run (runs/NAME), a folder with model.keras and model.json, or the file")],
    images: Annotated[list[str], typer.Argument(help="One or more images")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.html", help="File of the page")] = Path("explain.html"),
    plugin: Plugins = None,
    disable: Disabled = None,
    **params: Any,
) -> int:
    """Explain predictions: heat maps of the pixels that raise a class's score, and the activations of the layers.

    Methods: Grad-CAM, Grad-CAM++, integrated gradients and occlusion, each checked against the same model with shuffled
    weights.
    """
    from pipekit import ui
    from pipekit.cli.showing import show_verb, without_end
    from pipekit.commands.explain import explain as explain_images

    def call(display: Any) -> Any:
        return explain_images(model, images, out, plugins=plugin, disable=disable, listener=without_end(display), **params)

    code, found = show_verb(False, False, call)
    if found is None:
        return code
    for warning in found.warnings:
        ui.warn(warning)
    ui.note(f"Explained: {out}")
    return 0
