"""Another version of a plugin makes anew what its components made, and nothing else."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipekit.cli import main
from pipekit.engine.outcome import Outcome
from pipekit.engine.run import forecast, run_plan, silent
from pipekit.engine.run_folder import find_run
from pipekit.errors import PlanError
from pipekit.pipeline.plan import Plan, load_plan
from pipekit.registry import release
from pipekit.testing import write_tiny_dataset

PLUGIN = '''
import pipekit
from pipekit.contract import shared
{more}


def gentle(image, params: pipekit.Params, rng):
    """Brighter by a little."""
    return image // 2 + {level}


@shared()
def level_of(sample, params, ctx):
    yield {{"id": sample.id, "level": {level}}}


@pipekit.stage
def levels(ctx: pipekit.Context, dataset: pipekit.Dataset, params: pipekit.Params) -> pipekit.Files:
    """A shared function of the plugin."""
    text = "".join(f"{{row['level']}} " for row in ctx.map(level_of, dataset))
    (ctx.out_dir / "levels.txt").write_text(text)
    return ctx.artifact(pipekit.Files)


@pipekit.hookimpl
def register_ops(register):
    register("gentle", gentle)


@pipekit.hookimpl
def register_stages(register):
    register("levels", levels)
'''

STAGES: dict[str, Any] = {
    "data": {"use": "import.folders", "path": "images"},
    "copies": {"use": "augment", "dataset": "data", "ops": ["gentle"], "copies": 1, "format": "png"},
    "plain": {"use": "augment", "dataset": "data", "ops": ["hflip"], "copies": 1, "format": "png"},
    "levels": {"use": "levels", "dataset": "data"},
    "counted": {"use": "filter", "dataset": "copies", "where": "label != 'none'"},
}
EDITABLE = {"dir_info": {"editable": True}}
ITS_OWN = {"copies", "levels"}
"""What the plugin's components make; ``counted`` follows where the copies are others."""


