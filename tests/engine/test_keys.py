"""Keys: each part of one, changed alone, makes another key; what can't change the bytes makes none."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipekit.builtin.train import frozen
from pipekit.contract import NO_TARGETS, Artifact, Box, Dataset, InputPath, Sample, Targets
from pipekit.engine import keys
from pipekit.engine.keys import Keys, key_of, shard_key
from pipekit.engine.run import forecast
from pipekit.engine.worker import Job, _Output
from pipekit.engine.worker import _SampleContext as SampleContext
from pipekit.errors import StageError
from pipekit.pipeline.plan import Plan, load_plan
from pipekit.registry.registry import load_registry
from pipekit.rng import rng_for
from pipekit.store.parts import content_digest
from pipekit.store.rows import dumps, to_row
from tests.conftest import DATA, Trial, fill

PLUGIN = '''
"""Stages that only have keys."""
from pathlib import Path
from typing import Annotated

import pipekit
from pipekit.contract import unseeded

OUTSIDE = Path(__file__).with_name("outside.txt")
# {comment}


class Params(pipekit.Params):
    amount: int = pipekit.param(1, "In the key")
    looks: int = pipekit.param(1, "Not in the key", in_key=False)
    file: pipekit.InputPath | None = pipekit.param(None, "Its content is in the key")
    detector: Annotated[pipekit.Call, pipekit.Uses("detector")] = pipekit.param("dots", "In the key, with its libraries")


def dots(image, params: pipekit.Params):
    """None."""


dots = pipekit.contract.depends_on("of-the-detector")(dots)


@pipekit.stage(libraries=["of-the-stage"], fingerprint=lambda params: OUTSIDE.read_text())
@pipekit.contract.depends_on("of-the-function")
def make(ctx: pipekit.Context, dataset: pipekit.Dataset, params: Params) -> pipekit.Dataset:
    """Nothing."""


@pipekit.stage(libraries=["of-the-stage"], fingerprint=lambda params: OUTSIDE.read_text())
@pipekit.contract.depends_on("of-the-function")
def other(ctx: pipekit.Context, dataset: pipekit.Dataset, params: Params) -> pipekit.Dataset:
    """Nothing."""


def one(sample, params, ctx):
    """One sample."""


two = unseeded(one.__class__(one.__code__, globals(), "two"))


@pipekit.hookimpl
def register_stages(register):
    register("make", make, version={version})
    register("other", other, version={version})


@pipekit.hookimpl
def register_detectors(register):
    register("dots", dots, version={detector_version})
'''

SAMPLE = Sample("a.png", "/photos/a.png", "1" * 64, "cat", "train", Targets("/masks/a.png", "2" * 64), {"taken": 2020})


@dataclass
class Case:
    """All that a key may be made from. A test changes one of it and looks at the keys."""

    project: Path
    patch: pytest.MonkeyPatch
    use: str = "make"
    name: str = "stage"
    params: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    stage: dict[str, Any] = field(default_factory=dict)
    plugin: dict[str, Any] = field(default_factory=lambda: {"version": 1, "detector_version": 1, "comment": ""})
    inputs: dict[str, Any] = field(default_factory=lambda: {"dataset": Artifact(Path("/one"), "digest", {"facts": 1})})
    versions: dict[str, str] = field(default_factory=dict)
    outside: str = "before"
    function: str = "one"
    map_name: str = "one"
    map_params: dict[str, Any] = field(default_factory=dict)
    samples: tuple[Sample, ...] = (SAMPLE,)
    format: int = 9

    def plan(self) -> Plan:
        self.project.mkdir(parents=True, exist_ok=True)
        (self.project / "content.txt").touch()
        (self.project / "outside.txt").write_text(self.outside)
        (self.project / "keyed.py").write_text(PLUGIN.format(**self.plugin))
        given = {"data": Dataset(Path("/given"), "given", {}, lambda _: iter(()), lambda _: iter(()))}
        table = {self.name: {"use": self.use, **self.stage, **self.params}}
        values = {"name": "run", "plugins": ["keyed.py"], "workers": 1, **self.settings, "stages": table}
        return load_plan(table=values, base_dir=self.project, given=given)

    def parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        known = {"of-the-stage": "1", "of-the-function": "1", "of-the-detector": "1", **self.versions}
        self.patch.setattr(importlib.metadata, "version", lambda name: known[name])
        self.patch.setattr(keys, "KEY_FORMAT", self.format)
        plan = self.plan()
        stage = plan.stage(self.name)
        made = Keys(plan.seed, lambda path: path.read_text() if path.is_file() else "folder")
        module = plan.registry.get("stage", "make").load().__globals__
        params = replace_params(stage.params, self.map_params)
        return made.of_stage(stage, self.inputs), made.of_map(stage, module[self.function], self.map_name, params)

    def keys(self) -> tuple[str, str]:
        """The keys of the stage and of a shard of its map."""
        of_stage, of_map = self.parts()
        return key_of(of_stage), shard_key(dumps(of_map), content_digest(to_row(sample) for sample in self.samples))


def replace_params(params: Any, changed: Mapping[str, Any]) -> Any:
    return params.model_copy(update=dict(changed))


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    found = Case(tmp_path / "project", monkeypatch)
    found.plugin["comment"] = tmp_path.name  # a plugin with the same bytes is the module of an earlier test
    return found


def with_file(case: Case, text: str) -> None:
    case.project.mkdir(parents=True, exist_ok=True)
    (case.project / "content.txt").write_text(text)


STAGE, SHARD = "the stage's key", "a shard's key"
BOTH = {STAGE, SHARD}

IN_KEY: dict[str, tuple[set[str], Callable[[Case], Any]]] = {
    "the format": (BOTH, lambda c: setattr(c, "format", 10)),
    "the stage": (BOTH, lambda c: setattr(c, "use", "other")),
    "the stage's version": (BOTH, lambda c: c.plugin.update(version=2)),
    "the plugin's file": (BOTH, lambda c: c.plugin.update(comment="edited")),
    "a parameter": (BOTH, lambda c: c.params.update(amount=2)),
    "a nested component's version": (BOTH, lambda c: c.plugin.update(detector_version=2)),
    "the seed": (BOTH, lambda c: c.settings.update(seed=1)),
    "the version of a library of @stage": (BOTH, lambda c: c.versions.update({"of-the-stage": "2"})),
    "the version of a library of @depends_on": (BOTH, lambda c: c.versions.update({"of-the-function": "2"})),
    "the version of a nested component's library": (BOTH, lambda c: c.versions.update({"of-the-detector": "2"})),
    "packed": (BOTH, lambda c: c.stage.update(packed=True)),
    "an input's digest": ({STAGE}, lambda c: c.inputs.update(dataset=Artifact(Path("/one"), "other", {}))),
    "an input's slot": ({STAGE}, lambda c: setattr(c, "inputs", {"another": c.inputs["dataset"]})),
    "the order of inputs": ({STAGE}, lambda c: c.inputs.update(many=(Artifact(Path(), "a", {}), Artifact(Path(), "b", {})))),
    "the outside state of a fingerprint": ({STAGE}, lambda c: setattr(c, "outside", "after")),
    "the map's name": ({SHARD}, lambda c: setattr(c, "map_name", "two")),
    "a parameter of the map": ({SHARD}, lambda c: c.map_params.update(amount=5)),
    "a sample's id": ({SHARD}, lambda c: setattr(c, "samples", (replace(SAMPLE, id="b.png"),))),
    "a sample's bytes": ({SHARD}, lambda c: setattr(c, "samples", (replace(SAMPLE, sha256="3" * 64),))),
    "a sample's label": ({SHARD}, lambda c: setattr(c, "samples", (replace(SAMPLE, label="dog"),))),
    "a sample's split": ({SHARD}, lambda c: setattr(c, "samples", (replace(SAMPLE, split="val"),))),
    "a sample's extra": ({SHARD}, lambda c: setattr(c, "samples", (replace(SAMPLE, extra={}),))),
    "a sample's mask": ({SHARD}, lambda c: setattr(c, "samples", (replace(SAMPLE, targets=Targets("/m", "4" * 64)),))),
    "a sample's boxes": (
        {SHARD},
        lambda c: setattr(c, "samples", (replace(SAMPLE, targets=Targets(boxes=(Box(0, 0, 1, 1),))),)),
    ),
    "one sample more": ({SHARD}, lambda c: setattr(c, "samples", (SAMPLE, replace(SAMPLE, id="b.png")))),
}
"""What is in which key, and how a case is changed in it alone."""

NOT_IN_KEY: dict[str, Callable[[Case], Any]] = {
    "the project's place": lambda c: setattr(c, "project", c.project.with_name("moved")),
    "the run's name": lambda c: c.settings.update(name="another"),
    "the stage's name": lambda c: setattr(c, "name", "renamed"),
    "the workers": lambda c: c.settings.update(workers=8),
    "the executor": lambda c: c.settings.update(executor="serial"),
    "the size of shards": lambda c: c.settings.update(shard_size=3),
    "max_failed of the run": lambda c: c.settings.update(max_failed=0.5),
    "max_failed of the stage": lambda c: c.stage.update(max_failed=0.5),
    "a parameter with in_key=False": lambda c: (c.params.update(looks=2), c.map_params.update(looks=3)),
    "a default that is written out": lambda c: c.params.update(amount=1),
    "an input's place and meta": lambda c: c.inputs.update(dataset=Artifact(Path("/two"), "digest", {"facts": 2})),
    "a slot that is left out": lambda c: c.inputs.update(more=None),
    "an image's place": lambda c: setattr(c, "samples", (replace(SAMPLE, image="/elsewhere/x.png"),)),
    "a mask's place": lambda c: setattr(c, "samples", (replace(SAMPLE, targets=Targets("/other.png", "2" * 64)),)),
    "the machine": lambda c: (c.patch.setattr("os.cpu_count", lambda: 64), c.patch.setattr("socket.gethostname", lambda: "x")),
    "the time": lambda c: (c.patch.setattr("time.time", lambda: 1.0), c.patch.setattr("time.time_ns", lambda: 1)),
}


@pytest.mark.parametrize("what", IN_KEY)
def test_each_part_of_a_key_makes_another_key(case: Case, what: str) -> None:
    changes, change = IN_KEY[what]
    before = dict(zip((STAGE, SHARD), case.keys(), strict=True))
    assert before == dict(zip((STAGE, SHARD), case.keys(), strict=True)), "the same twice"
    change(case)
    after = dict(zip((STAGE, SHARD), case.keys(), strict=True))
    assert {name for name in before if before[name] != after[name]} == changes


@pytest.mark.parametrize("what", NOT_IN_KEY)
def test_what_changes_no_byte_is_in_no_key(case: Case, what: str) -> None:
    before = case.keys()
    NOT_IN_KEY[what](case)
    assert case.keys() == before


def test_what_an_unseeded_function_made_holds_under_any_seed(case: Case) -> None:
    case.function = "two"
    of_stage, of_shard = case.keys()
    case.settings["seed"] = 3
    assert case.keys()[0] != of_stage
    assert case.keys()[1] == of_shard


def test_the_order_of_inputs_counts(case: Case) -> None:
    a, b = Artifact(Path(), "a", {}), Artifact(Path(), "b", {})
    case.inputs["many"] = (a, b)
    before = case.keys()[0]
    case.inputs["many"] = (b, a)
    assert case.keys()[0] != before


def test_the_content_of_a_file_counts_and_not_its_place(case: Case) -> None:
    with_file(case, "one")
    case.params["file"] = "content.txt"
    before = case.keys()
    with_file(case, "two")
    assert case.keys()[0] != before[0]
    assert case.keys()[1] != before[1]
    with_file(case, "one")
    (case.project / "content.txt").rename(case.project / "moved.txt")
    case.params["file"] = "moved.txt"
    assert case.keys() == before


def test_no_part_is_left_out_of_what_a_record_keeps(case: Case) -> None:
    of_stage, of_map = case.parts()
    shared = {"format", "stage", "params", "seed", "libraries"}
    assert set(of_stage) == shared | {"inputs", "fingerprint"}
    assert set(of_map) == shared | {"function"}
    assert of_stage["libraries"] == {"of-the-stage": "1", "of-the-function": "1"}
    assert of_stage["params"]["detector"]["libraries"] == {"of-the-detector": "1"}


def test_where_nothing_is_random_the_seed_is_in_no_key(trial: Trial) -> None:
    fill(trial, 2)
    first = trial.run({"data": DATA}, seed=1)
    assert trial.run({"data": DATA}, seed=2).stages[0].key == first.stages[0].key


# --- frozen features --------------------------------------------------------------------------------------------------------


def network(weight: float = 1.0, layers: str = "{}") -> Any:
    """What of a Keras network is written down."""
    return SimpleNamespace(to_json=lambda: layers, get_weights=lambda: [np.float32([weight])], output_shape=(None, 2))


@dataclass
class Recorder:
    """The context of a training, for the shards' key alone."""

    work_dir: Path
    version: int = 4
    key: str = ""

    def map(self, function: Any, samples: Any, params: Any, label: str = "", *, name: str = "") -> Any:
        component = load_registry(installed=False).get("stage", "train")
        stage = SimpleNamespace(component=component, contract=component.contract(), packed=False)
        component.version = self.version

        def content(path: Path) -> str:
            return "".join(f"{file.name}{file.read_bytes().hex()}" for file in sorted(path.iterdir()))

        parts = Keys(7, content).of_map(stage, function, name, params)  # type: ignore[arg-type]
        self.key = shard_key(dumps(parts), content_digest(to_row(sample) for sample in samples))
        return iter(())


