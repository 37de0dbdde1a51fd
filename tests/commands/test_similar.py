"""``pipekit similar``: the nearest images by an embedder's features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipekit as package
from pipekit import images
from pipekit.engine.adhoc import AdhocPipeline
from pipekit.errors import PlanError, UserError
from pipekit.learning.nearest import Nearest

EMBEDDER = '''
"""An embedder without a network: the mean colour, about its middle."""
import numpy as np
import pipekit
from pipekit.learning.embedders import Facts, embedder


@embedder(Facts(input_hw=(4, 4), dimensions=3, licence="none", source="here", trained_on="nothing"))
def mean_colour(params: pipekit.Params):
    return lambda batch: batch.mean(axis=(1, 2), dtype=np.float32) - 100


@pipekit.hookimpl
def register_embedders(register):
    register("mean_colour", mean_colour)
'''


@pytest.fixture
def photos() -> Path:
    """Grey steps of red and blue, one broken file, and ``query.png`` beside the folder."""
    Path("mean_colour.py").write_text(EMBEDDER)
    for number in range(4):
        for name, colour in (("red", (250 - number, 20 + 20 * number, 20)), ("blue", (20, 20 + 20 * number, 250 - number))):
            file = Path("photos", name, f"{number}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            images.write(file, np.full((8, 8, 3), colour, np.uint8))
    images.write(Path("query.png"), np.full((8, 8, 3), (250, 20, 20), np.uint8))
    images.write(Path("other.png"), np.full((8, 8, 3), (20, 85, 245), np.uint8))
    return Path("photos")


HOW: dict[str, Any] = {"embedder": "mean_colour", "plugins": ["mean_colour.py"]}


def test_the_nearest_are_the_nearest_in_any_parts_and_equal_ones_come_by_id() -> None:
    table = np.array([[1, 0], [0, 1], [1, 1], [2, 0], [-1, 0], [0, 0]], np.float16)
    names = ["d", "b", "c", "a", "e", "zero"]
    for cuts in ([6], [1, 5], [2, 2, 2], [1] * 6):
        nearest: Nearest[str] = Nearest(np.array([[3, 0], [0, 5]], np.float32), 3)
        for end, size in zip(np.cumsum(cuts), cuts, strict=True):
            nearest.add(names[end - size : end], table[end - size : end])
        assert nearest.found == [[("a", 1.0), ("d", 1.0), ("c", 0.7071)], [("b", 1.0), ("c", 0.7071), ("a", 0.0)]]
        assert nearest.num_seen == 6


def test_the_command_finds_what_the_verb_finds(pipekit: Any, photos: Path) -> None:
    words = ["similar", "query.png", "other.png", str(photos), "--embedder", "mean_colour", "--plugin", "mean_colour.py"]
    shown = pipekit(*words, "--nearest", "2", "--sheet", "sheet.png")
    assert shown.code == 0, shown.err
    lines = [line.split() for line in shown.out.splitlines()]
    assert ["query.png", "1.000", "red", "red/0.png", "(the", "same", "file)"] in lines
    assert images.read(Path("sheet.png")).shape[1] > 3 * 160
    found = package.similar(["query.png", "other.png"], photos, nearest=2, out="out", **HOW)
    assert json.loads(pipekit(*words, "--nearest", "2", "--json").out) == list(found.rows)
    assert [(row["query"], row["id"], row["label"]) for row in found.rows] == [
        ("query.png", "red/0.png", "red"),
        ("query.png", "red/1.png", "red"),
        ("other.png", "blue/3.png", "blue"),
        ("other.png", "blue/2.png", "blue"),
    ]
    assert [row["same_file"] for row in found.rows] == [True, False, False, False]
    assert (Path("out") / "similar.csv").read_text().splitlines()[1].startswith("query.png,1,red/0.png,red,,1.0000,1,")
    assert found.outcome.stages[-1].cached, "the command has computed it"


def test_workers_and_shards_change_nothing(photos: Path) -> None:
    digests = set()
    for workers, size in ((1, 100), (2, 3)):
        pipeline = AdhocPipeline(settings={"workers": workers, "shard_size": size}, plugins=["mean_colour.py"])
        query = pipeline.add("query", "import.image", path="query.png")
        pipeline.add("data", "import.folders", path=str(photos))
        pipeline.add("similar", "similar", queries=[query], dataset="data", embedder="mean_colour")
        digests.add(pipeline.run().artifact("similar").digest)
    assert len(digests) == 1


def test_what_can_not_be_compared(pipekit: Any, photos: Path) -> None:
    assert "takes an image and a folder" in pipekit("similar", "query.png").err
    assert "photos is no image" in pipekit("similar", photos, "query.png").err
    Path("broken.png").write_text("text")
    with pytest.raises(UserError, match=r"broken\.png"):
        package.similar("broken.png", photos, **HOW)
    with pytest.raises(UserError, match="exists already"):
        package.similar("query.png", photos, out="photos", **HOW)
    with pytest.raises(PlanError) as raised:
        package.similar("query.png", photos, nearest=0, **HOW)
    assert [problem.path for problem in raised.value.problems] == ["nearest"]