class Installed:
    """A project, and a folder of distributions as an installer leaves it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.project, self.site = folder / "project", folder / "site"
        self.site.mkdir()
        write_tiny_dataset(self.project / "images", per_class=1)
        patch.syspath_prepend(self.site)
        patch.setattr(release, "_LOADED_NS", {})
        patch.setattr(release, "_RELEASES", {})

    def install(self, version: str, level: int = 0, more: str = "", origin: dict[str, Any] | None = None) -> None:
        """Args: origin: where an installer had it from, if not from a package index."""
        self.uninstall()
        (self.site / "acme_plugin.py").write_text(PLUGIN.format(level=level, more=more))
        info = self.site / f"pipekit_acme-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pipekit-acme\nVersion: {version}\n")
        (info / "entry_points.txt").write_text("[pipekit]\nacme = acme_plugin\n")
        if origin is not None:
            (info / "direct_url.json").write_text(json.dumps({"url": "file:///x", **origin}))

    def uninstall(self) -> None:
        """A new process loads the code again."""
        import importlib

        for info in self.site.glob("*.dist-info"):
            for file in info.iterdir():
                file.unlink()
            info.rmdir()
        (self.site / "acme_plugin.py").unlink(missing_ok=True)
        sys.modules.pop("acme_plugin", None)
        release._LOADED_NS.clear()
        release._RELEASES.clear()
        importlib.invalidate_caches()
        sys.dont_write_bytecode = True

    def plan(self, **stages: Any) -> Plan:
        table = {"name": "t", "workers": 1, "executor": "serial", "stages": {**STAGES, **stages}}
        return load_plan(table=table, base_dir=self.project)

    def run(self) -> Outcome:
        return run_plan(self.plan(), silent, publish=False)

    def made(self) -> set[str]:
        return {stage.name for stage in self.run().stages if not stage.cached}

    def reasons(self) -> dict[str, str]:
        return {step.stage: step.reason for step in forecast(self.plan())}


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Installed(tmp_path, monkeypatch)
    sys.modules.pop("acme_plugin", None)


def test_what_an_upgrade_changes_is_made_anew_and_a_downgrade_finds_it_again(acme: Installed) -> None:
    acme.install("0.1.0", level=10)
    first = acme.run()
    assert {stage.name for stage in first.stages if not stage.cached} == set(STAGES)
    assert acme.made() == set()
    acme.install("0.2.0", level=90)
    reasons = acme.reasons()
    assert {name for name in reasons if reasons[name] == "recomputed: pipekit-acme 0.1.0 -> 0.2.0"} == ITS_OWN
    second = acme.run()
    assert {stage.name for stage in second.stages if not stage.cached} == {*ITS_OWN, "counted"}
    assert (second.artifact("levels").path / "levels.txt").read_text().split() == ["90"] * 3
    assert first.artifact("copies").digest != second.artifact("copies").digest
    shown = find_run(acme.project, "t")
    assert shown["plugins"]["pipekit-acme"] == {
        "plugin": "acme",
        "version": "0.2.0",
        "components": ["op gentle", "stage levels"],
    }
    assert {stage["name"]: stage["why"] for stage in shown["stages"] if stage["name"] in ITS_OWN} == dict.fromkeys(
        sorted(ITS_OWN), "recomputed: pipekit-acme 0.1.0 -> 0.2.0"
    )
    acme.install("0.1.0", level=10)
    assert acme.made() == set()


def test_an_upgrade_that_changes_nothing_stops_the_cascade(acme: Installed) -> None:
    acme.install("0.1.0")
    acme.run()
    acme.install("0.1.1")
    assert acme.made() == ITS_OWN


@pytest.mark.parametrize("origin", [EDITABLE, {"dir_info": {}}, {"archive_info": {}}, {"vcs_info": {"vcs": "git"}}], ids=str)
def test_what_an_index_had_is_known_by_its_version_and_all_else_by_its_content(acme: Installed, origin: dict[str, Any]) -> None:
    acme.install("0.1.0", origin=origin)
    acme.run()
    acme.install("0.1.0", origin=origin)
    assert acme.made() == set()
    acme.install("0.1.0", more="# edited", origin=origin)
    assert acme.reasons()["levels"] == "recomputed: pipekit-acme 0.1.0 was edited"
    assert acme.made() == ITS_OWN
    acme.install("0.1.0", more="# edited again")  # from an index now
    acme.run()
    acme.install("0.1.0", more="# nobody edits what is installed")
    assert acme.made() == set()


def test_code_that_is_edited_after_it_was_loaded_leaves_no_stale_result(acme: Installed) -> None:
    acme.install("0.1.0", level=1, origin=EDITABLE)
    acme.plan()
    time.sleep(0.01)
    (acme.site / "acme_plugin.py").write_text(PLUGIN.format(level=2, more=""))
    acme.run()  # of the code from before the edit
    acme.install("0.1.0", level=2, origin=EDITABLE)
    assert acme.made() >= ITS_OWN
    assert (acme.run().artifact("levels").path / "levels.txt").read_text().split() == ["2"] * 3


def test_a_distribution_may_declare_that_only_the_versions_of_its_components_matter(acme: Installed) -> None:
    acme.install("0.1.0", more="PIPEKIT_VERSION_IN_KEYS = False")
    assert all("plugins" not in stage.parts for stage in acme.run().stages)
    acme.install("0.2.0", more="PIPEKIT_VERSION_IN_KEYS = False")
    assert acme.made() == set()


def test_what_is_uninstalled_is_named_and_what_it_did_not_make_stays(acme: Installed) -> None:
    acme.install("0.1.0")
    acme.run()
    acme.uninstall()
    with pytest.raises(PlanError) as caught:
        acme.plan()
    told = {problem.message: problem.hint for problem in caught.value.problems}
    assert set(told) == {"no op called 'gentle'", "no stage called 'levels'"}
    for hint in told.values():
        assert hint.startswith("An earlier run had it from pipekit-acme 0.1.0, which is not there now.")
    rest = {name: table for name, table in STAGES.items() if name not in {*ITS_OWN, "counted"}}
    plan = load_plan(table={"name": "t", "stages": rest}, base_dir=acme.project)
    assert all(stage.cached for stage in run_plan(plan, silent, publish=False).stages)


def test_a_module_without_a_distribution_is_known_by_its_content(acme: Installed) -> None:
    (acme.site / "acme_plugin.py").write_text(PLUGIN.format(level=1, more=""))

    def made() -> set[str]:
        sys.modules.pop("acme_plugin", None)
        release._LOADED_NS.clear()
        plan = load_plan(table={"name": "t", "stages": STAGES, "plugins": ["acme_plugin"]}, base_dir=acme.project)
        return {stage.name for stage in run_plan(plan, silent, publish=False).stages if not stage.cached}

    assert made() == set(STAGES)
    assert made() == set()
    (acme.site / "acme_plugin.py").write_text(PLUGIN.format(level=2, more=""))
    assert made() == {*ITS_OWN, "counted"}


def test_an_edited_file_is_named(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "images", per_class=1)
    stages = {name: STAGES[name] for name in ("data", "levels")}

    def plan(level: int) -> Plan:
        (tmp_path / "mine.py").write_text(PLUGIN.format(level=level, more=f"# {tmp_path}"))
        return load_plan(table={"name": "t", "stages": stages, "plugins": ["mine.py"]}, base_dir=tmp_path)

    run_plan(plan(1), silent, publish=False)
    assert [step.reason for step in forecast(plan(2))][-1] == "recomputed: mine was edited"
    record = find_run(tmp_path, "t")["plugins"]
    assert record["mine.py"]["components"] == ["stage levels"]
    assert record["mine.py"]["version"].startswith("content ")
    with pytest.raises(PlanError) as caught:
        load_plan(table={"name": "t", "stages": stages}, base_dir=tmp_path)
    assert caught.value.problems[0].hint.startswith("An earlier run had it from the file mine.py: load that with --plugin")


PIPELINE = """
name = "t"

