"""Every registered built-in is held to what its kind promises, through the same checks that plugin authors use."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pipekit.registry.component import Component
from pipekit.registry.registry import KINDS, load_registry
from pipekit.testing.checks import core, heavy_imports, killing, required_parameters, run_checks
from tests.contract.examples import EXAMPLES

REGISTRY = load_registry(installed=False)

PHOTOS = Path(__file__).parents[2] / "sample_data" / "photos"

VALUES: dict[tuple[str, str], dict[str, Any]] = {
    ("op", "one_of"): {"ops": ["blur", "hflip"]},
    ("op", "rescale"): {"factor": 0.5},
    ("op", "resize"): {"height_px": 20, "width_px": 30},
    ("op", "sequence"): {"ops": ["blur", "hflip"]},
    ("op", "some_of"): {"ops": ["blur", "hflip", "noise"], "n": 2},
    ("stage", "explain"): {"images": [str(PHOTOS / "cat.jpg")]},
    ("stage", "features"): {"previews_per_class": 1, "preview_px": 64},
    ("stage", "filter"): {"where": "label != 'discs' and width == 32"},
    ("stage", "rename_classes"): {"classes": {"discs": "round"}, "drop": ["stripes"]},
    ("stage", "stability"): {"detectors": ["fast"], "changes": ["blur"], "blur_sigmas_px": [1], "max_images": 2},
    ("stage", "filters"): {"max_images": 1, "preview_px": 240},
    ("stage", "match"): {"first": str(PHOTOS / "cat.jpg"), "second": str(PHOTOS / "coffee.jpg")},
}
"""Parameters for the components that can't do without any, or take their time without."""

SAMPLES: dict[tuple[str, str], dict[str, Any]] = {
    ("stage", "merge"): {
        "before": {
            "one": {"use": "import.folders", "path": "images"},
            "other": {"use": "filter", "dataset": "one", "where": "label == 'discs'"},
        },
        "inputs": {"datasets": ["one", "other"]},
    },
    ("stage", "export.tfrecord"): {"before": None},  # a process that imports TensorFlow for each; in test_export_tensorflow.py
    ("stage", "similar"): {"before": None},  # the same in tests/commands/test_similar.py
    ("stage", "train"): {"before": None},  # it is run, and held to the same, in tests/builtin/test_train.py
}
"""What a component is tried on, where it is not the tiny dataset alone."""


KILLED = (
    *("import.folders", "import.csv", "import.coco", "import.parquet", "import.videos", "import.npz", "import.tfrecord"),
    *("export.folders", "export.parquet", "export.webdataset"),
)
"""The imports and exports that are killed. A kill takes two seconds, and what continues after one is the same function for
all of them: a list of files, a table, a document, and pictures made from arrays, from a film and from records go through it
here. So do folders, a library's table and archives that are written; each exporter is held to writing into its folder alone."""

ELSEWHERE = ("pretrained",)


def components() -> list[Component]:
    """All but those that need TensorFlow, which ``test_models.py`` and ``test_pretrained_embedder.py`` try."""
    return [
        component
        for component in REGISTRY
        if component.kind != "model" and not component.name.endswith(".*") and component.name not in ELSEWHERE
    ]


@pytest.fixture(scope="module", autouse=True)
def _imports_known() -> None:
    """Every module imported once, in one interpreter."""
    targets = [component.target for component in REGISTRY if isinstance(component.target, str)]
    heavy_imports(sorted({target.partition(":")[0] for target in targets}))


def test_the_built_in_plugin_is_whole() -> None:
    assert [(record.name, record.reason) for record in REGISTRY.plugins if record.status != "ok"] == []
    of_plugins_alone = {
        "callback",
        "command",
        "compare_metric",
        "loss",
        "metric",
        "optimizer",
        "page",
        "sampler",
        "schedule",
        "splitter",
    }  # others have theirs
    assert {component.kind for component in REGISTRY} == set(KINDS) - of_plugins_alone


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder in the format of an importer."""
    root = tmp_path_factory.mktemp("examples")
    return cache(lambda importer: EXAMPLES[importer](root / importer))


@pytest.mark.parametrize("component", components(), ids=lambda component: f"{component.kind}-{component.name}")
def test_it_keeps_its_promises(component: Component, examples: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    if component.name.startswith(("import.", "export.")) and component.name not in KILLED:
        monkeypatch.setattr(core, "PROMISES", [one for one in core.PROMISES if one[2] is not killing._survives_a_kill])
    values, samples = VALUES.get((component.kind, component.name), {}), SAMPLES.get((component.kind, component.name), {})
    if component.kind == "report_section":
        samples = {"evaluation": None}  # tests/builtin/test_evaluate.py calls them, with all metrics
    if component.kind == "importer":
        samples = {"path": examples(component.name)}
    if component.name.startswith("import."):
        values = {"path": str(examples(component.name.removeprefix("import."))), **values}
    assert set(required_parameters(component)) <= set(values), "give them in VALUES"
    verdicts = list(run_checks(REGISTRY, component, values, **samples))
    assert len(verdicts) > 1
    assert {verdict.promise: verdict.problem for verdict in verdicts if verdict.problem} == {}
