"""``pipekit replay``: reproduce one augmented image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import pipekit
from pipekit.cli.loading import Disabled, Plugins


def replay(
    file: Annotated[Path, typer.Argument(help="An augmented image or mask, in the folder that pipekit augment or a run wrote")],
    source: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The original image, or the folder of originals", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the image here", show_default=False)
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
) -> int:
    """Reproduce one augmented image from its row in metadata.csv and its original, and compare it bit for bit.

    If the image has a mask, the mask is reproduced and compared too; with --out it is written beside the image, as
    NAME.mask.png.

    Exit code 0: identical. 1: different; another version of a library may draw or encode differently.
    """
    from pipekit import ui
    from pipekit.errors import EXIT_FAILED

    made = pipekit.replay(file, source, out=out, plugins=plugin or (), disable=disable or ())
    ui.say(f"{file}\n  of {made.source}")
    for caption in made.captions:
        ui.say(f"  {caption}")
    for path in made.written:
        ui.say(str(path))
    ui.say("identical, bit for bit" if made.identical else "not identical", ui.GOOD if made.identical else ui.BAD)
    if made.mask_identical is not None:
        words = "its mask is identical too" if made.mask_identical else "its mask is not identical"
        ui.say(words, ui.GOOD if made.mask_identical else ui.BAD)
    return 0 if made.identical and made.mask_identical is not False else EXIT_FAILED
