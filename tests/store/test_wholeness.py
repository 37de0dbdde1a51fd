"""Whole or not there: what a folder states, what is noticed, and that it is made anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipekit import files
from pipekit.engine.run import run_plan
from pipekit.errors import DamagedError, StageError
from pipekit.pipeline.plan import load_plan
from pipekit.store.rows import read_lines
from pipekit.store.store import Store
from pipekit.store.verify import verify
from pipekit.store.wholeness import CONTENTS, contents_of, guard, problem_of, seal
from tests.conftest import DATA, Trial

STAGES: dict[str, Any] = {"data": DATA, "stamp": {"use": "stamp"}, "measure": {"use": "measure", "dataset": "stamp"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished folder with two files."""
    (tmp_path / "made/below").mkdir(parents=True)
    (tmp_path / "made/rows.jsonl").write_text('{"id": "a"}\n')
    (tmp_path / "made/below/a.png").write_bytes(b"pixels")
    seal(tmp_path / "made")
    return tmp_path / "made"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


def test_a_finished_folder_states_its_files(folder: Path) -> None:
    contents = contents_of(folder)
    assert contents is not None
    assert {name: size for name, (size, _) in contents.items()} == {"below/a.png": 6, "rows.jsonl": 12}
    assert problem_of(folder) == problem_of(folder, hashes=True) == ""


@pytest.mark.parametrize(
    ("damage", "problem", "hashes"),
    [
        (lambda path: (path / "below/a.png").write_bytes(b""), "below/a.png has 0 bytes instead of 6", False),
        (lambda path: (path / "rows.jsonl").unlink(), "rows.jsonl is missing", False),
        (lambda path: flip(path / "below/a.png"), "below/a.png has changed", True),
        (lambda path: flip(path / CONTENTS), "contents.json is missing or damaged", False),
        (lambda path: (path / CONTENTS).write_bytes(b""), "contents.json is missing or damaged", False),
        (lambda path: (path / CONTENTS).unlink(), "contents.json is missing or damaged", False),
    ],
)
def test_damage_is_named(folder: Path, damage: Callable[[Path], None], problem: str, hashes: bool) -> None:
    damage(folder)
    assert problem_of(folder, hashes=hashes) == problem