def key_of_features(
    folder: Path, samples: tuple[Sample, ...] = (SAMPLE,), shape: tuple[int, int, int] = (8, 8, 3), version: int = 4, **of: Any
) -> str:
    ctx = Recorder(folder, version)
    frozen.features_of(ctx, frozen.Cut(network(**of), None), samples, shape)  # type: ignore[arg-type]
    return ctx.key


@pytest.mark.parametrize(
    "changed",
    [
        {"weight": 2.0},
        {"layers": "[]"},
        {"shape": (9, 8, 3)},
        {"version": 5},
        {"samples": (replace(SAMPLE, sha256="9" * 64),)},
        {"samples": (replace(SAMPLE, id="b"),)},
    ],
)
def test_frozen_features_hang_on_the_network_and_the_image(tmp_path: Path, changed: Any) -> None:
    assert key_of_features(tmp_path / "a", **changed) != key_of_features(tmp_path / "b")


@pytest.mark.parametrize(
    "changed",
    [
        {"label": "dog"},
        {"split": "val"},
        {"targets": NO_TARGETS},
        {"extra": {}},
        {"image": "/elsewhere.png"},
    ],
)
def test_another_label_or_split_finds_the_same_features(tmp_path: Path, changed: Any) -> None:
    sample = replace(SAMPLE, **changed)
    assert key_of_features(tmp_path / "a", samples=(sample,)) == key_of_features(tmp_path / "b")


