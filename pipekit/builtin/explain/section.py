"""Section ``explain``: attribution maps for the predictions of the most instructive evaluated images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.explain import maps
from pipekit.builtin.explain.by_class import class_table
from pipekit.builtin.explain.constant_place import constant_place
from pipekit.builtin.explain.pages import SUSPICIOUS, WORDS, enlarged, overlay
from pipekit.builtin.explain.saliency_location import where
from pipekit.contract import Context, Params, Picture, Section, param
from pipekit.errors import ImageError
from pipekit.learning.chance import knows_something
from pipekit.learning.evaluation import Evaluation

if TYPE_CHECKING:
    from pipekit.learning.predictor import Predictor

CHECKED = 4
"""Number of images for the sanity check of an attribution method against the model with shuffled weights."""
IG_STEPS, IG_STEPS_LARGE, LARGE_PX = 32, 8, 128 * 128
"""Steps of integrated gradients: enough for a picture, for half the cost of the stage ``explain``; an eighth for large ones."""
TILE_PX = 168
GAP_PX = 6

MISTAKE, UNSURE, SURE = "a confident mistake", "correct, but unsure", "correct and confident"

Mapper = Callable[[NDArray[np.uint8], Sequence[int]], list[maps.Map]]
"""From an image and positions of classes to a map for each class."""


class ExplainedParams(Params):
    most: int = param(12, "Maximum number of explained images", unit="images", ge=0, le=200)


@dataclass(frozen=True)
class Kind:
    """An attribution method, and its maps' similarity to those of the model with shuffled weights (None: not checked)."""

    name: str
    make: Mapper
    likeness: float | None

    @property
    def believable(self) -> bool:
        return self.likeness is None or self.likeness <= SUSPICIOUS


def section(ctx: Context, evaluation: Evaluation, params: ExplainedParams) -> Section | None:
    predictor = evaluation.predictor
    if predictor is None or not params.most or len(evaluation.classes) < 2:
        return None
    chosen = []
    for place, why in choose(evaluation, params.most):
        try:
            chosen.append((place, why, predictor.prepare(evaluation.samples[place].image)))
        except ImageError:
            continue
    if not chosen:
        return None
    kind, second = _kinds(ctx, predictor, [(image, int(evaluation.predicted[place])) for place, _, image in chosen])
    pictures, made = [], defaultdict[int, list[maps.Map]](list)
    for place, why, image in ctx.track(chosen, label="explain", unit="images"):
        picture, found = _picture(evaluation, place, why, image, kind, second)
        pictures.append(picture)
        made[int(evaluation.predicted[place])].append(found)
    said, means = _constant_places(evaluation.classes, made, np.full_like(chosen[0][2], 128)) if kind.believable else ([], [])
    reasons = {why for _, why, _ in chosen}
    words = "\n\n".join([_words(kind, second, reasons, knows_something(evaluation.metrics)), *said])
    tables = (class_table(evaluation.classes, made),) if kind.believable else ()
    return Section("Explanations", words, tables=tables, pictures=(*means, *pictures))


def _constant_places(
    classes: Sequence[str], made: Mapping[int, Sequence[maps.Map]], image: NDArray[np.uint8]
) -> tuple[list[str], list[Picture]]:
    """For each class whose maps agree on a place, a sentence and the mean map on ``image``."""
    words, pictures = [], []
    for number, found in sorted(made.items()):
        if place := constant_place(found):
            words.append(f"**Warning:** {place.sentence(classes[number])}")
            caption = f"mean map of {place.count} images: {classes[number]}, most at the {place.where}"
            pictures.append(Picture(_strip([overlay(image, place.mean)]), alt=caption, caption=caption))
    return words, pictures


