"""A trained model for Python code: ``pipekit.load("runs/pets").predict(images)``, with images from files or from memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.given_images import as_batch, as_rgb, is_pil
from pipekit.commands.working import registry_with
from pipekit.errors import UserError
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, TASKS, task_named

if TYPE_CHECKING:
    from pipekit.images import Image
    from pipekit.learning.predictions import Frame, Given, Prediction
    from pipekit.learning.predictor import Predictor

SHOWN = 24
"""Predictions with a thumbnail in a notebook."""


class PredictionList(list["Prediction"]):
    """Predictions, in the order of the images. In a notebook it shows itself as a table with thumbnails.

    Attributes:
        classes: the model's classes, in the order of its outputs.
        thumbnails: of images that came from memory, by their position.
    """

    def __init__(self, found: Iterable[Prediction], classes: Sequence[str], thumbnails: Mapping[int, Image]) -> None:
        super().__init__(found)
        self.classes = tuple(classes)
        self.thumbnails = dict(thumbnails)

    def _repr_html_(self) -> str:
        from pipekit.page import notebook

        task = next((_task_of(one) for one in self if not one.error), CLASSES)
        rows = [
            (
                self._thumbnail(number, one),
                Path(one.image).name,
                one.error if one.error else "none of these" if one.unknown else one.predicted,
                *_details(one, task),
            )
            for number, one in enumerate(self[:SHOWN])
        ]
        more = notebook.note(f"and {len(self) - SHOWN:,} more predictions") if len(self) > SHOWN else ""
        return notebook.whole(notebook.table(["", "image", "predicted", *HEADS[task]], rows), more)

    def _thumbnail(self, number: int, one: Prediction) -> str:
        from pipekit.page import notebook

        if number in self.thumbnails:
            return notebook.thumbnail(self.thumbnails[number])
        return notebook.Html("") if one.error or one.frame else notebook.file_thumbnail(one.image)


HEADS = {
    CLASSES: ("probability", "next"),
    MULTILABEL: ("probabilities",),
    NUMBER: ("unit", "prediction interval"),
}


def _task_of(one: Prediction) -> str:
    return NUMBER if one.value is not None else MULTILABEL if one.labels is not None else CLASSES


def _details(one: Prediction, task: str) -> tuple[Any, ...]:
    """What stands beside a prediction in the table of a notebook."""
    if one.error:
        return ("",) * len(HEADS[task])
    if task == NUMBER:
        return one.unit, "none" if one.interval is None else "{:.6g} to {:.6g}".format(*one.interval)
    shares = [f"{name} {share:.3f}" for name, share in one.probabilities[:4]]
    return (", ".join(shares),) if task == MULTILABEL else (one.confidence, ", ".join(shares[1:]))


@dataclass(frozen=True)
class LoadedModel:
    """A trained model of one class for each image, of several labels, or of a number.

    Attributes:
        classes: its classes or labels, in the order of its outputs; of a number, its name alone.
        input_shape_hwc: the size that images are brought to.
        info: the content of ``model.json``: template, versions, temperature, thresholds of labels, unit of a number and more.
        folder: the model's folder.
    """

    classes: tuple[str, ...]
    input_shape_hwc: tuple[int, int, int]
    info: Mapping[str, Any] = field(repr=False)
    folder: Path
    predictor: Predictor = field(repr=False)

    def predict(
        self,
        images: Any,
        *,
        mirrored: bool = False,
        calibrated: bool = False,
        decide: bool = False,
        batch_size: int = 32,
        workers: int | None = None,
    ) -> PredictionList:
        """Predict images.

        Args:
            images: a path (an image, a video, a folder, a pattern such as ``photos/**/*.jpg``), an array ``(H, W, 3)`` or
                ``(N, H, W, 3)`` of ``uint8`` RGB, a PIL image; or a list of them.
            mirrored: average the probabilities of the image and its mirror image.
            calibrated: calibrate the probabilities by the temperature in ``model.json``.
            decide: predict by the decision rule in ``model.json``.
            batch_size: number of images per batch, 1 to 4096.
            workers: number of threads that read images; default: one per core.

        Returns:
            A list with a ``Prediction`` for each image, in order: ``predicted``, ``confidence``, ``probabilities``, ``error``
            (why a file can't be read), ``unknown``. A model of several labels fills ``labels``, those whose probability reaches
            their threshold (``model.info["thresholds"]``); one of a number ``value``, ``unit`` and ``interval``, the bounds of
            its prediction interval. Images from memory are named ``image 0``, ``image 1`` …

        Raises:
            UserError: a float or grey image; there is no such file; the model lacks the temperature or the rule; ``mirrored``
                with a number.
        """
        from pipekit.learning import predictions as ways
        from pipekit.learning.decisions import asked_for

        if not 1 <= batch_size <= 4096:
            raise UserError(f"batch_size must be at least 1 and at most 4096, got {batch_size}")
        predictor, decision = asked_for(self.predictor, calibrated, decide)
        kept: dict[int, Image] = {}
        found = ways.answers(
            predictor,
            _keeping(_items(images), kept),
            workers=workers or os.cpu_count() or 1,
            batch_size=batch_size,
            mirrored=mirrored,
            decision=decision,
        )
        return PredictionList(found, self.classes, kept)

    def _repr_html_(self) -> str:
        from pipekit.page import notebook

        height, width, channels = self.input_shape_hwc
        known = {
            **self._predicts(),
            "template": self.info.get("template"),
            "input": f"{width} x {height} px, {'grey' if channels == 1 else 'RGB'}",
            "trained": str(self.info.get("created", "")),
        }
        return notebook.whole(notebook.facts(known), title=f"Model {self.folder.name}")

    def _predicts(self) -> dict[str, str]:
        task, about = task_named(self.info.get("task")), self.info.get("value") or {}
        if task == NUMBER:
            return {"number": f"{self.classes[0]} ({about['unit']})" if about.get("unit") else self.classes[0]}
        if task == MULTILABEL:
            at = self.info.get("thresholds", {})
            return {"labels, each with its threshold": ", ".join(f"{name} {at.get(name, 0.5):.2f}" for name in self.classes)}
        return {"classes": ", ".join(self.classes)}


def load(model: str | Path, *, plugins: Sequence[str] = (), disable: Sequence[str] = ()) -> LoadedModel:
    """Load a trained model, to predict images in Python: of classes, of several labels, or of a number.

    TensorFlow is not loaded for a model on frozen features or an ONNX export, and otherwise at the first prediction.

    Args:
        model: a run (``runs/pets``), a folder with ``model.json``, its ``model.keras``, or an exported model.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.

    Raises:
        UserError: there is no model, it is incomplete, or it is an autoencoder.

    Example:
        >>> import pipekit
        >>> model = pipekit.load("runs/pets")  # doctest: +SKIP
        >>> model.predict(["cat.jpg", array])[0].predicted  # doctest: +SKIP
        'cat'
    """
    from pipekit.contract import Model
    from pipekit.engine.adhoc import find_artifact
    from pipekit.learning.light_predictor import features_predictor
    from pipekit.learning.predictor import load_predictor

    registry = registry_with(plugins, disable)
    trained = find_artifact(str(model), Model, Path.cwd())
    if trained is None:
        raise UserError(f"no trained model in {model}", "Give a run (runs/NAME), a folder with model.json, or a model's file.")
    predictor = features_predictor(trained.path, registry.get, TASKS) or load_predictor(
        trained.path, registry.get, lazy=True, tasks=TASKS
    )
    return LoadedModel(predictor.classes, predictor.input_shape_hwc, predictor.info, _shown_folder(model), predictor)


def _shown_folder(model: str | Path) -> Path:
    """The folder as it was given; a run's name stays a name."""
    path = Path(str(model).partition(":")[0])
    return path.parent if path.suffix or path.name == "model.json" else path


# --- what there is to predict ----------------------------------------------------------------------------------------------


def _items(images: Any) -> Iterator[str | Frame | Given]:
    """Paths, frames and pixels, in order; everything in memory is checked before anything is predicted."""
    from pipekit.learning import predictions as ways

    listed = [images] if _is_one(images) else list(images)
    named: list[list[str] | list[Given]] = []
    number = 0
    for one in listed:
        if isinstance(one, (str, os.PathLike)):
            named.append([os.fspath(one)])
            continue
        pixels = [as_rgb(one)] if is_pil(one) else list(as_batch(one))
        named.append([ways.Given(f"image {number + at}", image) for at, image in enumerate(pixels)])
        number += len(pixels)
    paths = [name for names in named for name in names if isinstance(name, str)]
    ways.find_images(paths)  # what does not exist is an error before anything is predicted
    return _found(named)


def _found(named: Iterable[list[str] | list[Given]]) -> Iterator[str | Frame | Given]:
    from pipekit.learning import predictions as ways

    for names in named:
        for name in names:
            if isinstance(name, str):
                yield from ways.with_frames(ways.find_images([name]))
            else:
                yield name


def _is_one(images: Any) -> bool:
    """Whether it is one thing, and not a list of them."""
    return isinstance(images, (str, os.PathLike)) or is_pil(images) or hasattr(images, "__array__")


def _keeping(items: Iterable[str | Frame | Given], kept: dict[int, Image]) -> Iterator[str | Frame | Given]:
    """The items; the thumbnails of the first images from memory are kept."""
    from pipekit import images
    from pipekit.page.notebook import THUMBNAIL_PX

    for number, item in enumerate(items):
        if not isinstance(item, str) and number < SHOWN:
            kept[number] = images.thumbnail(item.pixels, THUMBNAIL_PX).copy()
        yield item
