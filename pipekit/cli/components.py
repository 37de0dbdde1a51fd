"""``pipekit components``: what there is, and what each thing takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipekit.cli import complete
from pipekit.cli.loading import Disabled, Plugins
from pipekit.commands.working import registry_with

if TYPE_CHECKING:
    from pipekit.registry.component import Component
    from pipekit.registry.registry import Registry


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
    """List stages, ops, models and the rest, and their parameters.

    Without a kind, everything by name; with a kind, also the members of families such as albu.*; with a kind and a name, the
    component's parameters with types, bounds, defaults and units.
    """
    from pipekit import ui

    registry = registry_with(plugin, disable)
    if kind is not None and name is not None:
        component = registry.get(kind, name)
        ui.say_json(as_data(component, full=True)) if as_json else show(component)
        return
    found = listed(registry, kind)
    if as_json:
        ui.say_json([as_data(component) for component in found])
        return
    rows = [(component.name, component.plugin, component.summary) for component in found]
    if kind is None:
        kinds = [component.kind for component in found]
        every = not ui.is_terminal()  # for grep
        first = [kind if every or number == 0 or kinds[number - 1] != kind else "" for number, kind in enumerate(kinds)]
        ui.table(("kind", "name", "plugin", "what it does"), [(a, *row) for a, row in zip(first, rows, strict=True)])
        ui.say("\nOne of them: pipekit components KIND NAME", ui.DIM)
    else:
        ui.table((kind, "plugin", "what it does"), rows)
        ui.say(f"\nOne of them: pipekit components {kind} NAME", ui.DIM)


def listed(registry: Registry, kind: str | None) -> list[Component]:
    """The components to list; a kind that is not known is a UserError with a suggestion."""
    from pipekit.errors import UserError, did_you_mean

    if kind is None:
        return list(registry)
    if kind not in registry.kinds:
        hint = did_you_mean(kind, registry.kinds) or f"There are: {', '.join(registry.kinds)}"
        raise UserError(f"no kind of component called {kind!r}", hint)
    try:
        return registry.components(kind, wildcards=True)
    except Exception as error:  # a family whose library is broken still has a name
        from pipekit import ui

        ui.warn(f"the members of a family could not be listed: {type(error).__name__}: {error}")
        return registry.components(kind)


def show(component: Component) -> None:
    """One component: what it does, what a stage takes and makes, its parameters."""
    from pipekit import ui
    from pipekit.registry.param_rows import param_rows

    facts = [("plugin", component.plugin), ("version", str(component.version))]
    if component.kind == "stage":
        contract = component.contract()
        facts += [
            ("takes", ", ".join(slot_text(slot) for slot in contract.slots) or "nothing"),
            ("makes", contract.output.kind),
        ]
    rows = param_rows(component.params_type())
    ui.say(f"{component.kind} {component.name}", ui.NAME)
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
    notes = [*(["several"] if slot.many else []), *([] if slot.required else ["may be left out"])]
    return f"{slot.name}: {slot.artifact.kind}" + (f" ({', '.join(notes)})" if notes else "")


def as_data(component: Component, full: bool = False) -> dict[str, Any]:
    """A component as JSON-like data; ``full`` adds what needs its code: parameters, inputs and output."""
    from dataclasses import asdict

    from pipekit.registry.param_rows import param_rows

    data: dict[str, Any] = {
        "kind": component.kind,
        "name": component.name,
        "summary": component.summary,
        "version": component.version,
        "plugin": component.plugin,
    }
    if not full:
        return data
    data["params"] = [asdict(row) for row in param_rows(component.params_type())]
    if component.kind == "stage":
        contract = component.contract()
        data["inputs"] = [
            {"name": slot.name, "kind": slot.artifact.kind, "required": slot.required, "many": slot.many}
            for slot in contract.slots
        ]
        data["output"] = contract.output.kind
    return data
