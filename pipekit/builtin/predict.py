"""The stage ``predict``: predict every image of a dataset, labelled or not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from pipekit.contract import Context, Dataset, Files, Model, Params, param, stage
from pipekit.errors import UserError
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, TASKS, supports, task_of


class PredictParams(Params):
    split: str = param("", "Split to predict; empty: all images")
    mirrored: bool = param(False, "Test-time augmentation: average the probabilities of the image and its mirror image")
    calibrated: bool = param(
        False, "Calibrate the probabilities by the model's temperature (model.json), which `train` fits on val"
    )
    decide: bool = param(
        False, "Predict by the model's decision rule, a threshold or costs, from calibrated probabilities: see `calibrate`"
    )
    batch_size: int = param(32, "Batch size for prediction", unit="images", ge=1, le=4096, in_key=False)


@supports(CLASSES, MULTILABEL, NUMBER)
@stage(libraries=("tensorflow", "keras", "onnxruntime"))
def predict(ctx: Context, model: Model, dataset: Dataset, params: PredictParams) -> Files:
    """Write ``predictions.csv``: id, predicted class, confidence, all probabilities, and the reason if an image is unusable.

    For several labels, ``predicted`` has those above their thresholds, with ``|`` between them; of a number, its value, with
    the bounds of its prediction interval in ``low`` and ``high``.
    A model that can tell adds ``unknown`` (1: the image is none of the classes) and ``unknown_score``, which is then above 1.
    Frames of videos have the columns clip, frame and time_s too.
    """
    from pipekit.learning.decisions import asked_for
    from pipekit.learning.light_predictor import load_light
    from pipekit.learning.predictions import answers, half_width_of, write_csv

    predictor, decision = asked_for(load_light(model.path, ctx.component, TASKS), params.calibrated, params.decide)
    ids: dict[str, str] = {}
    frames: dict[str, tuple[str, int, float]] = {}
    for sample in dataset:
        if not params.split or sample.split == params.split:
            ids[sample.image] = sample.id
            if "clip" in sample.extra and "frame" in sample.extra:
                place = sample.extra
                frames[sample.image] = str(place["clip"]), int(place["frame"]), float(place.get("time_s") or 0)
    if not ids:
        raise UserError(f"there are no images in the split {params.split!r}", "Omit split to predict all images.")
    found = answers(
        predictor, ids, workers=ctx.workers, batch_size=params.batch_size, mirrored=params.mirrored, decision=decision
    )
    named = (replace(one, image=ids[one.image], frame=frames.get(one.image)) for one in found)
    counts: Counter[str] = Counter()
    failed = unknown = 0
    scored, bounded = predictor.with_score is not None, half_width_of(predictor.info.get("value") or {}) is not None
    with (ctx.out_dir / "predictions.csv").open("w", encoding="utf-8", newline="", errors="surrogateescape") as file:
        predictions = write_csv(named, predictor.classes, file, frames=bool(frames), scored=scored, bounded=bounded)
        are_classes = task_of(model) == CLASSES
        for prediction in ctx.track(predictions, total=len(ids), label="predict", unit="images"):
            counts[prediction.predicted] += are_classes and not prediction.error
            failed += bool(prediction.error)
            unknown += bool(prediction.unknown)
    if failed:
        ctx.warn(f"{failed} of {len(ids)} images can't be read; predictions.csv gives the reasons")
    facts = {"images": str(len(ids)), **{name: str(counts[name]) for name, count in counts.most_common(3) if name and count}}
    if scored:
        facts["none of these"] = str(unknown)
    return ctx.artifact(Files, facts=facts)
