"""Shared by the verbs: plugins, a checked pipeline whose problems have the parameters' own names, output folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.brief import Brief
from pipekit.commands.contact_sheet import draw_sheet
from pipekit.errors import PlanError, UserError, did_you_mean
from pipekit.files import expanded
from pipekit.files.urls import is_url, located, refuse_url

if TYPE_CHECKING:
    from pipekit.contract import Artifact
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.engine.outcome import Listener, Outcome
    from pipekit.registry.registry import Registry


def registry_with(plugins: Sequence[str] | None = (), disable: Sequence[str] | None = ()) -> Registry:
    """The registry of everything that is installed, with ``plugins`` (files or modules) and without those in ``disable``.

    Raises:
        UserError: a plugin to load is broken, or one to leave out does not exist.
    """
    from pipekit.registry.registry import load_registry

    registry = load_registry(tuple(plugins or ()), disabled=tuple(disable or ()))
    refuse_broken(registry, plugins or ())
    refuse_unknown(registry, disable or ())
    return registry


def refuse_broken(registry: Registry, plugins: Iterable[str]) -> None:
    """Raise for a plugin that was named and could not be loaded."""
    for asked in plugins:
        places = {asked, str(expanded(asked).absolute())}
        for record in registry.plugins:
            if record.is_lost and record.source in places:
                missing = asked.endswith(".py") and not expanded(asked).exists()
                reason = "no such file" if missing else record.reason
                raise UserError(f"--plugin {asked}: {reason}", "A plugin is a Python file or an installed module.")


def refuse_unknown(registry: Registry, disable: Iterable[str]) -> None:
    """Raise for a plugin to leave out that does not exist: under its real name it would be loaded all the same."""
    names = [record.name for record in registry.plugins]
    for name in disable:
        if name not in names:
            hint = f"{did_you_mean(name, names)} List them: pipekit plugins".strip()
            raise UserError(f"--disable {name}: no plugin of that name", hint)


def new_pipeline(plugins: Sequence[str] | None = (), disable: Sequence[str] | None = (), **settings: Any) -> AdhocPipeline:
    """An empty pipeline of the current folder, with settings like ``name`` and ``seed``; None is left out."""
    from pipekit.engine.adhoc import AdhocPipeline

    given = {name: value for name, value in settings.items() if value is not None}
    return AdhocPipeline(settings=given, registry=registry_with(plugins, disable))


def run_pipeline(pipeline: AdhocPipeline, stage: str, listener: Listener | None = None, *, publish: bool = False) -> Outcome:
    """Check a pipeline, naming problems of ``stage`` by its parameters, and run it; ``publish`` shows it under ``runs/``."""
    from pipekit.commands.progress import listener_or_progress
    from pipekit.engine.run import run_plan

    return run_plan(pipeline.plan(of=stage), listener_or_progress(listener), publish=publish, draw=draw_sheet)


def split_file(name: str, own: str = "split.csv") -> Path:
    """Where a run without a pipeline file remembers its split: ``split.csv`` in the current folder if there is one (``pipekit
    split`` writes it), else ``own`` in the run's folder, so that datasets that are trained in one folder don't share it."""
    here = Path("split.csv")
    return here if here.is_file() else Path("runs", name, own)


def refuse_existing(*places: Path | None) -> None:
    """Raise if something exists already at an output path."""
    for place in places:
        if place is not None:
            refuse_url(place, "an output")
        if place is not None and place.exists():
            raise UserError(f"{place} exists already", "Choose another place, or remove that one first.")


def refuse_inside(out: Path | None, source: str | Path) -> None:
    """Raise if the output path is inside the source."""
    source = Path(source)
    if out is not None:
        refuse_url(out, "an output")
    if out is not None and source.exists() and out.resolve().is_relative_to(source.resolve()):
        raise UserError(
            f"{out} lies inside the source {source}", "pipekit never writes to a source folder; choose a folder beside it."
        )


def with_names(error: PlanError, names: Mapping[str, str]) -> PlanError:
    """The same problems under the names that the caller gave: ``{"stages.split.": "split.", "augment": "ops"}``.

    A name that ends in a dot stands for every name that begins with it.
    """

    def named(path: str) -> str:
        for old, new in names.items():
            if path.startswith(old) and (old.endswith(".") or re.fullmatch(r"|[.\[].*", path[len(old) :])):
                return new + path.removeprefix(old)
        return path

    return PlanError([replace(problem, path=named(problem.path)) for problem in error.problems], ran=error.ran)


def name_of_model(model: str | Path) -> str:
    """``runs/textures/model.keras`` -> ``textures``."""
    path = Path(str(model)) if is_url(model) else expanded(str(model).partition(":")[0]).absolute()
    return (path.parent if path.name in ("model.keras", "model.json") else path).name or "model"


def add_images(pipeline: AdhocPipeline, source: str | Path, **reading: str) -> str:
    """One image, a folder of images, or a dataset of a run, as a stage of the pipeline; returns its name.

    Args:
        reading: ``format`` and ``splits``, as :meth:`AdhocPipeline.dataset` takes them.
    """
    from pipekit.images import is_image

    path = located(source)
    if path.is_file() and is_image(path):
        return pipeline.add("data", "import.image", path=str(path.absolute()))
    return pipeline.dataset(source, **reading)


def corrections_file(path: str | Path) -> str:
    """The path of a corrections file, for an import.

    Raises:
        UserError: there is none.
    """
    if not located(path).is_file():
        raise UserError(f"no corrections file {path}", "`pipekit corrections add` writes one.")
    return str(located(path).absolute())


def add_corrected(
    pipeline: AdhocPipeline, source: str | Path, asked: dict[str, Any], *, format: str = "", splits: str = ""
) -> str:
    """A dataset that is to be split. Corrections and exclusions among the parameters of ``split`` go to the import, if there is
    one: it then takes images without a class too, and files that can't be read don't stop it. Returns the dataset's name."""
    name = pipeline.dataset(source, format=format, splits=splits)
    if name in pipeline.stages and asked.get("corrections"):
        pipeline.stages[name]["corrections"] = corrections_file(asked.pop("corrections"))
    if name in pipeline.stages and asked.get("exclude") and located(asked["exclude"]).is_file():  # else `split` refuses it
        pipeline.stages[name]["exclude"] = str(located(asked.pop("exclude")).absolute())
    return name


