"""``pipekit runs``: list runs, show one, compare the parameters of two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from pipekit.cli import complete
from pipekit.cli.building import new_app

app = new_app()

RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="Name (its newest finished run), id or folder of a run", autocompletion=complete.runs_here
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON")]
Project = Annotated[Path, typer.Option("--in", metavar="FOLDER", help="Project folder: the folder of the pipeline file")]

Data = Mapping[str, Any]


@app.callback(invoke_without_command=True)
def runs(ctx: typer.Context, folder: Project = Path(), as_json: AsJson = False) -> None:
    """List runs, show one, compare the parameters of two.

    Without a command: lists every run of the project in this folder, newest first.
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = folder
        return
    from pipekit import ui
    from pipekit.commands.runs import runs as list_runs

    found = list_runs(folder)
    if as_json:
        ui.say_json(found)
        return
    if not found:
        ui.say(f"No pipeline has been run in {folder.absolute()}. Start one: pipekit run FILE")
        return
    rows = [
        (
            name_of(data),
            str(data.get("id", "")),
            ago(data.get("started")),
            ui.duration(float(data.get("seconds") or 0)),
            result_of(data),
        )
        for data in found
    ]
    ui.table(("run", "id", "started", "time", "result"), rows, right=(3,), firm=(0, 1, 2, 3))


def name_of(data: Data) -> str:
    """The run's name; of a command without one, its last stage in brackets: ``(inspect)``."""
    from pipekit.engine.outcome import shown_name

    name = str(data.get("name", ""))
    shown = shown_name(name, [stage.get("use") or stage["name"] for stage in data.get("stages") or ()])
    return name if shown == name else f"({shown})"


def result_of(data: Data) -> Any:
    """The headline; for a run that did not finish, its status."""
    from pipekit import ui

    status = str(data.get("status", ""))
    return str(data.get("headline") or status) if status == "finished" else ui.coloured(status, ui.BAD)


@app.command(help="Show one run: its stages, their results, the seed and the library versions.")
def show(ctx: typer.Context, name: RunName, as_json: AsJson = False) -> None:
    from pipekit import ui
    from pipekit.commands.runs import show_run

    data = show_run(name, ctx.obj)
    if as_json:
        ui.say_json(data)
        return
    ui.say(str(data.get("name", name)), ui.NAME)
    facts = [
        ("id", str(data.get("id", ""))),
        ("started", when(data.get("started"))),
        ("status", str(data.get("status", ""))),
        ("time", ui.duration(float(data.get("seconds") or 0))),
        ("file", str(data.get("file") or "-")),
        ("changes", ", ".join(f"--set {change}" for change in data.get("overrides") or ())),
        ("seed", str(data.get("seed", ""))),
        ("executor", f"{(data.get('executor') or {}).get('use', '')}, {ui.plural(int(data.get('workers') or 1), 'worker')}"),
        ("plugins", ", ".join(f"{name} {entry['version']}".strip() for name, entry in (data.get("plugins") or {}).items())),
        ("versions", ", ".join(f"{library} {version}" for library, version in (data.get("versions") or {}).items())),
    ]
    ui.table(("", ""), [(ui.coloured(what, ui.DIM), value) for what, value in facts if value], header=False)
    ui.say()
    ui.table(("stage", "use", "state", "time", "result"), [stage_row(stage) for stage in data.get("stages") or ()], right=(3,))
    for stage in data.get("stages") or ():
        if str(stage.get("why", "")).startswith("recomputed"):
            ui.say(f"\n{stage['name']}: {stage['why']}", ui.DIM)
    warnings = [(stage["name"], text) for stage in data.get("stages") or () for text in stage.get("warnings") or ()]
    for stage, text in warnings:
        ui.say(f"\nwarning: {stage}: {text}", ui.WARN)
    if data.get("headline"):
        ui.say(f"\n{data['headline']}", ui.NAME)


@app.command(help="Compare two runs: which parameters, inputs and results differ.")
def compare(ctx: typer.Context, first: RunName, second: RunName, as_json: AsJson = False) -> None:
    from pipekit import ui
    from pipekit.commands.runs import diff_runs

    found = diff_runs(first, second, ctx.obj)
    if as_json:
        ui.say_json([asdict(each) for each in found])
        return
    if not found:
        ui.say(f"{first} and {second} have the same stages, parameters and results.")
        return
    ui.table(("differs", first, second), [(each.what, text(each.first), text(each.second)) for each in found])


def stage_row(stage: Data) -> tuple[str, str, str, str, str]:
    from pipekit import ui

    seconds = stage.get("seconds")
    took = "" if stage.get("cached") or seconds is None else ui.duration(float(seconds))
    result = ", ".join(f"{name} {value}" for name, value in (stage.get("facts") or {}).items())
    return str(stage["name"]), str(stage.get("use", "")), "cached" if stage.get("cached") else "ran", took, result


def when(value: Any) -> str:
    """A time as written in run.json (ISO 8601, or seconds since 1970), in local time."""
    from datetime import datetime

    if value is None:
        return ""
    try:
        moment = datetime.fromtimestamp(value) if isinstance(value, (int, float)) else datetime.fromisoformat(str(value))
    except (ValueError, OSError):
        return str(value)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def ago(value: Any) -> str:
    """``3 min ago``, ``2 h ago``, ``5 d ago``; the date for what is older than a month."""
    from datetime import UTC, datetime

    try:
        passed = (datetime.now(UTC) - datetime.fromisoformat(str(value))).total_seconds()
    except (TypeError, ValueError):
        return when(value)
    for unit, seconds, most in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 24), ("d", 86400, 31)):
        if passed < most * seconds:
            return f"{max(0, int(passed // seconds))} {unit} ago"
    return when(value)[:10]


def text(value: Any) -> str:
    from pipekit.registry.param_rows import toml_text

    return "-" if value is None else toml_text(value)
