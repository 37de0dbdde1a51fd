"""``pipekit train``: from a folder of images to a trained and measured model, without a pipeline file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipekit.cli import complete
from pipekit.cli.loading import Disabled, Plugins
from pipekit.commands.working import registry_with


def train(
    data: Annotated[str, typer.Argument(help="A folder of images, a file in a dataset's format, or a run")],
    model: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="See `pipekit models`", autocompletion=complete.models)
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any parameter of the stage or the template: optimizer=sgd, model.dropout=0.3",
            show_default=False,
        ),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="A recipe's name, a .toml file, or 'rotate(40)|hflip'", show_default=False),
    ] = None,
    input_size: Annotated[
        str | None, typer.Option("--input", metavar="HxW", help="Size that images are brought to; found out if left out")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="How often every image is shown")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, metavar="N", help="Images in a batch")] = None,
    learning_rate: Annotated[float | None, typer.Option(metavar="RATE", help="Learning rate at its highest")] = None,
    patience: Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after N epochs without progress")] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The run's name: results are in runs/NAME/")] = None,
    seed: Annotated[int, typer.Option(min=0, help="All randomness derives from it")] = 0,
    report: Annotated[bool, typer.Option(help="Measure the model on the test split and write the report")] = True,
    workers: Annotated[int | None, typer.Option(min=1, metavar="N", help="Threads that prepare images")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Only go on with a run that was stopped; an error where there is none")
    ] = False,
    plugin: Plugins = None,
    disable: Disabled = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON event a line on stdout, and nothing else")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and the result")] = False,
) -> int:
    """Split a folder of images, train a model on it, measure it on images that it has not seen.

    Stopped, even by kill -9, it goes on where it was when the same command is given again; --resume makes sure that it does.
    Folders train, val and test are taken as the split. The pipeline file that would do the same: `pipekit scaffold`.
    """
    from pipekit import ui
    from pipekit.cli.run import refuse_a_new_start, reporting, show_plan_run
    from pipekit.engine.adhoc import AdhocPipeline

    settings: dict[str, Any] = {"name": name or run_name(data), "seed": seed}
    if workers is not None:
        settings["workers"] = workers
    display = ui.run_display(as_json, quiet)
    with reporting(display, as_json):
        adhoc = AdhocPipeline(settings=settings, registry=registry_with(plugin, disable))
        source = adhoc.dataset(data)
        split = adhoc.add("split", "split", dataset=source)
        given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "patience": patience}
        values = stage_values(model, changes or (), augment, input_size, given)
        trained = adhoc.add("train", "train", dataset=split, **values)
        if report:
            adhoc.add("report", "evaluate", dataset=split, model=trained)
        plan = adhoc.plan()
        if resume:
            refuse_a_new_start(plan, None, None)
        return show_plan_run(plan, display)[0]


def stage_values(
    model: str | None, changes: Any, augment: str | None, input_size: str | None, given: dict[str, Any]
) -> dict[str, Any]:
    """The train stage's parameters; ``model.x=…`` goes into the template's table."""
    from pipekit.cli.models import read_shape, read_values
    from pipekit.errors import UserError

    values = {key: value for key, value in given.items() if value is not None}
    if input_size is not None:
        values["input_hw"] = list(read_shape(input_size)[:2])
    if augment is not None:
        values["ops"] = augment
    template: dict[str, Any] = {"template": model} if model else {}
    for key, value in read_values(changes).items():
        outer, dot, inner = key.partition(".")
        if not dot:
            values[key] = value
        elif outer == "model" and inner:
            template[inner] = value
        else:
            raise UserError(f"--set {key}: only 'model' has parameters of its own", "For example --set model.dropout=0.3")
    if template:
        values["model"] = {"template": "simple_cnn", **template}
    return values


def run_name(data: str) -> str:
    """``photos/cats_dogs`` -> ``cats_dogs``: letters that a run's name may have."""
    import re

    stem = Path(data.partition(":")[0]).expanduser().absolute().name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "train"
