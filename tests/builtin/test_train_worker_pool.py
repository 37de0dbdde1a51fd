"""Batches made in processes: the same ones as in threads, whatever happens to a process."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images, processes
from pipekit.builtin.train import TrainParams, cache, stage, train, worker_pool
from pipekit.builtin.train import feed as feed_module
from pipekit.builtin.train.cache import Decoded, PixelFile, Place
from pipekit.builtin.train.data import Decoder, Loader, OnColour
from pipekit.builtin.train.feed import Feed
from pipekit.builtin.train.mix import mixer
from pipekit.contract import Dataset
from pipekit.errors import UserError
from pipekit.recipe import CompiledRecipe, check_ops, compile_recipe
from pipekit.registry.registry import load_registry
from pipekit.rng import Rng, Seeded
from tests.builtin.test_train import DENSE, Bench, history_of, weights_of, write_images
from tests.builtin.test_train_feed import PIXELS, SHAPE, content, load, speckle

REGISTRY = load_registry(installed=False)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads make the batches elsewhere")


def fatal(image: images.Image, rng: Rng) -> images.Image:
    """Image 5 ends the process that augments it, but for the one of the test."""
    if image.flat[0] == 5 and os.environ.get("CREW_PARENT") != str(os.getpid()):
        os._exit(9)
    return speckle(image, rng)


def feed(
    numbers: list[int], in_processes: bool, where: cache.Where = "memory", folder: Path | None = None, **options: Any
) -> Feed:
    files = [str(number) for number in numbers]
    place = Place(where, options.pop("limit_bytes", float("inf")))
    return Feed(
        decoded=Decoded(files, files, load, place, folder, PIXELS, shared=in_processes),
        shape_hwc=SHAPE,
        ids=files,
        targets=np.eye(256, dtype=np.float32)[numbers],
        weights=np.ones(len(files), np.float32),
        rng=Seeded(3, "trial"),
        processes=in_processes,
        **{"batch_size": 4, "shuffle": True, "augment": speckle, **options},
    )


@pytest.mark.parametrize(
    ("where", "options"),
    [
        ("memory", {}),
        ("disk", {}),
        ("off", {}),
        ("memory", {"limit_bytes": 9.5 * PIXELS}),
        ("disk", {"limit_bytes": 9.5 * PIXELS}),
        ("memory", {"augment": None, "shuffle": False}),
        ("memory", {"mix": mixer(0.3, 1.0, 0.3), "workers": 3}),
        ("memory", {"dtype": np.float32, "batch_size": 50}),
    ],
)
def test_processes_make_the_same_batches_as_threads(where: cache.Where, options: dict[str, Any], tmp_path: Path) -> None:
    numbers = [*range(20), 201, 202, *range(30, 35), 203, 204, 205, 206]  # numbers above 200 can't be read
    with feed(numbers, False, **options) as threads, feed(numbers, True, where, tmp_path, **options) as worker_pool:
        for epoch in (0, 1):
            assert content(worker_pool.epoch(epoch)) == content(threads.epoch(epoch))
        assert content(worker_pool.epoch(1, start=2)) == content(threads.epoch(1, start=2))
        assert worker_pool.decoded.failed == threads.decoded.failed
        assert len(worker_pool.decoded.failed) == 6
        assert next(iter(worker_pool.py_dataset()[0][0].shape)) > 0  # made in threads, from what the processes kept


@pytest.mark.parametrize("in_processes", [False, True])
def test_a_batch_of_several_parts_and_an_epoch_begun_early_change_no_byte(
    in_processes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of three images; the numbers above 200 can't be read, and one part of a batch has none that can."""
    numbers = [*range(20), 201, *range(30, 38), 202, 203, 204, 205, 206, 207]
    with feed(numbers, False, batch_size=10) as whole:
        expected = [content(whole.epoch(epoch)) for epoch in (0, 1, 2)]
        failed = set(whole.decoded.failed)
    monkeypatch.setattr(worker_pool, "PART", 3)
    monkeypatch.setattr(feed_module, "PART", 3)
    with feed(numbers, in_processes, batch_size=10, epochs=3) as parts:
        assert [content(parts.epoch(epoch)) for epoch in (0, 1, 2)] == expected
        assert not parts._begun, "nothing is begun after the last epoch"
        assert set(parts.decoded.failed) == failed
        assert content(parts.epoch(1, start=1)) == expected[1][1:]
        begun = parts.epoch(0)
        next(begun)
        begun.close()  # type: ignore[attr-defined]
        assert content(parts.epoch(1)) == expected[1]


