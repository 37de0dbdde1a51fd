"""``pipekit scaffold``: make a project, and fill it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import pipekit
from pipekit.cli.options import names_in, read_fractions

if TYPE_CHECKING:
    from pipekit.commands.scaffold import Project

MAX_LISTED = 10


class Layout(StrEnum):
    val = "val"
    valid = "valid"
    validation = "validation"
    flat = "flat"


class How(StrEnum):
    copy = "copy"
    hardlink = "hardlink"
    symlink = "symlink"
    move = "move"


def scaffold(
    name: Annotated[Path | None, typer.Argument(help="The project's folder", show_default=False)] = None,
    classes: Annotated[
        str, typer.Option(metavar="A,B,C", help="The classes; with --from, those to take", show_default=False)
    ] = "",
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="Fill it from a folder, a table, or an archive", show_default=False),
    ] = None,
    layout: Annotated[
        Layout, typer.Option(help="The name of the folder beside train and test; flat: classes only, divided by the pipeline")
    ] = Layout.val,
    how: Annotated[How, typer.Option(help="How images come in")] = How.copy,
    rename: Annotated[bool, typer.Option("--rename", help="Name the images dog_1.jpg, dog_2.jpg and so on")] = False,
    importer: Annotated[
        str, typer.Option("--format", metavar="IMPORTER", help="How to read the source; found by looking", show_default=False)
    ] = "",
    pattern: Annotated[
        str,
        typer.Option(
            metavar="REGEX", help="Classes in file names: a regular expression, group 1 is the class", show_default=False
        ),
    ] = "",
    fractions: Annotated[str, typer.Option(metavar="T,V,T", help="Shares of train, val and test")] = "0.7,0.15,0.15",
    seed: Annotated[int, typer.Option(help="Which images go where")] = 7,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would be done; do nothing")] = False,
    plugin: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Make a plugin instead: a distribution with a test", show_default=False),
    ] = None,
    kind: Annotated[str, typer.Option(metavar="KIND", help="With --plugin: op, stage, model, detector, section …")] = "op",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and warnings")] = False,
) -> int:
    """Make a project: folders for the images, a pipeline file that runs, a README; and fill it from images that you have.

    Nothing is ever overwritten. Repeated with more photographs, the command adds those and moves none. On a terminal it asks
    for what was not said.
    """
    from pipekit import ui
    from pipekit.errors import UserError

    if plugin is not None:
        return _plugin(plugin, kind, quiet)
    if name is None and not ui.can_ask():
        raise UserError("which folder is the project's?", "For example: pipekit scaffold pets --classes cat,dog")
    if name is None:
        name = Path(typer.prompt("The new project's folder", default="dataset").strip()).expanduser()
    wanted: dict[str, Any] = {"classes": names_in(classes), "source": source, "fractions": read_fractions(fractions)}
    if not classes and source is None and ui.can_ask():
        wanted |= _ask(name)
    if wanted["source"] is not None and ui.is_terminal():
        ui.note(f"Looking at {wanted['source']} …")
    project = pipekit.scaffold(
        name,
        layout=layout.value,
        how=how.value,
        rename=rename,
        format=importer,
        pattern=pattern,
        seed=seed,
        dry_run=dry_run,
        **wanted,
    )
    for warning in project.warnings:
        ui.warn(warning)
    _tell_left_out(project)
    if not quiet:
        _tell(project, dry_run)
    return 0


def _plugin(folder: Path, kind: str, quiet: bool) -> int:
    """Write a plugin distribution and say what to do next."""
    import pipekit
    from pipekit import ui

    made = pipekit.new_plugin(folder, kind)
    if not quiet:
        ui.say(f"{made.folder}/")
        for file in made.files:
            ui.say(f"  {file}")
        ui.say(f"Next: pip install --editable '{made.folder}[test]', then python -m pytest {made.folder}")
    return 0


def _ask(root: Path) -> dict[str, Any]:
    """Ask for what was left out. An empty answer takes what stands in brackets."""
    from pipekit import ui

    ui.say(f"A new project in {root}. Press Enter for what stands in brackets.")
    found: dict[str, Any] = {}
    path = typer.prompt("Where are the images? A folder, table or archive", default="none yet").strip()
    if path != "none yet":
        found["source"] = Path(path).expanduser()
        wanted = typer.prompt("Which classes, with commas between", default="all").strip()
        found["classes"] = () if wanted == "all" else names_in(wanted)
    else:
        found["classes"] = names_in(typer.prompt("Which classes, with commas between", default="dog,cat"))
    found["fractions"] = read_fractions(typer.prompt("Shares of train, val and test", default="0.7,0.15,0.15"))
    return found


def _tell_left_out(project: Project) -> None:
    from pipekit import ui

    if project.left_out:
        ui.warn(f"{ui.plural(len(project.left_out), 'file')} left out:")
        for name, reason in project.left_out[:MAX_LISTED]:
            ui.note(f"  {name}: {reason}")
        if len(project.left_out) > MAX_LISTED:
            ui.note(f"  and {len(project.left_out) - MAX_LISTED} more")


def _tell(project: Project, dry_run: bool) -> None:
    """The tree, with a count for each class and split."""
    from pipekit import ui

    request = project.request
    if project.found is not None:
        ui.say(f"{request.source}: {project.found.importer}, {project.found.reason}")
    ui.say(f"{request.root}/")
    ui.say("├── images/")
    splits = list(project.counts.items())
    for number, (split, counts) in enumerate(splits, start=1):
        last = number == len(splits)
        indent = "│   "
        if split:
            ui.say(f"{indent}{'└──' if last else '├──'} {split}/")
            indent += "    " if last else "│   "
        names = sorted(counts)
        width = max(map(len, names), default=0) + 1
        for at, label in enumerate(names, start=1):
            ui.say(f"{indent}{'└──' if at == len(names) else '├──'} {label + '/':<{width}} {counts[label]:>7,}")
    ui.say("├── pipeline.toml")
    ui.say("└── README.md")
    verb = {"copy": "copied", "hardlink": "linked", "symlink": "linked", "move": "moved"}[project.how]
    done = f"{ui.plural(len(project.transfers), 'image')} {'would be ' if dry_run else ''}{verb}"
    if project.present:
        done += f", {project.present:,} were there already"
    ui.say(f"{done}.{' Nothing was done (--dry-run).' if dry_run else ''}")
    if not dry_run:
        have_any = any(counts.total() for counts in project.counts.values())
        ui.say(f"Next: pipekit run {request.root / 'pipeline.toml'}" if have_any else "Next: put images into the folders.")