@dataclass(frozen=True)
class Made(Brief):
    """The pictures that one stage made.

    Attributes:
        path: the output folder, or the run's folder under ``runs/``.
        picture: the picture that summarises the result.
        previews: ``previews/*.png`` if the stage draws single images, else empty.
        artifact: the same files in the store, with the stage's data about them in ``meta``.
        outcome: the run: stages, seconds, warnings.
    """

    path: Path
    picture: Path
    previews: tuple[Path, ...]
    artifact: Artifact
    outcome: Outcome

    def _repr_html_(self) -> str:
        from pipekit.commands.shown import of_made

        return of_made(self)


def make(pipeline: AdhocPipeline, stage: str, picture: str, out: str | Path | None, listener: Listener | None) -> Made:
    """Run a pipeline whose last stage writes pictures, and put them into ``out``, or under ``runs/NAME/``.

    Raises:
        UserError: ``out`` exists.
        PlanError: a parameter is wrong.
    """
    from pipekit.engine.run_folder import take_out

    place = None if out is None else expanded(out)
    refuse_existing(place)
    outcome = run_pipeline(pipeline, stage, listener, publish=place is None)
    artifact = outcome.artifact(stage)
    if place is not None:
        take_out(artifact, place)
    previews = tuple(sorted((artifact.path / "previews").rglob("*.png")))
    return Made(place or outcome.run_dir, artifact.path / picture, previews, artifact, outcome)
