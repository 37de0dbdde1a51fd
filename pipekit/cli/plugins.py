"""``pipekit plugins``: who brings what, and what is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipekit.cli.app import new_app

if TYPE_CHECKING:
    from pipekit.registry import PluginRecord

app = new_app()


@app.callback(invoke_without_command=True)
def plugins(
    ctx: typer.Context,
    plugin: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Load this plugin too: a file or a module", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON")] = False,
) -> None:
    """List plugins, and why one is broken.

    A plugin that can't be loaded stops nothing: it is listed here with the reason. Plugins are installed distributions with an
    entry point in the group "pipekit", the files and modules of PIPEKIT_PLUGINS, and those that a pipeline file names.
    PIPEKIT_DISABLE=name leaves one out.
    """
    if ctx.invoked_subcommand is not None:
        return
    from pipekit import ui
    from pipekit.registry import load_registry

    records = load_registry(tuple(plugin or ())).plugins
    if as_json:
        ui.say_json([as_data(record) for record in records])
        return
    styles = {"ok": ui.GOOD, "broken": ui.BAD, "disabled": ui.DIM}
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
            ui.say(f"\n{record.name}: {record.reason}", ui.WARN if record.status == "broken" else ui.DIM)


@app.command()
def check(
    what: Annotated[
        str, typer.Argument(metavar="PATH_OR_NAME", help="A plugin's file or module, or the name of an installed one")
    ],
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the promises that are kept, too")] = False,
) -> None:
    """Try everything that a plugin brings against what its kind promises.

    The checks are those of pipekit.testing and of pipekit's own tests. A component whose parameters have no defaults is looked
    at but not run.
    """
    from pipekit import ui
    from pipekit.promises import examine_plugin

    record, verdicts = examine_plugin(what)
    rows, broken = [], 0
    for verdict in verdicts:
        broken += bool(verdict.problem)
        word, style = (
            ("broken", ui.BAD) if verdict.problem else ("not tried", ui.WARN) if verdict.untried else ("kept", ui.GOOD)
        )
        if verbose or verdict.problem or verdict.untried:
            why = verdict.problem or verdict.untried
            rows.append((f"{verdict.kind} {verdict.name}", verdict.promise, ui.coloured(word, style), why))
    if rows:
        ui.table(("component", "promise", "", "why"), rows)
        ui.say()
    components = ui.plural(len(record.components), "component")
    if broken:
        ui.say(f"Plugin {record.name!r}: {components}, {ui.plural(broken, 'broken promise')}.", ui.BAD)
        raise typer.Exit(1)
    ui.say(f"Plugin {record.name!r}: {components}, all promises kept.", ui.GOOD)


def brings(record: PluginRecord) -> str:
    """``3 ops, 1 model``."""
    from collections import Counter

    from pipekit import ui

    counted = Counter(kind for kind, _ in record.components)
    return ", ".join(ui.plural(count, kind.replace("_", " ")) for kind, count in counted.items()) or "-"


def as_data(record: PluginRecord) -> dict[str, Any]:
    from dataclasses import asdict

    data = asdict(record)
    data["components"] = [{"kind": kind, "name": name} for kind, name in record.components]
    return data
