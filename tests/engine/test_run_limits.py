"""The limits by which a run heals, copies, shows and keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipekit import Sample
from pipekit.engine.run import run_plan
from pipekit.engine.run_folder import keys_in_use, remember
from pipekit.engine.views import Views, put_made
from pipekit.errors import DamagedError
from pipekit.store.store import Store
from tests.conftest import DATA, Trial


@pytest.mark.parametrize(("times", "heals"), [(5, True), (6, False)])
def test_a_run_rebuilds_five_damaged_folders(trial: Trial, times: int, heals: bool) -> None:
    trial.write("cat/1.png")
    trial.log_file.touch()
    left = times

    def damage(event: str, **values: Any) -> None:
        """Change a file of the store each time that a run has written it, as a failing disk would."""
        nonlocal left
        if event == "stage_finished" and values["stage"] == "stamp" and left:
            left -= 1
            (file,) = trial.store.glob("shards/**/*.png")
            file.chmod(0o644)
            file.write_bytes(bytes(file.stat().st_size))

    plan = trial.plan({"data": DATA, "stamp": {"use": "stamp"}, "measure": {"use": "measure", "dataset": "stamp"}})
    if heals:
        assert run_plan(plan, damage).status == "finished"
    else:
        with pytest.raises(DamagedError):
            run_plan(plan, damage)
    assert left == 0


@pytest.mark.parametrize(("mebibytes", "is_copy"), [(8, True), (8.1, False)])
def test_files_of_up_to_8_mib_are_copied_and_larger_ones_linked(tmp_path: Path, mebibytes: float, is_copy: bool) -> None:
    source, place = tmp_path / "made.bin", tmp_path / "shown" / "made.bin"
    with source.open("wb") as file:
        file.truncate(int(mebibytes * 2**20))
    put_made(source, place)
    assert place.samefile(source) != is_copy


class Claims(list[Sample]):
    """As much of a dataset as a view is made from; it claims a number of samples."""

    def __init__(self, samples: list[Sample], claimed: int) -> None:
        super().__init__(samples)
        self.claimed = claimed
        self.meta = {"num_failed": 0}

    def __len__(self) -> int:
        return self.claimed


@pytest.mark.parametrize(
    ("claimed", "files"), [(100_000, ["train/cat/a.png", "train/metadata.csv"]), (100_001, [".view.rows", "metadata.csv"])]
)
def test_up_to_100_000_samples_are_shown_as_class_folders(tmp_path: Path, claimed: int, files: list[str]) -> None:
    (tmp_path / "a.png").write_bytes(b"pixels")
    dataset: Any = Claims([Sample("a.png", str(tmp_path / "a.png"), label="cat", split="train")], claimed)
    Views("copies", None, None).show(tmp_path / "view", dataset, is_import=False)
    shown = (path for path in (tmp_path / "view").rglob("*") if path.is_file())
    assert sorted(path.relative_to(tmp_path / "view").as_posix() for path in shown) == files


@pytest.mark.parametrize(("keep", "here", "elsewhere"), [(1, 1, 3), (5, 5, 5)])
def test_three_runs_of_other_folders_are_kept_whatever_is_kept_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int, here: int, elsewhere: int
) -> None:
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    store = Store(tmp_path / "store")
    folders = {name: str((tmp_path / name).resolve()) for name in ("here", "elsewhere")}
    for number in range(8):
        for name, folder in folders.items():
            stages = [{"name": "data", "key": f"{name}-{number}"}]
            remember(store, {"name": "trial", "id": f"{number}-{name}", "folder": folder, "stages": stages})
    expected = {f"{name}-{7 - n}" for name, count in (("here", here), ("elsewhere", elsewhere)) for n in range(count)}
    assert keys_in_use(tmp_path / "here", keep) == expected
