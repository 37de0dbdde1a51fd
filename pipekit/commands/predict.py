"""Predict images with a trained model, one prediction after another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipekit.commands.working import registry_with
from pipekit.errors import UserError
from pipekit.tasks import CLASSES, TASKS, require, task_of

if TYPE_CHECKING:
    from pipekit.learning.predictions import Prediction


@dataclass(frozen=True)
class Predictions:
    """An iterator of predictions, which reads images on demand.

    Attributes:
        classes: the model's classes, in the order of its outputs.
        scored: whether the model can tell that an image is none of the classes: predictions have an ``unknown_score``.
        bounded: whether they have an ``interval``: the model predicts a number, and val was large enough for its width.
        sources: the files, folders and patterns that were given.
    """

    classes: tuple[str, ...]
    stream: Iterator[Prediction] = field(repr=False)
    scored: bool = False
    bounded: bool = False
    sources: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Prediction]:
        return self

    def __next__(self) -> Prediction:
        return next(self.stream)

    @property
    def passed_over(self) -> str:
        """A sentence about videos, and images in formats that can't be read, in the given folders; "" for none."""
        return _passed_over(self.sources)


def predict(
    model: str | Path,
    images: str | Path | Iterable[str | Path],
    *,
    listed: Iterable[str] = (),
    sort: str | Path | None = None,
    mirrored: bool = False,
    calibrated: bool = False,
    decide: bool = False,
    every: int = 1,
    rate_hz: float = 0.0,
    batch_size: int = 32,
    workers: int | None = None,
    plugins: Sequence[str] | None = (),
    disable: Sequence[str] | None = (),
) -> Predictions:
    """Predict images with a trained model, one after another, in constant memory.

    Images are read while the model works. For an image that can't be used, the prediction has the reason as ``error``.

    Args:
        model: a run (``runs/pets``), a folder with ``model.keras`` and ``model.json``, that file, or an exported model, whose
            folder has ``model.json`` too. ``model.onnx`` needs no TensorFlow.
        images: images, videos, folders (searched to any depth), patterns (``photos/**/*.jpg``); one or several.
        listed: paths that replace a source ``-``.
        sort: copy each image into ``sort/CLASS/``; originals stay, nothing is overwritten.
        mirrored: test-time augmentation: the mean of the probabilities of the image and its mirror image.
        calibrated: calibrate the probabilities by the temperature in ``model.json``, which ``train`` fits on val. The predicted
            classes stay the same, and so does the score for *none of these*.
        decide: predict by the decision rule in ``model.json``, a threshold or costs, which the stage ``calibrate`` writes. The
            probabilities are then calibrated.
        every: predict only every N-th frame of a video, at least 1.
        rate_hz: frames per second of a video's time, chosen as ``import.videos`` does; 0 leaves it to ``every``.
        batch_size: number of images per batch, 1 to 4096.
        workers: number of threads that read images; default: one per core.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.

    Returns:
        An iterator of ``Prediction``: ``image``, ``predicted``, ``confidence``, ``probabilities`` as pairs of class and
        probability with the most probable first, ``error``. They come in the order of the images. If the model can tell,
        ``unknown`` is True for an image that is none of the classes, and ``unknown_score`` is then above 1. A model of several
        labels fills ``labels``, one of a number ``value``, ``unit`` and ``interval``.

    Raises:
        UserError: there is no model or no such file, or the model lacks the temperature or the rule that is
            asked for. While iterating: there are no images in what was given.

    Example:
        >>> import pipekit
        >>> for found in pipekit.predict("runs/pets", "new_photos"):  # doctest: +SKIP
        ...     print(found.image, found.predicted, found.confidence)
        new_photos/1.jpg cat 0.981231
    """
    from pipekit.contract import Model
    from pipekit.engine.adhoc import find_artifact
    from pipekit.learning import predictions as ways
    from pipekit.learning.decisions import asked_for
    from pipekit.learning.light_predictor import load_light

    for name, value, most in (("every", every, None), ("batch_size", batch_size, 4096), ("workers", workers, None)):
        if value is not None and (value < 1 or (most is not None and value > most)):
            raise UserError(f"{name} must be at least 1{f' and at most {most}' if most else ''}, got {value}")
    if not 0 <= rate_hz <= 1000 or (rate_hz and every > 1):
        raise UserError(
            f"rate_hz must lie within 0 and 1000, without every; got rate_hz = {rate_hz:g}, every = {every}",
            "Choose frames by their rate or by their number.",
        )
    sources = [str(images)] if isinstance(images, (str, Path)) else [str(source) for source in images]
    registry = registry_with(plugins, disable)
    paths = ways.find_images(sources, listed)
    if sort is not None and any(source.lower().endswith(ways.VIDEOS) for source in sources):
        raise UserError("sort copies files, and the frames of a video are not files", "Leave the video out, or do not sort.")
    trained = find_artifact(str(model), Model, Path.cwd())
    if trained is None:
        raise UserError(f"no trained model in {model}", "Give a run (runs/NAME), a folder with model.json, or a model's file.")
    predictor, decision = asked_for(load_light(trained.path, registry.get, TASKS), calibrated, decide)
    found = ways.answers(
        predictor,
        ways.with_frames(paths, every, rate_hz),
        workers=workers or os.cpu_count() or 1,
        batch_size=batch_size,
        mirrored=mirrored,
        decision=decision,
    )
    if sort is not None:
        require("sort", task_of(trained), [CLASSES])
        found = ways.sort_into(found, Path(sort))
    bounded = ways.half_width_of(predictor.info.get("value") or {}) is not None
    scored = predictor.with_score is not None
    return Predictions(tuple(predictor.classes), _at_least_one(found), scored, bounded, tuple(sources))


def _passed_over(sources: Sequence[str]) -> str:
    from pipekit.files.urls import located
    from pipekit.passed_over import VIDEO, joined, passed_over, sentence

    folders = [located(source) for source in sources if source != "-"]
    found = joined(passed_over(folder, reads=None) for folder in folders if folder.is_dir())
    if not found:
        return ""
    videos = (
        " Videos are predicted where they are named: folder/clip.mp4." if any(found["counts"].get(v) for v in VIDEO) else ""
    )
    return f"{sentence({**found, 'folders': []}).partition('. To use them')[0]}.{videos}"


def _at_least_one(found: Iterator[Prediction]) -> Iterator[Prediction]:
    nothing = True
    for prediction in found:
        nothing = False
        yield prediction
    if nothing:
        raise UserError("there are no images in what was given", "Images end in .jpg, .png, .webp, .gif, .bmp or .tif.")
