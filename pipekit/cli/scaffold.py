"""``pipekit scaffold``: create a project, and fill it with images."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import pipekit
from pipekit.cli.loading import Format, Splits
from pipekit.cli.options import names_in, read_fractions
from pipekit.cli.readings import with_reading
from pipekit.files import expanded

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
    name: Annotated[Path | None, typer.Argument(help="Folder of the new project", show_default=False)] = None,
    classes: Annotated[
        str, typer.Option(metavar="A,B,C", help="Classes; with --from: the classes to import", show_default=False)
    ] = "",
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="Import images from a folder, a table or an archive", show_default=False),
    ] = None,
    layout: Annotated[
        Layout, typer.Option(help="Name of the validation folder; flat: class folders only, split by the pipeline")
    ] = Layout.val,
    how: Annotated[How, typer.Option(help="How images are transferred")] = How.copy,
    rename: Annotated[bool, typer.Option("--rename", help="Rename the images to dog_1.jpg, dog_2.jpg …")] = False,
    importer: Format = "",
    splits: Splits = "",
    pattern: Annotated[
        str,
        typer.Option(metavar="REGEX", help="Regular expression for file names; its group 1 is the class", show_default=False),
    ] = "",
    fractions: Annotated[str, typer.Option(metavar="T,V,T", help="Fractions of train, val and test")] = "0.7,0.15,0.15",
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed of the split")] = 7,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would be done; write nothing")] = False,
    plugin: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Create a plugin instead: a distribution with a test", show_default=False),
    ] = None,
    kind: Annotated[str, typer.Option(metavar="KIND", help="With --plugin: op, stage, model, detector, section …")] = "op",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and warnings")] = False,
) -> int:
    """Create a project: image folders, a pipeline file that runs, a README; with --from, import your images.

    Existing files are never overwritten. Run the command again with more images to add them; no image that is there is moved.
    In a terminal it asks for what you leave out.
    """
    from pipekit import ui
    from pipekit.errors import UserError

    if plugin is not None:
        return _plugin(plugin, kind, quiet)
    if name is None and not ui.can_ask():
        raise UserError("the project's folder is missing", "For example: pipekit scaffold pets --classes cat,dog")
    if name is None:
        name = expanded(typer.prompt("The new project's folder", default="dataset").strip())
    wanted: dict[str, Any] = {"classes": names_in(classes), "source": source, "fractions": read_fractions(fractions)}
    if not classes and source is None and ui.can_ask():
        wanted |= _ask(name)
    if wanted["source"] is not None and ui.is_terminal():
        ui.note(f"Reading {wanted['source']} …")
    given = {"rename": rename, "pattern": pattern, "seed": seed, "dry_run": dry_run, **wanted}
    root = name

    def create(source: str, format: str, splits: str) -> Project:
        how_read = {"source": Path(source) if source else None, "format": format, "splits": splits}
        made: Project = pipekit.scaffold(root, layout=layout.value, how=how.value, **{**given, **how_read})
        return made

    project = with_reading(create, str(wanted["source"] or ""), importer, splits)
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
    """Ask for what was left out. An empty answer takes the default in brackets."""
    from pipekit import ui

    ui.say(f"A new project in {root}. Press Enter for the default in brackets.")
    found: dict[str, Any] = {}
    path = typer.prompt("Where are the images? A folder, table or archive", default="none yet").strip()
    if path != "none yet":
        found["source"] = expanded(path)
        wanted = typer.prompt("Which classes, separated by commas", default="all").strip()
        found["classes"] = () if wanted == "all" else names_in(wanted)
    else:
        found["classes"] = names_in(typer.prompt("Which classes, separated by commas", default="dog,cat"))
    found["fractions"] = read_fractions(typer.prompt("Fractions of train, val and test", default="0.7,0.15,0.15"))
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
    """Print the folder tree, with the number of images per class and split."""
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
