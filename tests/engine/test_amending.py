"""An import that is amended is the one that would be made from nothing: digests, parts, counts, failures, messages."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.importers import folders
from pipekit.contract import Sample
from pipekit.engine import amending, mapping
from pipekit.engine.amending import CUTS
from pipekit.engine.shards import by_hash
from pipekit.store.parts import read_index
from tests.conftest import Trial

FOLDERS: dict[str, dict[str, Any]] = {"data": {"use": "import.folders", "path": "images"}}
WHOLE: dict[str, dict[str, Any]] = {**FOLDERS, "split": {"use": "split"}, "inspect": {"use": "inspect"}}

PICTURES: dict[str, bytes] = {}


def picture(seed: int) -> bytes:
    if str(seed) not in PICTURES:
        pixels = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), np.uint8)
        PICTURES[str(seed)] = images.encode(pixels, ".png")
    return PICTURES[str(seed)]


def project(path: Path) -> Trial:
    (path / "images").mkdir(parents=True)
    return Trial(path)


def put(trial: Trial, name: str, data: bytes) -> None:
    place = trial.path / "images" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def run(trial: Trial, stages: dict[str, dict[str, Any]] = FOLDERS, **settings: Any) -> Any:
    return trial.run(stages, **{"shard_size": 4, "max_failed": 1.0, "plugins": [], **settings})


def from_nothing(trial: Trial, place: Path, stages: dict[str, dict[str, Any]] = FOLDERS) -> tuple[Trial, Any]:
    """The same run in a copy of the project without its store."""
    shutil.copytree(trial.path, place, ignore=shutil.ignore_patterns(".pipekit", "runs"), symlinks=True)
    other = Trial(place)
    return other, run(other, stages)


def told(trial: Trial) -> list[Any]:
    """Warnings and failures, without the project's place."""
    events = [(name, values) for name, values in trial.events if name in ("warning", "failed_samples")]
    return [repr(event).replace(str(trial.path), "PROJECT") for event in events]


def facts(outcome: Any) -> list[Any]:
    found = []
    for stage in outcome.stages:
        failed = [(one.id, one.reason) for one in stage.artifact.failed()] if hasattr(stage.artifact, "failed") else []
        meta = {name: value for name, value in stage.artifact.meta.items() if name not in ("seconds",)}
        found.append((stage.name, stage.artifact.digest, stage.facts, stage.num_failed, failed, meta, len(stage.warnings)))
    return found


def samples(outcome: Any, place: Path) -> list[str]:
    return [repr(one).replace(str(place), "PROJECT") for one in outcome.artifact("data")]


