"""Splitters, samplers and comparison metrics of plugins: what they may answer, and what goes by them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipekit.builtin.compare import further
from pipekit.builtin.compare.paired import Answers
from pipekit.builtin.train import TrainParams
from pipekit.builtin.train.stage import _sampler
from pipekit.cli import main
from pipekit.contract import Call, Params, SplitUnit
from pipekit.errors import PluginError
from pipekit.registry.registry import Registry, load_registry
from pipekit.rng import Rng, rng_for
from pipekit.testing import kit

ACME = '''
"""What a plugin decides."""
import pipekit

class EveryParams(pipekit.Params):
    number: int = pipekit.param(3, "Every so many units are test", ge=2, le=10)

def by_name(units, fractions, params: EveryParams, rng):
    """By the group's name."""
    names = list(fractions)
    order = sorted({unit.group for unit in units})
    return [names[-1] if order.index(unit.group) % params.number == 0 else names[0] for unit in units]

def lost(units, fractions, params: pipekit.Params, rng):
    """It loses units."""
    return ["train"] * (len(units) - 1)

def backwards(targets, epoch, params: pipekit.Params, rng):
    """From the last image to the first."""
    return list(range(len(targets)))[::-1]

def beyond(targets, epoch, params: pipekit.Params, rng):
    """Past the end."""
    return list(range(1, len(targets) + 1))

def sureness(rows, params: pipekit.Params):
    """Confidence."""
    return [float(row["confidence"]) for row in rows]

@pipekit.hookimpl
def register_splitters(register):
    register("by_name", by_name, version=2)
    register("lost", lost)

@pipekit.hookimpl
def register_samplers(register):
    register("backwards", backwards)
    register("beyond", beyond)

@pipekit.hookimpl
def register_compare_metrics(register):
    register("sureness", sureness)
