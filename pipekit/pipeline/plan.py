"""Turn a pipeline file into a validated plan, or into a list of all its problems."""

from __future__ import annotations

import copy
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal

from pipekit.contract import Artifact, Call, Dataset, Params, Slot, StageContract, Uses, param
from pipekit.errors import PipekitError, PlanError, Problem, UserError, did_you_mean, place_text
from pipekit.params import parse_toml
from pipekit.pipeline.accepted import read_accepted
from pipekit.pipeline.planned_tasks import task_problems, tasks_of
from pipekit.pipeline.recorded import recorded_plugin
from pipekit.pipeline.toml_lines import Place, line_numbers, nearest_line
from pipekit.registry.component import Component
from pipekit.registry.registry import Registry, load_registry
from pipekit.registry.trust import Meet, local_plugins, refuse_untrusted
from pipekit.store.store import store_of

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Pattern of names of pipelines and stages; they become folders."""


class Settings(Params):
    """The top level of a pipeline file."""

    name: str = param("", "Name of the run: its results are in runs/<name>/. Default: the folder's name", pattern=f"{NAME}|^$")
    seed: int = param(0, "Random seed; all randomness derives from it", ge=0, lt=2**63)
    plugins: tuple[str, ...] = param(
        (),
        "Plugin files (./my_ops.py) or modules to load besides the installed ones; an installed plugin named here is required",
    )
    executor: Annotated[Call, Uses("executor")] = param("auto", "Where shards run")
    workers: int | None = param(None, "Number of shards that run in parallel. Default: one per processor core", ge=1, le=4096)
    shard_size: int = param(
        128, "Maximum number of samples per shard: the work that a kill may lose", unit="samples", ge=1, le=1_000_000
    )
    max_failed: float = param(0.05, "Largest share of a stage's samples that may fail", ge=0, le=1)
    views: Literal["copies", "links", "none"] = param(
        "copies",
        "How runs/ shows images that pipekit did not make: as copies; as symbolic links (editing one edits your image); or not",
    )
    views_mb: int = param(
        200, "Maximum size of a dataset's own images to copy into runs/; larger datasets are only listed", unit="MB", ge=0
    )


class StageSettings(Params):
    """Settings that every stage's table accepts besides its inputs and its own parameters."""

    use: str = param(..., "The stage: see `pipekit components stage`")
    max_failed: float | None = param(None, "Largest share of this stage's samples that may fail", ge=0, le=1)
    packed: bool = param(
        False, "Pack the files that a stage like augment writes into one WebDataset tar per shard: for millions of files"
    )


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a plan.

    Attributes:
        inputs: slot -> the names of the stages that fill it.
    """

    name: str
    use: str
    component: Component
    contract: StageContract
    params: Params
    inputs: Mapping[str, tuple[str, ...]]
    max_failed: float
    packed: bool = False


@dataclass(frozen=True)
class Plan:
    """A valid pipeline: every name resolved, every value validated, stages in topological order."""

    name: str
    seed: int
    file: Path | None
    base_dir: Path
    executor: Call
    workers: int
    shard_size: int
    stages: tuple[PlannedStage, ...]
    registry: Registry = field(repr=False)
    text: str = ""
    overrides: tuple[str, ...] = ()
    given: Mapping[str, Artifact] = field(default_factory=dict, repr=False)
    store: Path | None = None
    views: str = "copies"
    views_mb: int = 200
    table: Mapping[str, Any] | None = field(default=None, repr=False)
    matrix: Any = None
    search: Call | None = None
    combination_of: str = ""

    @property
    def shown(self) -> str:
        """The file's path as a user would write it."""
        return _shown(self.file)

    def line(self, *place: str | int) -> int | None:
        """The line number of a location in the file."""
        return nearest_line(line_numbers(self.text), place) if self.text else None

    @property
    def store_root(self) -> Path:
        """The store of finished work: ``.pipekit`` beside the file, or ``PIPEKIT_STORE``."""
        return self.store or store_of(self.base_dir, is_project=True)

    def stage(self, name: str) -> PlannedStage:
        """The stage of that name; raises UserError if the plan has none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        names = [stage.name for stage in self.stages]
        raise UserError(f"no stage called {name!r}", did_you_mean(name, names) or f"There are: {', '.join(names)}")

    def upstream(self, name: str) -> set[str]:
        """The names of ``name`` and of all stages that it needs."""
        needed, waiting = set(), [name]
        while waiting:
            step = waiting.pop()
            if step not in needed and step not in self.given:
                needed.add(step)
                waiting += [source for sources in self.stage(step).inputs.values() for source in sources]
        return needed


def load_plan(
    file: Path | None = None,
    table: Mapping[str, Any] | None = None,
    *,
    base_dir: Path | None = None,
    overrides: Sequence[str] = (),
    plugins: Sequence[str] = (),
    disabled: Sequence[str] = (),
    registry: Registry | None = None,
    given: Mapping[str, Artifact] | None = None,
    store: Path | None = None,
    meet: Meet = refuse_untrusted,
) -> Plan:
    """Read and validate a pipeline.

    Args:
        file: the pipeline file; or
        table: the same as a dict, with ``base_dir`` for its relative paths.
        overrides: ``stages.train.epochs=2``; values are TOML, anything else is text.
        plugins: further plugin files or modules, relative to the working folder.
        disabled: plugins not to load.
        registry: use this registry instead of loading plugins.
        given: existing artifacts, by a name that input slots may use like a stage's.
        store: keep finished work here instead of beside the file.
        meet: called with the local plugins that the file names, before they are loaded.

    Raises:
        UserError: the file can't be read or is not TOML, or it names local plugins that nobody has trusted.
        PlanError: with every problem found.
    """
    text = ""
    if file is not None:
        file = Path(os.path.abspath(file / "pipeline.toml" if file.is_dir() else file))
        text, table = _read(file)
        base_dir = file.parent
    base_dir = Path(os.path.abspath(base_dir or Path.cwd()))
    values = copy.deepcopy(dict(table or {}))
    shown = _shown(file)
    checker = _Checker(base_dir, line_numbers(text) if text else {}, shown)
    for override in overrides:
        checker.override(values, override)
    if registry is None:
        listed = values.get("plugins", [])
        listed = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
        here = [str(Path(name).absolute()) if _is_path(name) else name for name in plugins]
        if file is not None:  # a table comes from code, which could load a plugin itself
            meet(local_plugins(listed, base_dir, here, disabled, file.name))
        registry = load_registry([*listed, *here], base_dir, disabled)
    matrix = values.pop("matrix", None)
    root = store or store_of(base_dir, is_project=True)
    registry.accepted |= read_accepted(root)
    registry.recorded = partial(recorded_plugin, root)
    plan = checker.plan(values, registry, given or {})
    return replace(
        plan,
        file=file,
        text=text,
        overrides=tuple(overrides),
        store=store,
        table=None if file is not None else table,
        matrix=matrix,
    )


def _is_path(name: str) -> bool:
    return name.endswith(".py") or "/" in name or os.sep in name


def _shown(file: Path | None) -> str:
    """The file's path as the user would write it."""
    if file is None:
        return ""
    below = os.path.relpath(file)
    return str(file) if below.startswith("..") else below


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except FileNotFoundError as error:
        raise UserError(
            f"no such file: {_shown(file)}", "`pipekit scaffold NAME` makes a folder with a pipeline file that runs."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't read {_shown(file)}: {getattr(error, 'strerror', None) or error}") from error
    try:
        return text, parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"not valid TOML: {error}", where=f"in {_shown(file)}") from error


