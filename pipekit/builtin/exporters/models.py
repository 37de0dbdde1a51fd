"""Shared by the exporters of models: load the model, choose images for the check, compare, write the accompanying files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Dataset, InputPath, Model, Params, Report, Sample, param
from pipekit.errors import ImageError, StageError, UserError
from pipekit.learning.predictor import RESIZE_METHOD, Predictor, load_keras_model, read_model_info
from pipekit.rng import rng_for

Pixels = NDArray[np.uint8]
Answers = Callable[[Pixels], NDArray[np.float32]]

FLOAT_TOLERANCE = 1e-4
FROM_FILES = "serving_bytes"
"""The signature that takes the bytes of files."""
NUM_RANDOM = 16


class CheckParams(Params):
    """Parameters of every exporter of models."""

    images: InputPath | None = param(
        None, "Images for checking the export, a file or folder; by default the dataset's test split, else random images"
    )
    check: int = param(64, "Maximum number of images to compare", unit="images", ge=1, le=10_000)


class FloatParams(CheckParams):
    """Parameters of exporters that keep floating-point weights."""

    tolerance: float = param(FLOAT_TOLERANCE, "Largest allowed difference of a probability", gt=0, le=1)


@dataclass(frozen=True)
class Trained:
    """A trained classifier, loaded.

    Attributes:
        keras_model: takes ``(N, H, W, C) float32`` in 0..255.
        info: ``model.json``.
        predictor: the original model's predictions.
    """

    folder: Path
    keras_model: Any
    info: Mapping[str, Any]
    predictor: Predictor = field(repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.predictor.classes

    @property
    def shape_hwc(self) -> tuple[int, int, int]:
        return self.predictor.input_shape_hwc


@dataclass(frozen=True)
class Pictures:
    """Images as the model takes them, a description of them, and their class where it is known.

    Attributes:
        sources: the location of each image's file, or its bytes.
    """

    pixels: Pixels
    words: str
    labels: tuple[str | None, ...] = ()
    sources: tuple[str | bytes, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """How an exported model's predictions differ from the original's.

    Attributes:
        largest_difference: over the probabilities of all images; ``mean_difference`` is their mean.
        same_class: number of images for which both predict the same class.
        original_right, exported_right: correct predictions among the ``labelled`` images, whose class is known.
    """

    pictures: str
    count: int
    largest_difference: float
    mean_difference: float
    same_class: int
    labelled: int = 0
    original_right: int = 0
    exported_right: int = 0

    @property
    def headline(self) -> str:
        words = (
            f"checked against the original on {self.pictures}: largest difference of a probability "
            f"{self.largest_difference:.1e}, the same class for {self.same_class} of {self.count}"
        )
        if self.labelled:
            words += f"; correct: {self.exported_right} of {self.labelled}, the original {self.original_right}"
        return words

    @property
    def facts(self) -> dict[str, str]:
        return {"largest difference": f"{self.largest_difference:.1e}", "same class": f"{self.same_class} of {self.count}"}


def open_trained(artifact: Model) -> Trained:
    """Load the model.

    Raises:
        UserError: it is not a classifier, not a Keras model, damaged, or does not match its description.
    """
    info = read_model_info(artifact.path)
    if not (artifact.path / "model.keras").exists():
        raise UserError(
            f"{artifact.path} has no model.keras: the template {info.get('template')!r} saves another kind of model",
            "Only Keras models can be exported.",
        )
    model = load_keras_model(artifact.path)

    def probabilities(batch: Pixels) -> NDArray[np.float32]:
        return np.asarray(model.predict_on_batch(batch.astype(np.float32)), np.float32)

    height, width, channels = info["input_shape_hwc"]
    predictor = Predictor(tuple(info["classes"]), (height, width, channels), info, probabilities)
    return Trained(artifact.path, model, info, predictor)


def save(trained: Trained, folder: Path, batch: int | None = None, *, label: bool = True, files: bool = False) -> None:
    """A SavedModel with the signature ``serving_default``: ``image`` (batch, H, W, C) float32 to ``probabilities``.

    Args:
        label: return the most probable class's name too.
        files: add the signature ``serving_bytes``: ``image_bytes``, the bytes of JPEG or PNG files, to the same.
    """
    import keras
    import tensorflow as tf

    from pipekit.builtin.exporters.file_input import decoded

    labels = tf.constant(trained.classes)

    def serve(image: Any) -> dict[str, Any]:
        probabilities = trained.keras_model(image, training=False)
        more = {"label": tf.gather(labels, tf.argmax(probabilities, axis=-1))} if label else {}
        return {"probabilities": probabilities, **more}

    def serve_files(image_bytes: Any) -> dict[str, Any]:
        shape = tf.TensorSpec(trained.shape_hwc, tf.float32)
        pixels = tf.map_fn(lambda data: decoded(tf, data, trained.shape_hwc), image_bytes, fn_output_signature=shape)
        return serve(pixels)

    archive = keras.export.ExportArchive()
    _keep_in_order(archive, trained.keras_model)
    archive.track(trained.keras_model)
    # Keras would write each weight twice, once through its own object, and the states of random generators (of dropout), which
    # nothing in the signature uses and which differ after each load.
    model = trained.keras_model
    parts = {"": model.weights, "trainable_": model.trainable_weights, "non_trainable_": model.non_trainable_weights}
    for kind, weights in parts.items():
        archive.add_variable_collection(f"{kind}variables", [weight.value for weight in weights])
    signature = [tf.TensorSpec((batch, *trained.shape_hwc), tf.float32, name="image")]
    archive.add_endpoint("serve", serve, input_signature=signature)
    if files:
        archive.add_endpoint(FROM_FILES, serve_files, input_signature=[tf.TensorSpec((batch,), tf.string, name="image_bytes")])
    archive.write_out(str(folder), verbose=False)


def _keep_in_order(archive: Any, model: Any) -> None:
    """Have variables be saved in the model's order: Keras takes them from a set, whose order is that of their addresses."""
    collect = getattr(archive, "_filter_and_track_resources", None)
    if collect is None:  # a Keras without this private method
        return

    def collect_in_order() -> None:
        collect()
        places = {id(variable.value): place for place, variable in enumerate(model.variables)}
        found = list(archive._tf_trackable._all_variables)
        archive._tf_trackable._all_variables = sorted(found, key=lambda variable: places.get(id(variable), len(places)))

    archive._filter_and_track_resources = collect_in_order