def test_the_libraries_that_compute_features_are_in_their_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1")
    before = key_of_features(tmp_path)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2" if name == "keras" else "1")
    assert key_of_features(tmp_path) != before


def test_the_seed_is_not_in_the_key_of_features() -> None:
    component = load_registry(installed=False).get("stage", "train")
    stage: Any = SimpleNamespace(component=component, contract=component.contract(), packed=False)
    params = frozen.EmbedParams.model_construct(network=InputPath("."), shape_hwc=(1, 1, 3))
    made = [Keys(seed, lambda path: "").of_map(stage, frozen.embed, "embed", params) for seed in (1, 2)]
    assert made[0] == made[1]


# --- the name of a map ------------------------------------------------------------------------------------------------------

NAMED = '''
import pipekit
from dataclasses import replace


def {function}(sample, params, ctx):
    path = ctx.out_path(sample.id)
    path.write_bytes(ctx.rng().bytes(8))
    yield replace(sample, image=str(path), sha256="")


def twin(sample, params, ctx):
    yield sample


@pipekit.stage
def draw(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Dataset:
    """Random bytes."""
    twice = {twice}
    if twice:
        list(ctx.map(twin, dataset, name={name!r}))
    return ctx.dataset(ctx.map({function}, dataset{given}))


@pipekit.hookimpl
def register_stages(register):
    register("draw", draw)
'''


