"""The explanations as pictures on a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.explain import layers, maps
from pipekit.contract import Context, Picture, Section, Table
from pipekit.errors import UserError
from pipekit.page.markdown import literal
from pipekit.predictor import Predictor, load_predictor

if TYPE_CHECKING:
    from pipekit.builtin.explain import ExplainParams

WORDS = {
    "grad_cam": "Grad-CAM",
    "grad_cam_pp": "Grad-CAM++",
    "integrated_gradients": "integrated gradients",
    "occlusion": "occlusion",
}
SUSPICIOUS = 0.7
"""Rank correlation with the random model's map above which a map says little about what was learned."""
SHOWN_PX = 256
MAX_FILTERS = 96


def build_sections(ctx: Context, folder: Path, params: ExplainParams) -> Iterator[tuple[str, Section]]:
    predictor = load_predictor(folder, ctx.component)
    if params.about and params.about not in predictor.classes:
        raise UserError(f"the model knows no class {params.about!r}", f"Its classes: {', '.join(predictor.classes)}")
    opened = maps.open_model(folder)
    random = maps.randomised(opened, ctx.rng("randomise"))
    yield from _filters(opened, ctx.out_dir)
    made_up: set[int] = set()
    for number, path in enumerate(ctx.track(params.images, label="explain", unit="images"), 1):
        image = predictor.prepare(path)
        found = predictor.probabilities(image[None])[0]
        target = predictor.classes.index(params.about) if params.about else int(found.argmax())
        pictures = [Picture(_jpeg(image), f"{path.name}, as the model sees it", "as the model sees it")]
        rows = []
        for method in params.methods:
            made = maps.METHODS[method](opened, image, target)
            likeness = maps.rank_correlation(made, maps.METHODS[method](random, image, target))
            rows.append((WORDS[method], likeness, "says little" if likeness > SUSPICIOUS else "passes"))
            pictures.append(Picture(_jpeg(overlay(image, made)), f"{WORDS[method]} of {path.name}", WORDS[method]))
            np.save(ctx.out_dir / f"{number:02d}_{method}.npy", made)
            (ctx.out_dir / f"{number:02d}_{method}.jpg").write_bytes(_jpeg(overlay(image, made)))
        for name, layer in maps.feature_maps(opened, image, params.layers):
            channels = min(params.channels, layer.shape[2])
            caption = f"layer {name}: {channels} of {layer.shape[2]} channels, {layer.shape[0]} x {layer.shape[1]}"
            pictures.append(Picture(_jpeg(channel_sheet(layer, channels)), caption, caption))
        order = np.argsort(-found)[:3]
        said = ", ".join(f"{literal(predictor.classes[i])} {found[i]:.3f}" for i in order.tolist())
        words = (
            f"The model says {said}. The maps show what speaks for *{literal(predictor.classes[target])}*: yellow for it, "
            "blue against it or nothing. The check compares each map with that of the model with shuffled weights: a map that "
            "stays the same explains nothing that was learned."
        )
        table = Table(("map", "likeness to the random model's", "check"), tuple(rows), "Does the map hang on what was learned?")
        yield f"image-{number}", Section(path.name, words, tables=(table,), pictures=tuple(pictures))
        if number == 1 and params.steps:
            yield "layers", _steps(opened, image, path.name, params.steps)
        if params.maximise and target not in made_up:
            made_up.add(target)
            yield f"maximised-{target}", _maximised(ctx, opened, predictor, target, params.maximise)


def _filters(opened: maps.Opened, out_dir: Path) -> Iterator[tuple[str, Section]]:
    """The first convolution's weights as pictures."""
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
        f"channel{'s' if channels != 1 else ''}, each in its own range. Edges and colours in them are what it has learned to "
        "look for; filters that look like noise have learned little."
    )
    caption = f"{min(count, MAX_FILTERS)} of {count} filters of {name}"
    yield "filters", Section("First-layer filters", words, pictures=(Picture(_jpeg(sheet), caption, caption),))


def _steps(opened: maps.Opened, image: NDArray[np.uint8], name: str, most: int) -> Section:
    pictures = [
        Picture(_jpeg(layers.drawing(step.values)), f"{step.name}: {step.words}", f"{place}. {step.words}", {"of": "layers"})
        for place, step in enumerate(layers.steps(opened, image, most), 1)
    ]
    words = (
        f"*{literal(name)}* on its way through the layers. Of several maps the liveliest is shown, stretched to its own range; "
        f"a row of numbers is drawn as bars, at most {layers.MAX_BARS} of them."
    )
    return Section("What each layer does", words, pictures=tuple(pictures))


def _maximised(ctx: Context, opened: maps.Opened, predictor: Predictor, target: int, rounds: int) -> Section:
    picture = layers.maximise(opened, target, ctx.rng("maximise", target), rounds)
    (ctx.out_dir / f"maximised_{target}.png").write_bytes(images_png(picture))
    name = literal(predictor.classes[target])
    share = float(predictor.probabilities(picture[None])[0, target])
    words = (
        f"Made from noise in {rounds} rounds, each of which raises the logit of *{name}* a little. The model gives it the "
        f"probability {share:.3f}. It shows textures and colours that speak for the class, not what such a picture looks like."
    )
    caption = f"activation maximisation of {predictor.classes[target]}"
    return Section(
        f"What would please {predictor.classes[target]}", words, pictures=(Picture(_jpeg(picture), caption, caption),)
    )


def images_png(picture: NDArray[np.uint8]) -> bytes:
    from pipekit import images

    return images.encode(picture, "png")


def overlay(image: NDArray[np.uint8], found: maps.Map) -> NDArray[np.uint8]:
    """The image in grey under the map in cividis colours, which people with colour-blindness read alike."""
    from matplotlib import colormaps

    largest = float(np.abs(found).max()) or 1.0
    signed = found.min() < 0
    shade = (found / largest + 1) / 2 if signed else found / largest
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


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    from pipekit import images

    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    scale = SHOWN_PX / max(image.shape[:2])
    if scale > 1:
        image = images.resize(image, (round(image.shape[0] * scale), round(image.shape[1] * scale)))
    return images.encode(image, "jpg", quality=88)
