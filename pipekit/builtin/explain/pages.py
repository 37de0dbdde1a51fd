"""The sections of the explanations page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.explain import layers, maps
from pipekit.builtin.explain.by_class import class_table, mean_map
from pipekit.builtin.explain.constant_place import constant_place
from pipekit.builtin.explain.saliency_location import where
from pipekit.contract import Context, Picture, Section, Table
from pipekit.errors import ImageError, UserError
from pipekit.learning.chance import trained_to_know
from pipekit.learning.light_predictor import features_predictor
from pipekit.learning.predictor import Predictor, keras_predictor, load_keras_model, load_predictor, read_model_info
from pipekit.page.markdown import literal
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, TASKS, task_named

if TYPE_CHECKING:
    from pipekit.builtin.explain import ExplainParams

WORDS = {
    "grad_cam": "Grad-CAM",
    "grad_cam_pp": "Grad-CAM++",
    "integrated_gradients": "integrated gradients",
    "occlusion": "occlusion",
}
SUSPICIOUS = 0.7
"""Rank correlation with the random model's map above which a map says little about what the model learned."""
FULL = 0.995
"""Quantile of a map's values at which the colour scale ends: a single extreme pixel would flatten everything else."""
SHOWN_PX = 256
MAX_FILTERS = 96
MAX_LABELS = 4
"""Number of predicted labels of an image that are explained, the most probable ones."""
NO_BETTER = "no verdict: the model is not better than chance on val"


@dataclass(frozen=True)
class Studio:
    """A model prepared for explaining: the predictor and, for a network, the opened model and a copy with shuffled weights.

    Attributes:
        features: predicts by the runtime of the features, where the model learned from features: several times faster, equal to
            1e-4. Occlusion needs hundreds of predictions.
    """

    predictor: Predictor
    opened: maps.Opened | None
    random: maps.Opened | None
    features: Predictor | None = None
    activations: dict[tuple[int, int], tuple[Any, Any]] = field(default_factory=dict, compare=False)

    @property
    def task(self) -> str:
        return task_named(self.predictor.info.get("task")) or CLASSES

    def cannot(self, method: str) -> str:
        """Why a method can't explain this model; empty if it can."""
        if self.opened is None and method != "occlusion":
            return "needs a Keras network, and this model is none"
        if method.startswith("grad_cam") and not (self.opened and self.opened.halves):
            return "no layer keeps the spatial layout"
        return ""

    def map(self, method: str, image: NDArray[np.uint8], target: int) -> maps.Map:
        if self.opened is None or (method == "occlusion" and self.features is not None):
            return maps.occluded((self.features or self.predictor).probabilities, image, (target,))[0]
        steps = maps.STEPS if image.shape[0] * image.shape[1] <= maps.LARGE_PX else maps.STEPS_LARGE
        return self._map(self.opened, method, image, target, steps)

    def likeness(self, method: str, image: NDArray[np.uint8], target: int, made: maps.Map) -> float | None:
        """Rank correlation of the map with that of the shuffled model; None if it has none: no weights, or a blank map."""
        if self.random is None:
            return None
        if method == "occlusion" and self.opened is not None:  # squares side by side in both: a quarter of the predictions
            probabilities = self.features.probabilities if self.features else maps.probabilities_of(self.opened)
            made = maps.occluded(probabilities, image, (target,), apart=True)[0]
            shuffled = maps.occlusion(self.random, image, target, apart=True)
        else:
            shuffled = self._map(self.random, method, image, target, maps.STEPS_CHECK)
        return None if maps.is_constant(shuffled) else maps.rank_correlation(made, shuffled)

    def _map(self, opened: maps.Opened, method: str, image: NDArray[np.uint8], target: int, steps: int) -> maps.Map:
        """A map; both kinds of Grad-CAM begin with the same activations, which take most of their time."""
        if method == "integrated_gradients":
            return maps.integrated_gradients(opened, image, target, steps)
        if method not in ("grad_cam", "grad_cam_pp"):
            return maps.METHODS[method](opened, image, target)
        key = (id(opened), id(image))
        if key not in self.activations:
            self.activations[key] = (maps.last_activations(opened, [image]), image)
        return maps.cam_of(opened, self.activations[key][0], image, target, method == "grad_cam_pp")


