"""``pipekit augment``: preview an augmentation recipe, and write augmented copies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import pipekit
from pipekit.cli.loading import Disabled, Plugins
from pipekit.cli.options import with_options_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipekit.commands.check_augmentation import AugmentationCheck

DEFAULT_SHEET = "augment-preview.png"
FLAGS = {"size_hw": "--size", "fill_mode": "--fill", "splits": "--split"}


@with_options_of("augment", leave_out=("size_hw", "splits"), flags=FLAGS)
def augment(
    source: Annotated[str, typer.Argument(help="An image, a folder of images, or a run's dataset (runs/NAME:STAGE)")],
    place: Annotated[Path | None, typer.Argument(metavar="OUT", hidden=True)] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PLACE",
            help=f"A new folder for the copies. With --preview: the picture (default: {DEFAULT_SHEET}). With --check: a new "
            "folder (default: runs/augment-check/)",
            show_default=False,
        ),
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only write a contact sheet of variants")] = False,
    each: Annotated[bool, typer.Option("--each", help="Preview: one row per op, applied alone")] = False,
    steps: Annotated[bool, typer.Option("--steps", help="Preview: show the image after each op")] = False,
    html: Annotated[bool, typer.Option("--html", help="Preview: also write a page with sliders")] = False,
    variants: Annotated[int, typer.Option(min=1, max=500, metavar="N", help="Preview: number of variants")] = 12,
    check: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="Measure how much each op lowers this model's accuracy on held-out images: a run, or a folder with model.json",
            show_default=False,
        ),
    ] = "",
    strength: Annotated[
        list[float] | None,
        typer.Option(
            metavar="PART", help="Check: fraction of each op's strength; default: 0.25, 0.5 and 1", show_default=False
        ),
    ] = None,
    size: Annotated[
        str, typer.Option(metavar="HxW", help="Height and width of the output images: 150x150", show_default=False)
    ] = "",
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="The split to augment; default: train. Check: the split to evaluate on", show_default=False
        ),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            "--as", metavar="FORMAT", help="Format of the output: folders, coco, yolo …; same: the format of the source"
        ),
    ] = "same",
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed; the same seed gives the same result")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of shards that run at once", show_default=False)
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
    show: Annotated[bool, typer.Option("--show/--no-show", help="Show the preview in the terminal, if it can")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON events, one per line, on stdout")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the result")] = False,
    **params: Any,
) -> int:
    """Preview an augmentation recipe on your images, and write augmented copies.

    Start with --preview. List the ops with pipekit components op, the presets with pipekit components recipe. The source is
    never changed, and the same seed gives the same files.
    """
    from pipekit.cli.prestart import preload_of, start_workers_for

    previewing = preview or each or steps or html
    if not (previewing or check):
        start_workers_for(source, workers, preload_of("augment"))
    from pipekit import ui
    from pipekit.cli.showing import show_verb
    from pipekit.errors import UserError

    if place is not None and out is not None:
        raise UserError(f"two output folders: {place} and --out {out}", "Give one of them.")
    out = out or place
    size_hw = read_size(size)
    params |= {"size_hw": size_hw} if size_hw else {}
    common: dict[str, Any] = {"seed": seed, "plugins": plugin or (), "disable": disable or ()}
    if previewing:
        if check:
            raise UserError("--check and --preview can't be combined", "Give one of them.")
        params |= {"splits": split} if split else {}
        sheets = {"variants": variants, "each": each, "steps": steps, "html": html}
        _show_preview(pipekit.preview(source, out or DEFAULT_SHEET, **sheets, **common, **params), show and not quiet)
        return 0
    common["workers"] = workers
    if check:
        params |= {"split": one_split(split), "strengths": strength}
        code, found = show_verb(
            as_json,
            quiet,
            lambda display: pipekit.check_augmentation(check, source, out=out, listener=display, **common, **params),
        )
        if found is not None and not as_json:
            _show_check(found)
        return code

    def write(display: Any) -> Any:
        from pipekit.commands.working import registry_with

        if out is None:
            registry_with(plugin, disable)  # report a wrong plugin first
            raise UserError(
                "no output folder is given", f"pipekit augment {source} --out FOLDER, or pipekit augment {source} --preview"
            )
        given = {"splits": split} if split else {}
        return pipekit.augment(source, out, layout=layout, listener=display, **common, **given, **params)

    code, made = show_verb(as_json, quiet, write)
    for warning in made.warnings if made is not None else ():
        ui.warn(warning)
    if made is not None and not as_json:
        ui.say(str(made.path))
    return code


def one_split(names: Sequence[str] | None) -> str | None:
    from pipekit.errors import UserError

    if names and len(names) > 1:
        raise UserError("--check evaluates on one split", "Give --split once; --split all uses every image.")
    return names[0] if names else None


def read_size(text: str) -> tuple[int, int] | None:
    """``"150x200"`` -> (150, 200); height first."""
    from pipekit.errors import UserError

    if not text:
        return None
    parts = text.lower().replace("×", "x").split("x")
    if not all(part.strip().isdecimal() for part in parts) or len(parts) not in (1, 2):
        raise UserError(f"--size takes height and width, like 150x200, got {text!r}")
    return int(parts[0]), int(parts[-1])


def _show_preview(made: Any, in_terminal: bool) -> None:
    from pipekit import ui
    from pipekit.ui.picture import can_show, show_picture

    if in_terminal and can_show():
        show_picture(made.sheet)
    for path in (made.path, made.page):
        if path is not None:
            ui.say(str(path))
    for warning in made.warnings:
        ui.warn(warning)


def _show_check(found: AugmentationCheck) -> None:
    from pipekit import ui

    columns = ("op", "strength", "accuracy", "drop", "confidence", "verdict")
    ui.table(columns, [tuple(row[name] for name in columns) for row in found.rows])
    ui.say(str(found.page))
