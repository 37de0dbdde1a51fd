"""A command line run in this process: ``pipekit("components", "op")`` -> exit code, stdout, stderr."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipekit.cli import main


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Pipekit = Callable[..., Result]


@pytest.fixture(autouse=True)
def quiet_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests see no settings of the machine, and work in a folder of their own."""
    for name in ("PIPEKIT_DEBUG", "PIPEKIT_PLUGINS", "PIPEKIT_DISABLE", "PIPEKIT_STORE", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def pipekit(capsys: pytest.CaptureFixture[str]) -> Pipekit:
    def run(*words: str) -> Result:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def speckle(tmp_path: Path) -> Path:
    """A one-off plugin with an op, an executor and a stage of its own."""
    file = tmp_path / "my_plugin.py"
    file.write_text(SPECKLE, encoding="utf-8")
    return file


SPECKLE = '''
"""A plugin for tests."""
from typing import Literal

import pipekit


class Point(pipekit.Params):
    x_px: float = pipekit.param(0.0, "Column", unit="px")


class SpeckleParams(pipekit.Params):
    amount: float = pipekit.param(0.1, "Standard deviation of the noise", ge=0, le=1)
    radius_px: int = pipekit.param(3, "Size of a speck", unit="px", gt=0)
    kind: Literal["dark", "bright"] = pipekit.param("dark", "Which specks")
    words: tuple[str, ...] = pipekit.param((), "Names to write")
    point: Point | None = pipekit.param(None, "Where the first one is")
    exact: bool = pipekit.param(False, "Slower, to the last digit")
    title: str = pipekit.param(..., "What stands on top")


def speckle(image, params: SpeckleParams, rng):
    """Dark specks."""
    return image


@pipekit.stage
def note(ctx: pipekit.Context, params: SpeckleParams) -> pipekit.Files:
    """Write the parameters into a file."""
    (ctx.out_dir / "note.txt").write_text(params.model_dump_json())
    return ctx.artifact(pipekit.Files, facts={"title": params.title}, headline=f"noted {params.title}")


@pipekit.hookimpl
def register_ops(register):
    register("speckle", speckle)


@pipekit.hookimpl
def register_stages(register):
    register("note", note)
'''
