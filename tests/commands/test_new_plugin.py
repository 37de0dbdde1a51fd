"""A plugin from the templates installs, is found, passes its own tests untouched, and its README is right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipekit.commands.new_plugin import kinds, new_plugin
from pipekit.errors import UserError
from pipekit.registry.registry import KINDS

DRY_RUNS = """
import sys
from pipekit.cli import main

for name in sys.argv[1:]:
    assert main(["run", name, "--dry-run"]) == 0, name
    print(flush=True, end=chr(28))
"""
"""The checked plan of each pipeline, in one process: starting takes longer than checking."""


def python(*words: str, cwd: Path, path: str = "") -> str:
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One plugin of each kind in ``plugins/``, all installed into ``site/``, as a stranger would install them."""
    root = tmp_path_factory.mktemp("scaffold")
    folders = [root / "plugins" / f"pipekit-my-{kind.replace('_', '-')}" for kind in kinds()]
    for kind, folder in zip(kinds(), folders, strict=True):
        new_plugin(folder, kind)
    install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--target",
        str(root / "site"),
    ]
    python(*install, *map(str, folders), cwd=root)
    return root


@pytest.mark.parametrize("kind", ["op", "importer"])
def test_a_plugin_is_that_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    import pipekit
    from pipekit.cli import main

    monkeypatch.chdir(tmp_path)
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
    pipekit.new_plugin(tmp_path / "one/pipekit-mine", kind)
    assert main(["scaffold", "--plugin", "two/pipekit-mine", "--kind", kind]) == 0
    one, two = (
        {file.relative_to(tmp_path / place): file.read_bytes() for file in (tmp_path / place).rglob("*") if file.is_file()}
        for place in ("one", "two")
    )
    assert one == two != {}


def test_there_is_a_template_for_every_kind() -> None:
    assert kinds() == list(KINDS)


def test_they_pass_their_own_tests(site: Path) -> None:
    tests = [str(path) for path in sorted(site.glob("plugins/*/tests"))]
    assert len(tests) == len(kinds())
    out = python(
        "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider", *tests, cwd=site, path=str(site / "site")
    )
    assert " passed" in out
    assert "skipped" not in out


def test_they_are_found_and_keep_their_promises(site: Path) -> None:
    listed = python("-m", "pipekit", "plugins", cwd=site, path=str(site / "site"))
    for kind in kinds():
        assert re.search(rf"my_{kind}\b.*\bok\b", listed)
    for kind in ("op", "detector"):  # all keep them in their own tests; this is the command
        out = python("-m", "pipekit", "plugins", "check", f"my_{kind}", cwd=site, path=str(site / "site"))
        assert "1 component, no promise broken." in out


def test_the_pipelines_in_their_readmes_are_right(site: Path) -> None:
    from pipekit.testing.checks import write_tiny_dataset

    project = site / "project"
    write_tiny_dataset(project / "images")
    (project / "images" / "labels.txt").write_text("discs/discs_0.png\tdiscs\n", encoding="utf-8")
    numbers: list[int] = []
    for kind in kinds():
        readme = (site / "plugins" / f"pipekit-my-{kind.replace('_', '-')}" / "README.md").read_text("utf-8")
        for found in re.findall(r"```toml\n(.*?)```", readme, re.DOTALL):
            assert "my_" in found
            numbers.append(len(numbers))
            (project / f"pipeline{numbers[-1]}.toml").write_text(found, encoding="utf-8")
    assert len(numbers) > 9
    out = python("-c", DRY_RUNS, *(f"pipeline{number}.toml" for number in numbers), cwd=project, path=str(site / "site"))
    assert out.count("\x1c") == len(numbers)
    assert all("data" in part for part in out.split("\x1c")[:-1])


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(UserError, match="not empty"):
        new_plugin(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["9lives", "two words", "-x", "class", "a--b"])
def test_a_name_that_can_not_be_one_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        new_plugin(tmp_path / "folder", name=name)
    assert not (tmp_path / "folder").exists()


def test_a_kind_that_is_misspelt_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        new_plugin(tmp_path / "folder", kind="detecter")
    assert caught.value.hint == "Did you mean 'detector'?"
    assert new_plugin(tmp_path / "folder", kind="section").kind == "report_section"


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from pipekit.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["scaffold", "--plugin", "my-plugin", "--kind", "detector"]) == 0
    assert "pip install --editable 'my-plugin[test]'" in capsys.readouterr().out
    assert (tmp_path / "my-plugin" / "src" / "my_plugin" / "my_plugin.py").exists()
    assert main(["scaffold", "--plugin", "my-plugin"]) == 2
    assert "not empty" in capsys.readouterr().err