def test_what_is_read_is_compared_with_its_hash(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.scratch() as scratch:
        (scratch / "files").mkdir()
        (scratch / "files/a.png").write_bytes(b"pixels")
        (scratch / "rows.jsonl").write_text('{"id": "a"}\n{"id": "b"}\n')
        (scratch / "files.tar").write_bytes(b"..pixels..")
        store.commit(scratch, store.shard_dir("ab12"), parts={"files.tar#2+6.png": files.hash_file(scratch / "files/a.png")})
    place = store.shard_dir("ab12")
    assert files.read_bytes(place / "files/a.png") == files.read_bytes(f"{place}/files.tar#2+6.png") == b"pixels"
    assert len(list(read_lines(place / "rows.jsonl"))) == 2
    flip(place / "files/a.png")
    flip(place / "files.tar")
    (place / "rows.jsonl").write_text('{"id": "a"}\n{"id": "c"}\n')
    for path in (place / "files/a.png", f"{place}/files.tar#2+6.png"):
        with pytest.raises(DamagedError, match="its bytes have changed"):
            files.read_bytes(path)
    with pytest.raises(DamagedError, match=r"rows\.jsonl is damaged"):
        list(read_lines(place / "rows.jsonl"))
    assert guard.take_noted() is not None, "swallowed or not, it is known"
    assert guard.take_noted() is None


def rewrite(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def way(path: Path) -> None:
        path.chmod(0o644)
        path.write_bytes(change(path.read_bytes()))

    return way


WAYS: dict[str, Callable[[Path], None]] = {
    "flip": flip,
    "truncate": rewrite(lambda data: data[:-3]),
    "empty": rewrite(lambda data: b""),
    "delete": Path.unlink,
}
KINDS = {
    "pictures": "shards/**/*.png",
    "rows of shards": "shards/**/rows.jsonl",
    "statements of shards": "shards/**/contents.json",
    "parts of datasets": "parts/**/*.jsonl",
    "indexes of datasets": "artifacts/**/index.json",
    "manifests": "artifacts/**/manifest.json",
    "statements of artifacts": "artifacts/**/contents.json",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_noticed_when_it_matters_named_and_healed(trial: Trial, kind: str, way: str) -> None:
    """A stage that needs what is damaged makes what it would have made, and a warning names what was made anew."""
    trial.write(*(f"{label}/{number}.png" for label in ("cat", "dog") for number in range(4)))
    expected = trial.run(STAGES).artifact("measure").digest
    damaged = [path for path in sorted(trial.store.glob(KINDS[kind])) if path.stat().st_size]
    assert damaged
    for path in damaged:
        WAYS[way](path)
    if "parts" in kind:
        shutil.rmtree(trial.path / "runs")  # so that they are read again
    if "shards" in kind:
        shutil.rmtree(trial.store / "artifacts")  # so that shards are read again
    trial.events.clear()
    assert trial.run(STAGES, choice={"again": ["measure"]}).artifact("measure").digest == expected
    told = [values["message"] for event, values in trial.events if event == "warning"]
    assert any("is damaged" in message and "recomputed" in message for message in told), told
    assert list((trial.store / "damaged").iterdir())
    trial.events.clear()
    assert all(stage.cached for stage in trial.run(STAGES).stages)
    assert not [event for event, _ in trial.events if event == "warning"]
    assert not list(verify(Store(trial.store)))


def test_verify_reads_everything_and_repair_moves_it_aside(trial: Trial) -> None:
    trial.write(*(f"cat/{number}.png" for number in range(4)))
    digest = trial.run(STAGES).artifact("measure").digest
    store = Store(trial.store)
    assert not list(verify(store))
    picture = next(iter(sorted(trial.store.glob("shards/**/*.png"))))
    flip(picture)
    (damage,) = verify(store)
    assert damage.problem.endswith(f"{picture.name} has changed")
    assert len(list(verify(store))) == 1, "without repair nothing is moved"
    assert len(list(verify(store, repair=True))) == 1
    assert not list(verify(store))
    assert trial.run(STAGES).artifact("measure").digest == digest


@pytest.mark.parametrize("kind", ["parts/*/*", "shards/*/*"])
def test_verify_finds_a_result_that_lacks_what_it_consists_of(trial: Trial, kind: str) -> None:
    trial.write(*(f"cat/{number}.png" for number in range(4)))
    digest = trial.run(STAGES).artifact("measure").digest
    store = Store(trial.store)
    used = {place for path in trial.store.glob("artifacts/*/*/manifest.json") for place in json.loads(path.read_text())["uses"]}
    gone = next(path for path in sorted(trial.store.glob(kind)) if path.relative_to(trial.store).as_posix() in used)
    store.remove(gone)
    listed = list(verify(store))
    assert listed
    assert {damage.problem for damage in listed} == {f"{gone.relative_to(trial.store).as_posix()} is gone"}
    assert {damage.place.split("/")[0] for damage in listed} == {"artifacts"}
    assert list(verify(store, repair=True)) == listed
    assert not list(verify(store))
    assert trial.run(STAGES).artifact("measure").digest == digest


def test_a_run_that_only_looks_moves_nothing(trial: Trial) -> None:
    from pipekit.engine.run import forecast

    trial.write("cat/1.png")
    trial.run(STAGES)
    for path in trial.store.glob("artifacts/**/manifest.json"):
        path.write_text(json.dumps({}))
    states = {step.stage: step.state for step in forecast(trial.plan(STAGES))}
    assert states["data"] == "run"
    assert not (trial.store / "damaged").exists()


def test_a_damaged_list_of_failures_heals(trial: Trial) -> None:
    """It is read when a cached stage is taken, to hold its failures to the share that is allowed."""
    trial.write(*(f"cat/{number}.png" for number in range(8)))
    stages = {"data": DATA, "stamp": {"use": "stamp", "fail": "cat/3"}}
    with pytest.raises(StageError, match="failed"):
        trial.run(stages, max_failed=0.01)
    digest = trial.run(stages, max_failed=0.5).artifact("stamp").digest
    for path in trial.store.glob("artifacts/**/failed.jsonl"):
        if path.stat().st_size:
            flip(path)
    with pytest.raises(StageError, match="failed"):  # for its failures, not for the damage
        trial.run(stages, max_failed=0.01)
    assert any("is damaged" in values["message"] for values in trial.told("warning"))
    assert trial.run(stages, max_failed=0.5).artifact("stamp").digest == digest


OWN_WORDS = '''
@pipekit.stage
def weigh(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Files:
    """Puts every error into words of its own."""
    from pipekit import images
    try:
        sizes = [len(images.read_bytes(sample.image)) for sample in dataset]
    except Exception as error:
        raise pipekit.StageError("a picture can not be weighed") from error
    (ctx.out_dir / "sizes.txt").write_text(f"{sizes}")
    return ctx.artifact(pipekit.Files)


@pipekit.hookimpl(specname="register_stages")
def register_weigh(register):
    register("weigh", weigh)
'''


def test_damage_that_a_stage_puts_into_words_of_its_own_heals_all_the_same(trial: Trial) -> None:
    plugin = trial.path / "trial_plugin.py"
    plugin.write_text(plugin.read_text() + OWN_WORDS)
    trial.write("cat/1.png")
    stages = {"data": DATA, "stamp": {"use": "stamp"}, "weigh": {"use": "weigh", "dataset": "stamp"}}
    digest = trial.run(stages).artifact("weigh").digest
    flip(next(iter(trial.store.glob("shards/**/*.png"))))
    assert trial.run(stages, choice={"again": ["weigh"]}).artifact("weigh").digest == digest


@pytest.mark.parametrize("kind", ["artifacts/**/index.json", "shards/**/*.png"])
def test_damage_in_what_another_run_made_names_the_way(trial: Trial, kind: str) -> None:
    """No stage of this run could recompute it, so nothing is moved aside behind that run's back."""
    trial.write(*(f"cat/{number}.png" for number in range(3)))
    given = trial.run({"data": DATA, "stamp": {"use": "stamp"}}).artifact("stamp")
    for path in trial.store.glob(kind):
        if kind.startswith("shards") or path.parent == given.path:
            flip(path)
    plan = load_plan(
        table={"name": "other", "stages": {"measure": {"use": "measure", "dataset": "other"}}, "plugins": ["trial_plugin.py"]},
        base_dir=trial.path,
        given={"other": given},
        store=trial.store,
    )
    with pytest.raises(StageError, match="the input 'other' is damaged") as caught:
        run_plan(plan, publish=False)
    assert "run its pipeline again" in caught.value.hint
    assert not (trial.store / "damaged").exists()
