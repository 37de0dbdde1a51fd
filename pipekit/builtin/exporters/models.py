"""Shared by the exporters of models: load the model, choose images for the check, compare, write the accompanying files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.exporters.comparison import Comparison
from pipekit.builtin.exporters.of_task import alike, predicted, usage_of, with_scale
from pipekit.contract import Dataset, InputPath, Model, Params, Report, Sample, param
from pipekit.errors import ImageError, StageError, UserError
from pipekit.learning import decisions
from pipekit.learning.decisions import OUTPUT, Decision, decision_of, with_expected_costs
from pipekit.learning.exported import MAIN, SCORE
from pipekit.learning.predictor import RESIZE_METHOD, Predictor, keras_predictor, load_keras_model, read_model_info
from pipekit.learning.temperature import KEY, at_temperature, temperature_of, with_temperature
from pipekit.learning.unknown import load_unknown, with_score
from pipekit.rng import rng_for
from pipekit.tasks import CLASSES, TASKS, require, task_named

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
    calibrated: bool = param(
        False, "Divide the logits inside the exported model by the model's temperature (model.json): calibrated probabilities"
    )
    decide: bool = param(
        False, "Export the model's decision rule: the output expected_cost, whose lowest value is the predicted class"
    )
    check: int = param(64, "Maximum number of images to compare", unit="images", ge=1, le=10_000)


class FloatParams(CheckParams):
    """Parameters of exporters that keep floating-point weights."""

    tolerance: float = param(
        FLOAT_TOLERANCE,
        "Largest allowed difference of a probability; of a number, as a share of the targets' standard deviation",
        gt=0,
        le=1,
    )


@dataclass(frozen=True)
class Trained:
    """A trained model, loaded.

    Attributes:
        keras_model: takes ``(N, H, W, C) float32`` in 0..255.
        info: ``model.json``.
        predictor: the original model's predictions, calibrated if the export is to be.
        exported: what is exported: the Keras model, with its logits divided by the temperature if it is to be calibrated, and
            with the score for *none of these* as its second output if it has one; then the expected costs if it decides.
        decision: the rule that predicts the class; None: the most probable class.
    """

    folder: Path
    keras_model: Any
    info: Mapping[str, Any]
    predictor: Predictor = field(repr=False)
    exported: Any = None
    decision: Decision | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.predictor.classes

    @property
    def shape_hwc(self) -> tuple[int, int, int]:
        return self.predictor.input_shape_hwc

    @property
    def task(self) -> str:
        return task_named(self.info.get("task")) or CLASSES

    @property
    def main(self) -> str:
        """The name of the first output: the probabilities, or the number."""
        return MAIN[self.task]

    @property
    def thresholds(self) -> NDArray[np.float64]:
        """The probability from which on an image has each of several labels."""
        return np.array([float(self.info.get("thresholds", {}).get(name, 0.5)) for name in self.classes])

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs of ``exported``."""
        score = () if self.predictor.with_score is None else (SCORE,)
        return (self.main, *score, *(() if self.decision is None else (OUTPUT,)))

    def said(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """The predicted class of each row of probabilities: by the rule, else the most probable one."""
        return np.asarray(rows.argmax(axis=1) if self.decision is None else self.decision.decide(rows), np.int64)


@dataclass(frozen=True)
class Pictures:
    """Images as the model takes them, a description of them, and their class where it is known.

    Attributes:
        samples: the rows of the dataset that they are of, if they are of one.
        sources: the location of each image's file, or its bytes.
    """

    pixels: Pixels
    words: str
    labels: tuple[str | None, ...] = ()
    sources: tuple[str | bytes, ...] = ()
    samples: tuple[Sample, ...] = ()


def open_trained(artifact: Model, params: CheckParams) -> Trained:
    """Load the model.

    Raises:
        UserError: it is not a classifier, not a Keras model, damaged, or does not match its description; or it is to be
            calibrated, and has no temperature.
    """
    info = read_model_info(artifact.path, TASKS)
    for name in ("calibrated", "decide"):
        if getattr(params, name):
            require(f"{name!r}", task_named(info.get("task")) or CLASSES, [CLASSES])
    decision = decision_of(info, artifact.path) if params.decide else None
    temperature = temperature_of(info, artifact.path) if params.calibrated else None
    if decision is not None and decision.temperature != 1:
        temperature = decision.temperature
    if not (artifact.path / "model.keras").exists():
        raise UserError(
            f"{artifact.path} has no model.keras: the template {info.get('template')!r} saves another kind of model",
            "Only Keras models can be exported.",
        )
    model = load_keras_model(artifact.path, TASKS)
    info = with_scale(info, model)
    predictor = keras_predictor(model, artifact.path, info)
    unknown = load_unknown(artifact.path, info)
    exported = model
    if temperature is not None:
        # The check compares the graph with softmax(log p / T) of the original's probabilities.
        predictor, exported = at_temperature(predictor, temperature), with_temperature(model, temperature)
        info = {**info, KEY: {**info[KEY], "applied": True}}
    if unknown is not None:
        exported = with_score(exported, unknown)
    if decision is not None:
        exported = with_expected_costs(exported, decision.costs)
        info = {**info, decisions.KEY: {**info[decisions.KEY], "applied": True}}
    return Trained(artifact.path, model, info, predictor, exported, decision)


def save(trained: Trained, folder: Path, batch: int | None = None, *, label: bool = True, files: bool = False) -> None:
    """A SavedModel with the signature ``serving_default``: ``image`` (batch, H, W, C) float32 to ``probabilities``.

    The output of a model of a number is ``value``.

    If the model has a score for *none of these*, it is the output ``unknown_score``.

    Args:
        label: return the prediction too: see :func:`predicted`.
        files: add the signature ``serving_bytes``: ``image_bytes``, the bytes of JPEG or PNG files, to the same.
    """
    import keras
    import tensorflow as tf

    from pipekit.builtin.exporters.file_input import decoded

    def serve(image: Any) -> dict[str, Any]:
        found = trained.exported(image, training=False)
        answers = dict(zip(trained.outputs, found if len(trained.outputs) > 1 else [found], strict=True))
        return {**answers, **(predicted(tf, trained, answers) if label else {})}

    def serve_files(image_bytes: Any) -> dict[str, Any]:
        shape = tf.TensorSpec(trained.shape_hwc, tf.float32)
        pixels = tf.map_fn(
            lambda data: decoded(tf, data, trained.shape_hwc, trained.predictor.fit), image_bytes, fn_output_signature=shape
        )
        return serve(pixels)

    archive = keras.export.ExportArchive()
    _keep_in_order(archive, trained.exported)
    archive.track(trained.exported)
    # Keras would write each weight twice, once through its own object, and the states of random generators (of dropout), which
    # nothing in the signature uses and which differ after each load.
    model = trained.exported
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
            return Pictures(np.stack(pixels), f"{_images(len(pixels))} of the split {split!r}", labels, sources, samples)
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
    # An image of several labels counts once for each of them, and one with a number for none.
    counts = dataset.counts.get(split, {}) if dataset.task == CLASSES else {split: dataset.meta["splits"].get(split, 0)}
    total = sum(counts.values())
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
    """Predict each image with both models, one at a time.

    Args:
        exported: images to a row for each: the probabilities, the score for *none of these* if the model has one, and the
            expected costs if it decides.
    """
    each = [pictures.pixels[place : place + 1] for place in range(len(pictures.pixels))]
    ours = np.concatenate([trained.predictor.scoring().probabilities(pixels) for pixels in each])
    theirs = np.concatenate([exported(pixels) for pixels in each])
    more = 0 if trained.decision is None else len(trained.classes)
    if theirs.shape != (len(ours), ours.shape[1] + more) or not np.isfinite(theirs).all():
        raise StageError(
            f"the exported model returns an array of {theirs.shape}, or numbers that are not finite; "
            f"the original's is {ours.shape}"
        )
    num_classes = len(trained.classes)
    if trained.decision is not None:
        costs, theirs = theirs[:, -num_classes:], theirs[:, :-num_classes]
    scores, scores_now = ours[:, num_classes:], theirs[:, num_classes:]
    ours, theirs = ours[:, :num_classes], theirs[:, :num_classes]
    apart = np.abs(ours - theirs)
    shared: dict[str, Any] = {
        "pictures": pictures.words,
        "count": len(ours),
        "largest_difference": float(apart.max()),
        "mean_difference": float(apart.mean()),
        "largest_score_difference": float(np.abs(scores - scores_now).max()) if scores.size else None,
        "same_unknown": int(((scores > 1) == (scores_now > 1)).sum()) if scores.size else None,
        "task": trained.task,
    }
    if trained.task != CLASSES:
        return Comparison(**shared, **alike(trained, ours, theirs, pictures.samples))
    known = [(place, trained.classes.index(label)) for place, label in enumerate(pictures.labels) if label in trained.classes]
    said, said_now, cost_difference = trained.said(ours), theirs.argmax(axis=1), None
    if trained.decision is not None:
        expected, said_now = trained.decision.expected_costs(ours), costs.argmin(axis=1)
        cost_difference = float(np.abs(expected - costs).max() / trained.decision.costs.max())
    return Comparison(
        **shared,
        same_class=int((said == said_now).sum()),
        labelled=len(known),
        original_right=sum(int(said[place]) == y_true for place, y_true in known),
        exported_right=sum(int(said_now[place]) == y_true for place, y_true in known),
        largest_cost_difference=cost_difference,
    )


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
    more = {"from_files": from_files.to_plain()} if from_files else {}
    (out_dir / "check.json").write_text(json.dumps({**found.to_plain(), **more}, indent=2, ensure_ascii=False) + "\n", "utf-8")
    headline, facts = found.headline, dict(found.facts)
    if from_files:
        headline += f"; from {from_files.pictures}: {from_files.largest_difference:.1e}"
        facts["largest difference, from files"] = f"{from_files.largest_difference:.1e}"
    text = card_text(trained.info, report, usage=usage, checked=headline)
    (out_dir / "model_card.md").write_text(text, "utf-8")
    return {"facts": facts, "headline": headline}


def score_usage(trained: Trained, value: str) -> str:
    """How to use the outputs besides the probabilities; "" if there are none.

    Args:
        value: the output ``unknown_score``, in Markdown.
    """
    words = usage_of(trained)
    if trained.decision is not None:
        words = (
            f"\n\n{value.replace(SCORE, OUTPUT)} has a column for each class. The class with the lowest expected cost is the "
            f"predicted one: {trained.decision.words}."
        )
    if SCORE not in trained.outputs:
        return words
    return f"{words}\n\n{value} is above 1 for an image that is none of the classes: it is unlike the training images."


def labels_text(classes: tuple[str, ...]) -> str:
    """One class per line, in the order of the model's outputs."""
    return "".join(" ".join(name.splitlines()) + "\n" for name in classes)


def translated(error: Exception, what: str) -> StageError:
    """A converter's exception in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    return StageError(f"can't convert the model to {what}: {reason[:300]}", "The format may not support one of its layers.")
