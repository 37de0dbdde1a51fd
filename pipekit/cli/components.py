"""``pipekit components``: list components, and show the parameters of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipekit.cli import complete
from pipekit.cli.loading import Disabled, Plugins

if TYPE_CHECKING:
    from pipekit.commands.components import Described
    from pipekit.registry.component import Component


def components(
    kind: Annotated[
        str | None,
        typer.Argument(help="stage, op, recipe, model, importer, exporter, detector …", autocompletion=complete.kinds),
    ] = None,
    name: Annotated[str | None, typer.Argument(help="One component", autocompletion=complete.names_of_kind)] = None,
    plugin: Plugins = None,
    disable: Disabled = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON")] = False,
) -> None:
    """List stages, ops, models and other components, and show their parameters.

    Without KIND: every component by name. With KIND: also the members of families such as albu.*. With KIND and NAME: the
    component's parameters with types, bounds, defaults and units.
    """
    from pipekit import ui
    from pipekit.commands.components import component
    from pipekit.commands.components import components as list_components

    if kind is not None and name is not None:
        described = component(kind, name, plugins=plugin, disable=disable)
        ui.say_json(described_as_data(described)) if as_json else show(described)
        return
    found = list_components(kind, plugins=plugin, disable=disable, listener=warn)
    if as_json:
        ui.say_json([as_data(each) for each in found])
        return
    rows = [(each.reference, each.plugin, each.summary) for each in found]
    if kind is None:
        kinds = [each.kind for each in found]
        every = not ui.is_terminal()  # for grep
        first = [kind if every or number == 0 or kinds[number - 1] != kind else "" for number, kind in enumerate(kinds)]
        ui.table(("kind", "name", "plugin", "what it does"), [(a, *row) for a, row in zip(first, rows, strict=True)])
        ui.say("\nOne of them: pipekit components KIND NAME", ui.DIM)
    else:
        ui.table((kind, "plugin", "what it does"), rows)
        ui.say(f"\nOne of them: pipekit components {kind} NAME", ui.DIM)


def warn(event: str, **values: Any) -> None:
    """Print a warning of the verb."""
    from pipekit import ui

    if event == "warning":
        ui.warn(str(values["message"]))


def show(described: Described) -> None:
    """Print one component: its summary, a stage's inputs and output, its parameters."""
    from pipekit import ui

    component, rows = described.component, described.params
    facts = [("plugin", component.plugin), ("version", str(component.version))]
    if component.kind == "stage":
        facts += [
            ("takes", ", ".join(slot_text(slot) for slot in described.inputs) or "nothing"),
            ("makes", described.output),
        ]
    ui.say(f"{component.kind} {component.reference}", ui.NAME)
    if component.summary:
        ui.say(component.summary)
    ui.say()
    ui.table(("", ""), [(ui.coloured(name, ui.DIM), value) for name, value in facts], header=False)
    ui.say()
    if not rows:
        ui.say("It has no parameters.")
        return
    ui.table(
        ("parameter", "type", "bounds", "default", "unit", "what it is"),
        [(row.name, row.type, row.bounds, row.default, row.unit, row.description) for row in rows],
    )


def slot_text(slot: Any) -> str:
    """``dataset: dataset (several)``."""
    notes = [*(["several"] if slot.many else []), *([] if slot.required else ["optional"])]
    return f"{slot.name}: {slot.artifact.kind}" + (f" ({', '.join(notes)})" if notes else "")


def as_data(component: Component) -> dict[str, Any]:
    """A component as JSON-like data."""
    return {
        "kind": component.kind,
        "name": component.reference,
        "summary": component.summary,
        "version": component.version,
        "plugin": component.plugin,
    }


def described_as_data(described: Described) -> dict[str, Any]:
    """A component with its parameters, and a stage with its inputs and output."""
    from dataclasses import asdict

    data = {**as_data(described.component), "params": [asdict(row) for row in described.params]}
    if described.component.kind == "stage":
        data["inputs"] = [
            {"name": slot.name, "kind": slot.artifact.kind, "required": slot.required, "many": slot.many}
            for slot in described.inputs
        ]
        data["output"] = described.output
    return data
