"""Load a trained model and predict probabilities: the only place that knows how.

``model.keras`` takes pixels in 0..255 and returns softmax probabilities. A template whose models are not Keras files sets
``build.load = load`` on its function, with ``load(folder) -> (uint8 images (N, H, W, C)) -> probabilities (N, classes)``.
"""

from __future__ import annotations

import json
import struct
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args
from zipfile import BadZipFile, ZipFile, is_zipfile

from pipekit.errors import ImageError, UserError
from pipekit.images.choices import Fit
from pipekit.learning.exported import MAIN, SCORE, open_exported
from pipekit.tasks import CLASSES, require, task_named

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipekit.contract import ComponentLike

FORMAT = 3
"""Newest format version of ``model.json``; a change that an older pipekit would misread increments it.

2 is that of models whose images are not stretched to the input size, which version 1 does not know; 3 that of several labels
and of numbers.
"""

INFO_HINT = "Give the folder of a trained model: runs/<name>, or the folder with model.keras or an export, and model.json."

MAX_RATIO, FREE_BYTES = 20, 1 << 28
"""An archive of weights is refused if it expands by more than this factor, and past this size."""

RESIZE_METHOD = {"smaller": "area", "otherwise": "bilinear"}
"""How :meth:`Predictor.prepare` resizes, by name, for ``model.json``: by the mean of areas where both sides become smaller."""

T = TypeVar("T")
Probabilities = Callable[["NDArray[np.uint8]"], "NDArray[np.float32]"]