def choose(evaluation: Evaluation, most: int) -> list[tuple[int, str]]:
    """(position, why) of up to ``most`` predictions: a third confident mistakes, a quarter unsure correct ones, the rest sure.

    Each kind takes turns over its groups, in order of confidence: mistakes over the cells of the confusion matrix, correct
    predictions over the classes. Places that one kind leaves free go to the others.
    """
    order = np.argsort(-evaluation.confidence, kind="stable").tolist()
    wrong = [i for i in order if not evaluation.correct[i]]
    right = [i for i in order if evaluation.correct[i]]
    sure = _by_turns(right, evaluation.y_true)
    unsure = _by_turns(right[::-1], evaluation.y_true)
    mistakes = _by_turns(wrong, evaluation.y_true * len(evaluation.classes) + evaluation.predicted)
    few = min(len(mistakes), max(-(-most // 3), most - len(right)))
    some = min(-(-most // 4), most - few, len(right) // 2)
    taken = unsure[:some]
    rest = [i for i in sure if i not in set(taken)][: most - few - some]
    return [*((i, MISTAKE) for i in mistakes[:few]), *((i, UNSURE) for i in taken), *((i, SURE) for i in rest)]


def _by_turns(order: Sequence[int], group_of: NDArray[np.int64]) -> list[int]:
    """The first of each group, then the second of each, and so on; each round in the given order."""
    rounds: dict[int, list[int]] = {}
    seen: dict[int, int] = {}
    for i in order:
        group = int(group_of[i])
        seen[group] = seen.get(group, 0) + 1
        rounds.setdefault(seen[group], []).append(i)
    return [i for number in sorted(rounds) for i in rounds[number]]


# --- which maps ----------------------------------------------------------------------------------------------------------


def _kinds(ctx: Context, predictor: Predictor, asked: Sequence[tuple[NDArray[np.uint8], int]]) -> tuple[Kind, Kind]:
    """The first method whose maps depend on what the model learned, and a second one for comparison."""
    fallback = Kind("occlusion", lambda image, targets: maps.occluded(predictor.probabilities, image, targets), None)
    if predictor.folder is None or not (predictor.folder / "model.keras").exists():
        return fallback, fallback
    try:
        opened = maps.open_model(predictor.folder)
        random = maps.randomised(opened, ctx.rng("randomise"))
        names = [*(["grad_cam"] if opened.halves else []), "integrated_gradients", "occlusion"]
        tried: list[Kind] = []
        for name in names:
            tried.append(_checked(name, opened, random, asked))
            if tried[-1].believable:
                break
        best = min(tried, key=lambda kind: (not kind.believable, kind.likeness))
        other = next(name for name in ("integrated_gradients", "occlusion") if name != best.name)
        return best, Kind(other, _mapper(other, opened, [image for image, _ in asked]), None)
    except Exception as error:  # an unusual network: its probabilities are still available
        reason = str(error).strip().splitlines() or [type(error).__name__]
        ctx.warn(f"the report's maps are made by occlusion, because the network could not be opened: {reason[0]}")
        return fallback, fallback


def _checked(name: str, opened: maps.Opened, random: maps.Opened, asked: Sequence[tuple[NDArray[np.uint8], int]]) -> Kind:
    """A method with its maps' similarity to the random model's (Adebayo et al. 2018), the mean over a few images."""
    some = asked[:CHECKED]
    make, blind = _mapper(name, opened, [image for image, _ in asked]), _mapper(name, random, [image for image, _ in some])

    def likeness(image: NDArray[np.uint8], target: int) -> float | None:
        made = make(image, [target])[0]
        if maps.is_constant(made):  # no map, which must not pass
            return 1.0
        shuffled = blind(image, [target])[0]
        return None if maps.is_constant(shuffled) else maps.rank_correlation(made, shuffled)

    found = [one for one in (likeness(image, target) for image, target in some) if one is not None]
    return Kind(name, make, float(np.mean(found)) if found else None)


def _mapper(name: str, opened: maps.Opened, images: Sequence[NDArray[np.uint8]] = ()) -> Mapper:
    """Makes maps; what those of several classes share is computed for ``images`` at once."""
    row_of = {id(image): row for row, image in enumerate(images)}
    made: list[Any] = []

    def activations(image: NDArray[np.uint8]) -> Any:
        row = row_of.get(id(image))
        if row is None:
            return maps.last_activations(opened, [image])
        if not made:
            made.append(maps.last_activations(opened, images))
        return made[0][row : row + 1]

    def make(image: NDArray[np.uint8], targets: Sequence[int]) -> list[maps.Map]:
        if name == "integrated_gradients":
            steps = IG_STEPS_LARGE if image.shape[0] * image.shape[1] > LARGE_PX else IG_STEPS
            return [maps.integrated_gradients(opened, image, target, steps) for target in targets]
        if name == "grad_cam":
            return [maps.cam_of(opened, activations(image), image, target) for target in targets]
        return [maps.METHODS[name](opened, image, target) for target in targets]

    return make


# --- what is shown -------------------------------------------------------------------------------------------------------


def _picture(
    evaluation: Evaluation, place: int, why: str, image: NDArray[np.uint8], kind: Kind, second: Kind
) -> tuple[Picture, maps.Map]:
    """Three tiles: the model's input, the evidence for the predicted class, and that for the most likely other class.

    Returns:
        The picture, and the map for the predicted class.
    """
    true, predicted = int(evaluation.y_true[place]), int(evaluation.predicted[place])
    rivals = [i for i in np.argsort(-evaluation.probabilities[place], kind="stable").tolist() if i != predicted]
    other = true if true != predicted else int(rivals[0])
    names, row = evaluation.classes, evaluation.probabilities[place]
    right = true == predicted
    verdict = (
        f"{names[true]}, {row[predicted]:.2f}"
        if right
        else f"{names[true]}, predicted as {names[predicted]}, {row[predicted]:.2f}"
    )
    if why == SURE and second.name != kind.name:
        found = [*kind.make(image, [predicted]), *second.make(image, [predicted])]
        looks = [f"middle: {where(found[0])}", f"right ({WORDS[second.name]}): {where(found[1])}"]
    else:
        found = kind.make(image, [predicted, other])
        looks = [f"for {names[predicted]}: {where(found[0])}", f"for {names[other]} ({row[other]:.2f}): {where(found[1])}"]
    name = evaluation.samples[place].id
    picture = Picture(
        _strip([image, *(overlay(image, one) for one in found)]),
        alt=f"{name}: {verdict}. Evidence: {'; '.join(looks)}.",
        caption="\n".join([f"{'✓' if right else '✗'} {verdict}", *looks, name]),
        tags={"prediction": "correct" if right else "wrong", "chosen as": why},
    )
    return picture, found[0]


def _strip(tiles: Sequence[NDArray[np.uint8]]) -> bytes:
    """Tiles of one size side by side, with a white line between them."""
    from pipekit import images

    shown = [images.thumbnail(enlarged(tile, TILE_PX), TILE_PX) for tile in tiles]
    gap = np.full((shown[0].shape[0], GAP_PX, 3), 255, np.uint8)
    return images.encode(np.concatenate([part for tile in shown for part in (tile, gap)][:-1], axis=1), "jpg", quality=85)


def _words(kind: Kind, second: Kind, whys: set[str], knows: bool = True) -> str:
    """The legend of the tiles, and whether the maps pass the sanity check."""
    shown = {
        MISTAKE: "the most confident mistakes (right tile: evidence for the true class)",
        UNSURE: "correct predictions with low confidence (right tile: evidence for the second most probable class)",
        SURE: "the most confident correct predictions of each class",
    }
    if second.name != kind.name:
        shown[SURE] += f" (right tile: the same by {WORDS[second.name]})"
    listed = "\n".join(f"- {words}" for why, words in shown.items() if why in whys)
    layout = (
        "What in the image speaks for the prediction? Left tile: the image as the model sees it. Middle tile: the evidence for "
        "the predicted class; more yellow is more evidence, each map in its own range. The images are"
    )
    unknown = (
        "**The model is not clearly better than always predicting the most frequent class**, so the maps show no reasons that "
        "could be right: whether they depend on its weights says nothing.\n\n"
    )
    return f"{'' if knows else unknown}{layout}\n\n{listed}\n\n{_trust(kind)}"


def _trust(kind: Kind) -> str:
    made = f"The maps are made by {WORDS[kind.name]}"
    if kind.likeness is None:
        return (
            f"{made}: how much of the predicted probability is lost where a grey square covers the image? They could not be "
            "checked against the same model with shuffled weights."
        )
    likeness = f"rank correlation with the maps of the same model with shuffled weights: {kind.likeness:.2f}"
    if kind.believable:
        return f"{made}, and depend on what the model learned ({likeness}; near 1 they would show only the image's edges)."
    return (
        f"{made}. **Warning:** no method's maps clearly depend on what the model learned ({likeness}), so they may show the "
        "image's edges rather than the model's reasons."
    )
