"""``pipekit plugins``: the plugins, their components, and why one is broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipekit.cli import commands
from pipekit.cli.building import new_app
from pipekit.cli.loading import Disabled, Plugins

if TYPE_CHECKING:
    from pipekit.registry.registry import PluginRecord
    from pipekit.testing.checks import Verdict

app = new_app()


@app.callback(invoke_without_command=True)
def plugins(
    ctx: typer.Context,
    plugin: Plugins = None,
    disable: Disabled = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON")] = False,
) -> None:
    """List plugins, and say why one is broken.

    A plugin that can't be loaded is listed with the reason and does not stop other commands. Plugins are installed
    distributions with an entry point in the group "pipekit", the files and modules of PIPEKIT_PLUGINS, and those that a
    pipeline file names. To leave one out, use --disable NAME or PIPEKIT_DISABLE=NAME.
    """
    if ctx.invoked_subcommand is not None:
        return
    from pipekit import ui
    from pipekit.commands.plugins import plugins as list_plugins

    records = list_plugins(plugins=plugin, disable=disable)
    if as_json:
        ui.say_json([as_data(record) for record in records])
        return
    styles = {"ok": ui.GOOD, "broken": ui.BAD, "missing": ui.BAD, "disabled": ui.DIM}
    ui.table(
        ("plugin", "version", "API", "from", "loaded in", "brings", "status"),
        [
            (
                record.name,
                record.version or "-",
                str(record.api) if record.api is not None else "-",
                record.source,
                f"{1000 * record.seconds:.0f} ms",
                brings(record),
                ui.coloured(record.status, styles.get(record.status, "")),
            )
            for record in records
        ],
        right=(4,),
    )
    for record in records:
        if record.reason:
            ui.say(f"\n{record.name}: {record.reason}", ui.DIM if record.status == "disabled" else ui.WARN)
    for (kind, name), plugins in clashes(records).items():
        is_own = kind == "command" and name in commands()
        forms = " or ".join(name if is_own and plugin == "builtin" else f"{plugin}:{name}" for plugin in plugins)
        ui.say(f"\n{kind.replace('_', ' ')} {name!r} is in {len(plugins)} plugins: say {forms}", ui.WARN)


@app.command()
def check(
    what: Annotated[str, typer.Argument(metavar="PATH_OR_NAME", help="A plugin's file or module, or an installed one")],
    path: Annotated[
        Path | None,
        typer.Option("--path", metavar="PATH", help="Files that its importers or codecs read", show_default=False),
    ] = None,
    limit_s: Annotated[
        float | None,
        typer.Option(
            "--limit", metavar="SECONDS", min=0.1, help="Longest time for a promise; default: 120", show_default=False
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also show the promises that are kept")] = False,
) -> None:
    """Test every component of a plugin against the contract of its kind.

    The checks are those of pipekit.testing and of pipekit's own tests. They run in a separate process, with a working folder
    of its own. A component with parameters that have no default is checked without running it.
    """
    from itertools import groupby

    from pipekit import ui
    from pipekit.commands.plugins import check_plugin

    tried = check_plugin(what, path, limit_s=limit_s)
    counted = Counts()
    for (kind, name), group in groupby(tried.verdicts, key=lambda verdict: (verdict.kind, verdict.name)):
        ui.say(f"{kind} {name}", ui.NAME)
        show_verdicts(list(group), counted, verbose)
    ui.say()
    what = f"Plugin {tried.plugin.name!r}: {ui.plural(len(tried.plugin.components), 'component')}"
    if counted.broken:
        ui.say(f"{what}, {ui.plural(counted.broken, 'broken promise')}.", ui.BAD)
        raise typer.Exit(1)
    if not counted.called:
        ui.say(f"{what}, and nothing could be tried. Try it in tests of your own.", ui.BAD)
        raise typer.Exit(1)
    rest = f"; {ui.plural(counted.untried, 'promise')} could not be tried" if counted.untried else ""
    ui.say(f"{what}, no promise broken{rest}.", ui.GOOD)


@dataclass
class Counts:
    """What a check found.

    Attributes:
        called: promises that are kept and for which a component was called.
    """

    broken: int = 0
    untried: int = 0
    called: int = 0


def show_verdicts(verdicts: Sequence[Verdict], counted: Counts, verbose: bool) -> None:
    """Print the verdicts on one component, and count them."""
    from pipekit import ui
    from pipekit.testing.checks import own_promises
    from pipekit.testing.checks.plugin import CALLED

    own = {*own_promises(), CALLED}
    waiting = [verdict for verdict in verdicts if verdict.untried]
    problems = [verdict for verdict in verdicts if verdict.problem]
    kept = [verdict for verdict in verdicts if not verdict.untried and not verdict.problem]
    counted.broken += len(problems)
    counted.untried += len(waiting)
    counted.called += sum(verdict.promise in own for verdict in kept)
    for verdict in kept if verbose else ():
        ui.say(f"  kept    {verdict.promise}", ui.DIM)
    if waiting and not problems:
        ui.say(f"  not run {waiting[0].untried}", ui.WARN)
    for verdict in problems:
        ui.say(f"  broken  {verdict.promise}: {verdict.problem}", ui.BAD)


def clashes(records: Sequence[PluginRecord]) -> dict[tuple[str, str], list[str]]:
    """The names that several plugins give to components of one kind, with these plugins; pipekit's own commands count."""
    found: dict[tuple[str, str], list[str]] = {("command", name): ["builtin"] for name in commands()}
    for record in records:
        for place in record.components:
            found.setdefault(place, []).append(record.name)
    return {place: plugins for place, plugins in found.items() if len(plugins) > 1}


def brings(record: PluginRecord) -> str:
    """``3 ops, 1 model, observer``."""
    from collections import Counter

    from pipekit import ui

    counted = Counter(kind for kind, _ in record.components)
    found = [ui.plural(count, kind.replace("_", " ")) for kind, count in counted.items()]
    return ", ".join([*found, *(["observer"] if record.observers else [])]) or "-"


def as_data(record: PluginRecord) -> dict[str, Any]:
    from dataclasses import asdict

    data = asdict(record)
    data["components"] = [{"kind": kind, "name": name} for kind, name in record.components]
    return data
