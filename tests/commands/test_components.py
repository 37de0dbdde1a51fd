"""``pipekit.components`` and ``pipekit.component`` against the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pipekit as package
from pipekit.errors import UserError


@pytest.mark.parametrize("words", [(), ("exporter",)])
def test_the_list_is_that_of_the_command(pipekit, words: tuple[str, ...]) -> None:
    shown = json.loads(pipekit("components", *words, "--json").out)
    assert [(row["kind"], row["name"]) for row in shown] == [(one.kind, one.name) for one in package.components(*words)]


def test_one_component_is_described(pipekit, speckle: Path) -> None:
    found = package.component("stage", "split")
    shown = json.loads(pipekit("components", "stage", "split", "--json").out)
    assert [row.name for row in found.params] == [row["name"] for row in shown["params"]]
    assert ([slot.name for slot in found.inputs], found.output) == (["dataset", "embeddings"], "dataset")
    assert "fractions" in {row.name for row in found.params}
    assert package.component("op", "speckle", plugins=[str(speckle)]).params[0].name == "amount"
    with pytest.raises(UserError, match="no kind of component called 'stge'"):
        package.components("stge")
    with pytest.raises(UserError, match="no stage called 'splt'"):
        package.component("stage", "splt")


def test_a_family_that_cant_be_listed_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipekit.registry.registry import Registry

    real = Registry.components

    def components(self: Registry, kind: str, wildcards: bool = False) -> object:
        if wildcards:
            raise ImportError("a library is broken")
        return real(self, kind)

    monkeypatch.setattr(Registry, "components", components)
    events: list[tuple[str, str]] = []
    found = package.components("op", listener=lambda event, **values: events.append((event, values["message"])))
    assert "rotate" in {one.name for one in found}
    assert events == [("warning", "the members of a family could not be listed: ImportError: a library is broken")]


def test_a_name_of_the_project_s_plugin_is_hinted_at_and_its_code_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.py").write_text('open("ran", "w")\nregister("speck", speck)\n')
    Path("pipeline.toml").write_text('plugins = ["./x.py"]\n')
    with pytest.raises(UserError, match=r"pipekit components op speck --plugin \./x\.py"):
        package.component("op", "speck")
    with pytest.raises(UserError, match="Did you mean 'rotate'"):
        package.component("op", "rotat")
    assert not Path("ran").exists()
