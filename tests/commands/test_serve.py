"""What a served model says of bytes: classes, several labels, numbers, *none of these*; and the frames of its process."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipekit import ImageError, images
from pipekit.commands.serve import MAX_SERVED_PIXELS, Served, shortened
from pipekit.commands.serve_process import Loop, read_frame, write_frame
from pipekit.learning.predictions import answering
from pipekit.learning.predictor import Predictor
from tests.studio.hostile import bomb

NAMES = ("a", "b", "c")


def served(row: list[float], score: float | None = None, **info: Any) -> Served:
    """A model that says the same of every image."""

    def says(*values: float) -> Any:
        return lambda batch: np.tile(np.array(values, np.float32), (len(batch), 1))

    with_score = None if score is None else says(*row, score)
    names = NAMES[: len(row)]
    return Served(answering(Predictor(names, (4, 6, 3), info, says(*row), with_score=with_score)))


def said(model: Served) -> Mapping[str, Any]:
    (found,) = model.predict([np.zeros((4, 6, 3), np.uint8)])
    return found


def test_classes() -> None:
    found = said(served([0.1, 0.7, 0.2]))
    assert (found["predicted"], found["confidence"]) == ("b", 0.7)
    assert [one["class"] for one in found["top"]] == ["b", "c", "a"]
    assert "unknown" not in found
    assert [one["class"] for one in shortened(found, 1)["top"]] == ["b"]


@pytest.mark.parametrize(("score", "unknown"), [(0.9, False), (1.0, False), (1.5, True)])
def test_none_of_these(score: float, unknown: bool) -> None:
    model = served([0.1, 0.7, 0.2], score)
    assert model.facts["none_of_these"]
    assert (said(model)["unknown"], said(model)["unknown_score"]) == (unknown, score)


def test_several_labels_have_their_thresholds() -> None:
    model = served([0.6, 0.3, 0.5], task="multilabel", thresholds={"a": 0.7, "b": 0.2})
    found = said(model)
    assert (found["labels"], found["predicted"]) == (["b", "c"], "b|c")
    assert "confidence" not in found
    assert said(served([0.1, 0.1, 0.1], task="multilabel"))["labels"] == []
    assert model.facts["thresholds"] == {"a": 0.7, "b": 0.2}


def test_a_number_has_its_unit_and_its_interval() -> None:
    about = {"name": "age", "unit": "years", "interval": {"half_width": 2.0}}
    assert said(served([31.5], task="number", value=about)) == {"value": 31.5, "unit": "years", "low": 29.5, "high": 33.5}
    assert said(served([31.5], 2.0, task="number", value={"unit": ""})) == {
        "value": 31.5,
        "unit": "",
        "unknown": True,
        "unknown_score": 2.0,
    }


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 9])
def test_a_batch_is_filled_up_to_a_power_of_two(count: int) -> None:
    sizes: list[int] = []

    def says(batch: Any) -> Any:
        sizes.append(len(batch))
        return batch.reshape(len(batch), -1)[:, :2].astype(np.float32)

    model = Served(Predictor(("a", "b"), (4, 6, 3), {}, says))
    batch = [np.full((4, 6, 3), number, np.uint8) for number in range(count)]
    assert [one["confidence"] for one in model.predict(batch)] == list(range(count))
    assert sizes == [{1: 1, 2: 2, 3: 4, 5: 8, 8: 8, 9: 16}[count]]
    exact = replace(model, predictor=replace(model.predictor, padded=False))
    exact.predict(batch)
    assert sizes[1:] == [count]


def test_what_is_prepared_is_what_predict_reads() -> None:
    model, pixels = served([1.0, 0.0]), np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    for form in ("jpg", "png", "webp"):
        data = images.encode(pixels, form)
        expected = images.fitted(images.decode(data, at_least_hw=(4, 6)), (4, 6), "stretch")
        np.testing.assert_array_equal(model.prepare(data), expected)


def test_other_formats_and_large_images_are_refused() -> None:
    model = served([1.0, 0.0])
    with pytest.raises(ImageError, match="JPEG, PNG or WebP"):
        model.prepare(images.encode(np.zeros((4, 4, 3), np.uint8), "bmp"))
    side = int(MAX_SERVED_PIXELS**0.5) + 1
    with pytest.raises(ImageError, match="at most 50,000,000"):
        model.prepare(bomb(side, side))


# --- frames ----------------------------------------------------------------------------------------------------------------


def test_frames_come_back() -> None:
    stream = io.BytesIO()
    frames: list[tuple[dict[str, Any], list[bytes]]] = [({"id": 1}, []), ({"id": 2, "do": "predict"}, [b"", b"\x00" * 70_000])]
    for head, files in frames:
        write_frame(stream, head, files)
    whole = stream.getvalue()
    stream.seek(0)
    assert [read_frame(stream), read_frame(stream), read_frame(stream)] == [*frames, None]
    for cut in (1, 3, 6, 20, len(whole) - 1):
        stream = io.BytesIO(whole[:cut])
        while (frame := read_frame(stream)) is not None:
            assert frame in frames


def test_a_model_that_fails_answers_all_the_same() -> None:
    def fails(batch: Any) -> Any:
        raise ValueError("no memory on the device")

    said: list[Mapping[str, Any]] = []
    loop = Loop(Served(Predictor(("a", "b"), (4, 6, 3), {}, fails)), said.append, 4)
    good = images.encode(np.zeros((4, 6, 3), np.uint8), "png")
    for number, files in enumerate(([good, b"no image"], [], [good])):
        loop.take(number, files)
    loop.decoders.shutdown()
    while len(said) < 3:
        pass
    found = {one["id"]: one["answers"] for one in said}
    assert found[1] == []
    assert found[2][0]["failed"] == "ValueError: no memory on the device"
    assert found[0][1] == {"refused": "expected a JPEG, PNG or WebP file"}
