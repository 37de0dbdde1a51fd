"""Twenty plugins, installed as distributions: what the first words of a conversation load of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

COUNT = 20

HOOKS = """
import pipekit


@pipekit.hookimpl
def register_ops(register):
    register("{op}", "{module}_ops:{op}", summary="An op of plugin {number}")
"""

OPS = """
import pipekit


class Params(pipekit.Params):
    amount: float = pipekit.param(0.5, "How much", ge=0, le=1)


def {op}(image, params: Params, rng):
    return image
"""

SCRIPT = """
import sys
from pipekit.cli import main
code = main(sys.argv[1:])
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""

Loaded = Callable[..., tuple[str, set[str]]]


def write_plugin(site: Path, number: int) -> None:
    """A distribution as an installer leaves it: a module with the hooks, one with the code, and what says where they are."""
    module = f"many_{number:02}"
    values = {"module": module, "op": f"op_{number:02}", "number": number}
    (site / f"{module}.py").write_text(HOOKS.format(**values))
    (site / f"{module}_ops.py").write_text(OPS.format(**values))
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[pipekit]\n{module} = {module}\n")


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """Run a command line with twenty plugins installed: what it prints, and the modules that it loads."""
    site = tmp_path / "site"
    site.mkdir()
    for number in range(COUNT):
        write_plugin(site, number)
    path = os.pathsep.join([str(site), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]).rstrip(os.pathsep)

    def run(*words: str) -> tuple[str, set[str]]:
        command = [sys.executable, "-c", SCRIPT, *words]
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
        return done.stdout, set(done.stderr.split())

    return run


def of_plugins(modules: set[str]) -> set[str]:
    return {name for name in modules if name.startswith("many_")}


HOOK_MODULES = {f"many_{number:02}" for number in range(COUNT)}


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("run", "--help"), ("components", "--help")])
def test_help_loads_none_of_them_and_looks_for_none(loaded: Loaded, words: tuple[str, ...]) -> None:
    loaded("--help")  # the first one asks the plugins once for their commands, and keeps the list
    modules = loaded(*words)[1]
    assert not of_plugins(modules)
    assert not modules & {"pluggy", "pipekit.registry.registry"}


def test_the_list_of_components_imports_hooks_and_no_component(loaded: Loaded) -> None:
    out, modules = loaded("components", "--json")
    listed = {entry["name"]: entry["plugin"] for entry in json.loads(out)}
    assert {name: plugin for name, plugin in listed.items() if plugin in HOOK_MODULES} == {
        f"op_{number:02}": f"many_{number:02}" for number in range(COUNT)
    }
    assert of_plugins(modules) == HOOK_MODULES


def test_one_component_imports_its_own_code_alone(loaded: Loaded) -> None:
    out, modules = loaded("components", "op", "op_07")
    assert "How much" in out
    assert of_plugins(modules) - HOOK_MODULES == {"many_07_ops"}


def test_the_list_of_plugins_has_each_with_its_version(loaded: Loaded) -> None:
    out, modules = loaded("plugins", "--json")
    records = {record["name"]: record for record in json.loads(out)}
    assert {name: records[name]["version"] for name in HOOK_MODULES} == dict.fromkeys(HOOK_MODULES, "1.0")
    assert {records[name]["status"] for name in HOOK_MODULES} == {"ok"}
    assert of_plugins(modules) == HOOK_MODULES
