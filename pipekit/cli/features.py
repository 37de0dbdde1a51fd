"""``pipekit features``: what a detector, or a filter, sees in images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipekit.cli import complete
from pipekit.cli.loading import Disabled, Plugins
from pipekit.commands.working import registry_with

if TYPE_CHECKING:
    from pipekit.contract import Artifact
    from pipekit.engine.adhoc import AdhocPipeline

PICTURES = {"features": "features.png", "filters": "filters.png", "match": "matches.png", "stability": "stability.png"}
"""What each of the stages makes first of all to be looked at."""


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
        typer.Option(metavar="FOLDER", help="Put the result here; the folder must not exist", show_default=False),
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
) -> int:
    """Show what a classic detector, or a filter, sees in images.

    Writes a picture to look at, the points as CSV and NumPy arrays, and counts for each image and class. The detectors:
    pipekit components detector. Everything else that can be set: pipekit stage features --help, and so for the stages
    filters, match and stability.
    """
    from pipekit import ui
    from pipekit.cli.prestart import start_workers_for
    from pipekit.cli.run import reporting, show_plan_run
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.engine.run_folder import take_out
    from pipekit.errors import UserError

    filtering = filter_name is not None or kernel is not None or animate
    asked = [word for word, on in (("--match", match), ("--stability", stability), ("--filter", filtering)) if on]
    display = ui.run_display(as_json, quiet)
    with reporting(display, as_json):
        if len(asked) > 1:
            raise UserError(f"{' and '.join(asked)} can't be had at once", "Run the command once for each.")
        if (second is not None) != match:
            raise UserError("--match compares two images", "For example: pipekit features first.jpg second.jpg --match")
        if out is not None and out.exists():
            raise UserError(f"{out} exists already", "Choose another folder for --out, or remove that one first.")
        settings: dict[str, Any] = {"name": name, **({"workers": workers} if workers else {})}
        adhoc = AdhocPipeline(settings=settings, registry=registry_with(plugin, disable))
        start_workers_for(str(path), workers, adhoc.registry.get("stage", "features").preload)
        values = read_settings(changes or ())
        detectors: list[Any] = [{"use": each, **values} for each in detector or ()]
        if match:
            _refuse_several(detectors)
            chosen = detectors[0] if detectors else {"use": "sift", **values}
            use = adhoc.add("match", "match", first=str(path), second=str(second), detector=chosen)
        elif filtering:
            rows = read_kernel(kernel) if kernel else None
            options = {"filter": filter_name, "kernel": rows, "animate": animate or None, **values}
            use = adhoc.add("filters", "filters", dataset=add_images(adhoc, path), **options)
        elif stability:
            if values and not detectors:
                raise UserError("--set belongs to a detector", "Say which with --detector.")
            use = adhoc.add("stability", "stability", dataset=add_images(adhoc, path), detectors=detectors or None)
        else:
            _refuse_several(detectors)
            chosen = detectors[0] if detectors else {"use": "harris", **values}
            use = adhoc.add("features", "features", dataset=add_images(adhoc, path), detector=chosen)
        code, outcome = show_plan_run(adhoc.plan(), display, publish=out is None)
        if outcome is None:
            return code
        made = outcome.artifact(use)
        if out is not None:
            take_out(made, out)
        if not as_json:
            _show(made, PICTURES[use], out, show and not quiet)
        return code


def _refuse_several(detectors: list[Any]) -> None:
    from pipekit.errors import UserError

    if len(detectors) > 1:
        raise UserError("one detector at a time", "Several can be compared with --stability.")


def add_images(adhoc: AdhocPipeline, path: Path) -> str:
    """The images as a stage of the pipeline: one file, a folder, or a dataset of a run."""
    from pipekit.images import is_image

    if path.is_file() and is_image(path):
        return adhoc.add("data", "import.image", path=str(path))
    return adhoc.dataset(path)


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


def _show(made: Artifact, picture: str, out: Path | None, in_terminal: bool) -> None:
    """Where the result is; and a picture, on a terminal that can show it."""
    from pipekit import ui
    from pipekit.ui.picture import can_show, show_picture

    if in_terminal and can_show():
        from pipekit import images

        previews = sorted((made.path / "previews").rglob("*.png"))
        if previews:  # of the first image, the half with the dots: a terminal has few pixels
            drawn = images.read(previews[0])
            show_picture(drawn[:, : drawn.shape[1] // 2])
        else:
            show_picture(images.read(made.path / picture))
    if out is not None:
        ui.say(str(out))