class _Checker:
    """Collects problems; raises only when all are known."""

    def __init__(self, base_dir: Path, lines: dict[Place, int], file: str) -> None:
        self._base_dir = base_dir
        self._lines = lines
        self._file = file
        self._problems: list[Problem] = []

    def _problem(self, place: Place, message: str, hint: str = "") -> None:
        self._problems.append(Problem(place_text(place), message, hint, nearest_line(self._lines, place)))

    # --- overrides ---

    def override(self, values: dict[str, Any], text: str) -> None:
        """Apply ``a.b[0].c=value``."""
        name, equals, raw = text.partition("=")
        steps: list[str | int] = [int(step) if step.isdigit() else step for step in re.split(r"[.\[\]]+", name.strip()) if step]
        if not equals or not steps:
            self._problem(("--set",), f"{text!r} is not of the form name=value", "For example: --set stages.train.epochs=2")
            return
        stages = values.get("stages", {})
        stages = stages if isinstance(stages, dict) else {}
        if steps[0] != "stages" and steps[0] not in {*Settings.model_fields, "matrix"} and steps[0] in stages:
            steps.insert(0, "stages")
        known = [*Settings.model_fields, "matrix", "stages"]
        if steps[0] not in known:
            near = did_you_mean(str(steps[0]), [*stages, *known])
            self._problem(("--set",), f"{text}: no stage called {steps[0]!r}, and no setting of the pipeline", near)
            return
        if steps[0] == "stages" and len(steps) > 1 and steps[1] not in stages:
            self._problem(("--set",), f"{text}: no stage called {steps[1]!r}", did_you_mean(str(steps[1]), list(stages)))
            return
        try:
            value = parse_toml(f"value = {raw}")["value"]
        except tomllib.TOMLDecodeError:
            value = raw
        target: Any = values
        try:
            for step in steps[:-1]:
                if isinstance(target, dict):
                    target.setdefault(step, {})
                target = target[step]
            target[steps[-1]] = value
        except (IndexError, TypeError, KeyError):
            self._problem(("--set",), f"{text}: there is no {place_text(steps)} to set")

    # --- the plan ---

    def plan(self, values: dict[str, Any], registry: Registry, given: Mapping[str, Artifact]) -> Plan:
        self._check_plugins(values, registry)
        tables = values.pop("stages", None)
        settings, problems = registry.problems(Settings, values, self._base_dir)
        for place, message, hint in problems:
            self._problem(place, message.replace("no parameter called", "no setting called"), hint)
        if not isinstance(tables, dict) or not tables:
            self._problem(
                ("stages",), "a pipeline needs at least one stage", 'For example: [stages.data] with use = "import.folders"'
            )
            tables = {}
        limit = settings.max_failed if settings else 0.0
        read: dict[str, PlannedStage | None] = {name: _stand_in(name, artifact) for name, artifact in given.items()}
        read |= {name: self._stage(str(name), table, registry, limit) for name, table in tables.items()}
        stages = {name: stage for name, stage in self._wire(tables, read).items() if name not in given}
        order = self._order(stages)
        for place, message, hint in task_problems(stages, order, tables, tasks_of(given)):
            self._problem(place, message, hint)
        if self._problems or settings is None:
            raise PlanError(self._problems, self._file)
        return Plan(
            settings.name or _clean_name(self._base_dir.name),
            settings.seed,
            None,
            self._base_dir,
            settings.executor,
            settings.workers or _num_cores(),
            settings.shard_size,
            tuple(stages[name] for name in order),
            registry,
            given=given,
            views=settings.views,
            views_mb=settings.views_mb,
        )

    def _check_plugins(self, values: Mapping[str, Any], registry: Registry) -> None:
        listed = values.get("plugins", [])
        for number, name in enumerate(listed if isinstance(listed, list) else []):
            stem = Path(str(name)).stem if _is_path(str(name)) else str(name)
            for record in registry.plugins:
                if record.is_lost and record.name in (stem, f"{stem}.py"):
                    hint = "" if _is_path(str(name)) else "Is the distribution that provides it installed? "
                    hint += "See: pipekit plugins"
                    what = record.reason if record.status == "missing" else f"plugin {name!r} is broken: {record.reason}"
                    self._problem(("plugins", number), what, hint)

    def _stage(self, name: str, table: Any, registry: Registry, limit: float) -> PlannedStage | None:
        """Validate one stage's table without its inputs; None if its stage can't be determined."""
        place: Place = ("stages", name)
        if not re.match(NAME, name):
            self._problem(place, f"{name!r} can't be a stage's name: letters, digits, '.', '_' and '-' only")
        if not isinstance(table, dict):
            self._problem(
                place, f"a stage is a table with `use`, got {table!r}", f'For example: [stages.{name}] with use = "split"'
            )
            return None
        common = {key: table[key] for key in StageSettings.model_fields if key in table}
        if isinstance(common.get("use"), str):
            checked, problems = registry.problems(StageSettings, common, self._base_dir)
        else:
            checked, problems = (
                None,
                [(("use",), 'is required: which stage this is, as in use = "split"', "List them: pipekit components stage")],
            )
        for at, message, hint in problems:
            self._problem((*place, *at), message, hint)
        if not isinstance(common.get("use"), str):
            return None
        try:
            component = registry.get("stage", common["use"])
            contract = component.contract()
        except PipekitError as error:
            self._problem((*place, "use"), error.message, error.hint)
            return None
        slots = [slot.name for slot in contract.slots]
        own = {key: value for key, value in table.items() if key not in common and key not in slots}
        params, problems = registry.problems(contract.params_type, own, self._base_dir)
        for at, message, hint in problems:
            if len(at) == 1 and message.startswith(f"no parameter called {str(at[0])!r}"):  # not one of an op in a text
                known = [*contract.params_type.model_fields, *slots, *StageSettings.model_fields]
                message = f"stage {component.name!r} has no parameter called {at[0]!r}"
                hint = did_you_mean(str(at[0]), known) or f"List them: pipekit components stage {component.name}"
            self._problem((*place, *at), message, hint)
        share = limit if checked is None or checked.max_failed is None else checked.max_failed
        packed = checked is not None and checked.packed
        if packed and not issubclass(contract.output, Dataset):
            self._problem((*place, "packed"), f"stage {component.name!r} makes no dataset, so nothing can be packed")
        stand_in = params if params is not None else Params()
        return PlannedStage(name, component.name, component, contract, stand_in, {}, share, packed)

    # --- wiring ---

    def _wire(self, tables: Mapping[str, Any], read: Mapping[str, PlannedStage | None]) -> dict[str, PlannedStage]:
        wired: dict[str, PlannedStage] = {}
        names = list(read)
        for number, (name, stage) in enumerate(read.items()):
            if stage is None:
                continue
            inputs: dict[str, tuple[str, ...]] = {}
            for slot in stage.contract.slots:
                if slot.name in tables.get(name, ()):
                    inputs[slot.name] = self._named(name, slot, tables[name][slot.name], read)
                else:
                    inputs[slot.name] = self._nearest(name, slot, names[:number], read)
            wired[name] = replace(stage, inputs={slot: sources for slot, sources in inputs.items() if sources})
        return wired

    def _named(self, name: str, slot: Slot, value: Any, read: Mapping[str, PlannedStage | None]) -> tuple[str, ...]:
        place: Place = ("stages", name, slot.name)
        sources = [value] if isinstance(value, str) else value
        if not isinstance(sources, list) or not all(isinstance(source, str) for source in sources):
            self._problem(place, f"expected the name of another stage, got {value!r}")
            return ()
        if len(sources) != 1 and not slot.many:
            self._problem(place, f"takes one stage, got {len(sources)}")
            return ()
        good = []
        for source in sources:
            if source not in read:
                hint = did_you_mean(source, list(read)) or f"There are: {', '.join(read)}"
                self._problem(place, f"no stage called {source!r}", hint)
                continue
            found = read[source]
            if found is not None and not issubclass(found.contract.output, slot.artifact):
                fits = [
                    other
                    for other, stage in read.items()
                    if stage and other != name and issubclass(stage.contract.output, slot.artifact)
                ]
                self._problem(
                    place,
                    f"needs a {slot.artifact.kind}, and stage {source!r} makes a {found.contract.output.kind}",
                    f"These make one: {', '.join(fits)}" if fits else "",
                )
                continue
            good.append(source)
        return tuple(good)

    def _nearest(self, name: str, slot: Slot, above: Sequence[str], read: Mapping[str, PlannedStage | None]) -> tuple[str, ...]:
        """Fill a slot that the file omits: with the nearest stage above that fits."""
        if not slot.required:
            return ()
        fits = [other for other in above if (stage := read[other]) and _fits(stage.contract.output, slot)]
        if fits:
            return tuple(fits) if slot.many else (fits[-1],)
        if not any(read[other] is None for other in above):  # an invalid stage might have been the one
            self._problem(
                ("stages", name),
                f"needs a {slot.artifact.kind} as {slot.name!r}, and no stage above makes one",
                f'Name one that does: {slot.name} = "…"',
            )
        return ()

    def _order(self, stages: Mapping[str, PlannedStage]) -> list[str]:
        """Stage names in topological order; otherwise as in the file."""
        graph = {
            name: [source for sources in stage.inputs.values() for source in sources if source in stages]
            for name, stage in stages.items()
        }
        sorter = TopologicalSorter(graph)
        try:
            sorter.prepare()
        except CycleError as error:
            cycle = list(reversed(error.args[1]))
            self._problem(
                ("stages", cycle[0]),
                f"stages depend on each other in a cycle: {' -> '.join(cycle)}",
                "Break it at one of these inputs.",
            )
            return list(stages)
        rank = {name: number for number, name in enumerate(stages)}
        order: list[str] = []
        ready: list[str] = []
        while sorter.is_active():
            ready += sorter.get_ready()
            ready.sort(key=rank.__getitem__)
            order.append(ready.pop(0))
            sorter.done(order[-1])
        return order


def _stand_in(name: str, artifact: Artifact) -> PlannedStage:
    """An existing artifact, in place of the stage that would make it."""
    contract = StageContract((), Params, type(artifact), False)
    return PlannedStage(name, "", Component("stage", name, None), contract, Params(), {}, 0.0)


def _fits(output: type[Artifact], slot: Slot) -> bool:
    return issubclass(output, slot.artifact)


def _clean_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "run"


def _num_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
