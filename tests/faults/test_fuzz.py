"""A small part of ``fuzz.py`` with a fixed seed, and what its long form has found."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pipekit.errors import PipekitError, PlanError, UserError
from pipekit.params import MAX_TOML_DEPTH, parse_toml
from pipekit.pipeline.plan import load_plan
from pipekit.recipe.notation import check_ops
from pipekit.registry.registry import load_registry
from tests.faults import fuzz

REGISTRY = load_registry(installed=False)
NUM_ITEMS = 100


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_nothing_but_pipekit_s_own_errors(kind: str) -> None:
    pytest.importorskip("resource", reason="limits of processes are those of Unix")
    found = fuzz.fuzz(kind, NUM_ITEMS, seed=7)
    assert [f"{row['number']} {row['name']}: {row['what']}" for row in found.problems] == []
    assert found.read + found.refused == NUM_ITEMS
    assert found.read >= 5
    assert found.refused >= 5


def test_a_worker_that_hangs_or_dies_is_a_problem_and_the_next_item_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("resource", reason="limits of processes are those of Unix")
    script = tmp_path / "fuzz.py"
    text = Path(fuzz.__file__).read_text("utf-8").replace("LIMIT_S = 10.0", "LIMIT_S = 0.5")
    text = text.replace("ROOT = Path(__file__).resolve().parents[2]", f"ROOT = Path({str(fuzz.ROOT)!r})")
    script.write_text(text.replace("    calls = check_ops(", MISBEHAVE), "utf-8")
    monkeypatch.setattr(fuzz, "__file__", str(script))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    found = fuzz.fuzz("ops", 4, seed=1)
    assert [row["number"] for row in found.problems] == [0, 1, 2]
    late, died, raised = (row["what"] for row in found.problems)
    assert "s of processor time" in late
    assert "died" in died
    assert "ZeroDivisionError" in raised
    assert found.read + found.refused == 1


MISBEHAVE = """
    done = len(list(folder.parent.glob("begun-*")))
    (folder.parent / f"begun-{done}").touch()
    while done == 0:
        pass
    if done == 1:
        os._exit(7)
    1 / (done - 2)
    calls = check_ops("""
"""In place of the first call in ``read_recipe``: hang, die, raise, and then read as ever."""


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "value", [nested(90), nested(3000), "{a = " * 2000 + "1" + "}" * 2000, "9" * 5000, "a." * 3000 + "b = 1"]
)
def test_toml_beyond_the_limits_of_its_reader(tmp_path: Path, value: str) -> None:
    text = f"name = {value}" if not value.startswith("a.") else value
    with pytest.raises(tomllib.TOMLDecodeError):
        parse_toml(text)
    file = tmp_path / "pipeline.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(UserError, match="not valid TOML"):
        load_plan(file, registry=REGISTRY)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text, "utf-8")
    with pytest.raises(UserError, match="not valid TOML"):
        check_ops(REGISTRY, "recipe.toml", tmp_path)
    with pytest.raises(PlanError):  # as text, which is no seed
        load_plan(table={"name": "a"}, base_dir=tmp_path, overrides=[f"seed={value}"], registry=REGISTRY)


def test_toml_as_deep_as_it_may_be() -> None:
    assert parse_toml(f"a = {nested(MAX_TOML_DEPTH - 1)}")["a"]
    with pytest.raises(tomllib.TOMLDecodeError, match=f"nested more than {MAX_TOML_DEPTH} deep"):
        parse_toml(f"a = {nested(MAX_TOML_DEPTH)}")


@pytest.mark.parametrize("path", ["a" * 5000, "~nobody-has-this-name/photos", "a\0b"])
def test_paths_that_no_file_can_have(tmp_path: Path, path: str) -> None:
    table = {"stages": {"data": {"use": "import.folders", "path": path}}}
    with pytest.raises(PlanError, match="no such file or folder"):
        load_plan(table=table, base_dir=tmp_path, registry=REGISTRY)
    with pytest.raises(UserError):
        check_ops(REGISTRY, f"{path}.toml", tmp_path)


@pytest.mark.parametrize(
    "text",
    ["-" * 3000 + "1", "rotate(" + "-" * 800 + "a)", "a." * 3000 + "b", "hflip|" * 3000 + "hflip(", "one_of(" * 60, "(" * 250],
)
def test_ops_nested_too_deeply_are_a_short_error(text: str) -> None:
    with pytest.raises(PipekitError) as caught:
        check_ops(REGISTRY, text)
    assert len(str(caught.value)) < 1500
