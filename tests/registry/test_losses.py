"""What a format does not hold is counted and said before it is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.contract import Box, Keypoint, Sample, Targets
from pipekit.engine.adhoc import AdhocPipeline
from pipekit.registry.losses import FLAGS, KINDS, losses, lost_skeletons
from pipekit.registry.registry import load_registry
from tests.builtin.exporting import as_dataset

OUTLINE = ((0.0, 0.0, 4.0, 0.0, 4.0, 4.0),)
FULL = Sample(
    "a.png",
    "a.png",
    label="cat",
    targets=Targets(
        "m.png", "1", (Box(0, 0, 4, 4, "eye", OUTLINE, {"difficult": True, "id": 7}), Box(1, 1, 2, 2, "eye")), (Keypoint(1, 1),)
    ),
    extra={"camera": 3},
)


def test_everything_that_is_not_carried_is_counted() -> None:
    assert losses([FULL, FULL], ()) == (
        "this format does not hold 2 classes of whole images, 4 boxes, 2 outlines, 2 keypoints without a box, 2 masks, "
        "2 rows with further columns: they are left out"
    )
    assert losses([FULL], set(KINDS)) == ""
    assert losses([FULL, FULL], set(KINDS) - {"loose_keypoints"}) == (
        "this format does not hold 2 keypoints without a box: they are left out"
    )
    assert losses([FULL], set(KINDS) - {"facts"}) == (
        "this format does not hold 1 facts about objects (difficult): they are left out"
    )
    assert losses([FULL], set(KINDS) - {"facts"} | {"difficult"}) == "", "an id is expressed in another way"


def test_what_is_not_there_is_not_lost() -> None:
    assert losses([Sample("a.png", "a.png", split="train", extra={"augmented": {}})], ()) == ""


def test_every_exporter_of_datasets_says_what_it_carries() -> None:
    of_models = {"savedmodel", "tflite", "tflite-int8", "onnx", "card"}
    for exporter in load_registry(installed=False).components("exporter"):
        if exporter.name not in of_models:
            assert {*KINDS, *FLAGS, "pose", "mask_names", "skeletons"} >= exporter.load().CARRIES, exporter.name


def test_the_lines_between_keypoints_are_counted() -> None:
    entries = [{"name": "ant", "keypoints": ["head", "tail"], "skeleton": [[0, 1]]}, {"name": "bee"}]
    dataset = as_dataset([FULL], {"categories": {"boxes": entries}})
    said = "this format holds keypoints, but not the lines between them (1): they are left out"
    assert lost_skeletons(dataset, {"boxes", "keypoints"}) == said
    assert lost_skeletons(dataset, {"boxes", "keypoints", "skeletons"}) == "" == lost_skeletons(dataset, {"boxes"})
    assert lost_skeletons(as_dataset([FULL]), {"keypoints"}) == ""


@pytest.mark.parametrize(("format", "lost"), [("csv", ""), ("yolo", "3 classes of whole images")])
def test_the_stage_warns_before_it_writes(tmp_path: Path, format: str, lost: str) -> None:
    for number in range(3):
        (tmp_path / "photos/cat").mkdir(parents=True, exist_ok=True)
        images.write(tmp_path / f"photos/cat/{number}.png", np.full((8, 8, 3), number, np.uint8))
    adhoc = AdhocPipeline(base_dir=tmp_path, settings={"executor": "serial"})
    data = adhoc.add("data", "import.folders", path="photos")
    adhoc.add("out", f"export.{format}", dataset=data)
    warnings = adhoc.run().stages[-1].warnings
    expected = [f"{format}: this format does not hold {lost}: they are left out"] if lost else []
    assert [text for text in warnings if "does not hold" in text] == expected