def open_studio(ctx: Context, folder: Path) -> Studio:
    if not (folder / "model.keras").exists():
        return Studio(load_predictor(folder, ctx.component, tasks=TASKS), None, None)
    model = load_keras_model(folder, TASKS)  # once for both: it takes seconds
    info = read_model_info(folder, TASKS)
    opened = maps.with_logits(model, task_named(info.get("task")) or CLASSES)
    shuffled = maps.randomised(opened, ctx.rng("randomise"))
    return Studio(keras_predictor(model, folder, info), opened, shuffled, features_predictor(folder, ctx.component, TASKS))


@dataclass(frozen=True)
class Subject:
    """An image to explain, with its predicted probabilities and the position of the explained class.

    Attributes:
        name: of its section: the file, for several labels with the label.
    """

    number: int
    path: Path
    name: str
    image: NDArray[np.uint8]
    found: NDArray[np.float32]
    target: int


@dataclass(frozen=True)
class Judged:
    """A map, its similarity to the shuffled model's, and the verdict on it."""

    made: maps.Map
    likeness: float | None
    verdict: str


def build_sections(ctx: Context, folder: Path, params: ExplainParams) -> Iterator[tuple[str, Section]]:
    studio = open_studio(ctx, folder)
    predictor, opened = studio.predictor, studio.opened
    if params.about and params.about not in predictor.classes:
        raise UserError(f"the model has no class {params.about!r}", f"Its classes: {', '.join(predictor.classes)}")
    if all(reasons := [studio.cannot(method) for method in params.methods]):
        why = "; ".join(f"{WORDS[method]}: {reason}" for method, reason in zip(params.methods, reasons, strict=True))
        raise UserError(
            f"none of these methods can explain this model ({why})", 'methods = ["occlusion"] works with every model.'
        )
    subjects = _subjects(ctx, predictor, params)
    work = [(one, method) for one in subjects for method in params.methods if not studio.cannot(method)]
    judged: dict[tuple[int, str], Judged] = {}
    for one, method in ctx.track(work, total=len(work), label="explain", unit="maps"):
        judged[one.number, method] = _judged(studio, method, one)
    made: dict[tuple[int, str], list[maps.Map]] = {}
    for one, method in work:
        if judged[one.number, method].verdict == "passes":
            made.setdefault((one.target, method), []).append(judged[one.number, method].made)
    for one in subjects:
        yield f"image-{one.number}", _explained(ctx, studio, params, one, judged)
    if len(subjects) > 1:
        yield "classes", _by_class(predictor.classes, made, studio.task)
    yield from _agreeing(predictor.classes, made)
    if opened is None:
        return
    yield from _feature_maps(opened, list({one.path: one for one in reversed(subjects)}.values())[::-1], params)
    yield from _filters(opened, ctx.out_dir)
    if params.steps:
        yield "layers", _steps(opened, subjects[0].image, subjects[0].path.name, params.steps)
    for target in dict.fromkeys(one.target for one in subjects) if params.maximise else ():
        yield f"maximised-{target}", _maximised(ctx, studio, opened, target, params.maximise)


def _subjects(ctx: Context, predictor: Predictor, params: ExplainParams) -> list[Subject]:
    """The images that can be read, with their predictions."""
    subjects: list[Subject] = []
    for number, path in enumerate(params.images, 1):
        try:
            image = predictor.prepare(path)
        except ImageError as error:
            if number == len(params.images) and not subjects:
                raise UserError(f"{path}: {error.message}", "There is nothing to explain.") from error
            ctx.warn(f"{path} can't be used: {error.message}")
            continue
        found = predictor.probabilities(image[None])[0]
        for target, name in _targets(predictor, found, params.about, path.name):
            subjects.append(Subject(number if name == path.name else len(subjects) + 1, path, name, image, found, target))
    return subjects


