"""Find images, predict each, and write the predictions, one after another: a million images need no more memory than a few."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pipekit.errors import ImageError, UserError
from pipekit.files import PlainTable, expanded, image_suffixes
from pipekit.files.urls import is_url, located, shown
from pipekit.learning.predictor import Predictor
from pipekit.passed_over import VIDEO
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, require, task_named

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipekit.learning.decisions import Decision

DECIMALS = 6
VIDEOS = VIDEO


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a video: its number from 0, its time, its pixels; ``str(frame)`` is ``clip.mp4#frame=30,time=1.000s``."""

    video: str
    number: int
    time_s: float
    pixels: NDArray[np.uint8]

    def __str__(self) -> str:
        return f"{self.video}#frame={self.number},time={self.time_s:.3f}s"


@dataclass(frozen=True, slots=True)
class Given:
    """An image from memory, ``(H, W, 3) uint8`` RGB, and what predictions call it."""

    name: str
    pixels: NDArray[np.uint8]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's prediction for one image, or the reason why there is none.

    Attributes:
        image: the path, as given or found; for a video's frame also its number and time.
        probabilities: (class, probability), most probable first; empty if the image can't be used.
        error: why the image can't be used, else "".
        frame: a video's frame: its file, its number from 0, its time in seconds; None for an image.
        decided: the class by the model's decision rule, where that is asked for; "" for the most probable class. For several
            labels, those above their thresholds with ``|`` between them, ``[]`` for none; of a number, its value.
        unknown_score: how unlike the training images it is; above 1 it is none of the classes. None if the model can't tell.
        labels: of several labels, those whose probability reaches their threshold, sorted; else None.
        value: of a number, the predicted one in its unit; else None.
        unit: of the number; "" for none.
        interval: of a number, the bounds of its prediction interval (split conformal, 90 %); None if the model has none.
    """

    image: str
    probabilities: tuple[tuple[str, float], ...] = ()
    error: str = ""
    frame: tuple[str, int, float] | None = None
    unknown_score: float | None = None
    decided: str = ""
    labels: tuple[str, ...] | None = None
    value: float | None = None
    unit: str = ""
    interval: tuple[float, float] | None = None

    @property
    def unknown(self) -> bool | None:
        """Whether the image is none of the classes; None if the model can't tell, or the image can't be used."""
        return None if self.unknown_score is None else self.unknown_score > 1

    @property
    def predicted(self) -> str:
        return self.decided or (self.probabilities[0][0] if self.probabilities else "")

    @property
    def confidence(self) -> float | None:
        """The probability of the predicted class; None for several labels and for a number."""
        if self.labels is not None or self.value is not None:
            return None
        return dict(self.probabilities).get(self.predicted)


def find_images(sources: Iterable[str], listed: Iterable[str] = ()) -> Iterator[str]:
    """The images that the sources name, in a stable order, found lazily.

    Args:
        sources: files, folders (searched to any depth), patterns (``photos/**/*.jpg``), or ``-`` for ``listed``.
        listed: one path per line, as from standard input.

    Raises:
        UserError: a source does not exist, or no file fits a pattern; raised before anything is read.
    """
    named = list(sources)
    for source in named:
        if source == "-" or is_url(source) or expanded(source).exists():
            continue
        if not glob.has_magic(source):
            raise UserError(f"no such file or folder: {source}", 'Give images, folders, a pattern in quotes ("**/*.jpg") or -.')
        if next(glob.iglob(str(expanded(source)), recursive=True), None) is None:  # noqa: PTH207
            hint = "In a pattern, [ begins a set of letters; write [[] for the letter itself." if "[" in source else ""
            raise UserError(f"no file fits the pattern {source}", hint)
    return _found([str(located(source)) if is_url(source) else source for source in named], listed)


def with_frames(paths: Iterable[str], every: int = 1, rate_hz: float = 0.0) -> Iterator[str | Frame]:
    """The paths, with each video replaced by its frames (:func:`pipekit.images.video.video_frames`)."""
    from pipekit import images

    for path in paths:
        if path.lower().endswith(VIDEOS):
            yield from (Frame(path, *frame) for frame in images.video_frames(path, every, rate_hz))
        else:
            yield path


def _found(sources: Sequence[str], listed: Iterable[str]) -> Iterator[str]:
    for source in sources:
        path = expanded(source)
        if source == "-":
            yield from (line.rstrip("\r\n") for line in listed if line.strip())
        elif path.is_dir():
            for folder, folders, files in os.walk(path):
                folders.sort()
                yield from (str(Path(folder, name)) for name in sorted(files) if name.lower().endswith(image_suffixes()))
        elif path.exists():
            yield str(path)
        else:
            yield from sorted(found for found in glob.glob(str(path), recursive=True) if Path(found).is_file())  # noqa: PTH207


def answers(
    predictor: Predictor,
    paths: Iterable[str | Frame | Given],
    *,
    workers: int = 1,
    batch_size: int = 32,
    mirrored: bool = False,
    decision: Decision | None = None,
) -> Iterator[Prediction]:
    """The prediction for each image, in order. An image that can't be used gives a :class:`Prediction` with an ``error``.

    Args:
        mirrored: test-time augmentation: average the probabilities of the image and its mirror image. The score for *none of
            these* stays that of the image, since its limit was set without mirror images.
        decision: the rule that decides on the class; None: the most probable one.
    """
    predictor = answering(predictor, mirrored)
    for item, row in predictor.stream(paths, _image_of, workers=workers, batch_size=batch_size):
        path = str(item)
        frame = (item.video, item.number, item.time_s) if isinstance(item, Frame) else None
        if isinstance(row, ImageError):
            yield Prediction(path, error=row.message, frame=frame)
        else:
            yield prediction_of(predictor, row, path, decision, frame)


def answering(predictor: Predictor, mirrored: bool = False) -> Predictor:
    """The predictor whose rows :func:`prediction_of` takes: with the score for *none of these*, if the model has one.

    Raises:
        UserError: ``mirrored``, and the model predicts a number.
    """
    predictor = predictor.scoring()
    if mirrored:
        require("'mirrored'", task_named(predictor.info.get("task")) or CLASSES, [CLASSES, MULTILABEL])
        predictor = replace(predictor, probabilities=_with_mirror(predictor.probabilities, len(predictor.classes)))
    return predictor


def prediction_of(
    predictor: Predictor,
    row: NDArray[np.float32],
    image: str,
    decision: Decision | None = None,
    frame: tuple[str, int, float] | None = None,
) -> Prediction:
    """What a row of the model's output means.

    Args:
        row: ``(num_classes,)``, and in one more column the score for *none of these*, if the model has one.
        image: what the prediction calls the image.
    """
    import numpy as np

    task, num_classes = task_named(predictor.info.get("task")) or CLASSES, len(predictor.classes)
    rounded = np.round(row.astype(np.float64), DECIMALS)
    order = np.argsort(-rounded[:num_classes], kind="stable")
    pairs = tuple((predictor.classes[i], float(rounded[i])) for i in order.tolist())
    score = float(rounded[num_classes]) if len(rounded) > num_classes else None
    decided = "" if decision is None else predictor.classes[int(decision.decide(rounded[None, :num_classes])[0])]
    found = Prediction(image, pairs, frame=frame, unknown_score=score, decided=decided)
    if task == NUMBER:
        return _with_value(found, predictor.info.get("value") or {})
    if task == MULTILABEL:
        labels = labels_of(predictor.info, pairs)
        return replace(found, labels=tuple(labels), decided="|".join(labels) or "[]")
    return found


def _with_value(found: Prediction, about: Mapping[str, Any]) -> Prediction:
    """The prediction of a number, with what ``model.json`` says about the number."""
    value, half = found.probabilities[0][1], half_width_of(about)
    bounds = None if half is None else (round(value - half, DECIMALS), round(value + half, DECIMALS))
    return replace(found, decided=f"{value:.6g}", value=value, unit=about.get("unit", ""), interval=bounds)


def half_width_of(about: Mapping[str, Any]) -> float | None:
    """Half of the width of a number's prediction interval, from ``value`` in ``model.json``; None if it has none."""
    half = (about.get("interval") or {}).get("half_width")
    return None if half is None else float(half)