'''

PIPELINE = """
name = "grouped"
plugins = ["acme.py"]
[stages.data]
use = "import.folders"
path = "photos"
[stages.split]
use = "split"
mode = { use = "by_name", number = 2 }
fractions = { train = 0.5, test = 0.5 }
group_pattern = "day[0-9]"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of two classes, taken on four days."""
    folder = tmp_path_factory.mktemp("acme")
    draw = np.random.default_rng(5)
    for number in range(12):
        path = folder / "photos" / ("cat", "dog")[number % 2] / f"day{number // 3}-{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(cv2.imencode(".png", draw.integers(0, 256, (24, 24, 3), np.uint8))[1]))
    (folder / "acme.py").write_text(ACME, encoding="utf-8")
    (folder / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def registry(folder: Path) -> Registry:
    return load_registry((str(folder / "acme.py"),), installed=False)


def test_a_splitter_decides_by_group_and_the_split_file_remembers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(["run", "--quiet"]) == 0
    lines = Path("split.csv").read_text().splitlines()[1:]
    days = {line.split(",")[0].split("/")[1][:4]: line.split(",")[3] for line in lines}
    assert days == {"day0": "test", "day1": "train", "day2": "test", "day3": "train"}

    capsys.readouterr()
    assert main(["run", "--set", "stages.split.mode=lost", "--set", "stages.split.remember=false"]) == 1
    said = "splitter 'lost' of plugin 'acme' returned 3 splits for 4 units; each unit needs one"
    assert said in capsys.readouterr().err
    assert main(["run", "--set", "stages.split.mode=by_nam"]) == 2
    assert "Did you mean 'by_name'?" in capsys.readouterr().err


def test_the_order_of_the_units_decides_nothing_and_a_place_is_kept() -> None:
    units = [SplitUnit(f"{n}", (("cat", 1),)) for n in range(20)]
    placed = [SplitUnit("", (("cat", 1),), "test"), *units]

    def at_random(units: Any, fractions: Any, params: Params, rng: Rng) -> list[str]:
        """At random."""
        return list(rng.choice(list(fractions), len(units)).tolist())

    from pipekit.learning.assigning import assigned

    fractions = {"train": 0.5, "test": 0.5}
    first = assigned(at_random, placed, fractions, Params(), 1)
    again = assigned(at_random, placed[::-1], fractions, Params(), 1)
    assert first == again[::-1]
    assert first[0] == "test"
    assert set(Counter(first)) == {"train", "test"}


def test_a_sampler_orders_the_images_of_each_epoch(registry: Registry) -> None:
    from types import SimpleNamespace

    part: Any = SimpleNamespace(numbers=np.array([0, 1, 0, 1]))
    ctx: Any = SimpleNamespace(seed=1)

    def order_of(name: str) -> Any:
        return _sampler(ctx, registry.check_params(TrainParams, {"sampler": name}), part)

    assert order_of("shuffle") is None
    assert order_of("backwards")(0).tolist() == [3, 2, 1, 0]
    with pytest.raises(PluginError, match=r"sampler 'beyond' of plugin 'acme' returned the position 4; there are 0 to 3"):
        order_of("beyond")(0)


def test_a_metric_of_a_comparison_has_its_interval(registry: Registry) -> None:
    def answers(name: str, sure: float) -> Answers:
        rows = {
            f"{n}.jpg": {"id": f"{n}.jpg", "true": "cat", "sha256": str(n), "confidence": f"{sure * (1 + n / 50):.3f}"}
            for n in range(9)
        }
        return Answers(name, {}, rows)

    call = Call("compare_metric", "sureness", Params(), {}, registry.get("compare_metric", "sureness"))
    (found,) = further.compare_all([answers("A", 0.5), answers("B", 0.6)], [call], "classes")
    assert found["mean_first"] == pytest.approx(0.54)
    assert found["difference"]["value"] == pytest.approx(0.108)
    assert 0.1 < found["difference"]["low"] < 0.108 < found["difference"]["high"] < 0.12
    assert found["p_holm"] < 1e-9
    assert "sureness" in str(further.section([found]).tables[0].rows)
    assert json.dumps(found)


def test_the_kit_names_wrong_answers() -> None:
    def one_side(units: Any, fractions: Any, params: Params, rng: Rng) -> Any:
        """All of them."""
        return [next(iter(fractions))] * len(units)

    def elsewhere(units: Any, fractions: Any, params: Params, rng: Rng) -> Any:
        """Another name."""
        return ["holdout"] * len(units)

    def its_own(targets: Any, epoch: int, params: Params, rng: Rng) -> Any:
        """A generator of its own."""
        return np.random.default_rng().permutation(len(targets))

    def fractional(targets: Any, epoch: int, params: Params, rng: Rng) -> Any:
        """No whole numbers."""
        return np.linspace(0, 1, len(targets))

    def rough(targets: Any, epoch: int, params: Params, rng: Rng) -> Any:
        """It sorts its input."""
        targets.sort(axis=0)
        return np.arange(len(targets))

    def unknown(rows: Any, params: Params) -> Any:
        """No number."""
        return [float("nan")] * len(rows)

    def words(rows: Any, params: Params) -> Any:
        """Text."""
        return ["good"] * len(rows)

    for check, found, problem in (
        (kit.check_splitter, one_side, "free units none went to val"),
        (kit.check_splitter, elsewhere, "returned the split 'holdout'"),
        (kit.check_sampler, its_own, "draw from `rng` alone"),
        (kit.check_sampler, fractional, "whole numbers"),
        (kit.check_sampler, rough, "read-only"),
        (kit.check_compare_metric, unknown, "is nan for the image cat/0.jpg"),
        (kit.check_compare_metric, words, r"must return \(12,\) numbers"),
    ):
        with pytest.raises(AssertionError, match=problem):
            check(found)


def test_a_unit_has_a_size() -> None:
    assert SplitUnit("a", (("cat", 2), ("dog", 1))).size == 3
    assert SplitUnit("a", (("cat", 2), ("dog", 2)), images=2).size == 2
    assert rng_for(1, "splitter").random() == rng_for(1, "splitter").random()
