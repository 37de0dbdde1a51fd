"""``pipekit augment``: see what a recipe does, and write augmented copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipekit.cli.loading import Disabled, Plugins
from pipekit.commands.working import registry_with

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipekit.contract import Sample
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.recipe.preview import Tile
    from pipekit.ui.progress import RunDisplay

PREVIEW_PX = 1024
SHOWN_IMAGES = 4
KEPT_FORMATS = ("coco", "yolo", "voc", "masks", "csv", "parquet")
"""Formats that hold more than a class for each image; copies are written as what their images came as."""
DEFAULT_SHEET = "augment-preview.png"


def augment(
    source: Annotated[str, typer.Argument(help="An image, a folder of images, or a run's dataset (runs/NAME:STAGE)")],
    out: Annotated[
        Path | None,
        typer.Argument(
            help=f"The folder to write; it must not exist. With --preview: the picture, {DEFAULT_SHEET} unless given",
            show_default=False,
        ),
    ] = None,
    ops: Annotated[
        str, typer.Option(metavar="RECIPE", help="A preset, a .toml file, or 'rotate(40)|hflip|albu.GaussNoise(p=0.3)'")
    ] = "medium",
    preview: Annotated[bool, typer.Option("--preview", help="Write a contact sheet of variants, and nothing else")] = False,
    each: Annotated[bool, typer.Option("--each", help="Preview: a row for each op, applied alone")] = False,
    steps: Annotated[bool, typer.Option("--steps", help="Preview: the image after each op")] = False,
    html: Annotated[bool, typer.Option("--html", help="Preview: a page with sliders as well")] = False,
    variants: Annotated[int, typer.Option(min=1, max=500, metavar="N", help="Preview: how many variants")] = 12,
    check: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="Measure what each op costs this model on held-out images: a run, or a folder with model.json",
            show_default=False,
        ),
    ] = "",
    strength: Annotated[
        list[float] | None,
        typer.Option(metavar="PART", help="Check: a part of each op's strength; default: 0.25, 0.5 and 1", show_default=False),
    ] = None,
    copies: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Augmented copies of each image; 3, or 1 for a check", show_default=False),
    ] = None,
    size: Annotated[
        str, typer.Option(metavar="HxW", help="Height and width of what comes out: 150x150", show_default=False)
    ] = "",
    fit: Annotated[Literal["stretch", "crop", "pad"], typer.Option(help="How another shape gets into --size")] = "stretch",
    fill: Annotated[
        Literal["nearest", "constant", "reflect", "wrap"], typer.Option(help="What lies outside the picture")
    ] = "nearest",
    full_resolution: Annotated[bool, typer.Option("--full-resolution", help="Apply the ops first, resize last")] = False,
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A split to augment; default: train. Check: the split to measure on", show_default=False
        ),
    ] = None,
    balance: Annotated[bool, typer.Option("--balance", help="Bring every class to the same number")] = False,
    keep_originals: Annotated[bool, typer.Option(help="Write the images themselves too")] = True,
    form: Annotated[Literal["same", "jpg", "png", "webp"], typer.Option("--format", help="Of the files")] = "same",
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of jpg and webp")] = 95,
    layout: Annotated[
        str,
        typer.Option(
            "--as", metavar="FORMAT", help="How the folder is laid out: folders, coco, yolo …; same: as the source came"
        ),
    ] = "same",
    seed: Annotated[int, typer.Option(metavar="N", help="All randomness derives from it")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many shards run at once", show_default=False)
    ] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
    show: Annotated[bool, typer.Option("--show/--no-show", help="Show the preview in the terminal, where it can")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON event a line on stdout, and nothing else")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and the result")] = False,
) -> int:
    """See what a recipe does to your images, and write augmented copies.

    Begin with --preview. The ops: pipekit components op; the presets: pipekit components recipe. The source is never changed,
    and the same seed gives the same files.
    """
    from pipekit.cli.prestart import start_workers_for

    registry = registry_with(plugin, disable)
    if not (preview or each or steps or html or check):
        start_workers_for(source, workers, registry.get("stage", "augment").preload)
    from pipekit import ui
    from pipekit.cli.run import reporting, show_plan_run
    from pipekit.commands.replay import RECIPE_FILE, ROWS_FILE, write_rows
    from pipekit.contract import Dataset
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.engine.run_folder import take_out
    from pipekit.errors import UserError

    options: dict[str, Any] = {
        "ops": ops,
        "size_hw": read_size(size),
        "fit": fit,
        "fill_mode": fill,
        "full_resolution": full_resolution,
    }
    settings = {"name": "augment-check" if check else "augment", "seed": seed, **({"workers": workers} if workers else {})}
    adhoc = AdhocPipeline(settings=settings, registry=registry)
    if preview or each or steps or html:
        if check:
            raise UserError("--check and --preview are two things", "Give one of them.")
        return show_preview(adhoc, source, out, options, seed, variants, each, steps, html, show and not quiet)
    display = ui.run_display(as_json, quiet)
    with reporting(display, as_json):
        if check:
            chosen_split = one_split(split)
            asked = {"ops": ops, "fill_mode": fill, "split": chosen_split, "copies": copies, "strengths": strength}
            return check_model(adhoc, check, source, out, asked, display, as_json)
        if out is None:
            raise UserError("where to?", f"pipekit augment {source} FOLDER, or pipekit augment {source} --preview")
        refuse_inside(out, Path(source))
        if out.exists():
            raise UserError(f"{out} exists already", "Choose another folder, or remove that one first.")
        data = adhoc.dataset(source)
        wanted = {"splits": split, "balance": balance, "keep_originals": keep_originals, "format": form, "quality": quality}
        made = adhoc.add("augment", "augment", dataset=data, copies=copies or 3, **options, **wanted)
        form_of_out = laid_out(adhoc, data, layout)
        last = made if form_of_out == "folders" else adhoc.add("export", f"export.{form_of_out}", dataset=made)
        code, outcome = show_plan_run(adhoc.plan(), display, publish=False)
        if outcome is not None:
            artifact = outcome.artifact(made)
            assert isinstance(artifact, Dataset)
            take_out(outcome.artifact(last), out)
            if last != made:
                write_rows(artifact, out / ROWS_FILE)
            kept = {"params": artifact.meta["params"], "seed": seed, "source": str(Path(source).resolve())}
            ui.write_text(out / RECIPE_FILE, json.dumps(kept, indent=1) + "\n")
            if not as_json:
                ui.say(str(out))
        return code


def laid_out(adhoc: AdhocPipeline, data: str, layout: str) -> str:
    """The exporter's name; images with annotations are written in the format that they came in, others as class folders."""
    if layout != "same":
        adhoc.registry.get("exporter", layout)  # a misspelt name is answered with the nearest one
        return layout
    came = adhoc.stages[data]["use"].removeprefix("import.") if data in adhoc.stages else ""
    return came if came in KEPT_FORMATS else "folders"


