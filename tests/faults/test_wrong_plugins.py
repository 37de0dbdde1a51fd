"""Wrong plugins are caught by `pipekit plugins check`, each with one verdict: none is green, none stops it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipekit.cli import main
from pipekit.errors import UserError
from pipekit.testing.checks import check_plugin, heavy_imports, write_tiny_dataset
from tests.faults.wrong_plugins import HEAD, WRONG, Wrong

TOGETHER = [wrong for wrong in WRONG if not wrong.alone]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every wrong plugin as a file, and the tiny dataset."""
    folder = tmp_path_factory.mktemp("wrong")
    for wrong in TOGETHER:
        (folder / f"{wrong.name}.py").write_text(wrong.source, encoding="utf-8")
    write_tiny_dataset(folder / "images")
    heavy_imports(
        [str(folder / f"{wrong.name}.py") for wrong in TOGETHER if wrong.name != "sys_exit"]
    )  # in one process for all
    return folder


def test_the_documents_count_them() -> None:
    count = len({wrong.name for wrong in WRONG})
    assert count == len(WRONG)
    text = (Path(__file__).parents[2] / "docs" / "plugins" / "testing.md").read_text("utf-8")
    assert f"with {count} wrong plugins" in text
    assert f"{count} of {count} caught" in text


@pytest.mark.parametrize("wrong", TOGETHER, ids=lambda wrong: wrong.name)
def test_each_is_caught_with_one_verdict(wrong: Wrong, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    try:
        _, verdicts = check_plugin(str(folder / f"{wrong.name}.py"), folder / "images" if wrong.needs_path else None)
        problems = [f"{verdict.promise}: {verdict.problem}" for verdict in verdicts if verdict.problem]
    except UserError as error:
        problems = [error.message]
    assert len(problems) == 1, problems
    assert wrong.words in problems[0]
    assert "\n" not in problems[0]


SEVERAL = f'''{HEAD}
print("loaded")
Path("loaded.txt").write_text("loaded")


def ends(image, params: Nothing, rng):
    """End the process."""
    os._exit(0)


def waits(image, params: Nothing, rng):
    """Never end."""
    time.sleep(3600)


def right(image, params: Nothing, rng):
    """Do nothing."""
    return image


@pipekit.hookimpl
def register_ops(register):
    for op in (ends, waits, right):
        register(op.__name__, op)
'''


def test_what_ends_or_never_ends_hides_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "several.py").write_text(SEVERAL, encoding="utf-8")
    assert main(["plugins", "check", "several.py", "--limit", "4"]) == 1
    out = capsys.readouterr().out
    lines = [line.strip() for line in out.splitlines()]
    assert sum(line.startswith("broken") for line in lines) == 4
    assert any("it prints to standard output when it is loaded" in line for line in lines)
    assert any("loading it writes" in line and "loaded.txt" in line for line in lines)
    assert any("choosing ones positions of ops: the process ends with status 0" in line for line in lines)
    assert any("choosing ones positions of ops: it does not end within" in line for line in lines)
    assert lines[lines.index("op right") + 1] == ""
    assert [path.name for path in tmp_path.iterdir()] == ["several.py"]


def test_a_plugin_that_ends_the_process_when_it_is_imported_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "exits.py").write_text("import os\nos._exit(0)\n", encoding="utf-8")
    assert main(["plugins", "check", str(tmp_path / "exits.py")]) == 2
    assert "when it is imported, the process ends with status 0" in capsys.readouterr().err
