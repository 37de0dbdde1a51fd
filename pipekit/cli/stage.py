"""``pipekit stage``: run any single stage, including a plugin's, with its parameters as options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipekit.cli.building import attach, new_app
from pipekit.cli.loading import Disabled, Plugins

if TYPE_CHECKING:
    from pipekit.commands.run_stage import StageRun
    from pipekit.contract import Slot
    from pipekit.engine.outcome import Listener
    from pipekit.errors import PlanError
    from pipekit.registry.component import Component


INPUT = "input_"
"""Prefix of Python arguments that hold inputs."""

OWN = ("out", "name", "seed", "workers", "executor", "json", "quiet", "help", "plugin", "disable", "debug")
"""The options of the command itself; a parameter of that name becomes --param-NAME."""


def stage(ctx: typer.Context, plugin: Plugins = None, disable: Disabled = None) -> None:
    """Run any single stage, with its parameters as options.

    Without a name: lists the stages. An input is a folder of images (its format is detected), a run (runs/NAME), or a stage of
    a pipeline file (FILE.toml:STAGE).
    """
    if ctx.invoked_subcommand is None:
        from pipekit import ui
        from pipekit.commands.working import registry_with

        found = registry_with(plugin, disable).components("stage")
        ui.table(("stage", "plugin", "what it does"), [(one.name, one.plugin, one.summary) for one in found])
        ui.say("\nIts options: pipekit stage NAME --help", ui.DIM)


def make_app(words: Sequence[str]) -> typer.Typer:
    """A command for each stage; the stage that ``words`` name is imported, with its options."""
    import os

    from pipekit.commands.working import refuse_broken, refuse_unknown
    from pipekit.registry.registry import load_registry

    plugins, disabled, wanted = read_words(words)
    registry = load_registry(plugins, disabled=disabled)
    if "_PIPEKIT_COMPLETE" not in os.environ:
        refuse_broken(registry, plugins)
        refuse_unknown(registry, disabled)
    if wanted is not None and "_PIPEKIT_COMPLETE" not in os.environ:
        registry.get("stage", wanted)  # the error of a misspelt name suggests the nearest one
    app = new_app()
    app.callback(invoke_without_command=True)(stage)
    summaries = {component.name: component.summary for component in registry.components("stage")}
    attach(app, summaries, lambda name: command(registry.get("stage", name), plugins, disabled), wanted)
    return app


def read_words(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
    """The plugins to load, the plugins to leave out and the stage's name, from the words after ``pipekit stage``."""
    found: dict[str, list[str]] = {"--plugin": [], "--disable": []}
    name = None
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if option in found:
            found[option] += [value] if equals else [typed for typed in [next(rest, None)] if typed is not None]
        elif not word.startswith("-"):
            name = word
            break
    return tuple(found["--plugin"]), tuple(found["--disable"]), name


def command(component: Component, plugins: Sequence[str] = (), disabled: Sequence[str] = ()) -> Callable[..., int]:
    """A function for Typer, with a signature built from the stage's inputs and parameters."""
    from pipekit.cli.options import given, param_options

    contract = component.contract()
    slots = contract.slots
    inputs = [_input(slot) for slot in slots]
    options = param_options(contract.params_type, taken_by(component))
    common = list(inspect.signature(_common, eval_str=True).parameters.values())

    def run(**arguments: Any) -> int:
        from pipekit import ui
        from pipekit.cli.showing import show_verb
        from pipekit.commands.run_stage import run_stage
        from pipekit.errors import PlanError

        params = given(arguments, contract.params_type)
        params |= {slot.name: value for slot in slots if (value := arguments[INPUT + slot.name]) is not None}
        settings = {name: arguments[name] for name in ("out", "name", "seed", "workers", "executor")}

        def call(display: Listener) -> StageRun:
            try:
                return run_stage(
                    component.name,
                    params,
                    plugins=plugins,
                    disable=disabled,
                    listener=display,
                    **settings,
                )
            except PlanError as error:
                raise as_options(error, component) from error

        code, made = show_verb(arguments["as_json"], arguments["quiet"], call)
        if made is not None and arguments["out"] is not None and not arguments["as_json"]:
            ui.say(str(made.folder))
        return code

    parameters = [*inputs, *options, *common]
    run.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": int}
    run.__doc__ = _help(component)
    return run


def _common(
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also write the result to this new folder", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the run; results are in runs/NAME/", show_default=False)
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Random seed; the same seed gives the same result", show_default=False),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of shards that run at once", show_default=False)
    ] = None,
    executor: Annotated[
        str | None, typer.Option(metavar="NAME", help="Executor that runs the shards", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON events, one per line, on stdout")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the result")] = False,
) -> int:
    """The options that every stage has; their annotations are read from here."""
    raise AssertionError("only its signature is used")


def _input(slot: Slot) -> inspect.Parameter:
    notes = [*(["can be repeated"] if slot.many else []), *([] if slot.required else ["optional"])]
    text = f"A {slot.artifact.kind}: " + ("a folder of images, " if slot.artifact.kind == "dataset" else "")
    text += "runs/NAME or FILE.toml:STAGE" + (f" ({', '.join(notes)})" if notes else "")
    kind: Any = list[str] if slot.many else str
    option = typer.Option(f"--{slot.name.replace('_', '-')}", metavar="FROM", help=text, show_default=False)
    required = slot.required and not slot.many
    return inspect.Parameter(
        INPUT + slot.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else None,
        annotation=Annotated[kind if required else kind | None, option],
    )


def _help(component: Component) -> str:
    text = component.summary.rstrip(".") + "."
    output = component.contract().output
    return f"{text}\n\nMakes: {output.kind}. From plugin {component.plugin}, version {component.version} of the stage."


def taken_by(component: Component) -> set[str]:
    """Options that are not parameters: the command's own, and the stage's inputs."""
    return {*OWN, *(slot.name.replace("_", "-") for slot in component.contract().slots)}


def as_options(error: PlanError, component: Component) -> PlanError:
    """The same problems under the options that were typed: ``--radius-px`` for ``radius_px``."""
    from dataclasses import replace

    from pipekit.cli.options import flag_of
    from pipekit.errors import PlanError

    contract = component.contract()
    slots = {slot.name: f"--{slot.name.replace('_', '-')}" for slot in contract.slots}
    flags = {name: f"--{flag_of(name, taken_by(component))}" for name in contract.params_type.model_fields}
    problems = []
    for problem in error.problems:
        name = re.split(r"[.\[]", problem.path)[0]
        typed = {**flags, **slots}.get(name, name)
        problems.append(replace(problem, path=typed + problem.path.removeprefix(name)))
    return PlanError(problems)
