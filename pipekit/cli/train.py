"""``pipekit train``: from a folder of images to a trained and measured model, without a pipeline file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from pipekit.cli import complete
from pipekit.cli.loading import Disabled, Plugins
from pipekit.cli.options import with_options_of

SPLIT = {
    "fractions": "--fractions",
    "group_column": "--group-column",
    "group_pattern": "--group-pattern",
    "exclude": "--exclude",
}
"""Parameters of the split stage that have an option; the others are given with ``--set split.NAME=VALUE``."""

FLAGS = {"ops": "--ops", "input_hw": "--input", **{f"split.{name}": flag for name, flag in SPLIT.items()}}


@with_options_of("train", flags=FLAGS)
def train(
    data: Annotated[str, typer.Argument(help="A folder of images, a file in a dataset's format, or a run")],
    model: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="See `pipekit models`", autocompletion=complete.models)
    ] = None,
    ops: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE",
            help="Applied to each training image: a recipe's name, a .toml file, or 'rotate(40)|hflip'",
            show_default=False,
        ),
    ] = None,
    input_hw: Annotated[
        str | None, typer.Option("--input", metavar="HxW", help="Size that images are brought to; found out if left out")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A parameter of the template, or of the split: model.dropout=0.3, split.duplicates=exact",
            show_default=False,
        ),
    ] = None,
    fractions: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="Share of each split: '{ train = 0.8, val = 0.1, test = 0.1 }'", show_default=False),
    ] = None,
    group_column: Annotated[
        str, typer.Option(metavar="TEXT", help="Keep images together that have the same value in this column")
    ] = "",
    group_pattern: Annotated[
        str, typer.Option(metavar="REGEX", help="Keep images together for which it finds the same text in the id")
    ] = "",
    exclude: Annotated[
        str, typer.Option(metavar="FILE", help="Leave out the images that this CSV lists (inspect --quarantine)")
    ] = "",
    name: Annotated[str, typer.Option(metavar="NAME", help="The run's name: results are in runs/NAME/")] = "",
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
    **params: Any,
) -> int:
    """Split a folder of images, train a model on it, measure it on images that it has not seen.

    Stopped, even by kill -9, it goes on where it was when the same command is given again; --resume makes sure that it does.
    Folders train, val and test are taken as the split. The pipeline file that would do the same: `pipekit scaffold`.
    """
    from pipekit.cli.options import read_value
    from pipekit.cli.showing import show_verb
    from pipekit.commands.train import train as train_model

    values, split = stage_values(model, changes or (), ops, input_hw, params)
    typed = {
        "fractions": read_value(fractions),
        "group_column": group_column,
        "group_pattern": group_pattern,
        "exclude": exclude,
    }
    split |= {key: value for key, value in typed.items() if value}
    options: dict[str, Any] = {
        "split": split,
        "report": report,
        "name": name,
        "seed": seed,
        "workers": workers,
        "resume": resume,
        "plugins": plugin,
        "disable": disable,
    }
    return show_verb(as_json, quiet, lambda display: train_model(data, listener=display, **{**options, **values}))[0]


def stage_values(
    model: str | None, changes: Sequence[str], ops: str | None, input_hw: str | None, given: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters of the train stage and of the split stage; ``model.x=…`` goes into the template's table."""
    from pipekit.cli.models import read_shape, read_values
    from pipekit.errors import UserError

    values = {key: value for key, value in given.items() if value is not None}
    if input_hw is not None:
        values["input_hw"] = list(read_shape(input_hw)[:2])
    if ops is not None:
        values["ops"] = ops
    template: dict[str, Any] = {"template": model} if model else {}
    split: dict[str, Any] = {}
    for key, value in read_values(changes).items():
        outer, dot, inner = key.partition(".")
        if not dot:
            values[key] = value
        elif outer in ("model", "split") and inner:
            (template if outer == "model" else split)[inner] = value
        else:
            raise UserError(
                f"--set {key}: only 'model' and 'split' have parameters of their own", "For example --set model.dropout=0.3"
            )
    if template:
        values["model"] = {"template": "simple_cnn", **template}
    return values, split
