"""``pipekit stage``: run any single stage, a plugin's too, with its parameters as options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipekit.cli.app import attach, new_app
from pipekit.cli.loading import Disabled, Plugins

if TYPE_CHECKING:
    from pipekit.contract import Artifact, Slot
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.errors import PlanError
    from pipekit.registry.component import Component
    from pipekit.registry.registry import Registry


INPUT = "input_"
"""Before the names of Python arguments that hold inputs."""

OWN = ("out", "name", "seed", "workers", "executor", "json", "quiet", "help", "plugin", "disable", "debug")
"""The options of the command itself; a parameter of that name is given as --param-NAME."""


def stage(ctx: typer.Context, plugin: Plugins = None, disable: Disabled = None) -> None:
    """Run any single stage, with its parameters as options.

    Without a name: the stages that there are. An input is a folder of images (imported as what it is recognised as), a run
    (runs/NAME), or a stage of a pipeline file (FILE.toml:STAGE).
    """
    if ctx.invoked_subcommand is None:
        from pipekit import ui
        from pipekit.commands.working import registry_with

        found = registry_with(plugin, disable).components("stage")
        ui.table(("stage", "plugin", "what it does"), [(one.name, one.plugin, one.summary) for one in found])
        ui.say("\nIts options: pipekit stage NAME --help", ui.DIM)


def make_app(words: Sequence[str]) -> typer.Typer:
    """A command for each stage; the one that ``words`` name is imported and has its options."""
    import os

    from pipekit.commands.working import refuse_broken, refuse_unknown
    from pipekit.registry.registry import load_registry

    plugins, disabled, wanted = read_words(words)
    registry = load_registry(plugins, disabled=disabled)
    if "_PIPEKIT_COMPLETE" not in os.environ:
        refuse_broken(registry, plugins)
        refuse_unknown(registry, disabled)
    if wanted is not None and "_PIPEKIT_COMPLETE" not in os.environ:
        registry.get("stage", wanted)  # a misspelt name is answered with the nearest one
    app = new_app()
    app.callback(invoke_without_command=True)(stage)
    summaries = {component.name: component.summary for component in registry.components("stage")}
    attach(app, summaries, lambda name: command(registry.get("stage", name), registry, plugins), wanted)
    return app


def read_words(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
    """The plugins to load and to leave out, and the stage's name, in what was typed after ``pipekit stage``."""
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


def command(component: Component, registry: Registry, plugins: Sequence[str] = ()) -> Callable[..., int]:
    """A function for Typer whose signature is made from the stage's inputs and parameters."""
    from pipekit.cli.options import given, param_options

    contract = component.contract()
    slots = contract.slots
    inputs = [_input(slot) for slot in slots]
    options = param_options(contract.params_type, taken_by(component))
    common = list(inspect.signature(_common, eval_str=True).parameters.values())

    def run(**arguments: Any) -> int:
        sources = {slot.name: _listed(arguments.pop(INPUT + slot.name)) for slot in slots}
        params = given(arguments, contract.params_type)
        settings = {name: arguments[name] for name in ("out", "name", "seed", "workers", "executor", "as_json", "quiet")}
        return run_stage(component, registry, sources, params, **settings)

    parameters = [*inputs, *options, *common]
    run.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": int}
    run.__doc__ = _help(component)
    return run


def _common(
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Put the result here too; the folder must not exist", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The run's name: its results are in runs/NAME/", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="All randomness derives from it", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many shards run at once", show_default=False)
    ] = None,
    executor: Annotated[str | None, typer.Option(metavar="NAME", help="Where shards run", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON event a line on stdout, and nothing else")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and the result")] = False,
) -> int:
    """The options that every stage has; their annotations are read from here."""
    raise AssertionError("only its signature is used")


def _input(slot: Slot) -> inspect.Parameter:
    notes = [*(["several may be given"] if slot.many else []), *([] if slot.required else ["may be left out"])]
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


