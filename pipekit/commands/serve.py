"""Predict images that arrive as bytes: what `pipekit serve` answers, without HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.working import registry_with
from pipekit.errors import ImageError, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipekit.learning.decisions import Decision
    from pipekit.learning.predictions import Prediction
    from pipekit.learning.predictor import Predictor

MAX_SERVED_PIXELS = 50_000_000
"""Larger images are refused: two of them at once, as PNG with an alpha channel, take 0.4 GB while they are decoded."""

SIGNATURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}
"""The first bytes of the formats that are taken, besides WebP (``RIFF....WEBP``)."""

MAX_BATCH = 32


@dataclass(frozen=True)
class Wanted:
    """What is served, as plain data: it is sent to the process that holds the model.

    Attributes:
        model: a run, the folder of a model or of an export, or its file.
        calibrated, decide, mirrored: as in :func:`pipekit.predict`.
        plugins, disable: plugins to load, and to leave out.
    """

    model: str
    calibrated: bool = False
    decide: bool = False
    mirrored: bool = False
    plugins: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The options on a command line, without the model."""
        flags = {"--calibrated": self.calibrated, "--decide": self.decide, "--tta": self.mirrored}
        named = [("--plugin", name) for name in self.plugins] + [("--disable", name) for name in self.disable]
        return [*(flag for flag, is_set in flags.items() if is_set), *(word for pair in named for word in pair)]

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def of(plain: Mapping[str, Any]) -> Wanted:
        """The same of what :meth:`plain` gave, after it was JSON."""
        lists = {name: tuple(plain.get(name, ())) for name in ("plugins", "disable")}
        return Wanted(**{**plain, **lists})


@dataclass(frozen=True)
class Served:
    """A model that predicts bytes.

    Attributes:
        predictor: as :func:`pipekit.learning.predictions.answering` returns it.
        decision: the rule that decides on the class; None: the most probable one.
        name: what answers call the model.
    """

    predictor: Predictor
    decision: Decision | None = None
    name: str = "model"

    @property
    def threads(self) -> int:
        """Number of threads that may predict at once. A model on frozen features computes each image on one thread, and its
        runtime allows several; the others use all cores for one batch."""
        import os

        return 1 if self.predictor.padded else os.cpu_count() or 1

    @property
    def facts(self) -> dict[str, Any]:
        """What a client must know of the model, as JSON."""
        from pipekit.tasks import CLASSES, task_named

        info, predictor = self.predictor.info, self.predictor
        found = {
            "name": self.name,
            "task": task_named(info.get("task")) or CLASSES,
            "classes": list(predictor.classes),
            "input_shape_hwc": list(predictor.input_shape_hwc),
            "template": info.get("template"),
            "none_of_these": predictor.with_score is not None,
            "thresholds": info.get("thresholds"),
            "value": info.get("value"),
            "decision": None if self.decision is None else self.decision.words,
        }
        return {name: value for name, value in found.items() if value is not None}

    def prepare(self, data: bytes) -> NDArray[np.uint8]:
        """The model's input of a JPEG, PNG or WebP file.

        Raises:
            ImageError: it is none, it is damaged, or it has too many pixels.
        """
        from pipekit import images

        if not is_served_format(data):
            raise ImageError("expected a JPEG, PNG or WebP file")
        info = images.probe(data)
        if info.width_px * info.height_px > MAX_SERVED_PIXELS:
            raise ImageError(f"{info.width_px:,} x {info.height_px:,} pixels; at most {MAX_SERVED_PIXELS:,} are served")
        return self.predictor.prepare(data)

    def predict(self, batch: Sequence[NDArray[np.uint8]]) -> list[dict[str, Any]]:
        """The answer to each prepared image, as JSON, with all classes.

        The number of rows is a power of two, so that a graph that is traced for each size is traced a few times only.
        """
        import numpy as np

        from pipekit.learning.predictions import prediction_of

        rows = 1 << (len(batch) - 1).bit_length() if self.predictor.padded else len(batch)
        pixels = np.zeros((rows, *self.predictor.input_shape_hwc), np.uint8)
        pixels[: len(batch)] = batch
        found = self.predictor.probabilities(pixels)[: len(batch)]
        return [to_answer(prediction_of(self.predictor, row, "", self.decision)) for row in found]

    def warm_up(self) -> None:
        """Predict a black image: the first prediction of a runtime allocates and compiles."""
        import numpy as np

        self.predict([np.zeros(self.predictor.input_shape_hwc, np.uint8)])


def is_served_format(data: bytes) -> bool:
    return data[:3] in SIGNATURES or data[:8] in SIGNATURES or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def open_served(wanted: Wanted) -> Served:
    """Open a model in the lightest way: without TensorFlow where that is possible.

    Raises:
        UserError: there is no model, or it lacks the temperature or the rule that is asked for.
    """
    from pipekit.contract import Model
    from pipekit.engine.adhoc import find_artifact
    from pipekit.learning.decisions import asked_for
    from pipekit.learning.light_predictor import load_light
    from pipekit.learning.predictions import answering
    from pipekit.tasks import TASKS

    registry = registry_with(wanted.plugins, wanted.disable)
    trained = find_artifact(wanted.model, Model, Path.cwd())
    if trained is None:
        raise UserError(
            f"no trained model in {wanted.model}", "Give a run (runs/NAME), a folder with model.json, or a model's file."
        )
    predictor, decision = asked_for(load_light(trained.path, registry.get, TASKS), wanted.calibrated, wanted.decide)
    return Served(answering(predictor, wanted.mirrored), decision, _name_of(wanted.model))


def _name_of(model: str) -> str:
    from pipekit.commands.working import name_of_model

    return name_of_model(model if Path(model).suffix not in (".onnx", ".tflite") else Path(model).parent)


def to_answer(prediction: Prediction) -> dict[str, Any]:
    """A prediction as JSON: as a line of ``pipekit predict -f jsonl`` without the image's path; a number without its text."""
    from pipekit.learning.predictions import to_plain

    found = to_plain(prediction, len(prediction.probabilities))
    del found["image"]
    if prediction.value is not None:
        del found["predicted"]
    return found


def shortened(answer: Mapping[str, Any], top_k: int) -> dict[str, Any]:
    """An answer with its ``top_k`` most probable classes."""
    return {**answer, "top": answer["top"][:top_k]} if "top" in answer else dict(answer)
