"""``pipekit corrections``: correct the labels of a dataset by a file; the source stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import pipekit
from pipekit.cli import complete
from pipekit.cli.building import new_app
from pipekit.cli.loading import Format, Splits

if TYPE_CHECKING:
    from pipekit.commands.corrections import Corrections

app = new_app()

STALE = 1
"""Exit code of ``check`` if a correction is stale."""

File = Annotated[Path, typer.Option("--file", metavar="FILE.csv", help="The corrections file")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON")]
Source = Annotated[str, typer.Argument(help="A folder of images, a file in a dataset's format, or a run's dataset")]
Ids = Annotated[list[str], typer.Argument(help="Ids of images: the paths below the folder")]
Who = Annotated[str, typer.Option(metavar="TEXT", help="Who decided it, noted in the file", show_default=False)]
HERE = Path("corrections.csv")


@app.callback(invoke_without_command=True)
def corrections(ctx: typer.Context, file: File = HERE, as_json: AsJson = False) -> None:
    """Correct labels, label images, and leave images out, by a CSV file that imports and splits read; undo it line by line.

    Without a command: lists the lines of corrections.csv. Nothing is applied unless a command or a pipeline file names it:
    --corrections, or corrections = "corrections.csv" of an import or split stage.
    """
    if ctx.invoked_subcommand is not None:  # options in front of a command are defaults of its own
        given = {"file": str(file)} | ({"as_json": True} if as_json else {})
        ctx.default_map = {ctx.invoked_subcommand: given}
        return
    _list(pipekit.corrections(file=file), as_json)


@app.command(help="Compare the corrections with a dataset: applied, or stale and why. Exit code 1 if one is stale.")
def check(source: Source, file: File = HERE, importer: Format = "", splits: Splits = "", as_json: AsJson = False) -> int:
    from pipekit.cli.readings import with_reading

    def compare(source: str, format: str, splits: str) -> Corrections:
        made: Corrections = pipekit.corrections(source, file=file, format=format, splits=splits)
        return made

    found = with_reading(compare, source, importer, splits, ask=not as_json)
    _list(found, as_json)
    return STALE if found.stale else 0


@app.command(help="Add lines: a label for images, or their removal.")
def add(
    source: Source,
    ids: Ids,
    label: Annotated[str, typer.Option(metavar="CLASS", help="Their class, labels (a|b) or number", show_default=False)] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Leave the images out")] = False,
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason, noted in the file", show_default=False)] = "",
    who: Who = "",
    file: File = HERE,
    importer: Format = "",
    splits: Splits = "",
) -> None:
    from pipekit.cli.readings import with_reading

    def add_lines(source: str, format: str, splits: str) -> Corrections:
        how = {"why": why, "who": who, "file": file, "format": format, "splits": splits}
        made: Corrections = pipekit.correct(source, ids, label, remove=remove, **how)
        return made

    _say(with_reading(add_lines, source, importer, splits, ask=True))


@app.command(name="from", help="List suspected label errors: a CSV file to edit, and a page with pictures.")
def suggest(
    run: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A run with a report or an inspection, an inspect.json, or a folder of images to inspect",
            autocompletion=complete.runs_here,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.csv", help="The list to edit")] = Path("suspects.csv"),
    file: File = HERE,
    as_json: AsJson = False,
) -> None:
    from pipekit import ui

    found = pipekit.suggest_corrections(run, out=out, file=file)
    if as_json:
        ui.say_json([dict(row) for row in found.rows])
        return
    if found.rows:
        ui.table(("id", "label", "suggested"), [(row["id"], row["old"], row["suggested"]) for row in found.rows[:20]])
    decided = f", {found.decided:,} are decided already" if found.decided else ""
    ui.say(f"{found.path}: {ui.plural(len(found.rows), 'suspect')}{decided}. Pictures: {found.page}")
    if found.rows:
        ui.note(f"Fill the column 'new', then: pipekit corrections accept {found.path}")


@app.command(help="Add the decided lines of a list of suspects that you edited.")
def accept(
    suspects: Annotated[Path, typer.Argument(metavar="FILE.csv", help="The edited list")], who: Who = "", file: File = HERE
) -> None:
    _say(pipekit.add_corrections(suspects, who=who, file=file))


@app.command(help="Take the lines of images out; the next run has their labels of the source.")
def undo(ids: Ids, file: File = HERE) -> None:
    _say(pipekit.undo_corrections(ids, file=file))


def _say(found: Corrections) -> None:
    from pipekit import ui

    ui.say(f"{found.path}: {ui.plural(len(found.corrections), 'correction')}")


def _list(found: Corrections, as_json: bool) -> None:
    from pipekit import ui

    rows: list[dict[str, Any]] = [
        {"id": one.id, "old": one.old, "new": one.new, "why": one.why, "who": one.who, "sha256": one.sha256, "line": one.line}
        for one in found.corrections
    ]
    states = {state.correction: state for state in found.states}
    if states:
        for row, one in zip(rows, found.corrections, strict=True):
            row |= {"state": states[one].state, "reason": states[one].reason}
    if as_json:
        ui.say_json(rows)
        return
    more = ("state", "reason") if states else ("why", "who")
    ui.table(
        ("id", "old", "new", *more), [(row["id"], row["old"] or "(none)", row["new"], *(row[m] for m in more)) for row in rows]
    )
    ui.say(
        f"{found.path}: {ui.plural(len(found.corrections), 'correction')}" + (f" ({found.headline})" if found.headline else "")
    )
