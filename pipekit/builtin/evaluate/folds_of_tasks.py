"""Cross-validation of several labels and of numbers: each fold's figure, and what the interval of all of them means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipekit.contract import Section, Table
from pipekit.tasks import NUMBER

if TYPE_CHECKING:
    from pipekit.builtin.evaluate.of_task import Answered


def measure(found: Answered) -> dict[str, Any]:
    """``{"number", "figure", "sd", "rows"}``: the standard deviation of the folds' figures, and a row for each fold."""
    assert found.folds is not None
    name = "MAE" if found.dataset.task == NUMBER else "mAP"
    rows = []
    for row in found.info["cross_validation"]["folds"]:
        about = {key: row[key] for key in ("template", "kept_epoch", "learned_from", "val")}
        rows.append(
            {"fold": row["fold"], "num_images": int((found.folds == row["fold"]).sum()), "value": row.get(name), **about}
        )
    values = [row["value"] for row in rows if row["value"] is not None]
    return {"number": len(rows), "figure": name, "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None, "rows": rows}


def section(found: dict[str, Any]) -> Section:
    columns = ("fold", "images", found["figure"], "template", "kept epoch", "training images", "val images")
    rows = tuple(
        (
            row["fold"],
            row["num_images"],
            "–" if row["value"] is None else f"{row['value']:.4g}",
            *(row[name] for name in ("template", "kept_epoch", "learned_from", "val")),
        )
        for row in found["rows"]
    )
    what, come = ("thresholds", "come") if found["figure"] == "mAP" else ("prediction interval", "comes")
    sd = "–" if found["sd"] is None else f"{found['sd']:.3g}"
    words = (
        f"How were all images measured? They were divided into {found['number']} folds; images that belong together "
        "lie in one. A model was trained for each fold and predicts its images: the next fold was its val split, from which "
        f"its {what} {come}, and it learned from the others. So neither a prediction nor what decides about it comes from a "
        "model that saw the image or its group.",
        f"The figures of the folds have a standard deviation of {sd}. The intervals above count images (or their groups), not "
        "folds; they do not cover how much other training images would change the models.",
        f"Which model is kept? None of these: `model.keras` was trained on all images by the same recipe. Its {what} "
        f"{come} from all predictions out of fold. It has not been measured itself; it learned from more images than each of "
        "the others.",
    )
    return Section("Cross-validation", "\n\n".join(words), tables=(Table(columns, rows, "Each fold"),))
