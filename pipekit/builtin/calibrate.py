"""The stage ``calibrate``: fit a trained model's temperature on val again, and choose its decision rule there."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from pipekit.contract import Context, Dataset, Model, Params, param, stage
from pipekit.errors import ImageError, UserError
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STORES_OWN = ("manifest.json", "contents.json")
"""Files that the store adds to an artifact."""


class CalibrateParams(Params):
    target: str = param(
        "",
        "What the threshold of two classes has to reach on val: 'recall of defect >= 0.95' or 'precision of defect >= 0.9'",
    )
    cost: dict[str, dict[str, float]] = param(
        {}, "Costs of mistakes, by true and predicted class: { defect = { ok = 5 } }; a mistake that is not stated costs 1"
    )
    batch_size: int = param(32, "Batch size for prediction", unit="images", ge=1, le=4096, in_key=False)

    @field_validator("target")
    @classmethod
    def _is_a_target(cls, text: str) -> str:
        from pipekit.learning.decisions import parse_target

        return str(parse_target(text)) if text.strip() else ""

    @field_validator("cost")
    @classmethod
    def _are_costs(cls, costs: dict[str, dict[str, float]], info: Any) -> dict[str, dict[str, float]]:
        from pipekit.learning.decisions import check_costs

        if costs and info.data.get("target"):
            raise ValueError("state a target or costs, not both: each decides by itself")
        check_costs(costs)
        return costs


@supports(
    CLASSES,
    why={
        MULTILABEL: "`train` chooses a threshold for each label: threshold = 'precision >= 0.9', 'recall >= 0.9' or 'f1'",
        NUMBER: "a number has no probabilities; `train` fits its prediction interval on val",
    },
)
@stage(libraries=("tensorflow", "keras", "onnxruntime", "scipy"))
def calibrate(ctx: Context, model: Model, dataset: Dataset, params: CalibrateParams) -> Model:
    """Write the model again, with ``calibration`` and ``decision`` in ``model.json``; its weights stay.

    The temperature is fitted on the images of the split ``val``. A ``target`` chooses a threshold of two classes there; with
    ``cost``, the rule predicts the class with the lowest expected cost. `predict` and the exporters apply them on request
    (``calibrated``, ``decide``), and `evaluate` reports what the rule does on the test images.
    """
    from pipekit.learning.predictor import read_model_info
    from pipekit.learning.temperature import KEY, UNROUNDED, fitted, is_applied, scaled

    info = read_model_info(model.path)
    if is_applied(info):
        raise UserError(
            f"the model in {model.path} is an export with its temperature inside",
            "Calibrate the run that it was exported from.",
        )
    _check_classes(params, info["classes"])
    probabilities, y_true = _of_val(ctx, model, info, dataset, params.batch_size)
    entry = fitted(probabilities, y_true)
    temperature = entry["temperature"]
    if temperature is None:
        ctx.warn(f"the probabilities stay as trained: {entry['reason']}")
    calibrated = probabilities if temperature is None else scaled(probabilities, temperature, UNROUNDED)
    decision = _decision(ctx, params, info["classes"], calibrated, y_true)
    changed = {name: value for name, value in info.items() if name != "decision"} | {KEY: entry}
    if decision is not None:
        changed["decision"] = {**decision, "temperature": temperature or 1.0}
    return _write(ctx, model, changed)


def _check_classes(params: CalibrateParams, classes: Sequence[str]) -> None:
    """Refuse a rule that doesn't fit the model's classes, before anything is predicted."""
    from pipekit.learning.decisions import cost_matrix, parse_target, positive_class

    if params.target:
        positive_class(parse_target(params.target), classes)
    if params.cost:
        cost_matrix(params.cost, classes)


def _of_val(
    ctx: Context, model: Model, info: Mapping[str, Any], dataset: Dataset, batch_size: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The model's probabilities for the labelled images of val, unrounded, and their classes.

    Raises:
        UserError: there are none.
    """
    import numpy as np

    from pipekit.learning.answers import Answers
    from pipekit.learning.linear_head import read_head
    from pipekit.learning.predictor import load_predictor

    place = {name: number for number, name in enumerate(info["classes"])}
    samples = [sample for sample in dataset.split("val") if sample.label in place]
    if not samples:
        raise UserError(
            "the split 'val' has no images of the model's classes, and the temperature and the decision rule are set there",
            "Give the dataset of a `split` stage with val images: --dataset RUN:split",
        )
    head = read_head(model.path, info, ctx.component)
    predictor = load_predictor(model.path, ctx.component, lazy=head is not None)
    rows, labels, failed = [], [], 0
    for sample, row in Answers(ctx, predictor, head, dataset, samples, batch_size).of(samples, "predict val"):
        if isinstance(row, ImageError):
            failed += 1
        else:
            rows.append(row[: len(place)])
            labels.append(place[str(sample.label)])
    if not rows:
        raise UserError("none of the images of 'val' can be read", "Check the files: pipekit inspect FOLDER")
    if failed:
        ctx.warn(f"{failed} of {len(samples)} images of 'val' can't be read and are left out")
    return np.array(rows, np.float64), np.array(labels, np.int64)


def _decision(
    ctx: Context, params: CalibrateParams, classes: Sequence[str], calibrated: NDArray[np.float64], y_true: NDArray[np.int64]
) -> dict[str, Any] | None:
    """The entry of ``model.json``; None without a target and costs."""
    from pipekit.learning.decisions import choose_costs, choose_threshold, parse_target

    if params.cost:
        return choose_costs(params.cost, classes, calibrated, y_true)
    if not params.target:
        return None
    entry = choose_threshold(parse_target(params.target), classes, calibrated, y_true)
    if entry["doubt"]:
        ctx.warn(entry["doubt"])
    return entry


def _write(ctx: Context, model: Model, info: Mapping[str, Any]) -> Model:
    for path in sorted(model.path.iterdir()):
        if path.name not in (*STORES_OWN, "model.json"):
            copy = shutil.copytree if path.is_dir() else shutil.copyfile
            copy(path, ctx.out_dir / path.name)
    (ctx.out_dir / "model.json").write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", "utf-8")
    stated: dict[str, Any] = {name: info.get(name) for name in ("calibration", "decision")}
    digest = hashlib.sha256(json.dumps([model.digest, stated], sort_keys=True).encode()).hexdigest()
    temperature, decision = stated["calibration"]["temperature"], stated["decision"]
    facts = {"temperature": "none" if temperature is None else f"{temperature:g}"}
    if decision is not None:
        facts["decision"] = (
            f"{decision['positive']} from {decision['threshold']:.4f}" if "threshold" in decision else "by costs"
        )
    words = [] if decision is None else [decision["words"]]
    return ctx.artifact(Model, digest=digest, facts=facts, headline="; ".join(words), words=words)
