"""Pipelines without a file, which commands like ``pipekit inspect FOLDER`` run; they use the same cache as all other runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pipekit.contract import Artifact, Dataset, Model
from pipekit.engine import run_folder
from pipekit.engine.datasets import open_dataset
from pipekit.engine.outcome import ADHOC, Listener, Outcome
from pipekit.engine.run import run_plan, silent
from pipekit.errors import PlanError, UserError
from pipekit.files import expanded
from pipekit.files.urls import is_url, located
from pipekit.pipeline.plan import Plan, load_plan
from pipekit.registry.component import import_target
from pipekit.registry.format_choice import parse_format
from pipekit.registry.registry import Registry, load_registry
from pipekit.registry.sniffing import find_importer, is_one_image
from pipekit.store.locations import Locations
from pipekit.store.store import Store, store_of

A = TypeVar("A", bound=Artifact)

MODEL_FILES = (".keras", ".onnx", ".tflite")
"""The suffixes of files that stand for the model's folder."""


@dataclass
class AdhocPipeline:
    """A pipeline that is built in code.

    ::

        adhoc = AdhocPipeline()
        adhoc.add("report", "evaluate", model=adhoc.model("runs/textures"), dataset=adhoc.dataset("photos"))
        outcome = adhoc.run(listener)

    Attributes:
        settings: top-level values as in a pipeline file: ``workers``, ``seed``, ``executor`` …
    """

    base_dir: Path = field(default_factory=Path.cwd)
    settings: Mapping[str, Any] = field(default_factory=dict)
    plugins: Sequence[str] = ()
    registry: Registry = field(default=None)  # type: ignore[assignment]
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    given: dict[str, Artifact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.registry is None:
            here = [str(self.base_dir / name) if name.endswith(".py") else name for name in self.plugins]
            self.registry = load_registry(here, self.base_dir)

    def add(self, name: str, use: str, /, **values: Any) -> str:
        """Add a stage; values are its inputs (names) and parameters. Returns its name."""
        self.stages[name] = {"use": use, **{key: value for key, value in values.items() if value is not None}}
        return name

    def give(self, name: str, artifact: Artifact) -> str:
        """Add an existing artifact. Returns its name."""
        self.given[name] = artifact
        return name

    def dataset(self, source: str | Path, name: str = "data", *, format: str = "", splits: str = "", **params: Any) -> str:
        """Images from a folder or file, or a dataset of a run. Returns the name to use in slots.

        Args:
            format: the importer, with parameters if there are any: ``csv:label=kind``; default: detected.
            splits: the importer's parameter of that name, if there are several readings of the folders' names.
            params: parameters of the import stage; a dataset of a run has been imported already.

        Raises:
            ReadingsError: the source can be read in several ways.
            UserError: corrections for a dataset of a run.
        """
        found = find_artifact(str(source), Dataset, self.base_dir)
        if found is not None:
            if params.get("corrections"):
                raise UserError(
                    f"{source} is a dataset of a run, which has its labels already",
                    "Give the corrections to its import: corrections = FILE in the pipeline file, or split it again with them.",
                )
            return self.give(name, found)
        path = self.base_dir / located(source)
        if is_one_image(path):
            raise UserError(f"{source} is one image; expected a folder of images or a dataset")
        name_of, chosen = parse_format(format)
        importer = name_of or find_importer(self.registry, path, settled=bool(splits)).importer
        return self.add(name, f"import.{importer}", path=str(path), splits=splits or None, **chosen, **params)

    def model(self, source: str | Path, name: str = "model") -> str:
        """A trained model: a run, a folder with model.json, or its model.keras. Returns the name to use in slots."""
        found = find_artifact(str(source), Model, self.base_dir)
        if found is None:
            raise UserError(
                f"no trained model in {source}",
                "Give a run (runs/NAME), a folder with model.keras or an export, and model.json, or the file.",
            )
        return self.give(name, found)

    def plan(self, of: str = "") -> Plan:
        """The checked plan.

        Args:
            of: the stage whose problems name only the parameter: ``copies`` instead of ``stages.augment.copies``.

        Raises:
            PlanError: with all problems.
        """
        try:
            return self._plan()
        except PlanError as error:
            if not of:
                raise
            prefix = f"stages.{of}."
            problems = [replace(problem, path=problem.path.removeprefix(prefix)) for problem in error.problems]
            raise PlanError(problems) from error

    def _plan(self) -> Plan:
        table = {"name": ADHOC, **self.settings, "stages": self.stages}
        return load_plan(
            None, table, base_dir=self.base_dir, registry=self.registry, given=self.given, store=store_of(self.base_dir)
        )

    def run(self, listener: Listener = silent, **choice: Any) -> Outcome:
        """Run the pipeline; nothing is published under ``runs/``."""
        return run_plan(self.plan(), listener, publish=False, **choice)


def find_artifact(source: str, kind: type[A], base_dir: Path) -> A | None:
    """The artifact that ``source`` names: a run (``textures``, ``runs/textures``), ``run:stage``, a model's folder or file.

    Returns:
        None if ``source`` names none of these.

    Raises:
        UserError: the run is known, but has no such artifact or no longer has it.
    """
    if is_url(source):
        return _model_in(_model_folder(source)) if kind is Model else None  # type: ignore[return-value]
    if kind is Model:
        folder = base_dir / expanded(source)
        folder = folder.parent if folder.suffix in MODEL_FILES or folder.name == "model.json" else folder
        if (folder / "model.json").is_file():
            return _model_in(folder)  # type: ignore[return-value]
        if (folder / "model.keras").is_file() and not (folder / "run.json").is_file():
            raise UserError(
                f"{folder} has model.keras, but no model.json beside it, which states the model's classes and input size",
                'Copy model.json from the run that trained it, or write one: {"classes": [...], "input_shape_hwc": [h, w, c]}.',
            )
    name, _, stage = source.partition(":")
    place = base_dir / expanded(name)
    is_folder = place.is_dir()
    if is_folder and not (place / "run.json").is_file():
        return None
    try:
        run = run_folder.locate_run(base_dir, name)
    except UserError:
        if is_folder or place.exists():
            return None
        if stage:
            raise
        return None
    store = Store(run.store)
    for entry in reversed(run.record["stages"]):
        if stage and entry["name"] != stage:
            continue
        manifest = store.manifest(entry["key"])
        made = import_target(manifest["class"]) if manifest else None
        if manifest and made and issubclass(made, kind):
            folder = store.artifact_dir(entry["key"])
            if issubclass(made, Dataset):
                locations = _locations(run, store)
                return open_dataset(made, folder, manifest["digest"], manifest["meta"], locations)  # type: ignore[return-value]
            return made(folder, manifest["digest"], manifest["meta"])  # type: ignore[no-any-return]
    where = f"stage {stage!r} of run {name!r}" if stage else f"run {name!r}"
    raise UserError(f"{where} has no {kind.kind} in the store", _how_to_make_again(run))


def _locations(run: run_folder.KnownRun, store: Store) -> Locations:
    """The locations of a run's images. Folders with the same images share results; the original folder may be gone."""
    locations = Locations(store.root, run.base_dir)
    for entry in run.record["stages"]:
        for name, root in (store.manifest(entry["key"]) or {"roots": {}})["roots"].items():
            old, now = locations.unpack(root), run.base_dir / str(entry["params"].get(name, ""))
            if not Path(old).exists() and now.exists():
                locations.moved[old] = str(now)
    return locations


def _how_to_make_again(run: run_folder.KnownRun) -> str:
    if run.record["file"]:
        return f"Run its pipeline again: pipekit run {run.base_dir / run.record['file']}"
    return f"Run the command that made it again, in {run.base_dir}. Its store is {run.store}."


def _model_folder(url: str) -> Path:
    """The local copy of a model's folder, which a URL names, or a model's file in it.

    Raises:
        UserError: it has no model.json.
    """
    above, _, name = url.rpartition("/")
    folder = located(above if name.endswith(MODEL_FILES) or name == "model.json" else url)
    if not (folder / "model.json").is_file():
        raise UserError(f"no trained model in {folder}", "Give a folder with model.keras or an export, and model.json.")
    return folder


def _model_in(folder: Path) -> Model:
    """Open a model's folder, which may be a copy from elsewhere.

    Only its own files enter the digest: ``model.*``, and those of a SavedModel.
    """
    import hashlib
    import json

    from pipekit.files import hash_file

    hashed = hashlib.sha256()
    own = [path for path in folder.glob("model.*") if path.is_file()]
    if (folder / "1" / "saved_model.pb").is_file():
        own += [path for path in (folder / "1").rglob("*") if path.is_file()]
    for name in sorted(path.relative_to(folder).as_posix() for path in own):
        hashed.update(f"{name}\0{hash_file(folder / name)}\n".encode())
    try:
        meta = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{folder / 'model.json'} can't be read: {error}") from error
    if not isinstance(meta, dict):
        raise UserError(f"{folder / 'model.json'} does not describe a model: expected a JSON object")
    return Model(folder, hashed.hexdigest(), {"classes": meta.get("classes", [])})