@pytest.mark.parametrize("in_processes", [False, True])
def test_the_next_epoch_is_begun_while_the_last_batches_of_one_are_used(in_processes: bool) -> None:
    with feed(list(range(60)), in_processes, epochs=2) as made:
        list(made.epoch(0))
        begun = [step for step, _ in made._begun[1]]
        assert begun == list(range(made._ahead))
        tasks = [task for _, task in made._begun[1]]
        for task in tasks:
            task.result()
        made.close()
    with feed(list(range(60)), in_processes) as unknown:
        list(unknown.epoch(0))
        assert not unknown._begun


def test_what_is_cancelled_gives_its_memory_back_once() -> None:
    with feed(list(range(60)), True, epochs=9) as made:
        for epoch in range(6):
            batches = made.epoch(epoch)
            next(batches)
            batches.close()  # type: ignore[attr-defined]
        list(made.epoch(6))
        made._crew[0]._pool.submit(int).result()
        slots = [slot.path for slot in made._crew[0]._free]
        assert len(slots) == len(set(slots))
        assert len(slots) <= 3 * made._ahead


def test_what_one_process_decodes_no_other_one_does(tmp_path: Path) -> None:
    """The files are gone after the first epoch."""
    for number in range(40):
        images.write(tmp_path / f"{number:02}.png", np.full((6, 8, 3), number, np.uint8))
    files = sorted(str(path) for path in tmp_path.iterdir())
    with Feed(
        decoded=Decoded(files, files, Loader((6, 8, 3)), Place("memory"), None, 6 * 8 * 3, shared=True),
        shape_hwc=(6, 8, 3),
        ids=files,
        targets=np.arange(40),
        weights=np.ones(40, np.float32),
        batch_size=3,
        rng=Seeded(0, "trial"),
        shuffle=True,
        processes=True,
    ) as made:
        first = {int(y): x.tobytes() for xs, ys, _ in made.epoch(0) for x, y in zip(xs, ys, strict=True)}
        for file in files:
            Path(file).unlink()
        later = {int(y): x.tobytes() for xs, ys, _ in made.epoch(1) for x, y in zip(xs, ys, strict=True)}
    assert first == later
    assert not made.decoded.failed


def test_an_epoch_that_is_given_up_leaves_the_next_one_whole() -> None:
    with feed(list(range(60)), False) as threads, feed(list(range(60)), True) as worker_pool:
        for _ in range(3):
            batches = worker_pool.epoch(0)
            next(batches)
            del batches
        one, other = worker_pool.epoch(1), worker_pool.epoch(2)  # and two at once
        expected = content(threads.epoch(1)), content(threads.epoch(2))
        both = [(next(one), next(other)) for _ in range(worker_pool.steps)]
        assert (content(first for first, _ in both), content(second for _, second in both)) == expected


def test_when_a_process_dies_threads_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREW_PARENT", str(os.getpid()))
    said: list[str] = []
    with feed(list(range(60)), False) as threads, feed(list(range(60)), True, augment=fatal, warn=said.append) as worker_pool:
        for epoch in (0, 1):
            assert content(worker_pool.epoch(epoch)) == content(threads.epoch(epoch))
    assert said == ["a worker process of the feed died (too little memory?); training continues with threads"]


