"""Views that are built side by side, in processes, are those that one process builds."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipekit import processes
from pipekit.engine import run_folder, view_building
from pipekit.engine.contact_sheets import SHEET, DrawSheet, SheetImage
from pipekit.files import suffixes
from tests.conftest import DATA, Trial, fill
from tests.engine.test_view_update import shown

STAGES: dict[str, dict[str, Any]] = {
    "data": DATA,
    "stamp": {"use": "stamp"},
    "packed": {"use": "stamp", "dataset": "data", "packed": True},
    "kept": {"use": "keep", "dataset": "data"},
}

NUM_SHOWN = 4 * 24


@pytest.fixture
def side_by_side(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let views be built in processes, few images or not; the numbers of jobs that were."""
    started: list[int] = []
    build = view_building._in_processes

    def noticing(jobs: Sequence[Any], num_processes: int, on_shown: Any) -> list[str]:
        started.append(len(jobs))
        return build(jobs, num_processes, on_shown)

    monkeypatch.setattr(view_building, "_in_processes", noticing)
    monkeypatch.setattr(view_building, "MANY_SHOWN", NUM_SHOWN)
    monkeypatch.setattr(view_building, "_may_start", lambda plan, wanted: True)
    return started


def draw(place: Path, images: Sequence[SheetImage]) -> bool:
    place.write_text("\n".join(image.caption for image in images))
    return True


def run(trial: Trial, draw: DrawSheet = draw, **settings: Any) -> Path:
    settings = {"shard_size": 4, "workers": 2, "executor": "serial", **settings}
    folder: Path = trial.run(STAGES, choice={"draw": draw}, **settings).run_dir
    return folder


def built_anew(trial: Trial, draw: DrawSheet = draw, **settings: Any) -> dict[str, bytes | str]:
    shutil.rmtree(trial.path / "runs", ignore_errors=True)
    run(trial, draw, **settings)
    return shown(trial)


@pytest.mark.parametrize("settings", [{}, {"views_mb": 0}, {"views": "none"}, {"views": "links"}])
def test_the_views_are_the_same(trial: Trial, side_by_side: list[int], settings: dict[str, Any]) -> None:
    fill(trial, 24)
    alone = built_anew(trial, **settings, workers=1)
    assert not side_by_side
    assert built_anew(trial, **settings) == alone
    assert side_by_side == [4]
    assert any(name.endswith(SHEET) for name in alone) == (settings.get("views_mb") == 0)


def test_the_next_run_brings_them_up_to_date(trial: Trial, side_by_side: list[int]) -> None:
    fill(trial, 24)
    run(trial)
    fill(trial, 25)
    run(trial)
    assert side_by_side == [4]  # nothing was built the second time
    changed = shown(trial)
    assert changed == built_anew(trial, workers=1)


def test_few_images_start_no_process(trial: Trial, side_by_side: list[int]) -> None:
    fill(trial, 23)
    run(trial)
    assert not side_by_side


def test_all_images_are_counted(trial: Trial, side_by_side: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    fill(trial, 24)
    counted: list[int] = []
    monkeypatch.setattr(run_folder._Progress, "__call__", lambda self, number: counted.append(number))
    run(trial)
    assert sum(counted) == NUM_SHOWN
    assert side_by_side == [4]


def test_a_damaged_result_is_recomputed(trial: Trial, side_by_side: list[int]) -> None:
    fill(trial, 24)
    before = built_anew(trial)
    files = sorted(path for path in trial.store.glob("shards/*/*/files/**/*") if path.is_file())
    assert files
    good = files[0].read_bytes()
    files[0].chmod(0o644)
    files[0].write_bytes(bytes(len(good)))
    os.utime(files[0], (1, 1))  # what is made in the second in which a run begins counts as made by it
    assert built_anew(trial) == before
    assert files[0].read_bytes() == good
    assert side_by_side == [4, 4, 4]  # the damage ended the second
    assert "its bytes have changed" in trial.told("warning")[0]["message"]


def die(place: Path, images: Sequence[SheetImage]) -> bool:
    if multiprocessing.parent_process() is not None:
        os._exit(9)
    return draw(place, images)


def test_a_killed_process_costs_only_time(trial: Trial, side_by_side: list[int]) -> None:
    fill(trial, 24)
    alone = built_anew(trial, views_mb=0, workers=1)
    assert built_anew(trial, die, views_mb=0) == alone
    assert side_by_side == [4]


def test_no_process_where_none_may_be_started(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """An executor without processes was asked for, or the program is not pipekit's command."""
    fill(trial, 4)
    monkeypatch.setattr(processes, "allowed", lambda: True)
    monkeypatch.delitem(view_building.sys.modules, "tensorflow", raising=False)
    plans = {name: trial.plan(STAGES, executor=name) for name in ("auto", "processes", "threads", "serial")}
    assert {name for name, plan in plans.items() if view_building._may_start(plan, [])} == {"auto", "processes"}
    monkeypatch.setattr(processes, "allowed", lambda: False)
    assert not view_building._may_start(plans["auto"], [])


def draw_with_codecs(place: Path, images: Sequence[SheetImage]) -> bool:
    place.write_text(f"{len(suffixes._loaders)} codecs")
    return True


def test_sheets_are_drawn_with_the_codecs_of_plugins(trial: Trial, side_by_side: list[int]) -> None:
    """In the process that draws, the registry is loaded, which has them."""
    fill(trial, 24)
    run(trial, draw_with_codecs, views_mb=0)
    assert side_by_side == [4]
    assert (trial.path / "runs/trial/kept" / SHEET).read_text() == f"{len(suffixes._loaders)} codecs" != "0 codecs"
