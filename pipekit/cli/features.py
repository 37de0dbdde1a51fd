"""``pipekit features``: what a detector, or a filter, sees in images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import pipekit
from pipekit.cli import complete
from pipekit.cli.loading import Disabled, Plugins
from pipekit.cli.options import with_options_of

if TYPE_CHECKING:
    from pipekit.commands.working import Made


@with_options_of("features", leave_out=("detector",))
def features(
    path: Annotated[Path, typer.Argument(help="An image, or a folder of images")],
    second: Annotated[Path | None, typer.Argument(help="With --match: the other image", show_default=False)] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="The detector: harris, sift …; several with --stability. Default: harris, with --match sift",
            autocompletion=complete.detectors,
            show_default=False,
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A parameter of the detector (k=0.06) or of the filter", show_default=False
        ),
    ] = None,
    match: Annotated[bool, typer.Option("--match", help="Find the same features in two images, lay one on the other")] = False,
    stability: Annotated[
        bool, typer.Option("--stability", help="Measure which detector finds its points again after a change")
    ] = False,
    filter_name: Annotated[
        str | None,
        typer.Option("--filter", metavar="NAME", help="Show a filter instead: sobel_x, emboss …", show_default=False),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(metavar="ROWS", help="Show a filter of your own: '[[0,1,0],[1,-4,1],[0,1,0]]'", show_default=False),
    ] = None,
    animate: Annotated[bool, typer.Option("--animate", help="With a filter: write a GIF of the sliding window too")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Put the result here; the folder must not exist", show_default=False
        ),
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="The run's name: its results are in runs/NAME/")] = "features",
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many shards run at once", show_default=False)
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
    show: Annotated[bool, typer.Option("--show/--no-show", help="Show the picture in the terminal, where it can")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON event a line on stdout, and nothing else")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and the result")] = False,
    **params: Any,
) -> int:
    """Show what a classic detector, or a filter, sees in images.

    Writes a picture to look at, the points as CSV and NumPy arrays, and counts for each image and class. The detectors:
    pipekit components detector. What else can be set for --filter, --match and --stability: pipekit stage filters --help, and
    so for the stages match and stability.
    """
    from pipekit.cli.prestart import start_workers_for

    start_workers_for(str(path), workers)
    from pipekit.cli.showing import show_verb
    from pipekit.errors import UserError

    filtering = filter_name is not None or kernel is not None or animate
    asked = [word for word, on in (("--match", match), ("--stability", stability), ("--filter", filtering)) if on]

    def make(display: Any) -> Any:
        if len(asked) > 1:
            raise UserError(f"{' and '.join(asked)} can't be had at once", "Run the command once for each.")
        if (second is not None) != match:
            raise UserError("--match compares two images", "For example: pipekit features first.jpg second.jpg --match")
        values = read_settings(changes or ())
        detectors: list[Any] = [{"use": each, **values} for each in detector or ()]
        common: dict[str, Any] = {
            "out": out,
            "name": name,
            "plugins": plugin or (),
            "disable": disable or (),
            "listener": display,
        }
        if match:
            return pipekit.match(path, str(second), detector=_one(detectors, values, "sift"), **common, **params)
        common["workers"] = workers
        if filtering:
            options = {"filter": filter_name, "kernel": read_kernel(kernel) if kernel else None, "animate": animate or None}
            if own := sorted(common.keys() & values.keys()):
                raise UserError(f"--set {own[0]}: the filter has no such parameter", "See: pipekit components stage filters")
            return pipekit.filters(path, **common, **{**options, **values, **params})
        if stability:
            if values and not detectors:
                raise UserError("--set belongs to a detector", "Say which with --detector.")
            return pipekit.stability(path, detectors=detectors or None, **common, **params)
        return pipekit.features(path, detector=_one(detectors, values, "harris"), **common, **params)

    code, made = show_verb(as_json, quiet, make)
    if made is not None and not as_json:
        _show(made, out, show and not quiet)
    return code


def _one(detectors: list[Any], values: dict[str, Any], usual: str) -> Any:
    from pipekit.errors import UserError

    if len(detectors) > 1:
        raise UserError("one detector at a time", "Several can be compared with --stability.")
    return detectors[0] if detectors else {"use": usual, **values}


def read_settings(changes: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """``["k=0.06", "window=gaussian"]`` as values."""
    from pipekit.cli.options import read_value
    from pipekit.errors import UserError

    values = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or not name.strip():
            raise UserError(f"--set {change!r}: expected NAME=VALUE", "For example: --set k=0.06")
        values[name.strip()] = read_value(text.strip())
    return values


def read_kernel(text: str) -> Any:
    """The rows of a kernel as they are typed, TOML or JSON."""
    from pipekit.cli.options import read_value
    from pipekit.errors import UserError

    rows = read_value(text)
    if not isinstance(rows, list):
        raise UserError(f"--kernel {text!r}: expected rows of numbers", "For example: --kernel '[[0,1,0],[1,-4,1],[0,1,0]]'")
    return rows


def _show(made: Made, out: Path | None, in_terminal: bool) -> None:
    """Where the result is; and a picture, on a terminal that can show it."""
    from pipekit import ui
    from pipekit.ui.picture import can_show, show_picture

    if in_terminal and can_show():
        from pipekit import images

        if made.previews:  # of the first image, the half with the dots: a terminal has few pixels
            drawn = images.read(made.previews[0])
            show_picture(drawn[:, : drawn.shape[1] // 2])
        else:
            show_picture(images.read(made.picture))
    if out is not None:
        ui.say(str(out))