def test_where_no_process_can_be_started_threads_make_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after the end of the process that workers are copied from, or without room in /dev/shm."""

    def refused(*_: Any) -> None:
        raise EOFError

    monkeypatch.setattr("multiprocessing.forkserver.connect_to_new_process", refused)
    said: list[str] = []
    with feed(list(range(20)), False) as threads, feed(list(range(20)), True, warn=said.append) as worker_pool:
        assert content(worker_pool.epoch(0)) == content(threads.epoch(0))
    assert said == [
        "worker processes can't be started: the process that they are forked from ended; training continues with threads"
    ]


def test_images_of_a_shared_file_are_seen_by_whoever_opened_it() -> None:
    first = PixelFile(None, 3, 60, shared=True)
    second = PixelFile.opened(pickle.loads(pickle.dumps(first.address())))
    first.put(1, np.full((4, 5, 3), 7, np.uint8))
    second.put(2, np.full((2, 3, 1), 9, np.uint8))
    assert second.get(0) is None
    np.testing.assert_array_equal(second.get(1), np.full((4, 5, 3), 7))
    np.testing.assert_array_equal(first.get(2), np.full((2, 3, 1), 9))
    first.put(0, np.zeros((5, 5, 3), np.uint8))  # 75 bytes
    first.put(3, np.zeros((1, 1, 3), np.uint8))
    assert first.get(0) is first.get(3) is None


def test_closed_memory_is_given_back() -> None:
    open_files = Path("/proc/self/fd")
    before = len(list(open_files.iterdir()))
    for _ in range(3):
        with feed(list(range(20)), True) as made:
            list(made.epoch(0))
        del made
    assert len(list(open_files.iterdir())) <= before + 8  # a pipe or two of the process that workers are copied from


# --- which of the two ----------------------------------------------------------------------------------------------------


def test_every_op_can_be_sent_to_a_process() -> None:
    presets = [component.name for component in REGISTRY.components("recipe")]
    assert "keras_tutorial" in presets
    for ops in [*presets, "albu.GaussNoise(p=0.3)|rotate(40)", "one_of(rotate(10), hflip)", "albu.Affine|albu.CLAHE"]:
        recipe = compile_recipe(check_ops(REGISTRY, ops), (24, 32))
        again = pickle.loads(pickle.dumps(recipe))
        image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
        np.testing.assert_array_equal(recipe(image, Seeded(0, ops)(1)), again(image, Seeded(0, ops)(1)))
    for made in (Loader((4, 5, 3)), Decoder((4, 5), 1), OnColour(recipe)):
        assert pickle.loads(pickle.dumps(made)) == made


def recipe_of(ops: str, function: Any = None) -> CompiledRecipe:
    recipe = compile_recipe(check_ops(REGISTRY, ops), (24, 32))
    if function is not None:
        object.__setattr__(recipe.ops[0], "function", function)
    return recipe


def choice(tmp_path: Path, recipe: CompiledRecipe, num_images: int = 5000, workers: int = 2, **values: Any) -> bool:
    params: TrainParams = REGISTRY.check_params(TrainParams, values)
    return stage._in_processes(Bench(tmp_path, workers=workers), params, recipe, num_images)  # type: ignore[arg-type]


def test_processes_are_for_many_images_and_our_own_ops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moves = recipe_of("rotate(10)")
    assert not choice(tmp_path, moves), "a test is no command"
    monkeypatch.setattr(processes, "allowed", lambda: True)
    assert choice(tmp_path, moves)
    assert not choice(tmp_path, moves, num_images=stage.MANY_AUGMENTED - 1)
    assert not choice(tmp_path, moves, workers=1)
    assert not choice(tmp_path, moves, mixup=0.2)
    assert not choice(tmp_path, moves, feed="threads")
    assert choice(tmp_path, moves, num_images=5, mixup=0.2, feed="processes")
    of_a_plugin = recipe_of("rotate(10)", speckle)
    assert not choice(tmp_path, of_a_plugin)
    assert choice(tmp_path, of_a_plugin, feed="processes")
    with pytest.raises(UserError, match="can't be sent to other processes"):
        choice(tmp_path, recipe_of("rotate(10)", lambda *_: None), feed="processes")


def test_no_processes_where_memory_can_not_be_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    assert choice(tmp_path, recipe_of("rotate(10)"), feed="processes")
    monkeypatch.setattr(os, "memfd_create", forbidden)
    assert not choice(tmp_path, recipe_of("rotate(10)"), feed="processes")


def test_the_stage_learns_the_same_from_both(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    dataset: Dataset = write_images(tmp_path / "images", {"train": 6, "val": 2})
    found = {}
    for way in ("threads", "processes"):
        params = REGISTRY.check_params(
            TrainParams, {"model": DENSE, "epochs": 2, "input_hw": [12, 12], "ops": "keras_tutorial", "feed": way}
        )
        ctx = Bench(tmp_path / way)
        model = train(ctx, dataset, params)  # type: ignore[arg-type]
        found[way] = weights_of(model), history_of(model)
        assert not ctx.warnings
    assert found["threads"] == found["processes"]
