"""``pipekit docs``: pages about everything that is installed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from pipekit.cli.loading import Disabled, Plugins


def docs(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="A new folder for the pages")] = Path(
        "pipekit-docs"
    ),
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="IMAGE", help="Draw pictures, with this image: what ops do, what checks find, …", show_default=False
        ),
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only components of this kind; repeatable", show_default=False)
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
) -> int:
    """Write Markdown pages about all components that are installed, those of plugins too.

    A page for each kind (ops, models, checks, ...) has each component's summary and parameters. With --image, ops and recipes
    have a row of variants, detectors the points that they find, checks an example of what they find, models their layers, and
    report sections what they show of example predictions.
    """
    from pipekit import ui
    from pipekit.commands.docs import docs as write

    made = write(out=out, image=image, kinds=kind or (), plugins=plugin, disable=disable)
    for name, why in made.broken.items():
        ui.warn(f"{name} can't be loaded: {why}")
    for name, why in made.undrawn.items():
        ui.warn(f"no picture of {name}: {why}")
    shown = f", {ui.plural(made.num_pictures, 'picture')}" if image is not None else "; with --image also pictures"
    if made.without:
        counts = Counter(name.partition(" ")[0].replace("_", " ") for name in made.without)
        listed = ", ".join(ui.plural(number, kind) for kind, number in counts.items())
        shown += f". Without a picture: {listed}; the pages say why"
    components, kinds = ui.plural(made.num_components, "component"), ui.plural(len(made.kinds), "kind")
    ui.say(f"{made.folder / 'index.md'}: {components} of {kinds}{shown}")
    return 0