def _targets(predictor: Predictor, found: NDArray[np.float32], about: str, name: str) -> list[tuple[int, str]]:
    """Positions of what is explained of an image, and the name of the section: the predicted class, or each predicted label.

    If no label is predicted, the most probable one.
    """
    if predictor.info.get("task") != MULTILABEL:
        return [(predictor.classes.index(about) if about else int(found.argmax()), name)]
    said = predicted_labels(predictor.info, predictor.classes, found)
    chosen = [predictor.classes.index(about)] if about else said[:MAX_LABELS] or [int(found.argmax())]
    return [(target, f"{name}: {predictor.classes[target]}") for target in chosen]


def _judged(studio: Studio, method: str, one: Subject) -> Judged:
    """A map with its sanity check."""
    made = studio.map(method, one.image, one.target)
    if maps.is_constant(made):
        return Judged(made, None, "no map: it is the same everywhere")
    likeness = studio.likeness(method, one.image, one.target, made)
    if likeness is None and studio.random is not None:
        return Judged(made, None, "not checked: the map of the model with shuffled weights is the same everywhere")
    verdict = "not checked" if likeness is None else "says little" if likeness > SUSPICIOUS else "passes"
    if verdict == "passes" and trained_to_know(studio.predictor.info) is False:
        verdict = NO_BETTER
    return Judged(made, likeness, verdict)


def _by_class(classes: Sequence[str], made: Mapping[tuple[int, str], Sequence[maps.Map]], task: str) -> Section:
    """The mean map of each class by the first method whose maps pass the check."""
    first: dict[int, tuple[str, Sequence[maps.Map]]] = {}
    for (target, method), found in made.items():
        first.setdefault(target, (method, found))
    pictures = []
    for target, (method, found) in sorted(first.items()):
        if (mean := mean_map(found)) is not None:
            drawn = overlay(np.full((*mean.shape, 3), 128, np.uint8), mean)
            caption = (
                f"{classes[target]}\nmean {WORDS[method]} of {len(found)} image{'' if len(found) == 1 else 's'}: {where(mean)}"
            )
            pictures.append(Picture(_jpeg(drawn), caption.replace("\n", ", "), caption))
    asked = {NUMBER: "what raises the number", MULTILABEL: "the evidence for each label"}.get(
        task, "the evidence for each class"
    )
    title = {NUMBER: "Summary", MULTILABEL: "Summary by label"}.get(task, "Summary by class")
    words = f"Where in the images is {asked}? The mean of the maps that pass the sanity check"
    if not first:
        return Section(title, f"{words}: none does.")
    tables = (class_table(classes, {target: found for target, (_, found) in first.items()}, task),)
    return Section(title, f"{words}.", tables=tables, pictures=tuple(pictures))


def _agreeing(classes: Sequence[str], made: Mapping[tuple[int, str], Sequence[maps.Map]]) -> Iterator[tuple[str, Section]]:
    """The classes whose maps point at one place in different images."""
    said: dict[int, tuple[str, Picture]] = {}
    for (target, method), found in made.items():
        if target not in said and (place := constant_place(found)):
            drawn = overlay(np.full((*place.mean.shape, 3), 128, np.uint8), place.mean)
            caption = f"mean {WORDS[method]} of {place.count} images: {classes[target]}, most at the {place.where}"
            said[target] = place.sentence(classes[target]), Picture(_jpeg(drawn), caption, caption)
    if said:
        words, pictures = zip(*said.values(), strict=True)
        yield "constant-places", Section("A constant place", "\n\n".join(words), pictures=pictures)


