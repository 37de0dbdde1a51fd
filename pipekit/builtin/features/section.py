"""The report section ``features``: a classic detector's features in the measured images; ``sections = ["features"]``."""

from __future__ import annotations

from statistics import median
from typing import Any, Literal

from pipekit import images
from pipekit.builtin.features.stage import preview
from pipekit.contract import Context, Params, Picture, Sample, Section, Table, param
from pipekit.errors import ImageError
from pipekit.images.warping import Image
from pipekit.keypoints.detection import Features, features_of
from pipekit.learning.evaluation import Evaluation


class SectionParams(Params):
    detector: Literal["harris", "shi_tomasi", "fast", "orb", "sift", "akaze", "blobs"] = param("harris", "The detector")
    pictures: int = param(2, "Number of images of each class to draw", unit="images", ge=0, le=20)
    images_per_class: int = param(50, "Number of images of each class in which features are counted", unit="images", ge=1)


def section(ctx: Context, evaluation: Evaluation, params: SectionParams) -> Section:
    """Numbers of features per class, in the images that the model predicts correctly and in those that it gets wrong."""
    component = ctx.component("detector", params.detector)
    detect, own = component.load(), component.params_type()()
    pictures: list[Picture] = []
    rows: list[tuple[Any, ...]] = []
    for number, name in enumerate(evaluation.classes):
        counts: dict[bool, list[int]] = {True: [], False: []}
        places = [place for place in range(len(evaluation)) if evaluation.y_true[place] == number]
        for place in places[:: max(1, len(places) // params.images_per_class)][: params.images_per_class]:
            sample = evaluation.samples[place]
            try:
                image = images.read(sample.image)
            except ImageError:
                continue
            found = features_of(detect(image, own), (image.shape[0], image.shape[1]), params.detector)
            right = bool(evaluation.correct[place])
            counts[right].append(len(found))
            if sum(map(len, counts.values())) <= params.pictures:
                pictures.append(_picture(sample, image, found, params.detector, name, right))
        if any(counts.values()):
            rows.append((name, len(counts[True]), _median(counts[True]), len(counts[False]), _median(counts[False])))
    words = (
        f"The features that the detector *{params.detector}* finds: dots on the image, and its response map beside it. They "
        "are not part of the model. If the images that the model gets wrong have far fewer features than the others, they may "
        "be blurred, dark, or empty."
    )
    columns = ("class", "right", "features if right (median)", "wrong", "features if wrong (median)")
    return Section("Features", words, tables=(Table(columns, tuple(rows)),) if rows else (), pictures=tuple(pictures))


def _median(counts: list[int]) -> str:
    return f"{median(counts):g}" if counts else "–"


def _picture(sample: Sample, image: Image, found: Features, detector: str, label: str, right: bool) -> Picture:
    drawn, caption = preview(image, found, detector, 320)
    verdict = "right" if right else "wrong"
    return Picture(
        images.encode(drawn, "jpg", 85),
        alt=f"{label}: {caption}",
        caption=f"{sample.id}\n{caption}",
        tags={"class": label, "answer": verdict},
        values={"features": float(len(found))},
    )