[stages.data]
use = "import.folders"
path = "images"
verify = "none"

[stages.levels]
use = "levels"
"""


def test_the_command_says_why_and_the_unchanged_run_notices(
    acme: Installed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipekit.cli import unchanged
    from pipekit.files import trees

    (acme.project / "pipeline.toml").write_text(PIPELINE)
    monkeypatch.chdir(acme.project)
    monkeypatch.setattr(trees, "SETTLED_S", 0.0)
    monkeypatch.setattr(unchanged, "STARTED_NS", 2**62)
    monkeypatch.setattr(unchanged, "PATH", (str(acme.site),))

    def said(*words: str) -> str:
        assert main(["run", *words]) == 0
        return capsys.readouterr().out

    acme.install("0.1.0")
    said()
    said()
    assert unchanged.answer(["run"]) == 0, "nothing has changed"
    capsys.readouterr()
    acme.install("0.2.0")
    assert unchanged.answer(["run"]) is None, "the version has changed"
    assert "recomputed: pipekit-acme 0.1.0 -> 0.2.0" in " ".join(said("--dry-run").split())
    said()
    assert main(["runs", "show", "t"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "levels: recomputed: pipekit-acme 0.1.0 -> 0.2.0" in shown
    assert "pipekit-acme 0.2.0" in shown


def keys_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from keys_of(inner)


def test_a_plan_of_built_ins_alone_has_no_plugin_in_its_keys(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "images", per_class=1)
    stages = {"data": STAGES["data"], "plain": {**STAGES["plain"], "dataset": "data"}}
    made = run_plan(load_plan(table={"name": "t", "stages": stages}, base_dir=tmp_path), silent, publish=False)
    assert all("plugins" not in keys_of(dict(stage.parts)) for stage in made.stages)
    assert find_run(tmp_path, "t")["plugins"] == {}


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda folder: (folder / "data.bin").write_bytes(b"2"), True),
        (lambda folder: (folder / "new.py").write_text(""), True),
        (lambda folder: os.utime(folder / "__init__.py", (1, 1)), False),
        (lambda folder: (folder / "__pycache__").mkdir(), False),
    ],
)
def test_the_content_of_a_package_is_all_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object], differs: bool
) -> None:
    package = tmp_path / "acme_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "data.bin").write_bytes(b"1")
    monkeypatch.syspath_prepend(tmp_path)

    def content() -> str:
        return release.Release("x", "", ("acme_package",), 2**63, None).identity()

    before = content()
    assert content() == before
    change(package)
    assert (content() != before) == differs
