"""What the first words of a conversation load: `pipekit --help` must answer at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pipekit.cli import main
code = main(sys.argv[1:])
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""

SLOW = {"numpy", "cv2", "rich", "pydantic", "pydantic_core", "pluggy", "typer", "tensorflow", "keras", "albumentations"}


def loaded(folder: Path, *words: str) -> set[str]:
    """The top-level modules that a command line loads."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, cwd=folder, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [("--help",), ("-h",), (), ("--version",), ("--debug", "--help")])
def test_help_and_version_load_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert not loaded(tmp_path, *words) & SLOW


def test_help_loads_no_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loud.py").write_text("raise SystemExit('a plugin was loaded')")
    monkeypatch.setenv("PIPEKIT_PLUGINS", str(tmp_path / "loud.py"))
    assert loaded(tmp_path, "--help")


@pytest.mark.parametrize("words", [("components",), ("plugins",), ("components", "op"), ("runs",)])
def test_lists_load_no_numbers_and_no_heavy_library(tmp_path: Path, words: tuple[str, ...]) -> None:
    modules = loaded(tmp_path, *words)
    assert "rich" in modules
    assert not modules & {"tensorflow", "keras", "matplotlib", "sklearn", "torch"}


def test_the_help_of_a_command_loads_no_rich_and_no_plugin(tmp_path: Path) -> None:
    assert not loaded(tmp_path, "run", "--help") & {"rich", "pluggy", "numpy", "tensorflow"}


def test_looking_at_a_pipeline_loads_no_heavy_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training, an albumentations op and a report are in it; to check and plan them none of their libraries is needed."""
    textures = Path(__file__).resolve().parent.parent / "sample_data" / "textures" / "pipeline.toml"
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    modules = loaded(tmp_path, "run", str(textures), "--dry-run")
    assert "pydantic" in modules
    assert not modules & {"cv2", "tensorflow", "keras", "albumentations", "matplotlib", "sklearn", "scipy"}


@pytest.mark.parametrize("command", ["augment", "features", "inspect", "replay", "scaffold", "sniff", "split"])
def test_the_options_of_a_stage_load_no_numbers(tmp_path: Path, command: str) -> None:
    assert not loaded(tmp_path, command, "--help") & {"rich", "numpy", "cv2", "PIL", "tensorflow"}


def test_a_run_without_options_loads_no_typer(tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text('[stages.data]\nuse = "import.folders"\npath = "images"\n')
    script = SCRIPT.replace("sys.exit(code)", "")
    for words, loads in (["run"], False), (["run", "pipeline.toml"], False), (["run", "--quiet"], True):
        done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=tmp_path, check=True)
        assert "error" in done.stderr  # there are no images
        assert ("typer" in done.stderr.split()) is loads