def _listed(value: str | list[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _help(component: Component) -> str:
    text = component.summary.rstrip(".") + "."
    output = component.contract().output
    return f"{text}\n\nMakes: {output.kind}. From plugin {component.plugin}, version {component.version} of the stage."


def run_stage(
    component: Component,
    registry: Registry,
    sources: Mapping[str, list[str]],
    params: Mapping[str, Any],
    *,
    out: Path | None = None,
    name: str | None = None,
    seed: int | None = None,
    workers: int | None = None,
    executor: str | None = None,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Put the inputs and the stage into a pipeline, check it, run it."""
    from pipekit import ui
    from pipekit.cli.run import reporting, show_plan_run
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.engine.run_folder import take_out
    from pipekit.errors import PlanError, UserError

    settings = {"name": name or f"stage-{component.name}", "seed": seed, "workers": workers, "executor": executor}
    display = ui.run_display(as_json, quiet)
    with reporting(display, as_json):
        if out is not None and out.exists():
            raise UserError(f"{out} exists already", "Choose another folder for --out, or remove that one first.")
        adhoc = AdhocPipeline(settings={key: value for key, value in settings.items() if value is not None}, registry=registry)
        inputs = {}
        for slot in component.contract().slots:
            texts = sources[slot.name]
            names = [slot.name if len(texts) == 1 else f"{slot.name}{number}" for number in range(1, len(texts) + 1)]
            found = [add_input(adhoc, slot, text, name) for text, name in zip(texts, names, strict=True)]
            if found:
                inputs[slot.name] = found if slot.many else found[0]
        own = component.name.rpartition(".")[2]
        own = own if own not in {*adhoc.stages, *adhoc.given} else f"{own}-stage"
        adhoc.add(own, component.name, **inputs, **params)
        try:
            plan = adhoc.plan()
        except PlanError as error:
            raise as_options(error, own, taken_by(component)) from error
        code, outcome = show_plan_run(plan, display, publish=out is None)
        if outcome is not None and out is not None:
            take_out(outcome.artifact(own), out)
            if not as_json:
                ui.say(str(out))
        return code


def taken_by(component: Component) -> set[str]:
    """Options that are no parameters: the command's own, and the stage's inputs."""
    return {*OWN, *(slot.name.replace("_", "-") for slot in component.contract().slots)}


def as_options(error: PlanError, stage: str, taken: set[str]) -> PlanError:
    """The problems of a pipeline in the words that were typed: ``--radius-px`` for ``stages.note.radius_px``."""
    from dataclasses import replace

    from pipekit.cli.options import flag_of
    from pipekit.errors import PlanError

    problems = []
    for problem in error.problems:
        head, _, place = problem.path.partition(f"stages.{stage}.")
        if place and not head:
            name = re.split(r"[.\[]", place)[0]
            problem = replace(problem, path=f"--{flag_of(name, taken)}{place.removeprefix(name)}")
        problems.append(problem)
    return PlanError(problems)


def add_input(adhoc: AdhocPipeline, slot: Slot, text: str, name: str) -> str:
    """What was typed for an input, as a stage or artifact of the pipeline; returns its name there."""
    from pipekit.contract import Dataset
    from pipekit.engine.adhoc import find_artifact
    from pipekit.errors import UserError

    file, _, stage = text.rpartition(":")
    if file.endswith(".toml"):
        return adhoc.give(name, made_by(Path(file), stage, slot, adhoc.registry.disabled))
    found = find_artifact(text, slot.artifact, adhoc.base_dir)
    if found is not None:
        return adhoc.give(name, found)
    if issubclass(Dataset, slot.artifact):
        return adhoc.dataset(text, name)
    raise UserError(f"--{slot.name}: no {slot.artifact.kind} called {text!r}", "Give a run (runs/NAME) or FILE.toml:STAGE.")


def made_by(file: Path, stage: str, slot: Slot, disabled: Sequence[str] = ()) -> Artifact:
    """What a stage of a pipeline file makes; it runs first where it has not."""
    from pipekit.engine.run import run_plan
    from pipekit.errors import UserError
    from pipekit.pipeline.plan import load_plan

    plan = load_plan(file, disabled=disabled)
    output = plan.stage(stage).contract.output
    if not issubclass(output, slot.artifact):
        raise UserError(f"--{slot.name} takes a {slot.artifact.kind}, and stage {stage!r} of {file} makes a {output.kind}")
    return run_plan(plan, until=stage, publish=False).artifact(stage)