def one_split(names: Sequence[str] | None) -> str | None:
    from pipekit.errors import UserError

    if names and len(names) > 1:
        raise UserError("a check measures on one split", "Give --split once; --split all takes every image.")
    return names[0] if names else None


def check_model(
    adhoc: AdhocPipeline, model: str, source: str, out: Path | None, asked: dict[str, Any], display: RunDisplay, as_json: bool
) -> int:
    """Measure what each op costs a model, print the table, and say where the page is."""
    import csv

    from pipekit import ui
    from pipekit.cli.run import show_plan_run
    from pipekit.engine.run_folder import take_out
    from pipekit.errors import UserError

    if out is not None:
        refuse_inside(out, Path(source))
        if out.exists():
            raise UserError(f"{out} exists already", "Choose another folder, or remove that one first.")
    made = adhoc.add("augment_check", "augment_check", model=adhoc.model(model), dataset=adhoc.dataset(source), **asked)
    code, outcome = show_plan_run(adhoc.plan(), display, publish=out is None)
    if outcome is not None:
        artifact = outcome.artifact(made)
        if out is not None:
            take_out(artifact, out)
        if not as_json:
            with (artifact.path / "augment_check.csv").open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            columns = ("op", "strength", "accuracy", "drop", "confidence", "verdict")
            ui.table(columns, [tuple(row[name] for name in columns) for row in rows])
            ui.say(str((out or outcome.run_dir) / "augment_check.html"))
    return code