def _explained(
    ctx: Context, studio: Studio, params: ExplainParams, one: Subject, judged: Mapping[tuple[int, str], Judged]
) -> Section:
    """One image: the prediction, the image beside a map for each method, and the sanity checks."""
    name = one.name
    pictures = [Picture(_jpeg(one.image), f"{name}, as the model sees it", "as the model sees it")]
    rows: list[tuple[str, float | None, str]] = []
    for method in params.methods:
        if reason := studio.cannot(method):
            rows.append((WORDS[method], None, f"not possible: {reason}"))
            continue
        found = judged[one.number, method]
        rows.append((WORDS[method], found.likeness, found.verdict))
        drawn, said = overlay(one.image, found.made), where(found.made)
        pictures.append(Picture(_jpeg(drawn), f"{WORDS[method]} of {name}: {said}", f"{WORDS[method]}\n{said}"))
        np.save(ctx.out_dir / f"{one.number:02d}_{method}.npy", found.made)
        (ctx.out_dir / f"{one.number:02d}_{method}.jpg").write_bytes(_jpeg(drawn))
    words = _predicted(studio, one)
    caption = "Sanity check: the map compared with that of the model with shuffled weights"
    if not studio.random:
        words += " (This model is no network: it has no layers to show, and no weights to shuffle for a sanity check.)"
    table = Table(("map", "similarity to the random model's", "check"), tuple(rows), caption)
    return Section(name, words, tables=(table,), pictures=tuple(pictures))


def _predicted(studio: Studio, one: Subject) -> str:
    """What the model predicts, and what is explained."""
    classes, info = studio.predictor.classes, studio.predictor.info
    if studio.task == NUMBER:
        unit = literal(info.get("value", {}).get("unit", ""))
        return f"The model predicts {one.found[0]:.4g} {unit}".rstrip() + f". What raises *{literal(classes[0])}*:"
    order = np.argsort(-one.found).tolist()
    if studio.task != MULTILABEL:
        return f"The model predicts {_probable(one, classes, order[:3])}. Evidence for *{literal(classes[one.target])}*:"
    said = predicted_labels(info, classes, one.found)
    next_ = [at for at in order if at not in said][:1]
    words = f"The model predicts {_probable(one, classes, said)}." if said else "The model predicts no label."
    below = f" Below its threshold: {_probable(one, classes, next_)}." if next_ else ""
    return f"{words}{below} Evidence for *{literal(classes[one.target])}*:"


def _probable(one: Subject, classes: Sequence[str], places: Sequence[int]) -> str:
    return ", ".join(f"{literal(classes[at])} {one.found[at]:.3f}" for at in places)


def predicted_labels(info: Mapping[str, Any], classes: Sequence[str], found: NDArray[np.float32]) -> list[int]:
    """The positions of the labels whose probability reaches their threshold, the most probable first."""
    thresholds = info.get("thresholds", {})
    return [at for at in np.argsort(-found).tolist() if found[at] >= thresholds.get(classes[at], 0.5)]


def _feature_maps(opened: maps.Opened, subjects: Sequence[Subject], params: ExplainParams) -> Iterator[tuple[str, Section]]:
    """The strongest channels of a few layers, for each image."""
    pictures = []
    found = maps.feature_maps(opened, [one.image for one in subjects], params.layers)
    for one, layers_of_one in zip(subjects, found, strict=True):
        for name, layer in layers_of_one:
            channels = min(params.channels, layer.shape[2])
            caption = f"layer {name}\n{channels} of {layer.shape[2]} channels, {layer.shape[0]} x {layer.shape[1]}"
            alt = f"{one.path.name}, {caption}".replace("\n", ": ")
            pictures.append(
                Picture(_jpeg(channel_sheet(layer, channels)), alt, caption, group=f"{one.number}. {one.path.name}")
            )
    if pictures:
        words = "What do the layers respond to? The strongest channels of some layers, each in its own range."
        yield "feature-maps", Section("Feature maps", words, pictures=tuple(pictures))


def _filters(opened: maps.Opened, out_dir: Path) -> Iterator[tuple[str, Section]]:
    """The first convolution's filters as images."""
    from pipekit import images

    found = layers.first_filters(opened.model)
    if found is None:
        return
    name, weights = found
    sheet = images.contact_sheet(layers.filter_tiles(weights, MAX_FILTERS), tile_px=48)
    (out_dir / "filters.png").write_bytes(images.encode(sheet, "png"))
    height, width, channels, count = weights.shape
    words = (
        f"The layer *{literal(name)}* is the first convolution: {count} filters of {height} x {width} on {channels} "
        f"channel{'s' if channels != 1 else ''}, each in its own range. Edges and colours show what it has learned to detect; "
        "filters that look like noise have learned little."
    )
    caption = f"{min(count, MAX_FILTERS)} of {count} filters of {name}"
    yield "filters", Section("First-layer filters", words, pictures=(Picture(_jpeg(sheet), caption, caption),))


