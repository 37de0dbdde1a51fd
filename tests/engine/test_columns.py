"""Columns of datasets and of results: made once for each part, compared with their hashes, and gone with their part."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipekit.engine.mapping import Mapper
from pipekit.errors import StageError
from pipekit.store.leases import lease
from pipekit.store.parts import Part
from pipekit.store.store import Store, find_garbage, free
from pipekit.store.verify import places_in, verify
from tests.conftest import Trial

PLUGIN = '''
import json
import os

import pipekit
from pipekit.columnar import Few, Revision, Texts, columns_of, makes_columns
from pipekit.contract import shared


def note(word):
    with open(os.environ["TRIAL_LOG"], "a") as log:
        log.write(f"0 {word}\\n")


@shared()
def size_of(sample, params, ctx):
    if "bad" in sample.id:
        raise ValueError("a bad one")
    yield {"id": sample.id, "size": 3}


@makes_columns(version=VERSION)
def of_samples(samples, params):
    note("samples " + " ".join(sample.id for sample in samples))
    return {"id": Texts.of(sample.id for sample in samples), "label": Few.of(sample.label for sample in samples)}


@makes_columns()
def of_results(rows, params):
    note("results " + " ".join(row["id"] for row in rows))
    return {"id": Texts.of(row["id"] for row in rows), "problem": Few.of(row.get("problem") for row in rows)}


@makes_columns()
def uneven(samples, params):
    return {"id": Texts.of(["a"]), "label": Few.of([])}


def unmarked(samples, params):
    return {}


class LookParams(pipekit.Params):
    how: str = "of_samples"


@pipekit.stage
def look(ctx: pipekit.Context, dataset: pipekit.Dataset, params: LookParams) -> pipekit.Files:
    """Writes columns down."""
    columns = columns_of(dataset, globals()[params.how])
    results = columns_of(ctx.map(size_of, dataset, problems=True), of_results)
    assert results["id"].tolist() == columns["id"].tolist()
    last = columns.rows([columns.num_rows - 1])
    found = {
        "rows": dict(zip(columns["id"].tolist(), columns["label"].tolist())),
        "problems": {name: why for name, why in zip(results["id"].tolist(), results["problem"].tolist()) if why},
        "last": [sample.id for sample in last.values()] == columns["id"].tolist()[-1:],
        "exists": all(os.path.exists(sample.image) for sample in last.values()),
        "notes": (ctx.recall("n") or b"").decode(),
    }
    ctx.remember("n", str(columns.num_rows).encode())
    (ctx.out_dir / "found.json").write_text(json.dumps(found))
    return ctx.artifact(pipekit.Files)


class ChangeParams(pipekit.Params):
    by_id: bool = False
    without: str = ""


@pipekit.stage
def change(ctx: pipekit.Context, dataset: pipekit.Dataset, params: ChangeParams) -> pipekit.Dataset:
    """Sets a split by the last letter of a name, or leaves the sample out."""
    columns = columns_of(dataset, of_samples)
    ids = columns["id"].tolist()
    keep = [not params.without or params.without not in name for name in ids]
    import numpy as np

    fields = {"split": Few.of("val" if "7" in name else "train" for name in ids), "extra.size": np.array([len(n) for n in ids])}
    revision = Revision(columns["id"], columns.counts, fields, np.array(keep))
    return ctx.dataset(ctx.revise(dataset, revision.__call__ if params.by_id else revision))


@pipekit.hookimpl
def register_stages(register):
    register("look", look)
    register("change", change)
'''

STAGES: dict[str, Any] = {
    "data": {"use": "import.folders", "path": "images", "verify": "none"},
    "look": {"use": "look"},
}
CHANGE: dict[str, Any] = {"data": STAGES["data"], "change": {"use": "change"}}


@pytest.fixture
def looking(trial: Trial) -> Trial:
    (trial.path / "trial_plugin.py").write_text(PLUGIN.replace("VERSION", "1"))
    trial.write(*(f"{label}/{number:02}.jpg" for label in "ab" for number in range(20)))
    return trial


def found(trial: Trial, **settings: Any) -> dict[str, Any]:
    outcome = trial.run(STAGES, shard_size=8, **settings)
    made: dict[str, Any] = json.loads((outcome.artifact("look").path / "found.json").read_text())
    return made


def test_columns_are_made_of_changed_parts_alone(looking: Trial) -> None:
    first = found(looking)
    assert first["rows"] == {f"{label}/{number:02}.jpg": label for label in "ab" for number in range(20)}
    assert (first["last"], first["exists"], first["notes"]) == (True, True, "")
    assert len(looking.done()) > 8
    looking.write("b/bad.jpg")
    second = found(looking)
    assert second["rows"] == {**first["rows"], "b/bad.jpg": "b"}
    assert second["problems"] == {"b/bad.jpg": "ValueError: a bad one (trial_plugin.py, line 18)"}
    assert second["notes"] == "40"
    made = looking.done()
    assert all("b/bad.jpg" in line for line in made)
    assert {line.split()[0] for line in made} == {"samples", "results"}
    assert len(made) <= 4  # a part that is split in two


def test_columns_of_many_parts_are_read_from_one_file(looking: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipekit.engine.packs.PACKED_FROM", 4)
    read, checked = list[str](), Store.checked
    monkeypatch.setattr(Store, "checked", lambda self, path: read.append(path) or checked(self, path))
    first = found(looking)
    columns = {path.name for path in looking.store.glob("columns/*/*")}
    read.clear()
    looking.write("b/20.jpg")
    second = found(looking)
    assert second["rows"] == {**first["rows"], "b/20.jpg": "b"}
    assert not columns.intersection(Path(path).name for path in read), "no file of a part that has not changed"
    monkeypatch.setattr("pipekit.engine.packs.PACKED_FROM", 1000)
    looking.write("b/21.jpg")
    assert found(looking)["rows"] == {**second["rows"], "b/21.jpg": "b"}


def test_another_version_makes_other_columns(looking: Trial) -> None:
    found(looking)
    (looking.path / "trial_plugin.py").write_text(PLUGIN.replace("VERSION", "2"))
    looking.run(STAGES, shard_size=8, choice={"again": ["look"]})
    assert {line.split()[0] for line in looking.done() if line.startswith("samples")} == {"samples"}


@pytest.mark.parametrize(("how", "message"), [("unmarked", "@pipekit.columnar.makes_columns"), ("uneven", "of one length")])
def test_what_can_not_be_kept_is_refused(looking: Trial, how: str, message: str) -> None:
    with pytest.raises(StageError) as caught:
        looking.run({**STAGES, "look": {"use": "look", "how": how}})
    assert message in f"{caught.value.message} {caught.value.hint}"


def test_damaged_columns_and_notes_are_moved_aside_and_made_again(looking: Trial) -> None:
    first = found(looking)
    kept = [*looking.store.glob("columns/*/*"), *looking.store.glob("memory/*")]
    for path in kept:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert {damage.place.split("/")[0] for damage in verify(Store(looking.store))} == {"columns", "memory"}
    looking.write("b/20.jpg")
    second = found(looking)
    assert second["rows"] == {**first["rows"], "b/20.jpg": "b"}
    warned = [values["message"] for values in looking.told("warning")]
    assert any(message.startswith("columns/") and "it was moved to" in message for message in warned)
    assert any(message.startswith("memory/") for message in warned)
    list(verify(Store(looking.store), repair=True))
    assert not list(verify(Store(looking.store)))


def test_columns_go_with_their_part_and_notes_with_their_stage(looking: Trial) -> None:
    found(looking)
    (looking.store / "work/begun").mkdir()  # as a run leaves it that was killed before it wrote anything
    used = [path.name for path in looking.store.glob("artifacts/*/*")]
    store = Store(looking.store)
    assert find_garbage(store, used, 0).folders == (looking.store / "work/begun",)
    columns, notes = set(looking.store.glob("columns/*/*")), set(looking.store.glob("memory/*"))
    assert columns
    assert notes
    garbage = find_garbage(store, [], 0)
    assert columns | notes <= set(garbage.folders)
    with lease(looking.store):  # of a run that may use what is as young
        assert not find_garbage(store, [], 0).folders
        assert free(store, garbage, 0) >= len(columns)
    assert notes == set(looking.store.glob("memory/*"))
    assert free(store, find_garbage(store, [], 0), 0)
    assert not [path for kind in ("artifacts", "shards", "parts", "columns", "memory") for path in files(looking.store / kind)]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["columns/*/*", "memory/*", "parts/*/*"])
def test_what_gc_removes_while_it_is_verified_is_no_damage(looking: Trial, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found(looking)
    listed = places_in(Store(looking.store))
    if "parts" in kind:
        shutil.rmtree(looking.store / "artifacts")  # `gc` removes what uses a part before the part
    next(looking.store.glob(kind)).unlink()
    monkeypatch.setattr("pipekit.store.verify.places_in", lambda store: listed)
    assert list(verify(Store(looking.store))) == []


# --- ctx.revise ----------------------------------------------------------------------------------------------------------


def changed(trial: Trial, **params: Any) -> Any:
    return trial.run({**CHANGE, "change": {"use": "change", **params}}, shard_size=8).artifact("change")


@pytest.mark.parametrize("without", ["", "1", "a/"])
def test_a_revision_is_the_same_as_changes_by_id(looking: Trial, without: str) -> None:
    by_columns, by_id = (changed(looking, by_id=by_id, without=without) for by_id in (False, True))
    assert by_columns.digest == by_id.digest
    assert {s.id: (s.split, s.extra) for s in by_columns}["b/07.jpg"] == ("val", {"size": 8})
    assert len(by_columns) == sum(without not in f"{label}/{n:02}.jpg" or not without for label in "ab" for n in range(20))


def test_a_revision_writes_changed_parts_alone(looking: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(looking)
    looking.write("a/20.jpg")
    written: list[int] = []
    revised = Mapper._revised_part

    def counted(self: Mapper, part: Part, change: Any) -> Part:
        made = revised(self, part, change)
        written.append(len(made))
        return made

    monkeypatch.setattr(Mapper, "_revised_part", counted)
    again = changed(looking)
    assert len(again) == 41
    assert 0 < sum(written) <= 9, "the part of the new sample, or its halves"
    for part in looking.store.glob("parts/*/*.jsonl"):
        if b'"split"' in part.read_bytes():
            part.unlink()
    looking.write("a/21.jpg")
    assert len(changed(looking)) == 42, "a part that is gone is written again"
