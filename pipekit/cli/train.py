"""``pipekit train``: split a folder of images, train a model and evaluate it, without a pipeline file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from pipekit.cli import complete
from pipekit.cli.loading import Disabled, Format, Plugins, Splits
from pipekit.cli.options import with_options_of

SPLIT = {
    "fractions": "--fractions",
    "group_column": "--group-column",
    "group_pattern": "--group-pattern",
    "exclude": "--exclude",
    "corrections": "--corrections",
}
"""Parameters of the split stage that have their own option; set the others with ``--set split.NAME=VALUE``."""

FLAGS = {
    "ops": "--ops",
    "input_hw": "--input",
    "folds": "--folds",
    "seeds": "--seeds",
    "budget": "--budget",
    **{f"split.{name}": flag for name, flag in SPLIT.items()},
}


@with_options_of("train", leave_out=("cross_validate", "fold"), flags=FLAGS)
def train(
    data: Annotated[str, typer.Argument(help="A folder of images, a file in a dataset's format, or a run")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="TEMPLATE",
            show_default="auto",
            help="Model template: `pipekit models` lists them. auto: try several, keep the one best on val",
            autocompletion=complete.models,
        ),
    ] = None,
    budget: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            show_default="3m",
            help="For --model auto: estimated time that the templates may take together: 90s, 5m, 1h",
        ),
    ] = "",
    folds: Annotated[
        int,
        typer.Option(
            metavar="K",
            help="Cross-validation: train a model for each of K folds (3 or more), measure every image by a model that did not "
            "learn from it, and keep a model of all images",
            show_default="none",
        ),
    ] = 0,
    seeds: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Repeated seeds: train N times, with the seeds --seed, --seed + 1 …, and report the mean and the spread",
        ),
    ] = 1,
    ops: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE",
            help="Data augmentation of the training images: a recipe's name, a .toml file, or 'rotate(40)|hflip'",
            show_default=False,
        ),
    ] = None,
    input_hw: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="HxW",
            help="Input size: images are resized to it; default: the template's, or chosen from the data",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A parameter of the template or of the split: model.dropout=0.3, split.duplicates=exact",
            show_default=False,
        ),
    ] = None,
    fractions: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE", help="Fraction of each split: '{ train = 0.8, val = 0.1, test = 0.1 }'", show_default=False
        ),
    ] = None,
    group_column: Annotated[
        str, typer.Option(metavar="TEXT", help="Keep images with the same value in this column in one split")
    ] = "",
    group_pattern: Annotated[
        str, typer.Option(metavar="REGEX", help="Keep images in one split if this expression finds the same text in their ids")
    ] = "",
    exclude: Annotated[
        str, typer.Option(metavar="FILE", help="Exclude the images that this CSV lists (inspect --quarantine)")
    ] = "",
    corrections: Annotated[
        str, typer.Option(metavar="FILE", help="Change labels and leave images out as this CSV says (pipekit corrections)")
    ] = "",
    importer: Format = "",
    splits: Splits = "",
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the run; results are in runs/NAME/")] = "",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Random seed; the same seed gives the same result")] = 0,
    report: Annotated[bool, typer.Option(help="Evaluate the model on the test split and write the report")] = True,
    workers: Annotated[int | None, typer.Option(min=1, metavar="N", help="Number of threads that prepare images")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Only resume a stopped run; an error if there is none")] = False,
    plugin: Plugins = None,
    disable: Disabled = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON events, one per line, on stdout")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the result")] = False,
    **params: Any,
) -> int:
    """Split a folder of images, train a model on it, evaluate it on images that it has not seen.

    If training is stopped, even by kill -9, run the same command again to resume it; with --resume it is an error if nothing
    can be resumed. Folders train, val and test are used as the split. `pipekit scaffold` writes a pipeline file that does the
    same.
    """
    from pipekit.cli.grouping import ask_for_groups
    from pipekit.cli.options import read_value
    from pipekit.cli.readings import with_reading
    from pipekit.cli.showing import show_verb
    from pipekit.commands.train import train as train_model

    values, split = stage_values(model, changes or (), ops, input_hw, params)
    group_pattern = ask_for_groups(data, group_column, group_pattern, ask=not (as_json or quiet or resume))
    typed = {
        "fractions": read_value(fractions),
        "group_column": group_column,
        "group_pattern": group_pattern,
        "exclude": exclude,
        "corrections": corrections,
    }
    split |= {key: value for key, value in typed.items() if value}
    options: dict[str, Any] = {
        "split": split,
        "report": report,
        "folds": folds,
        "seeds": seeds,
        "budget": budget,
        "name": name,
        "seed": seed,
        "workers": workers,
        "resume": resume,
        "plugins": plugin,
        "disable": disable,
    }

    def learn(source: str, format: str, splits: str) -> int:
        how = {**options, "format": format, "splits": splits, **values}
        return show_verb(as_json, quiet, lambda display: train_model(source, listener=display, **how))[0]

    return with_reading(learn, data, importer, splits, ask=not as_json)


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
            raise UserError(f"--set {key}: only 'model' and 'split' have parameters", "For example --set model.dropout=0.3")
    if template:
        values["model"] = {"template": "auto", **template}
    return values, split
