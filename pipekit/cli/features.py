"""``pipekit features``: features that a detector finds, or the output of a filter."""

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
    path: Annotated[str, typer.Argument(help="An image, or a folder of images")],
    second: Annotated[str | None, typer.Argument(help="With --match: the other image", show_default=False)] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Feature detector: harris, sift …; several with --stability. Default: harris; with --match: sift",
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
    match: Annotated[
        bool, typer.Option("--match", help="Match the features of two images, and align one to the other")
    ] = False,
    stability: Annotated[
        bool,
        typer.Option(
            "--stability", help="Measure the repeatability of detectors: the share of points found again after a change"
        ),
    ] = False,
    filter_name: Annotated[
        str | None,
        typer.Option("--filter", metavar="NAME", help="Apply a filter instead: sobel_x, emboss …", show_default=False),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(metavar="ROWS", help="Apply your own filter kernel: '[[0,1,0],[1,-4,1],[0,1,0]]'", show_default=False),
    ] = None,
    animate: Annotated[bool, typer.Option("--animate", help="With a filter: also write a GIF of the sliding window")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="A new folder for the result", show_default=False),
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the run; results are in runs/NAME/")] = "features",
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of shards that run at once", show_default=False)
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
    show: Annotated[bool, typer.Option("--show/--no-show", help="Show the picture in the terminal, if it can")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON events, one per line, on stdout")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the result")] = False,
    **params: Any,
) -> int:
    """Find features in images with a classic detector, or apply a filter.

    Writes a picture, the points as CSV and NumPy arrays, and counts per image and class. List the detectors with pipekit
    components detector. For the other parameters of --filter, --match and --stability, see the help of the stages: pipekit
    stage filters --help, pipekit stage match --help, pipekit stage stability --help.
    """
    from pipekit.cli.prestart import start_workers_for

    start_workers_for(path, workers)
    from pipekit.cli.showing import show_verb
    from pipekit.errors import UserError

    filtering = filter_name is not None or kernel is not None or animate
    asked = [word for word, on in (("--match", match), ("--stability", stability), ("--filter", filtering)) if on]

    def make(display: Any) -> Any:
        if len(asked) > 1:
            raise UserError(f"{' and '.join(asked)} can't be combined", "Run the command once for each.")
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
                raise UserError("--set sets a parameter of a detector", "Name the detector with --detector.")
            return pipekit.stability(path, detectors=detectors or None, **common, **params)
        return pipekit.features(path, detector=_one(detectors, values, "harris"), **common, **params)

    code, made = show_verb(as_json, quiet, make)
    if made is not None and not as_json:
        _show(made, out, show and not quiet)
    return code


def _one(detectors: list[Any], values: dict[str, Any], usual: str) -> Any:
    from pipekit.errors import UserError

    if len(detectors) > 1:
        raise UserError("only one detector at a time", "To compare several, add --stability.")
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
    """Print where the result is, and show a picture in a terminal that can."""
    from pipekit import ui
    from pipekit.ui.picture import can_show, show_picture

    if in_terminal and can_show():
        from pipekit import images

        if made.previews:  # only the half of the first image with the dots: a terminal has few pixels
            drawn = images.read(made.previews[0])
            show_picture(drawn[:, : drawn.shape[1] // 2])
        else:
            show_picture(images.read(made.picture))
    if out is not None:
        ui.say(str(out))