def _steps(opened: maps.Opened, image: NDArray[np.uint8], name: str, most: int) -> Section:
    pictures = [
        Picture(_jpeg(layers.drawing(step.values)), f"{step.name}: {step.words}", f"{place}. {step.words}", {"of": "layers"})
        for place, step in enumerate(layers.steps(opened, image, most), 1)
    ]
    words = (
        f"What does each layer do? *{literal(name)}* on its way through the layers. If it has several maps, you see the one "
        f"with the highest variance, stretched to its own range; a vector is drawn as bars, at most {layers.MAX_BARS} of them."
    )
    return Section("Layer outputs", words, pictures=tuple(pictures))


def _maximised(ctx: Context, studio: Studio, opened: maps.Opened, target: int, rounds: int) -> Section:
    predictor = studio.predictor
    label = f"activation maximisation: {predictor.classes[target]}"

    def track(steps: range) -> Iterable[int]:
        return ctx.track(steps, total=len(steps), label=label, unit="rounds")

    picture = layers.maximise(opened, target, ctx.rng("maximise", target), rounds, track)
    (ctx.out_dir / f"maximised_{target}.png").write_bytes(images_png(picture))
    name = literal(predictor.classes[target])
    share = float(predictor.probabilities(picture[None])[0, target])
    words = (
        f"What would most look like *{name}* to the model? This image started as noise; each of {rounds} rounds raised the "
        f"logit of the class a little. Its predicted probability is {share:.3f}. It shows textures and colours that are "
        "evidence for the class, not what such an image looks like."
    )
    if studio.task == NUMBER:
        words = (
            f"Which image has the largest *{name}* for the model? This one started as noise; each of {rounds} rounds raised "
            f"the number a little, to {share:.4g}. It shows what raises the number, not what such an image looks like."
        )
    caption = f"activation maximisation of {predictor.classes[target]}"
    return Section(
        f"Activation maximisation: {predictor.classes[target]}", words, pictures=(Picture(_jpeg(picture), caption, caption),)
    )


def images_png(picture: NDArray[np.uint8]) -> bytes:
    from pipekit import images

    return images.encode(picture, "png")


def overlay(image: NDArray[np.uint8], found: maps.Map) -> NDArray[np.uint8]:
    """Blend the image in grey with the map in cividis colours, which look the same to people with colour-blindness."""
    from matplotlib import colormaps

    strength = np.abs(found)
    largest = float(np.quantile(strength, FULL)) or float(strength.max()) or 1.0
    shade = np.clip((found / largest + 1) / 2 if found.min() < 0 else found / largest, 0, 1)
    colour = colormaps["cividis"](shade)[:, :, :3] * 255
    grey = image.mean(axis=2, keepdims=True)
    return np.asarray(np.clip(0.45 * grey + 0.55 * colour, 0, 255), np.uint8)


def channel_sheet(layer: NDArray[np.float32], channels: int) -> NDArray[np.uint8]:
    """The strongest channels side by side, each stretched to its own range."""
    from pipekit import images

    order = np.argsort(-layer.std(axis=(0, 1)), kind="stable")[:channels]
    tiles: list[Any] = []
    for channel in order.tolist():
        values = layer[:, :, channel]
        span = float(values.max() - values.min()) or 1.0
        tiles.append(np.repeat(((values - values.min()) / span * 255).astype(np.uint8)[:, :, None], 3, axis=2))
    return images.contact_sheet(tiles, tile_px=96)


def enlarged(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """The image with three channels, enlarged to ``side_px`` at its longer side if it is smaller."""
    from pipekit import images

    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    scale = side_px / max(image.shape[:2])
    size = (round(image.shape[0] * scale), round(image.shape[1] * scale))
    return images.resize(image, size) if scale > 1 else image


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    from pipekit import images

    return images.encode(enlarged(image, SHOWN_PX), "jpg", quality=88)