def labels_of(info: Mapping[str, Any], pairs: Iterable[tuple[str, float]]) -> list[str]:
    """The labels whose probability reaches their threshold, sorted."""
    thresholds = info.get("thresholds", {})
    return sorted(name for name, p in pairs if p >= thresholds.get(name, 0.5))


def _image_of(item: str | Frame | Given) -> str | NDArray[np.uint8]:
    return item if isinstance(item, str) else item.pixels


def _with_mirror(
    probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float32]], num_classes: int
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    import numpy as np

    def mean(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = probabilities(batch)
        of_mirror = probabilities(batch[:, :, ::-1])[:, :num_classes]
        return np.concatenate([(found[:, :num_classes] + of_mirror) / 2, found[:, num_classes:]], axis=1).astype(np.float32)

    return mean


def write_csv(
    found: Iterable[Prediction],
    classes: Sequence[str],
    out: TextIO,
    *,
    frames: bool = False,
    scored: bool = False,
    bounded: bool = False,
) -> Iterator[Prediction]:
    """Write a row for each prediction as it comes, and yield it: image, predicted, confidence, all probabilities, error.

    Args:
        frames: add the columns clip, frame and time_s, which are empty for images.
        scored: add the columns unknown (1: none of the classes, else 0) and unknown_score.
        bounded: add the columns low and high, the prediction interval of a number.
    """
    writer = PlainTable(out)
    more = FRAME_COLUMNS if frames else ()
    unknown = UNKNOWN_COLUMNS if scored else ()
    bounds = BOUND_COLUMNS if bounded else ()
    writer.writerow(["image", *more, "predicted", *bounds, "confidence", *(f"p:{name}" for name in classes), *unknown, "error"])
    for prediction in found:
        by_class = dict(prediction.probabilities)
        numbers = [f"{by_class[name]:.{DECIMALS}f}" if name in by_class else "" for name in (prediction.predicted, *classes)]
        place = _frame_values(prediction) if frames else ()
        judged = _unknown_values(prediction) if scored else ()
        ends = [f"{end:.{DECIMALS}f}" for end in prediction.interval or ()] or [""] * len(bounds)
        within = ends if bounded else ()
        writer.writerow([shown(prediction.image), *place, prediction.predicted, *within, *numbers, *judged, prediction.error])
        yield prediction


FRAME_COLUMNS = ("clip", "frame", "time_s")
UNKNOWN_COLUMNS = ("unknown", "unknown_score")
BOUND_COLUMNS = ("low", "high")


def _unknown_values(prediction: Prediction) -> tuple[str, ...]:
    if prediction.unknown_score is None:
        return "", ""
    return str(int(prediction.unknown_score > 1)), f"{prediction.unknown_score:.{DECIMALS}f}"


def _frame_values(prediction: Prediction) -> tuple[str, ...]:
    if prediction.frame is None:
        return "", "", ""
    clip, number, time_s = prediction.frame
    return shown(clip), str(number), f"{time_s:.3f}"


def to_plain(prediction: Prediction, top_k: int) -> dict[str, Any]:
    """A prediction as JSON: ``image``, ``predicted``, ``confidence`` and the ``top`` classes; or ``image`` and ``error``.

    A model of several labels has ``labels`` in place of ``confidence``; one of a number ``value``, ``unit`` and the bounds
    ``low`` and ``high`` of its prediction interval. A model that can tell adds ``unknown``, whether the image is none of the
    classes, and ``unknown_score``.
    """
    image: dict[str, Any] = {"image": shown(prediction.image)}
    if prediction.frame is not None:
        clip, number, time_s = prediction.frame
        image |= {"clip": shown(clip), "frame": number, "time_s": round(time_s, 3)}
    if prediction.error:
        return {**image, "error": prediction.error}
    top = [{"class": name, "probability": share} for name, share in prediction.probabilities[:top_k]]
    judged = {"unknown": prediction.unknown, "unknown_score": prediction.unknown_score}
    more = {} if prediction.unknown is None else judged
    said = {**image, "predicted": prediction.predicted}
    if prediction.value is not None:
        low_high = dict(zip(("low", "high"), prediction.interval or (), strict=False))
        return {**said, "value": prediction.value, "unit": prediction.unit, **low_high, **more}
    if prediction.labels is not None:
        return {**said, "labels": list(prediction.labels), **more, "top": top}
    return {**said, "confidence": prediction.confidence, **more, "top": top}


def write_jsonl(found: Iterable[Prediction], top_k: int, out: TextIO) -> Iterator[Prediction]:
    """Write a JSON line for each prediction as it comes, and yield it."""
    for prediction in found:
        out.write(json.dumps(to_plain(prediction, top_k), ensure_ascii=False) + "\n")
        yield prediction


def sort_into(found: Iterable[Prediction], folder: Path) -> Iterator[Prediction]:
    """Copy each image into ``folder/<class>/``, and yield its prediction. Originals stay; nothing is overwritten."""
    for prediction in found:
        if prediction.predicted:
            target = folder / _folder_name(prediction.predicted)
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(prediction.image, _free(target / Path(prediction.image).name))
        yield prediction


def _folder_name(name: str) -> str:
    """A class name as a valid folder name."""
    safe = "".join("_" if character in '/\\:*?"<>|\0' else character for character in name)
    return safe if safe.strip(". ") else f"_{safe}"


def _free(path: Path) -> Path:
    """The path, or the first of ``name_2.jpg``, ``name_3.jpg`` … that does not exist."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return free