def parts(outcome: Any) -> set[tuple[str, int]]:
    return {(part.digest, len(part)) for part in read_index(outcome.artifact("data").path)}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one whenever the importer reads the whole folder."""
    found: list[int] = []
    read: Callable[..., Any] = folders.read

    def counted(path: Path, params: folders.FoldersParams) -> Iterator[Sample]:
        found.append(1)
        return read(path, params)

    monkeypatch.setattr(folders, "read", counted)
    return found


class Edits:
    """Random changes to a tree of class folders."""

    def __init__(self, trial: Trial, seed: int) -> None:
        self.trial, self.chance, self.made = trial, random.Random(seed), 0
        self.done: list[str] = []
        self.root = trial.path / "images"

    def _some(self) -> None:
        """One of the changes below."""
        self.done.append(self.chance.choice(EVERY))
        getattr(self, self.done[-1])()

    def files(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*") if path.is_file() or path.is_symlink())

    def classes(self) -> list[Path]:
        return sorted(path for path in self.root.iterdir() if path.is_dir())

    def name(self) -> str:
        self.made += 1
        return f"{self.chance.choice('abcdefgh')}{self.made}"

    def add(self) -> None:
        for _ in range(self.chance.choice((1, 1, 2, 9))):
            folder = self.chance.choice(self.classes() or [self.root / "cat"])
            put(self.trial, f"{folder.name}/{self.name()}.png", picture(self.chance.randrange(30)))

    def add_broken(self) -> None:
        put(self.trial, f"{self.chance.choice(self.classes()).name}/{self.name()}.png", b"no picture")

    def add_gone(self) -> None:
        (self.chance.choice(self.classes()) / f"{self.name()}.png").symlink_to("nowhere.png")

    def add_other(self) -> None:
        suffix = self.chance.choice(("txt", "heic"))
        put(self.trial, f"{self.chance.choice(self.classes()).name}/{self.name()}.{suffix}", b"else")

    def mend(self) -> None:
        """Make a file that could not be used a picture."""
        for path in self.files():
            if path.suffix == ".png" and (path.is_symlink() or path.read_bytes() == b"no picture"):
                path.unlink()
                path.write_bytes(picture(77))
                return

    def remove(self) -> None:
        for path in self.chance.sample(self.files(), min(self.chance.choice((1, 1, 2, 9)), len(self.files()) - 6)):
            path.unlink()

    def edit(self) -> None:
        path = self.chance.choice([path for path in self.files() if path.suffix == ".png" and not path.is_symlink()])
        path.write_bytes(picture(self.chance.randrange(30, 60)))

    def rename(self) -> None:
        path = self.chance.choice(self.files())
        path.rename(self.chance.choice(self.classes()) / f"{self.name()}{path.suffix}")

    def rename_class(self) -> None:
        folder = self.chance.choice(self.classes())
        folder.rename(self.root / self.name())

    def new_class(self) -> None:
        put(self.trial, f"{self.name()}/1.png", picture(self.chance.randrange(30)))

    def empty_class(self) -> None:
        if len(self.classes()) > 2:
            folder = self.chance.choice(self.classes())
            for path in list(folder.iterdir()):
                path.unlink()
            if not self.chance.randrange(2):
                folder.rmdir()


EVERY = [
    name for name, found in vars(Edits).items() if callable(found) and name not in ("files", "classes", "name", "__init__")
]


@pytest.mark.parametrize("seed", range(3))
def test_an_amended_import_is_one_from_nothing(tmp_path: Path, seed: int, reads: list[int]) -> None:
    trial = project(tmp_path / "kept")
    edits = Edits(trial, seed)
    for number in range(40):
        put(trial, f"{'cat' if number % 3 else 'dog'}/{number}.png", picture(number))
    run(trial)
    for step in range(8):
        for _ in range(edits.chance.choice((1, 1, 3))):
            edits._some()
        reads.clear()
        outcome = run(trial)
        assert not reads
        fresh = tmp_path / str(step)
        other, again = from_nothing(trial, fresh)
        assert facts(outcome) == facts(again)
        assert samples(outcome, trial.path) == samples(again, fresh)
        assert parts(outcome) == parts(again)
        kept, made = ((one.artifact("data").path / CUTS).read_bytes() for one in (outcome, again))
        assert kept == made
        assert told(trial) == told(other)
        shutil.rmtree(fresh)


def test_a_whole_pipeline_after_changes_is_one_from_nothing(tmp_path: Path, reads: list[int]) -> None:
    trial = project(tmp_path / "kept")
    edits = Edits(trial, 7)
    for number in range(40):
        put(trial, f"{'cat' if number % 3 else 'dog'}/{number}.png", picture(number))
    run(trial, WHOLE)
    for step, name in enumerate(("add", "edit", "rename", "rename_class", "new_class", "empty_class", "remove", "add_broken")):
        getattr(edits, name)()
        fresh = tmp_path / str(step)
        _, again = from_nothing(trial, fresh, WHOLE)
        reads.clear()
        assert facts(run(trial, WHOLE)) == facts(again)
        assert not reads


def test_only_new_pictures_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[int]) -> None:
    trial = project(tmp_path / "kept")
    for number in range(40):
        put(trial, f"cat/{number}.png", picture(number))
    run(trial)
    hashed: list[str] = []
    with_hash = mapping.Mapper._with_hash
    monkeypatch.setattr(mapping.Mapper, "_with_hash", lambda self, sample: hashed.append(sample.id) or with_hash(self, sample))
    shards = trial.shards()
    put(trial, "cat/new.png", picture(100))
    run(trial)
    assert (hashed, reads[1:]) == (["cat/new.png"], [])
    assert len(trial.shards() - shards) <= 2


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ("a folder of splits", FOLDERS),
        ("labels", {"data": {**FOLDERS["data"], "labels": "none"}}),
        ("verify", {"data": {**FOLDERS["data"], "verify": "header"}}),
        ("another folder", {"data": {**FOLDERS["data"], "path": "others"}}),
        ("a list of exclusions", {"data": {**FOLDERS["data"], "exclude": "exclude.csv"}}),
        ("the first cuts are gone", FOLDERS),
    ],
)
def test_what_else_samples_depend_on_makes_the_import_anew(
    tmp_path: Path, reads: list[int], change: str, stages: dict[str, dict[str, Any]]
) -> None:
    trial = project(tmp_path / "kept")
    for number in range(20):
        put(trial, f"train/cat/{number}.png", picture(number))
    first = run(trial)
    put(trial, "test/cat/new.png" if change == "a folder of splits" else "train/cat/new.png", picture(100))
    shutil.copytree(trial.path / "images", trial.path / "others")
    (trial.path / "exclude.csv").write_text("id\ntrain/cat/3.png\n")
    if change.endswith("gone"):
        shutil.rmtree(first.artifact("data").path)
    _, again = from_nothing(trial, tmp_path / "fresh", stages)
    reads.clear()
    assert facts(run(trial, stages)) == facts(again)
    assert reads


def test_an_emptied_folder_is_refused_as_from_nothing(tmp_path: Path) -> None:
    trial = project(tmp_path / "kept")
    put(trial, "cat/1.png", picture(1))
    run(trial)
    (trial.path / "images/cat/1.png").unlink()
    with pytest.raises(Exception, match="no image below"):
        run(trial)


def test_too_many_changes_are_imported_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[int]) -> None:
    trial = project(tmp_path / "kept")
    for number in range(20):
        put(trial, f"cat/{number}.png", picture(number))
    run(trial)
    monkeypatch.setattr(amending, "MAX_ROWS", 3)
    put(trial, "cat/new.png", picture(100))
    _, again = from_nothing(trial, tmp_path / "fresh")
    reads.clear()
    assert facts(run(trial)) == facts(again)
    assert reads


@pytest.mark.parametrize("seed", range(20))
def test_the_parts_are_those_of_all_ids(tmp_path: Path, seed: int) -> None:
    """The tree of prefixes, divided and merged at random."""
    chance, size = random.Random(seed), random.Random(seed).randint(1, 5)
    row: Callable[[int], dict[str, Any]] = lambda number: {"id": str(number), "image": "a.png", "sha256": "00"}  # noqa: E731
    there = set(chance.sample(range(200), chance.randint(1, 60)))
    cuts = amending.Cuts("", "", amending._cuts(tmp_path, map(row, there), size, (0, 0)))
    for _ in range(12):
        gone = set(chance.sample(sorted(there), chance.randint(0, len(there) - 1)))
        new = set(chance.sample(range(200), chance.randint(1, 20)))
        news = {str(number): None for number in gone} | {str(number): row(number) for number in new}
        there = there - gone | new
        made = amending.amend(tmp_path, cuts, size, news)
        assert made is not None
        cuts, good = made
        groups = by_hash(map(row, there), size, tmp_path)
        assert [[one["id"] for one in cut.rows(tmp_path)] for cut in cuts.all] == [[r["id"] for r in g] for g in groups]
        assert good <= {cut.part.place for cut in cuts.all if cut.part}