def drawn(trial: Trial, function: str, name: str = "", twice: bool = False) -> Any:
    given = f", name={name!r}" if name else ""
    (trial.path / "named.py").write_text(NAMED.format(function=function, name=name, given=given, twice=twice))
    return trial.run({"data": DATA, "draw": {"use": "draw"}}, plugins=["named.py"]).stages[-1].artifact


def test_a_function_may_be_renamed_where_its_map_has_a_name(trial: Trial) -> None:
    fill(trial, 3)
    first = drawn(trial, "old", "drawing")
    assert drawn(trial, "new", "drawing").digest == first.digest
    assert drawn(trial, "drawing").digest == first.digest, "the function's own name is used where there is no other"
    assert drawn(trial, "old").digest != first.digest
    sample = next(iter(first))
    assert Path(sample.image).read_bytes() == rng_for(0, "draw", "drawing", sample.id, 0).bytes(8)


def test_two_functions_under_one_name_are_an_error(trial: Trial) -> None:
    fill(trial, 1)
    with pytest.raises(StageError, match=r"two functions under the name 'drawing': \S+:twin and \S+:old"):
        drawn(trial, "old", "drawing", twice=True)


@pytest.mark.parametrize("name", ["two words", "a:b", "@stage/draw", "a..b"])
def test_a_name_is_a_word(trial: Trial, name: str) -> None:
    fill(trial, 1)
    with pytest.raises(StageError, match="can't use the name"):
        drawn(trial, "old", name)


