"""Built-ins have no privileges: the machinery knows none by its name, and what it asks of one, any plugin can say."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import forkserver, get_context
from pathlib import Path
from typing import Any

import pytest

from pipekit import processes
from pipekit.engine.context import RunContext
from pipekit.engine.run import run_plan
from pipekit.errors import UserError
from pipekit.pipeline.plan import load_plan
from pipekit.registry.registry import Registry, load_registry
from pipekit.registry.sniffing import choose, exporter_of, find_importer, verdicts
from pipekit.testing.checks import write_tiny_dataset
from tests.conftest import DATA, Trial, fill, trusting
from tests.test_imports import MACHINERY, PACKAGE

ALLOWED = {
    "image": "a sample's field, in rows: artifacts.Sample.image",
    "split": "a sample's field, in rows",
    "classes": "a dataset's and a model's meta",
    "masks": "what a sample may hold, in the words of a warning; what a list of classes names",
    "match": "a column of a quarantine file",
    "pictures": "a field of findings.Section",
    "passed_over": "the module that counts them, and a dataset's meta",
    "folders": "what passed_over counts beside suffixes: folders of classes without an image",
    "data": "what AdhocPipeline.dataset calls a stage unless told otherwise",
    "auto": "the default of a setting that people can change: Settings.executor",
    "pillow": "a library: its version is part of a key",
    "pipekit.builtin": "the entry point of the built-in plugin, which is loaded first",
}
"""Words in the machinery that are a built-in's name too, and what they mean there."""

WHERE = {
    "image": {"engine/datasets.py", "engine/shards.py", "engine/sources.py", "engine/views.py", "engine/worker.py"}
    | {"store/locations.py", "store/parts.py", "store/rows.py"},
    "split": {"engine/view_rows.py", "store/rows.py"},
    "classes": {"artifacts.py", "engine/adhoc.py", "engine/outcome.py", "store/rows.py", "tasks.py"},
    "masks": {"artifacts.py", "registry/losses.py"},
    "match": {"quarantine.py"},
    "pictures": {"findings.py"},
    "folders": {"passed_over.py"},
    "passed_over": {"engine/keys.py", "passed_over.py", "store/file_hashes.py"},
    "data": {"engine/adhoc.py"},
    "auto": {"pipeline/plan.py"},
    "pillow": {"registry/privacy.py"},
    "pipekit.builtin": {"registry/registry.py"},
}
"""The modules that may hold them."""


def machinery() -> list[Path]:
    rooms = [path for room in MACHINERY for path in (PACKAGE / room).rglob("*.py")]
    # ``__init__`` lists the verbs; some run the stage of the same name: they lie in commands/, outside the machinery.
    return sorted([*(path for path in PACKAGE.glob("*.py") if path.name != "__init__.py"), *rooms])


def names_in(source: str, names: set[str]) -> Iterator[str]:
    """String constants in code that are a built-in's name, or name its module; docstrings are none."""
    tree = ast.parse(source)
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in documents:
            continue
        if node.value in names or "pipekit.builtin" in node.value:
            yield node.value


@pytest.fixture(scope="module")
def built_in() -> Registry:
    return load_registry(installed=False)


def test_the_machinery_names_no_built_in(built_in: Registry) -> None:
    names = {component.name for component in built_in}
    assert {"augment", "import.folders", "threads", "hflip"} <= names
    found: dict[str, set[str]] = {}
    for file in machinery():
        for name in names_in(file.read_text("utf-8"), names):
            found.setdefault(name, set()).add(file.relative_to(PACKAGE).as_posix())
    assert found == WHERE
    assert set(ALLOWED) == set(WHERE)


@pytest.mark.parametrize(
    "source",
    ['use = "augment"', 'x in ("threads",)', 'f"pipekit.builtin.{name}"', "def f():\n    '''Says.'''\n    return 'coco'"],
)
def test_a_name_is_found(source: str, built_in: Registry) -> None:
    assert len(list(names_in(source, {component.name for component in built_in}))) == 1


def test_a_docstring_may_speak_of_one() -> None:
    assert list(names_in('"""augment"""\nX = 1\n"""augment"""', {"augment"})) == []


# --- what a plugin can say --------------------------------------------------------------------------------------------------

