"""Section ``explain``: attribution maps for the predictions of the most instructive evaluated images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.explain import maps
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
IG_STEPS, IG_STEPS_LARGE, LARGE_PX = 32, 16, 128 * 128
"""Steps of integrated gradients: enough for a picture, for half the cost of the stage ``explain``; a quarter for large ones."""
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
    pictures = [
        _picture(evaluation, place, why, image, kind, second)
        for place, why, image in ctx.track(chosen, label="explain", unit="images")
    ]
    return Section(
        "Explanations",
        _words(kind, second, {why for _, why, _ in chosen}, knows_something(evaluation.metrics)),
        pictures=tuple(pictures),
    )


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
            tried.append(_checked(name, opened, random, asked[:CHECKED]))
            if tried[-1].believable:
                break
        best = min(tried, key=lambda kind: (not kind.believable, kind.likeness))
        other = next(name for name in ("integrated_gradients", "occlusion") if name != best.name)
        return best, Kind(other, _mapper(other, opened), None)
    except Exception as error:  # an unusual network: its probabilities are still available
        reason = str(error).strip().splitlines() or [type(error).__name__]
        ctx.warn(f"the report's maps are made by occlusion, because the network could not be opened: {reason[0]}")
        return fallback, fallback


def _checked(name: str, opened: maps.Opened, random: maps.Opened, asked: Sequence[tuple[NDArray[np.uint8], int]]) -> Kind:
    """A method with its maps' similarity to the random model's (Adebayo et al. 2018), the mean over a few images."""
    make, blind = _mapper(name, opened), _mapper(name, random)

    def likeness(image: NDArray[np.uint8], target: int) -> float:
        made = make(image, [target])[0]
        if maps.is_constant(made):  # no map, which must not pass
            return 1.0
        return maps.rank_correlation(made, blind(image, [target])[0])

    return Kind(name, make, float(np.mean([likeness(image, target) for image, target in asked])))


def _mapper(name: str, opened: maps.Opened) -> Mapper:
    def make(image: NDArray[np.uint8], targets: Sequence[int]) -> list[maps.Map]:
        if name == "integrated_gradients":
            steps = IG_STEPS_LARGE if image.shape[0] * image.shape[1] > LARGE_PX else IG_STEPS
            return [maps.integrated_gradients(opened, image, target, steps) for target in targets]
        return [maps.METHODS[name](opened, image, target) for target in targets]

    return make


# --- what is shown -------------------------------------------------------------------------------------------------------


def _picture(evaluation: Evaluation, place: int, why: str, image: NDArray[np.uint8], kind: Kind, second: Kind) -> Picture:
    """Three tiles: the model's input, the evidence for the predicted class, and that for the most likely other class."""
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
    return Picture(
        _strip([image, *(overlay(image, one) for one in found)]),
        alt=f"{name}: {verdict}. Evidence: {'; '.join(looks)}.",
        caption="\n".join([f"{'✓' if right else '✗'} {verdict}", *looks, name]),
        tags={"prediction": "correct" if right else "wrong", "chosen as": why},
    )


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