@dataclass(frozen=True)
class Predictor:
    """A loaded classifier.

    Attributes:
        classes: the class of each column of the probabilities.
        input_shape_hwc: the size that images are resized to.
        info: all of ``model.json``.
        probabilities: ``(N, H, W, C) uint8`` RGB or grey images to ``(N, num_classes) float32``.
        folder: the model's folder; None for a model made in memory.
        with_score: like ``probabilities``, and in one more column the score of :mod:`pipekit.learning.unknown`, above 1 for an
            image that is none of the classes; None if the model can't tell.
        padded: whether a batch is filled up to one size before it is predicted.
    """

    classes: tuple[str, ...]
    input_shape_hwc: tuple[int, int, int]
    info: Mapping[str, Any]
    probabilities: Probabilities = field(repr=False)
    folder: Path | None = None
    with_score: Probabilities | None = field(default=None, repr=False)
    padded: bool = field(default=True, repr=False)

    @property
    def fit(self) -> Fit:
        """How an image of another aspect ratio is brought to the input size."""
        return fit_of(self.info)

    def scoring(self) -> Predictor:
        """The same, with the score as a last column of the rows of ``stream``, if the model has one."""
        return self if self.with_score is None else replace(self, probabilities=self.with_score)

    def prepare(self, image: str | Path | bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The model's input, ``input_shape_hwc`` uint8, of a file, its bytes or ``(H, W, 3) uint8`` RGB. Raises ImageError."""
        from pipekit import images

        height, width, channels = self.input_shape_hwc
        if isinstance(image, (str, Path, bytes)):
            data = image if isinstance(image, bytes) else images.read_bytes(Path(image))
            pixels = images.decode(data, at_least_hw=(height, width), gray=channels == 1)
        else:
            pixels = images.to_gray(image) if channels == 1 else image
        return images.fitted(pixels, (height, width), self.fit).reshape(self.input_shape_hwc)

    def stream(
        self,
        items: Iterable[T],
        image_of: Callable[[T], str | Path | NDArray[np.uint8]],
        *,
        workers: int = 1,
        batch_size: int = 32,
    ) -> Iterator[tuple[T, NDArray[np.float32] | ImageError]]:
        """Each item with its ``(num_classes,)`` probabilities, or the reason why its image can't be used, in order.

        Threads decode ahead while the model predicts; at most three batches are in memory, however many items there are.
        """
        for batch in _batches(self._decoded(items, image_of, workers, 2 * batch_size), batch_size):
            pixels = [image for _, image in batch if not isinstance(image, ImageError)]
            rows = iter(self._padded(pixels, batch_size) if pixels else ())
            for item, image in batch:
                yield item, image if isinstance(image, ImageError) else next(rows)

    def compare(
        self, items: Iterable[T], image_of: Callable[[T], str | Path | NDArray[np.uint8]], *, workers: int, batch_size: int
    ) -> Iterator[tuple[T, float | ImageError]]:
        """Each item with the RMSE, 0..255, between its image and the autoencoder's reconstruction, or why it can't be used."""
        import numpy as np

        for batch in _batches(self._decoded(items, image_of, workers, 2 * batch_size), batch_size):
            pixels = [image for _, image in batch if not isinstance(image, ImageError)]
            again = self._padded(pixels, batch_size) if pixels else ()
            pairs = zip(pixels, again, strict=True)
            rows = iter([float(np.sqrt(np.square(one - two, dtype=np.float64).mean())) for one, two in pairs])
            for item, image in batch:
                yield item, image if isinstance(image, ImageError) else next(rows)

    def _padded(self, pixels: list[NDArray[np.uint8]], batch_size: int) -> NDArray[np.float32]:
        """Pad to a fixed shape: the graph is traced once, and an image's result does not depend on its batch."""
        import numpy as np

        if not self.padded:
            return self.probabilities(np.stack(pixels))
        batch = np.zeros((batch_size, *self.input_shape_hwc), np.uint8)
        batch[: len(pixels)] = pixels
        return self.probabilities(batch)[: len(pixels)]

    def _decoded(
        self, items: Iterable[T], image_of: Callable[[T], str | Path | NDArray[np.uint8]], workers: int, ahead: int
    ) -> Iterator[tuple[T, NDArray[np.uint8] | ImageError]]:
        def load(item: T) -> NDArray[np.uint8] | ImageError:
            try:
                return self.prepare(image_of(item))
            except ImageError as error:
                return error

        pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="decode")
        waiting: deque[tuple[T, Future[NDArray[np.uint8] | ImageError]]] = deque()
        try:
            for item in items:
                waiting.append((item, pool.submit(load, item)))
                if len(waiting) > ahead:
                    first, image = waiting.popleft()
                    yield first, image.result()
            while waiting:
                first, image = waiting.popleft()
                yield first, image.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def load_predictor(
    folder: Path, component: Callable[[str, str], ComponentLike], *, lazy: bool = False, tasks: Collection[str] = (CLASSES,)
) -> Predictor:
    """Load the classifier in ``folder``: ``model.json``, and ``model.keras``, the template's own files or an exported model.

    Args:
        folder: a Model artifact's ``path``, or a run's folder.
        component: finds a component by kind and name: ``ctx.component`` or ``registry.get``.
        lazy: load the model at its first prediction.
        tasks: those of the model that the caller knows how to use.

    Raises:
        UserError: the folder holds no model, or a file is missing, broken or does not fit ``model.json``.
    """
    info = read_model_info(folder, tasks)
    classes = tuple(info["classes"])
    height, width, channels = info["input_shape_hwc"]
    if (folder / "model.keras").exists():
        if lazy:
            return _lazily(classes, (height, width, channels), info, folder)
        return keras_predictor(_open_keras(folder, info), folder, info)
    if opened := open_exported(folder):
        main = MAIN[task_named(info.get("task")) or CLASSES]
        if main not in opened.outputs:
            raise UserError(
                f"the exported model in {folder} has no output {main!r}, which model.json beside it calls for",
                "The two files belong to different models: copy both from one export.",
            )
        scored = _checked(opened.answers(main, SCORE), len(classes), folder, more=1)
        checked = _checked(opened.answers(main), len(classes), folder)
        return Predictor(classes, (height, width, channels), info, checked, folder, scored if SCORE in opened.outputs else None)
    load = _template_loader(info.get("template"), component)
    return Predictor(classes, (height, width, channels), info, load(folder), folder)