def test_a_worker_draws_under_the_tasks_name() -> None:
    def words(target: str, name: str) -> bytes:
        task: Any = SimpleNamespace(seed=3, stage="s", target=target, name=name)
        job: Job = SimpleNamespace(function=None)  # type: ignore[assignment]
        return SampleContext(task, job, "id", _Output(Path(), None)).rng(2).bytes(8)

    assert words("module:function", "") == rng_for(3, "s", "function", "id", 2).bytes(8)
    assert words("module:function", "name") == rng_for(3, "s", "name", "id", 2).bytes(8)
    assert words("@stage/s", "") == rng_for(3, "s", "id", 2).bytes(8)


# --- a new format -----------------------------------------------------------------------------------------------------------

ANEW = "recomputed: this version of pipekit keeps its results under new keys (format 9, was 8)"


def test_a_run_says_once_why_an_older_store_is_of_no_use(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(trial, 2)
    stages = {"data": DATA, "keep": {"use": "keep"}}
    monkeypatch.setattr(keys, "KEY_FORMAT", 8)
    trial.run(stages)
    assert trial.told("warning") == [], "nothing was made before"
    monkeypatch.setattr(keys, "KEY_FORMAT", 9)
    first = forecast(trial.plan(stages))[0]
    assert (first.state, first.reason) == ("run", ANEW)
    trial.run(stages)
    assert trial.told("warning") == [{"stage": "data", "message": ANEW}]
    trial.run(stages, choice={"again": ["keep"]})
    assert trial.told("warning") == []
