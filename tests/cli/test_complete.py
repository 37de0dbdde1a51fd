"""Shell completion, asked for as the scripts of the three shells ask."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHELLS = ("bash", "zsh", "fish")


def offered(shell: str, line: str, folder: Path, **environment: str) -> list[str]:
    """What a shell is offered for the last word of ``line``."""
    words = line.split(" ")
    variables = {
        "_PIPEKIT_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        **({"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)} if shell == "bash" else {}),
        **environment,
    }
    command = [sys.executable, "-c", "import sys; from pipekit.cli import main; sys.exit(main())"]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    lines = done.stdout.replace("_arguments '*: :((", "").replace("))'", "").splitlines()
    return [line.partition("\t")[0].partition('":"')[0].strip('"') for line in lines]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pipekit comp", "components"),
        ("pipekit run --dry", "--dry-run"),
        ("pipekit runs com", "compare"),
        ("pipekit components execu", "executor"),
        ("pipekit components executor thr", "threads"),
        ("pipekit stage spl", "split"),
        ("pipekit stage split --frac", "--fractions"),
    ],
)
def test_names_are_completed(shell: str, line: str, expected: str, tmp_path: Path) -> None:
    assert expected in offered(shell, line, tmp_path)


def test_stages_of_the_pipeline_file_are_completed(tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text('[stages.data]\nuse = "import.folders"\n[stages.dress]\nuse = "split"\n')
    assert offered("bash", "pipekit run --until d", tmp_path) == ["data", "dress"]
    (tmp_path / "other.toml").write_text('[stages.last]\nuse = "split"\n')
    assert offered("bash", "pipekit run other.toml --again l", tmp_path) == ["last"]


def test_names_of_runs_are_completed(tmp_path: Path) -> None:
    for name in ("pets", "textures"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    assert offered("bash", "pipekit runs show ", tmp_path) == ["pets", "textures"]


@pytest.mark.parametrize(
    "line", ["pipekit run --until x", "pipekit stage nothing --x", "pipekit components nothing x", "pipekit run 'x"]
)
def test_where_there_is_nothing_to_offer_it_is_quiet(line: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text("this is not TOML")
    assert offered("bash", line, tmp_path) in ([], [""])


def test_a_broken_plugin_does_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("print('noise')\nraise RuntimeError\n")
    names = offered("bash", "pipekit components executor s", tmp_path, PIPEKIT_PLUGINS=str(tmp_path / "bad.py"))
    assert "serial" in names


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell_is_printed(shell: str, tmp_path: Path) -> None:
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "pipekit", "--show-completion", shell]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "_PIPEKIT_COMPLETE" in done.stdout
    assert "pipekit" in done.stdout


def test_completion_is_installed_into_the_home_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "pipekit", "--install-completion", "bash"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "completion installed" in done.stdout
    assert "pipekit" in (tmp_path / ".bashrc").read_text()
