"""``pipekit.plugins`` and ``pipekit.check_plugin`` against the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pipekit as package
from pipekit.errors import UserError


def test_the_list_is_that_of_the_command(pipekit, speckle: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    found = package.plugins(plugins=[str(speckle), "broken.py"])
    assert {plugin.name: plugin.status for plugin in found}["broken"] == "broken"
    shown = json.loads(pipekit("plugins", "--plugin", speckle, "--plugin", "broken.py", "--json").out)
    assert [(plugin.name, plugin.status, plugin.reason) for plugin in found] == [
        (row["name"], row["status"], row["reason"]) for row in shown
    ]
    with pytest.raises(UserError, match="no plugin of that name"):
        package.plugins(disable=["nothing"])


def test_a_plugin_is_tried(tmp_path: Path) -> None:
    (tmp_path / "my_recipes.py").write_text(
        "import pipekit\n\n@pipekit.hookimpl\ndef register_recipes(register):\n    register('mine', [{'op': 'hflip'}])\n"
    )
    tried = package.check_plugin(tmp_path / "my_recipes.py")
    assert tried.plugin.components == (("recipe", "mine"),)
    verdicts = list(tried.verdicts)
    assert verdicts
    assert [verdict.problem for verdict in verdicts if verdict.problem] == []
    with pytest.raises(UserError, match="no such plugin: there is no file"):
        package.check_plugin(tmp_path / "nowhere.py")
