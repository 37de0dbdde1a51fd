"""``ctx.map`` and ``ctx.keep`` over datasets: nothing that is unchanged is read, and what images alone decide is done once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.engine import mapping
from pipekit.engine.adhoc import AdhocPipeline
from pipekit.errors import UserError
from pipekit.images import measuring
from pipekit.store import parts
from tests.conftest import DATA, Trial, fill

STAGES: dict[str, Any] = {
    "data": {"use": "import.folders", "path": "images", "verify": "none"},
    "stamp": {"use": "stamp", "amount": 2},
    "shout": {"use": "shout", "max_failed": 0.5},
}

SHARED = '''
import os

import pipekit
from pipekit.contract import shared


def note(word):
    with open(os.environ["TRIAL_LOG"], "a") as log:
        log.write(f"0 {{word}}\\n")


@shared(version={version})
def size_of(sample, params, ctx):
    note(f"{{sample.id}} {{sample.label}} {{sample.split!r}} {{dict(sample.extra)}}")
    if "bad" in sample.id:
        raise ValueError("a bad one")
    yield {{"id": sample.id, "size": len(sample.image)}}


@shared()
def draws(sample, params, ctx):
    yield {{"id": sample.id, "number": float(ctx.rng().random())}}


@pipekit.stage
def first(ctx: pipekit.Context, dataset: pipekit.Dataset, params: pipekit.Params) -> pipekit.Files:
    """Sizes."""
    rows = list(ctx.map(size_of, dataset, problems=True))
    (ctx.out_dir / "rows.txt").write_text(repr([sorted(row) for row in rows]))
    return ctx.artifact(pipekit.Files)


@pipekit.stage
def second(ctx: pipekit.Context, dataset: pipekit.Dataset, params: pipekit.Params) -> pipekit.Dataset:
    """Those that have a size."""
    return ctx.dataset(ctx.keep(size_of, dataset))


def same(sample, params, ctx):
    yield sample


@pipekit.stage
def chained(ctx: pipekit.Context, dataset: pipekit.Dataset, params: pipekit.Params) -> pipekit.Dataset:
    """Those that have a size, of what another function made."""
    return ctx.dataset(ctx.keep(size_of, ctx.map(same, dataset)))


@pipekit.stage
def third(ctx: pipekit.Context, dataset: pipekit.Dataset, params: pipekit.Params) -> pipekit.Files:
    """Random numbers, which no shared function may draw."""
    list(ctx.map(draws, dataset))
    return ctx.artifact(pipekit.Files)


@pipekit.hookimpl
def register_stages(register):
    for function in (first, second, third, chained):
        register(function.__name__, function)
'''


def with_shared(trial: Trial, version: int = 1) -> list[str]:
    (trial.path / "shared_plugin.py").write_text(SHARED.format(version=version))
    return ["trial_plugin.py", "shared_plugin.py"]


def test_an_unchanged_shard_is_not_read_and_one_more_sample_is_one_shard(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(trial, 60)
    trial.run(STAGES, shard_size=8, choice={"publish": False})
    read: list[str] = []
    whole = parts.rows_of

    def counting(root: Path, part: parts.Part) -> Iterator[dict[str, Any]]:
        read.append(part.place)
        return whole(root, part)

    for module in (parts, mapping):
        monkeypatch.setattr(module, "rows_of", counting)
    monkeypatch.setattr("pipekit.engine.shards.rows_of", counting)
    trial.write("a/one-more.png")
    outcome = trial.run(STAGES, shard_size=8, choice={"publish": False})
    assert 1 <= len(trial.done()) <= 9
    assert len(read) <= 12, "of some ten shards a stage, those are read that the sample is in"
    assert len(outcome.artifact("stamp")) == 122


@pytest.mark.parametrize("shard_size", [3, 8, 1000])
def test_the_digest_is_that_of_the_rows_whatever_the_shards_and_the_history(
    trial: Trial, tmp_path: Path, shard_size: int
) -> None:
    fill(trial, 40)
    expected = trial.run(STAGES, shard_size=5).artifact("shout").digest
    trial.write("a/one-more.png")
    trial.run(STAGES, shard_size=5)
    (trial.path / "images/a/one-more.png").unlink()
    trial.run(STAGES, shard_size=shard_size, choice={"again": ["data", "stamp", "shout"]})
    found = trial.run(STAGES, shard_size=shard_size).artifact("shout")
    assert found.digest == expected
    assert [sample.id for sample in found] == sorted(sample.id for sample in found)


def test_a_shared_function_is_called_once_for_an_image_and_sees_nothing_else(trial: Trial) -> None:
    plugins = with_shared(trial)
    trial.write("a/good.png", "b/bad.png", "b/fine.png")
    stages = {"data": STAGES["data"], "first": {"use": "first", "dataset": "data"}}
    trial.run(stages, plugins=plugins)
    assert trial.done() == ["a/good.png None '' {}", "b/bad.png None '' {}", "b/fine.png None '' {}"]
    rows = (trial.path / "runs/trial/first/rows.txt").read_text()
    assert rows == "[['id', 'size'], ['id', 'problem'], ['id', 'size']]"

    more = {**stages, "second": {"use": "second", "dataset": "data", "max_failed": 0.5}}
    outcome = trial.run(more, plugins=plugins)
    assert trial.done() == [], "the first stage has called it"
    assert [sample.id for sample in outcome.artifact("second")] == ["a/good.png", "b/fine.png"]
    (failure,) = outcome.artifact("second").failed()
    assert failure.reason.startswith("ValueError: a bad one")

    trial.run(more, plugins=with_shared(trial, version=2))
    assert len(trial.done()) == 3, "another version computes something else"


def test_a_sample_that_goes_through_two_functions_is_counted_once(trial: Trial) -> None:
    trial.write("a/good.png", "b/bad.png", "b/fine.png", "b/other.png")
    stages = {"data": STAGES["data"], "chained": {"use": "chained", "dataset": "data", "max_failed": 0.25}}
    trial.run(stages, plugins=with_shared(trial))
    (said,) = trial.told("failed_samples")
    assert (said["count"], said["total"]) == (1, 4)


def test_a_shared_function_draws_no_random_numbers(trial: Trial) -> None:
    trial.write("a/good.png")
    stages = {"data": STAGES["data"], "third": {"use": "third", "dataset": "data", "max_failed": 1.0}}
    outcome = trial.run(stages, plugins=with_shared(trial))
    (failure,) = trial.told("failed_samples")
    assert "draws no random numbers" in failure["examples"][0][1]
    assert outcome.status == "finished"


def test_ids_that_two_shards_share_are_found(trial: Trial) -> None:
    trial.write("a/1.png", "a/1.png-0")  # a copy of the first gets the name of the second
    (trial.path / "images/a/1.png-0").rename(trial.path / "images/a/1.png-0.png")
    twins = '''
import pipekit
from dataclasses import replace


@pipekit.sample_stage
def renamed(sample, params: pipekit.Params, ctx):
    """Every sample under one name."""
    yield replace(sample, id="twin")


@pipekit.hookimpl
def register_stages(register):
    register("renamed", renamed)
'''
    (trial.path / "twins.py").write_text(twins)
    stages = {"data": STAGES["data"], "renamed": {"use": "renamed"}}
    with pytest.raises(Exception, match="two samples have the id 'twin'"):
        trial.run(stages, plugins=["twins.py"], shard_size=1)


def test_each_image_is_decoded_once_by_import_split_and_inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):
        noise = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        folder = tmp_path / "photos" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        images.write(folder / f"{number}.png", images.resize(noise, (64, 64)))
    calls: list[str] = []
    whole = measuring.measure_image

    def counting(sample: Any, params: Any, ctx: Any) -> Iterator[Any]:
        calls.append(sample.id)
        return whole(sample, params, ctx)

    counting.__qualname__ = "measure_image"
    counting.__module__ = measuring.__name__
    counting.__pipekit_shared__ = whole.__pipekit_shared__  # type: ignore[attr-defined]
    monkeypatch.setattr(measuring, "measure_image", counting)
    adhoc = AdhocPipeline(base_dir=tmp_path, settings={"executor": "serial"})
    data = adhoc.add("data", "import.folders", path="photos")
    split = adhoc.add("split", "split", dataset=data, remember=False)
    adhoc.add("inspect", "inspect", dataset=split)
    adhoc.run()
    assert sorted(calls) == sorted(set(calls))
    assert len(calls) == 24


REVISING = '''
import pipekit

CHANGES = {
    "a/1.png": {"split": "val", "extra": {"fold": 2}},
    "a/2.png": {"label": None},
    "b/3.png": {"label": "", "split": ""},
    "b/4.png": {},
}


@pipekit.stage
def revised(ctx: pipekit.Context, dataset: pipekit.Dataset, params: pipekit.Params) -> pipekit.Dataset:
    """Some fields of some samples."""
    return ctx.dataset(ctx.revise(dataset, CHANGES.get))


@pipekit.hookimpl
def register_stages(register):
    register("revised", revised)
'''


def test_fields_are_replaced_and_the_rest_of_a_sample_stays(trial: Trial) -> None:
    (trial.path / "revising.py").write_text(REVISING)
    trial.write("a/1.png", "a/2.png", "b/3.png", "b/4.png", "b/gone.png")
    outcome = trial.run(
        {"data": STAGES["data"], "revised": {"use": "revised"}}, plugins=["trial_plugin.py", "revising.py"], shard_size=2
    )
    before = {sample.id: sample for sample in outcome.artifact("data")}
    after = {sample.id: sample for sample in outcome.artifact("revised")}
    assert after == {
        "a/1.png": replace(before["a/1.png"], split="val", extra={"fold": 2}),
        "a/2.png": replace(before["a/2.png"], label=None),
        "b/3.png": replace(before["b/3.png"], label=""),
        "b/4.png": before["b/4.png"],
    }
    assert outcome.artifact("revised").meta["splits"] == {"": 3, "val": 1}


JOINING = '''
import pipekit


def new_id(name):
    return {"id": name.replace("b/", "c/")}


@pipekit.stage
def joined(ctx: pipekit.Context, datasets: tuple[pipekit.Dataset, ...], params: pipekit.Params) -> pipekit.Dataset:
    """The first dataset, and the others with new ids."""
    first, *others = datasets
    return ctx.dataset([first, *(ctx.revise(one, new_id) for one in others)])


@pipekit.hookimpl
def register_stages(register):
    register("joined", joined)
'''


def test_collections_are_joined_and_their_ids_may_change(trial: Trial) -> None:
    (trial.path / "joining.py").write_text(JOINING)
    trial.write(*(f"b/{number}.png" for number in range(6)))
    stages = {"data": STAGES["data"], "joined": {"use": "joined", "datasets": ["data", "data"]}}
    made = trial.run(stages, plugins=["trial_plugin.py", "joining.py"], shard_size=2).artifact("joined")
    assert [one.id for one in made] == [f"{folder}/{number}.png" for folder in "bc" for number in range(6)]
    assert len({one.image for one in made}) == 6
    (trial.path / "joining.py").write_text(JOINING.replace('"c/"', '"b/"'))
    with pytest.raises(UserError, match=r"two samples have the id 'b/0.png'"):
        trial.run(stages, plugins=["trial_plugin.py", "joining.py"], shard_size=2)


PARTED = '''
import json

import pipekit
from pipekit.contract import shared


@shared()
def size_of(sample, params, ctx):
    if "7" in sample.id:
        raise ValueError("a seven")
    yield {"id": sample.id, "size": len(sample.image)}


@pipekit.stage
def parted(ctx: pipekit.Context, dataset: pipekit.Dataset, params: pipekit.Params) -> pipekit.Files:
    """Sizes, a shard at a time."""
    (ctx.out_dir / "parts.json").write_text(json.dumps(list(ctx.map_parts(size_of, dataset))))
    return ctx.artifact(pipekit.Files)


@pipekit.hookimpl
def register_stages(register):
    register("parted", parted)
'''


def test_results_come_a_shard_at_a_time_and_one_more_sample_changes_one(trial: Trial) -> None:
    (trial.path / "parted_plugin.py").write_text(PARTED)
    fill(trial, 30)
    stages = {"data": DATA, "parted": {"use": "parted"}}

    def run() -> dict[str, Any]:
        outcome = trial.run(stages, plugins=["parted_plugin.py"], shard_size=8)
        return dict(json.loads((outcome.artifact("parted").path / "parts.json").read_text()))

    before = run()
    assert len(before) > 3
    rows = [row for part in before.values() for row in part]
    assert sorted(row["id"] for row in rows) == sorted(f"{'ab'[n % 2]}/{n:03d}.png" for n in range(30))
    assert all([row["id"] for row in part] == sorted(row["id"] for row in part) for part in before.values())
    assert {row["id"] for row in rows if "problem" in row} == {"b/007.png", "b/017.png", "b/027.png"}
    assert trial.told("failed_samples") == []
    trial.write("a/one-more.png")
    after = run()
    assert 1 <= len(after.keys() - before.keys()) <= 2
    assert all(after[digest] == before[digest] for digest in after.keys() & before.keys())
