"""Sources that change or vanish while a run reads them: an error, and no result of the new bytes under the old hash."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipekit.engine.sources import _Folders
from pipekit.errors import StageError
from pipekit.store.locations import Locations
from tests.conftest import DATA, Trial

MEDDLING = '''
from pipekit.columnar import Texts, columns_of, makes_columns


@pipekit.stage
def meddle(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Dataset:
    """Does to a source what a file beside the plugin says, after it was hashed and before it is read."""
    told = ctx.project_dir / "meddle"
    if told.exists():
        exec(told.read_text(), {"images": ctx.project_dir / "images"})
    return ctx.dataset(dataset)


@pipekit.stage
def total(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Files:
    """Reads the images itself."""
    (ctx.out_dir / "total.txt").write_text(str([Path(s.image).read_bytes() for s in dataset if Path(s.image).exists()]))
    return ctx.artifact(pipekit.Files)


@makes_columns()
def names(samples, params):
    return {"id": Texts.of(sample.id for sample in samples)}


@makes_columns()
def places(samples, params):
    return {"image": Texts.of(sample.image for sample in samples)}


@pipekit.stage
def glance(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Files:
    """Gets the path of the first image alone."""
    columns = columns_of(dataset, names)
    (ctx.out_dir / "found.txt").write_text(str([len(columns["id"]), [s.id for s in dataset.first(1)]]))
    return ctx.artifact(pipekit.Files)


@pipekit.stage
def choose(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Files:
    """Gets the path of one image by its number."""
    columns = columns_of(dataset, names)
    numbers = [number for number, name in enumerate(columns["id"].tolist()) if name == "cat/2.png"]
    (ctx.out_dir / "found.txt").write_text(str([sample.id for sample in columns.rows(numbers).values()]))
    return ctx.artifact(pipekit.Files)


@pipekit.stage
def locate(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Files:
    """Gets all paths, as a column."""
    (ctx.out_dir / "found.txt").write_text(str(len(columns_of(dataset, places)["image"])))
    return ctx.artifact(pipekit.Files)


@pipekit.hookimpl(specname="register_stages")
def register_meddle(register):
    register("glance", glance)
    register("choose", choose)
    register("locate", locate)
    register("meddle", meddle)
    register("total", total)
'''
STAGES: dict[str, Any] = {
    "data": DATA,
    "meddle": {"use": "meddle", "dataset": "data"},
    "last": {"use": "stamp", "dataset": "meddle"},
}


@pytest.fixture
def meddled(trial: Trial) -> Trial:
    plugin = trial.path / "trial_plugin.py"
    plugin.write_text(plugin.read_text() + MEDDLING)
    trial.write(*(f"cat/{number}.png" for number in range(4)))
    for path in trial.path.rglob("*.png"):
        os.utime(path, (1, 1))
    return trial


@pytest.mark.parametrize("use", ["stamp", "measure", "total"])
@pytest.mark.parametrize(
    ("what", "said"),
    [('(images / "cat/2.png").write_text("a dog")', "changed while"), ('(images / "cat/2.png").unlink()', "was there when")],
)
def test_a_source_that_changes_during_a_run_leaves_no_wrong_result(meddled: Trial, use: str, what: str, said: str) -> None:
    stages = {**STAGES, "last": {"use": use, "dataset": "meddle"}}
    source = meddled.path / "images/cat/2.png"
    before = source.read_bytes()
    (meddled.path / "meddle").write_text(what)
    with pytest.raises(StageError, match=rf"2\.png {said}"):
        meddled.run(stages, max_failed=0.5)
    (meddled.path / "meddle").unlink()
    source.write_bytes(before)
    after = meddled.run(stages).artifact("last").digest
    assert meddled.run(stages, choice={"again": ["last"]}).artifact("last").digest == after


@pytest.mark.parametrize(
    ("use", "file", "is_checked"),
    [("glance", "0", True), ("glance", "2", False), ("choose", "2", True), ("choose", "0", False), ("locate", "2", True)],
)
def test_only_files_whose_paths_a_stage_got_are_checked_after_it(meddled: Trial, use: str, file: str, is_checked: bool) -> None:
    (meddled.path / "meddle").write_text(f'(images / "cat/{file}.png").write_text("a dog")')
    stages = {**STAGES, "last": {"use": use, "dataset": "meddle"}}
    if is_checked:
        with pytest.raises(StageError, match=rf"{file}\.png changed while"):
            meddled.run(stages)
    else:
        meddled.run(stages)


def change_mode(path: Path) -> None:
    path.chmod(0o600)


@pytest.mark.parametrize("touch", [change_mode, Path.touch])
def test_a_source_that_is_only_touched_ends_nothing(meddled: Trial, touch: Callable[[Path], None]) -> None:
    (meddled.path / "meddle").write_text('(images / "cat/2.png").chmod(0o600)')
    touch(meddled.path / "images/cat/1.png")
    assert meddled.run(STAGES).artifact("last").meta["num_failed"] == 0


PLACES = [
    "/project",
    "/project/a",
    "/project/a/b",
    "/project/a/b.png",
    "/project/.pipekit/artifacts/k",
    "/other",
    "/other/b.png",
    "/tmp/s",
]
PACKED = [
    "@project/a/b.png",
    "@project/a/b/c.png",
    "@project/b.png",
    "@store/artifacts/k/x.png",
    "/other/b.png",
    "/tmp/s/b.png",
    "b.png",
]

moves = st.dictionaries(st.sampled_from(PLACES), st.sampled_from(PLACES), max_size=2)


@given(moved=moves, becomes=moves)
def test_paths_are_unpacked_folder_by_folder_as_one_by_one(moved: dict[str, str], becomes: dict[str, str]) -> None:
    locations = Locations(Path("/project/.pipekit"), Path("/project"))
    locations.moved |= moved
    locations.becomes |= becomes
    folders = _Folders(locations)
    assert [folders.unpack(path) for path in PACKED] == [locations.unpack(path) for path in PACKED]