PLUGIN = '''
"""Components that say what the built-in ones say."""
import pipekit


class Photos:
    """An importer for almost any folder."""

    GENERALITY = {generality}
    WRITTEN_AS = {written_as!r}

    @staticmethod
    def sniff(path):
        return "photographs" if path.is_dir() else ""

    @staticmethod
    def read(path, params: pipekit.Params):
        yield pipekit.Sample("a", str(path / "a.jpg"))


def write(artifact: pipekit.Dataset, out_dir, params: pipekit.Params):
    """Nothing."""


def alone(run, tasks, params: pipekit.Params):
    """One after another."""
    return map(run, tasks)


def many(run, tasks, params: pipekit.Params):
    """Far away."""
    raise RuntimeError("not for one worker")


many.for_one_worker = alone


@pipekit.sample_stage
def nothing(sample, params: pipekit.Params, ctx):
    """The sample."""
    yield sample


@pipekit.hookimpl
def register_importers(register):
    register("photos", Photos, preload=["colorsys"])


@pipekit.hookimpl
def register_exporters(register):
    register("albums", write)


@pipekit.hookimpl
def register_executors(register):
    register("many", many)


@pipekit.hookimpl
def register_stages(register):
    register("nothing", nothing, preload=("sndhdr_of_mine", "cmd"))
'''


def with_plugin(folder: Path, generality: int = 0, written_as: str = "albums", preload: str = "") -> Registry:
    text = PLUGIN.format(generality=generality, written_as=written_as)
    (folder / "mine.py").write_text(text.replace('preload=["colorsys"]', f"preload={preload}") if preload else text)
    return load_registry(["mine.py"], folder, installed=False)


