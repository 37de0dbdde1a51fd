"""The sections of the explanations page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.explain import layers, maps
from pipekit.builtin.explain.constant_place import constant_place
from pipekit.builtin.explain.saliency_location import where
from pipekit.contract import Context, Picture, Section, Table
from pipekit.errors import ImageError, UserError
from pipekit.learning.chance import trained_to_know
from pipekit.learning.predictor import Predictor, load_predictor
from pipekit.page.markdown import literal

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
NO_BETTER = "no verdict: the model is not better than chance on val"


@dataclass(frozen=True)
class Studio:
    """A model prepared for explaining: the predictor and, for a network, the opened model and a copy with shuffled weights."""

    predictor: Predictor
    opened: maps.Opened | None
    random: maps.Opened | None

    def cannot(self, method: str) -> str:
        """Why a method can't explain this model; empty if it can."""
        if self.opened is None and method != "occlusion":
            return "needs a Keras network, and this model is none"
        if method.startswith("grad_cam") and not (self.opened and self.opened.halves):
            return "no layer keeps the spatial layout"
        return ""

    def map(self, method: str, image: NDArray[np.uint8], target: int) -> maps.Map:
        if self.opened is None:
            return maps.occluded(self.predictor.probabilities, image, (target,))[0]
        return maps.METHODS[method](self.opened, image, target)

    def likeness(self, method: str, image: NDArray[np.uint8], target: int, made: maps.Map) -> float | None:
        """Rank correlation of the map with that of the shuffled model; None if it has none: no weights, or a blank map."""
        if self.random is None:
            return None
        shuffled = maps.METHODS[method](self.random, image, target)
        return None if maps.is_constant(shuffled) else maps.rank_correlation(made, shuffled)


def open_studio(ctx: Context, folder: Path) -> Studio:
    predictor = load_predictor(folder, ctx.component)
    if not (folder / "model.keras").exists():
        return Studio(predictor, None, None)
    opened = maps.open_model(folder)
    return Studio(predictor, opened, maps.randomised(opened, ctx.rng("randomise")))


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
    made: dict[tuple[int, str], list[maps.Map]] = {}
    first: NDArray[np.uint8] | None = None
    named, explained = "", 0
    for number, path in enumerate(ctx.track(params.images, label="explain", unit="images"), 1):
        try:
            image = predictor.prepare(path)
        except ImageError as error:
            if number == len(params.images) and not explained:
                raise UserError(f"{path}: {error.message}", "There is nothing to explain.") from error
            ctx.warn(f"{path} can't be used: {error.message}")
            continue
        explained += 1
        found = predictor.probabilities(image[None])[0]
        target = predictor.classes.index(params.about) if params.about else int(found.argmax())
        first, named = (image, path.name) if first is None else (first, named)
        yield f"image-{number}", _explained(ctx, studio, params, number, path, image, found, target, made)
    yield from _agreeing(predictor.classes, made)
    if opened is None or first is None:
        return
    yield from _filters(opened, ctx.out_dir)
    if params.steps:
        yield "layers", _steps(opened, first, named, params.steps)
    for target in dict.fromkeys(target for target, _ in made) if params.maximise else ():
        yield f"maximised-{target}", _maximised(ctx, opened, predictor, target, params.maximise)


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
    ctx: Context,
    studio: Studio,
    params: ExplainParams,
    number: int,
    path: Path,
    image: NDArray[np.uint8],
    found: NDArray[np.float32],
    target: int,
    kept: dict[tuple[int, str], list[maps.Map]],
) -> Section:
    """One image: the prediction, a map for each method with its sanity check, and feature maps.

    Args:
        kept: the maps so far by class and method; those of this image are added, unless they fail the check.
    """
    classes = studio.predictor.classes
    pictures = [Picture(_jpeg(image), f"{path.name}, as the model sees it", "as the model sees it")]
    rows: list[tuple[str, float | None, str]] = []
    for method in params.methods:
        if reason := studio.cannot(method):
            rows.append((WORDS[method], None, f"not possible: {reason}"))
            continue
        made = studio.map(method, image, target)
        likeness = None if maps.is_constant(made) else studio.likeness(method, image, target, made)
        verdict = "not checked" if likeness is None else "says little" if likeness > SUSPICIOUS else "passes"
        if verdict == "passes" and trained_to_know(studio.predictor.info) is False:
            verdict = NO_BETTER
        if maps.is_constant(made):
            verdict = "no map: it is the same everywhere"
        elif likeness is None and studio.random is not None:
            verdict = "not checked: the map of the model with shuffled weights is the same everywhere"
        maps_of_class = kept.setdefault((target, method), [])
        if verdict == "passes":
            maps_of_class.append(made)
        rows.append((WORDS[method], likeness, verdict))
        drawn, said = overlay(image, made), where(made)
        pictures.append(Picture(_jpeg(drawn), f"{WORDS[method]} of {path.name}: {said}", f"{WORDS[method]}\n{said}"))
        np.save(ctx.out_dir / f"{number:02d}_{method}.npy", made)
        (ctx.out_dir / f"{number:02d}_{method}.jpg").write_bytes(_jpeg(drawn))
    for name, layer in maps.feature_maps(studio.opened, image, params.layers) if studio.opened else ():
        channels = min(params.channels, layer.shape[2])
        caption = f"layer {name}: {channels} of {layer.shape[2]} channels, {layer.shape[0]} x {layer.shape[1]}"
        pictures.append(Picture(_jpeg(channel_sheet(layer, channels)), caption, caption))
    said = ", ".join(f"{literal(classes[i])} {found[i]:.3f}" for i in np.argsort(-found)[:3].tolist())
    words = (
        f"The model predicts {said}. The maps show the evidence for *{literal(classes[target])}*: yellow for it, blue "
        "against it or neutral. "
    )
    words += (
        "The sanity check compares each map with that of the model with shuffled weights: a map that stays the same explains "
        "nothing that the model learned."
        if studio.random
        else "This model is no network: it has no layers to show, and no weights to shuffle for a sanity check."
    )
    caption = "Sanity check: does the map depend on what the model learned?"
    table = Table(("map", "similarity to the random model's", "check"), tuple(rows), caption)
    return Section(path.name, words, tables=(table,), pictures=tuple(pictures))


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


def _maximised(ctx: Context, opened: maps.Opened, predictor: Predictor, target: int, rounds: int) -> Section:
    picture = layers.maximise(opened, target, ctx.rng("maximise", target), rounds)
    (ctx.out_dir / f"maximised_{target}.png").write_bytes(images_png(picture))
    name = literal(predictor.classes[target])
    share = float(predictor.probabilities(picture[None])[0, target])
    words = (
        f"What would most look like *{name}* to the model? This image started as noise; each of {rounds} rounds raised the "
        f"logit of the class a little. Its predicted probability is {share:.3f}. It shows textures and colours that are "
        "evidence for the class, not what such an image looks like."
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