# --- images for the check ------------------------------------------------------------------------------------------------


def held_out(trained: Trained, dataset: Dataset | None, params: CheckParams) -> Pictures:
    """Images that the model was not trained on: given ones, the test split (else val), or random ones."""
    if params.images is not None:
        return _given(trained, Path(params.images), params.check)
    for split in ("test", "val"):
        if dataset is not None and (found := _read(trained, spread(dataset, split, params.check))):
            pixels, samples = zip(*found, strict=True)
            labels, sources = tuple(sample.label for sample in samples), tuple(sample.image for sample in samples)
            return Pictures(np.stack(pixels), f"{_images(len(pixels))} of the split {split!r}", labels, sources)
    return _noise(trained)


def _noise(trained: Trained) -> Pictures:
    """PNG files of random noise, one and a half times as large as the input."""
    from pipekit import images

    rng = rng_for(0, "random pictures", *trained.shape_hwc)
    height, width, channels = trained.shape_hwc
    size = (NUM_RANDOM, height * 3 // 2 + 1, width * 3 // 2 + 1, channels)
    files = tuple(images.encode(noise, "png") for noise in rng.integers(0, 256, size, dtype=np.uint8))
    pixels = np.stack([trained.predictor.prepare(images.decode(data)) for data in files])
    return Pictures(pixels, f"{NUM_RANDOM} images of random noise (no others were given)", (), files)


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"


def _given(trained: Trained, place: Path, most: int) -> Pictures:
    found, sources = [], []
    for file in islice(files_in(place), most):
        try:
            found.append(trained.predictor.prepare(file))
            sources.append(str(file))
        except ImageError:
            continue
    if not found:
        raise UserError(f"there is no usable image in {place}", "Give a folder of images, or one image.")
    return Pictures(np.stack(found), f"{_images(len(found))} of {place.name}", (), tuple(sources))


def files_in(place: Path) -> Any:
    """The image files in a folder, in a stable order."""
    from pipekit.learning.predictions import find_images

    return find_images([str(place)])


def spread(dataset: Dataset, split: str, most: int) -> list[Sample]:
    """At most this many samples, evenly spread over the split: rows are sorted by id, which often means by class."""
    total = sum(dataset.counts.get(split, {}).values())
    wanted = set(np.linspace(0, total - 1, min(most, total)).round().astype(int).tolist()) if total else set()
    return [sample for place, sample in enumerate(dataset.split(split)) if place in wanted]


def _read(trained: Trained, samples: list[Sample]) -> list[tuple[Pixels, Sample]]:
    found = []
    for sample in samples:
        try:
            found.append((trained.predictor.prepare(sample.image), sample))
        except ImageError:
            continue
    return found


def training_pixels(trained: Trained, dataset: Dataset | None, params: CheckParams, most: int) -> Pixels | None:
    """Images of the train split, to measure the value ranges of the model's layers; None if there are none."""
    found = _read(trained, spread(dataset, "train", most)) if dataset is not None else []
    return np.stack([pixels for pixels, _ in found]) if found else None


# --- the check -----------------------------------------------------------------------------------------------------------


def compare(trained: Trained, exported: Answers, pictures: Pictures) -> Comparison:
    """Predict each image with both models, one at a time."""
    each = [pictures.pixels[place : place + 1] for place in range(len(pictures.pixels))]
    ours = np.concatenate([trained.predictor.probabilities(pixels) for pixels in each])
    theirs = np.concatenate([exported(pixels) for pixels in each])
    if theirs.shape != ours.shape or not np.isfinite(theirs).all():
        raise StageError(
            f"the exported model returns an array of {theirs.shape}, or numbers that are not finite; "
            f"the original's is {ours.shape}"
        )
    apart = np.abs(ours - theirs)
    known = [(place, trained.classes.index(label)) for place, label in enumerate(pictures.labels) if label in trained.classes]
    said, said_now = ours.argmax(axis=1), theirs.argmax(axis=1)
    return Comparison(
        pictures=pictures.words,
        count=len(ours),
        largest_difference=float(apart.max()),
        mean_difference=float(apart.mean()),
        same_class=int((said == said_now).sum()),
        labelled=len(known),
        original_right=sum(int(said[place]) == y_true for place, y_true in known),
        exported_right=sum(int(said_now[place]) == y_true for place, y_true in known),
    )


def within(found: Comparison, tolerance: float) -> Comparison:
    """Compare the two models, and return the comparison if they agree.

    Raises:
        StageError: a probability differs by more than the tolerance.
    """
    if found.largest_difference > tolerance:
        raise StageError(
            f"the exported model differs from the original: {found.headline}; allowed is {tolerance:g}",
            "Nothing was written. Raise `tolerance` to accept the difference.",
        )
    return found


# --- files beside the model ----------------------------------------------------------------------------------------------


def write_beside(
    trained: Trained,
    out_dir: Path,
    found: Comparison,
    usage: str,
    report: Report | None = None,
    from_files: Comparison | None = None,
) -> Mapping[str, Any]:
    """Write ``labels.txt``, ``model.json``, ``check.json`` and ``model_card.md``; returns the facts that the run displays.

    Args:
        from_files: the comparison of what the exported model makes of files.
    """
    from pipekit.builtin.exporters.card import card_text

    (out_dir / "labels.txt").write_text(labels_text(trained.classes), "utf-8")
    info = {**trained.info, "preprocessing": {**trained.info.get("preprocessing", {}), "resize_method": RESIZE_METHOD}}
    (out_dir / "model.json").write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", "utf-8")
    more = {"from_files": asdict(from_files)} if from_files else {}
    (out_dir / "check.json").write_text(json.dumps({**asdict(found), **more}, indent=2, ensure_ascii=False) + "\n", "utf-8")
    headline, facts = found.headline, dict(found.facts)
    if from_files:
        headline += f"; from {from_files.pictures}: {from_files.largest_difference:.1e}"
        facts["largest difference, from files"] = f"{from_files.largest_difference:.1e}"
    text = card_text(trained.info, report, usage=usage, checked=headline)
    (out_dir / "model_card.md").write_text(text, "utf-8")
    return {"facts": facts, "headline": headline}


def labels_text(classes: tuple[str, ...]) -> str:
    """One class per line, in the order of the model's outputs."""
    return "".join(" ".join(name.splitlines()) + "\n" for name in classes)


def translated(error: Exception, what: str) -> StageError:
    """A converter's exception in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    return StageError(f"can't convert the model to {what}: {reason[:300]}", "The format may not support one of its layers.")