def _lazily(classes: tuple[str, ...], shape_hwc: tuple[int, int, int], info: Mapping[str, Any], folder: Path) -> Predictor:
    """A predictor that loads its Keras model at its first prediction."""
    loaded = cache(lambda: keras_predictor(_open_keras(folder, info), folder, info))

    def with_score(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        return loaded().scoring().probabilities(batch)

    scored = with_score if info.get("unknown") else None
    return Predictor(classes, shape_hwc, info, lambda batch: loaded().probabilities(batch), folder, scored)


def _checked(probabilities: Probabilities, num_classes: int, folder: Path, more: int = 0) -> Probabilities:
    """The same function; it raises UserError if the model has more or fewer outputs than ``model.json`` has classes.

    Args:
        more: columns besides the classes.
    """

    def checked(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = probabilities(batch)
        if rows.shape != (len(batch), num_classes + more):
            raise UserError(
                f"the model in {folder} has {rows.shape[-1] - more} outputs, but model.json beside it names {num_classes} "
                "classes",
                "The two files belong to different models: copy both from one run.",
            )
        return rows

    return checked


def keras_predictor(model: Any, folder: Path, info: Mapping[str, Any]) -> Predictor:
    """The classifier of a loaded Keras model."""
    from pipekit.learning.unknown import load_unknown, with_score

    height, width, channels = info["input_shape_hwc"]
    unknown = load_unknown(folder, info)
    scored = None if unknown is None else _call(with_score(model, unknown))
    return Predictor(tuple(info["classes"]), (height, width, channels), info, _call(model), folder, scored)


def is_reconstruction(folder: Path) -> bool:
    """Whether ``folder`` has an autoencoder, by ``model.json``."""
    return _read_info(folder).get("task") == "reconstruction"


def load_reconstructor(folder: Path) -> Predictor:
    """Load the autoencoder in ``folder``: ``probabilities`` returns ``(N, H, W, C) float32`` reconstructions in 0..255.

    Raises:
        UserError: a file is missing, broken, or does not fit ``model.json``.
    """
    info = _read_info(folder)
    height, width, channels = _input_shape(folder, info)
    return Predictor((), (height, width, channels), info, _call(_open_keras(folder, info)), folder)


def read_model_info(folder: Path, tasks: Collection[str] = (CLASSES,)) -> dict[str, Any]:
    """Read ``model.json``, and check what every model but an autoencoder needs: ``classes`` and ``input_shape_hwc``.

    Args:
        tasks: those that the caller knows how to use.
    """
    info = _read_info(folder)
    require(f"what you asked for with the model in {folder}", task_named(info.get("task")) or CLASSES, tasks)
    if info.get("task") == "reconstruction":
        raise UserError(
            f"the model in {folder} is an autoencoder (task 'reconstruction' in model.json); it predicts no classes",
            "`pipekit evaluate` measures its reconstructions. For classes, train a classifier such as simple_cnn.",
        )
    classes = info.get("classes")
    if not (isinstance(classes, list) and classes and all(isinstance(name, str) for name in classes)):
        raise UserError(f"{folder / 'model.json'}: 'classes' must be a list of names, got {classes!r}", INFO_HINT)
    _input_shape(folder, info)
    return info


def fit_of(info: Mapping[str, Any]) -> Fit:
    """How images of another aspect ratio are brought to a model's input size, by ``model.json``; older ones are stretched."""
    said = info.get("preprocessing")
    return cast("Fit", said.get("fit", "stretch") if isinstance(said, Mapping) else "stretch")


def _input_shape(folder: Path, info: Mapping[str, Any]) -> tuple[int, int, int]:
    shape = info.get("input_shape_hwc")
    if not (isinstance(shape, list) and len(shape) == 3 and all(isinstance(n, int) and n > 0 for n in shape)):
        file = folder / "model.json"
        raise UserError(f"{file}: 'input_shape_hwc' must be three whole numbers, got {shape!r}", INFO_HINT)
    if (fit := fit_of(info)) not in get_args(Fit):
        raise UserError(
            f"{folder / 'model.json'}: 'fit' below 'preprocessing' must be {', '.join(get_args(Fit))}, got {fit!r}", INFO_HINT
        )
    return shape[0], shape[1], shape[2]


def _read_info(folder: Path) -> dict[str, Any]:
    """Read ``model.json``; {} if it is no table."""
    file = folder / "model.json"
    try:
        info = json.loads(file.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder} has no model.json, which holds the model's classes and input size", INFO_HINT) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file} can't be read: {error}", INFO_HINT) from error
    if isinstance(info, dict) and isinstance(info.get("format"), int) and info["format"] > FORMAT:
        raise UserError(
            f"{file} is in format {info['format']}, written by a newer pipekit; this one reads formats up to {FORMAT}",
            "Install the newer pipekit, or train the model again with this one.",
        )
    return info if isinstance(info, dict) else {}


def load_keras_model(folder: Path, tasks: Collection[str] = (CLASSES,)) -> Any:
    """Load the Keras model in ``folder``, and check its input size and number of outputs against ``model.json``.

    Args:
        tasks: those of the model that the caller knows how to use.

    Raises:
        UserError: the model is missing, broken, no classifier, or does not fit ``model.json``.
    """
    return _open_keras(folder, read_model_info(folder, tasks))


def _open_keras(folder: Path, info: Mapping[str, Any]) -> Any:
    """Load the Keras model of a classifier or an autoencoder, and check its shapes against its description."""
    from pipekit.learning.keras_backend import load_keras
    from pipekit.learning.plain_models import has_mixed_precision, plain_model

    file = folder / "model.keras"
    if not file.exists():
        raise UserError(f"{folder} has no model.keras", "This works only with Keras models.")
    if not is_zipfile(file):
        raise UserError(
            f"{file} is not a complete Keras file ({file.stat().st_size:,} bytes without the end of a zip archive)",
            "It may have been truncated while it was copied: copy it again, or train the model again.",
        )
    _check_claims(file)
    try:
        model: Any = load_keras().saving.load_model(file, compile=False)
    except Exception as error:
        if number := _num_lambdas(file):
            raise UserError(
                f"{file} has {number} Lambda layer{'s' if number > 1 else ''}: Python code in the model's file, which could do "
                "anything on this machine, so it is not loaded",
                "Replace each Lambda by a layer of Keras (Rescaling for x / 255), train the model again and save it.",
            ) from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{file} can't be loaded: {reason}", _other_versions(info)) from error
    reconstructs = info.get("task") == "reconstruction"
    expected = (tuple(info["input_shape_hwc"]), info["input_shape_hwc"][-1] if reconstructs else len(info["classes"]))
    found = (tuple(model.input_shape[1:]), int(model.output_shape[-1]))
    if found != expected:
        raise UserError(
            f"{file} takes images of {found[0]} and has {found[1]} outputs, "
            f"but model.json beside it says {expected[0]} and {expected[1]}",
            "The two files belong to different models; train again, or copy both from one run.",
        )
    return plain_model(model) if has_mixed_precision(model) else model  # files of older versions


def _check_claims(file: Path) -> None:
    """Refuse an archive that expands to far more than its size: weights hardly compress.

    Raises:
        UserError: it does, or its list of members is damaged.
    """
    try:
        with ZipFile(file) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
    except (OSError, ValueError, BadZipFile, NotImplementedError, struct.error) as error:
        raise UserError(f"{file} is damaged: {error}", "Copy it again, or train the model again.") from error
    if claimed > max(FREE_BYTES, MAX_RATIO * file.stat().st_size):
        raise UserError(
            f"{file} claims to hold {claimed:,} bytes in an archive of {file.stat().st_size:,}: weights hardly compress",
            "It was not written by Keras: use a model that you trust.",
        )


def _num_lambdas(file: Path) -> int:
    """The number of layers whose configuration holds code."""
    try:
        with ZipFile(file) as archive:
            config = json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, BadZipFile, RecursionError):
        return 0
    number, waiting = 0, [config]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            number += found.get("class_name") == "Lambda"
        if isinstance(found, (dict, list)):
            waiting += found.values() if isinstance(found, dict) else found
    return number


def _other_versions(info: Mapping[str, Any]) -> str:
    """The hint for a file that Keras can't load: install the Keras version that wrote it."""
    from importlib.metadata import version

    made = info.get("versions")
    then = {name: str(made[name]) for name in ("keras", "tensorflow") if made.get(name)} if isinstance(made, Mapping) else {}
    other = {name: number for name, number in then.items() if number != version(name)}
    if not other:
        return "The file is broken: copy it again, or train the model again."
    wrote = " and ".join(f"{name} {number} (here: {version(name)})" for name, number in other.items())
    wanted = " ".join(f"{name}=={number}" for name, number in other.items())
    return f"It was written by {wrote}: pip install {wanted}, or train the model again."


def _call(model: Any) -> Probabilities:
    """A model's answers; those of several outputs side by side."""
    import numpy as np

    def probabilities(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = model.predict_on_batch(batch.astype(np.float32))
        return np.asarray(np.concatenate(found, axis=1) if isinstance(found, (list, tuple)) else found, np.float32)

    return probabilities


def _template_loader(template: Any, component: Callable[[str, str], ComponentLike]) -> Callable[[Path], Probabilities]:
    if not isinstance(template, str):
        raise UserError(
            "there is no model.keras, and model.json names no template that could load the model", "Train the model again."
        )
    load = getattr(component("model", template).load(), "load", None)
    if load is None:
        raise UserError(
            f"there is no model.keras, and the template {template!r} can't load other files",
            "The model's folder is incomplete; train it again.",
        )
    return load  # type: ignore[no-any-return]


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
