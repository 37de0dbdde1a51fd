"""A stage that runs itself with other parameters: each variant is stored as if it had been a stage of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipekit.engine.run import run_plan
from pipekit.errors import StageError
from pipekit.pipeline.plan import load_plan

TRIES = '''
from pathlib import Path

import pipekit


class TriesParams(pipekit.Params):
    size: int = pipekit.param(0, "0: try the others")
    sizes: tuple[int, ...] = pipekit.param((1, 2), "What to try")


@pipekit.stage
def tries(ctx: pipekit.Context, params: TriesParams) -> pipekit.Files:
    """Keeps the largest of several sizes."""
    with (ctx.project_dir / "log.txt").open("a") as log:
        log.write(f"{params.size} ")
    if params.size:
        ctx.warn(f"the size is {params.size}")
        (ctx.out_dir / "size.txt").write_text(str(params.size))
        return ctx.artifact(pipekit.Files)
    made = []
    for size in params.sizes:
        made.append(ctx.variant(params.model_copy(update={"size": size, "sizes": (1, 2) if size else params.sizes})))
    (ctx.out_dir / "size.txt").write_text(max((one.path / "size.txt").read_text() for one in made))
    return ctx.artifact(pipekit.Files)


@pipekit.hookimpl
def register_stages(register):
    register("tries", tries)
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tries.py").write_text(TRIES, "utf-8")
    return tmp_path


def run(project: Path, again: tuple[str, ...] = (), **params: Any) -> Any:
    stages = {"stages": {"t": {"use": "tries", **params}}}
    plan = load_plan(table={"name": "trial", "plugins": ["./tries.py"], **stages}, base_dir=project)
    return run_plan(plan, again=again).stages[0]


def log(project: Path) -> str:
    return (project / "log.txt").read_text().strip()


def test_variants_are_kept_under_their_own_keys(project: Path) -> None:
    made = run(project)
    assert (made.artifact.path / "size.txt").read_text() == "2"
    assert made.warnings == ("the size is 1", "the size is 2")
    assert log(project) == "0 1 2"
    assert run(project).cached
    assert run(project, size=2).cached, "the same parameters in a stage of a run"
    found = run(project, sizes=[1, 2, 3])
    assert log(project) == "0 1 2 0 3", "only what is new is made"
    assert found.warnings == ("the size is 1", "the size is 2", "the size is 3"), "those of stored variants too"


def test_again_makes_the_variants_anew(project: Path) -> None:
    run(project)
    run(project, again=("t",))
    assert log(project) == "0 1 2 0 1 2"


def test_a_variant_with_the_stages_own_parameters_is_refused(project: Path) -> None:
    with pytest.raises(StageError, match=r"ctx.variant needs other parameters"):
        run(project, sizes=[0])