def read_size(text: str) -> list[int] | None:
    """``"150x200"`` -> [150, 200]; height first."""
    from pipekit.errors import UserError

    if not text:
        return None
    parts = text.lower().replace("×", "x").split("x")
    if not all(part.strip().isdecimal() for part in parts) or len(parts) not in (1, 2):
        raise UserError(f"--size takes height and width, like 150x200, got {text!r}")
    return [int(parts[0]), int(parts[-1])]


def refuse_inside(out: Path, source: Path) -> None:
    from pipekit.errors import UserError

    if source.exists() and out.resolve().is_relative_to(source.resolve()):
        raise UserError(
            f"{out} lies inside the source {source}", "Source folders are never written to; choose a place beside it."
        )


def show_preview(
    adhoc: AdhocPipeline,
    source: str,
    out: Path | None,
    options: dict[str, Any],
    seed: int,
    count: int,
    each: bool,
    steps: bool,
    html: bool,
    show: bool,
) -> int:
    """Write the sheet (and the page), say where, and show it."""
    from pipekit import images, ui
    from pipekit.recipe import preview
    from pipekit.recipe.compiled import check_ops, compile_recipe
    from pipekit.ui.picture import can_show, show_picture

    place = out or Path(DEFAULT_SHEET)
    refuse_overwriting(place, source)
    ops = check_ops(adhoc.registry, options["ops"], adhoc.base_dir)
    settings = {name: value for name, value in options.items() if name not in ("ops", "size_hw")}
    size_hw = None if options["size_hw"] is None else tuple(options["size_hw"])

    def make(calls: Sequence[Any]) -> Any:
        return compile_recipe(calls, size_hw, **settings)

    recipe = make(ops)
    subjects = [preview.subject_of(sample, PREVIEW_PX) for sample in chosen(adhoc, source)]
    rows: list[list[Tile]]
    if each:
        rows = preview.each(ops, make, subjects[0], min(count, 5), seed)
    elif steps:
        rows = [preview.steps(recipe, subject, seed) for subject in subjects]
    else:
        per_image = count if len(subjects) == 1 else max(1, count // len(subjects))
        rows = [preview.variants(recipe, subject, per_image, seed) for subject in subjects]
    sheet = preview.sheet(rows, columns=len(rows[0]) if each else None)
    images.write(place, sheet)
    written = [place]
    if html:
        written.append(place.with_suffix(".html"))
        ui.write_text(written[1], preview.page(rows, f"{options['ops']} on {source}"))
    if show and can_show():
        show_picture(sheet)
    for path in written:
        ui.say(str(path))
    return 0


def refuse_overwriting(place: Path, source: str) -> None:
    from pipekit.errors import UserError

    if place.suffix.lower() != ".png":
        raise UserError(
            f"the preview is a PNG file, not {place}", f"For example: pipekit augment {source} preview.png --preview"
        )
    if Path(source).is_dir():
        refuse_inside(place, Path(source))
    if place.exists() and place.resolve() == Path(source).resolve():
        raise UserError(f"{place} is the source", "Choose another name for the preview.")


def chosen(adhoc: AdhocPipeline, source: str) -> list[Sample]:
    """The image, or a few from all over the folder."""
    from pipekit.contract import Dataset, Sample
    from pipekit.images import is_image

    path = Path(source)
    if path.is_file() and is_image(path):
        return [Sample(path.name, str(path))]
    data = adhoc.dataset(source)
    dataset = adhoc.given[data] if data in adhoc.given else adhoc.run().artifact(data)
    assert isinstance(dataset, Dataset)
    count = len(dataset)
    wanted = {round(i * (count - 1) / max(1, SHOWN_IMAGES - 1)) for i in range(min(SHOWN_IMAGES, count))}
    return [sample for number, sample in enumerate(dataset) if number in wanted]