def class_folders(root: Path) -> Path:
    for name in ("cat/a.jpg", "dog/b.jpg"):
        (root / name).parent.mkdir(parents=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(("generality", "chosen"), [(0, "photos"), (1, "photos"), (3, "folders")])
def test_an_importer_says_how_general_it_is(tmp_path: Path, generality: int, chosen: str) -> None:
    photos = class_folders(tmp_path / "photos")
    assert find_importer(with_plugin(tmp_path, generality), photos).importer == chosen


def test_importers_that_are_equally_general_are_ambiguous(tmp_path: Path, built_in: Registry) -> None:
    photos = class_folders(tmp_path / "photos")
    general = built_in.get("importer", "folders").load().GENERALITY
    registry = with_plugin(tmp_path, general)
    found = verdicts(registry, photos)
    with pytest.raises(UserError, match="more than one way"):
        choose(registry, photos, found)


def test_an_importer_names_the_exporter_that_keeps_all_of_it(tmp_path: Path) -> None:
    registry = with_plugin(tmp_path)
    assert exporter_of(registry, "photos") == "albums"
    assert exporter_of(registry, "coco") == "coco"
    assert exporter_of(registry, "folders") == ""
    with pytest.raises(UserError, match="no exporter called 'album'"):
        exporter_of(with_plugin(tmp_path, written_as="album"), "photos")


def test_what_an_importer_of_annotations_reads_can_be_written_back(built_in: Registry) -> None:
    named = {found.name: exporter_of(built_in, found.name) for found in built_in.components("importer")}
    kept = {name for name, exporter in named.items() if exporter}
    tools = {"cvat", "labelme", "via", "label_studio", "createml", "box_csv", "coco_panoptic"}
    assert kept == {"coco", "yolo", "voc", "masks", "roboflow_labels", "roboflow_masks", "csv", "parquet", "tfrecord", *tools}


@pytest.mark.parametrize("executor", ["auto", "threads", "processes"])
def test_one_worker_needs_no_pool(trial: Trial, executor: str) -> None:
    def executes(**settings: Any) -> str:
        plan = trial.plan({"data": DATA}, **settings)
        return RunContext(plan, None, None, lambda *_, **__: None, None).executor()[0].__name__  # type: ignore[arg-type, no-any-return]

    assert executes(executor=executor) == "serial"
    assert executes(executor=executor, workers=2) == executor
    assert executes(executor={"use": executor, "workers": 1}) == executor, "as it was asked for"


def test_an_executor_of_a_plugin_says_what_one_worker_needs(trial: Trial) -> None:
    fill(trial, 2)
    with_plugin(trial.path)
    stages = {"data": DATA, "nothing": {"use": "nothing"}}
    plugins = ["mine.py"]
    outcome = trial.run(stages, plugins=plugins, executor="many")
    assert len(outcome.stages) == 2
    with pytest.raises(Exception, match="not for one worker"):
        trial.run(stages, plugins=plugins, executor="many", workers=2, choice={"again": ["nothing"]})


def test_workers_are_born_with_what_the_stages_of_a_run_ask_for(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(trial, 1)
    with_plugin(trial.path)
    asked: list[str] = []
    monkeypatch.setattr(processes, "preload", asked.extend)
    trial.run({"data": DATA, "nothing": {"use": "nothing"}}, plugins=["mine.py"])
    assert asked == ["sndhdr_of_mine", "cmd"]


def test_an_importers_stage_has_its_preload(tmp_path: Path) -> None:
    assert with_plugin(tmp_path).get("stage", "import.photos").preload == ("colorsys",)


def test_preload_is_a_list_of_names(tmp_path: Path) -> None:
    (record,) = [found for found in with_plugin(tmp_path, preload='"colorsys"').plugins if found.name == "mine"]
    assert record.status == "broken"
    assert "expected a list of module names" in record.reason


def test_what_was_asked_for_is_loaded_in_the_process_that_workers_are_copied_from(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    monkeypatch.setattr(processes, "_asked_for", {})
    monkeypatch.setattr(processes, "can_be_copied", lambda: True)
    monkeypatch.setattr(forkserver, "ensure_running", lambda: None)
    monkeypatch.setattr(type(get_context("forkserver")), "set_forkserver_preload", lambda self, names: given.extend(names))
    processes.preload(["cmd"])
    processes.start_early()
    assert given == [*processes.PRELOADED, "cmd"]


# --- a check writes nothing -------------------------------------------------------------------------------------------------

PIPELINE = """
plugins = ["mine.py"]
executor = "many"
[stages.data]
use = "import.folders"
path = "images"
[stages.nothing]
use = "nothing"
[stages.augment]
use = "augment"
ops = [{ op = "albu.GaussNoise", std_range = [0.1, 0.2] }]
"""


def files_below(root: Path) -> dict[str, tuple[int, int] | None]:
    """Every file with its time and size, and every folder: reading SQLite makes a file beside it that is gone at the end."""
    found = {path: path.stat() for path in root.rglob("*")}
    return {str(path): None if path.is_dir() else (state.st_mtime_ns, state.st_size) for path, state in found.items()}


def test_a_dry_run_leaves_the_file_system_as_it_was(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_tiny_dataset(project / "images", 4)
    with_plugin(project)
    (project / "pipeline.toml").write_text(PIPELINE)
    for file in (project / "images").rglob("*.*"):
        os.utime(file, (1, 1))  # a hash of a file that could still change is kept nowhere
    for name in ("home", "cache", "config", "tmp"):
        (tmp_path / name).mkdir()
    trusting(tmp_path / "config", tmp_path)
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PIPEKIT_")},
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "TMPDIR": str(tmp_path / "tmp"),
    }

    def pipekit(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pipekit", *words], cwd=project, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    before = files_below(tmp_path)
    assert "never run before" in pipekit("run", "--dry-run")
    assert files_below(tmp_path) == before
    pipekit("run", "--set", "workers=1")
    assert (project / ".pipekit" / "accepted.txt").read_text().count("\n") == 1, "the next check imports no albumentations"
    before = files_below(tmp_path)
    assert "cached" in pipekit("run", "--dry-run")
    assert files_below(tmp_path) == before


def test_what_was_accepted_is_added_by_a_run_and_not_by_a_check(trial: Trial) -> None:
    fill(trial, 1)
    plan = trial.plan({"data": DATA})
    plan.registry.accepted.add("f" * 64)
    load_plan(table={"stages": {"data": DATA}}, base_dir=trial.path, registry=plan.registry)
    assert not trial.store.exists()
    run_plan(plan)
    assert (trial.store / "accepted.txt").read_text() == "f" * 64 + "\n"
    run_plan(plan)
    assert (trial.store / "accepted.txt").read_text() == "f" * 64 + "\n", "once"
