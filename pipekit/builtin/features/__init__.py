"""Image features by classic detectors: the stages ``features``, ``match`` and ``stability``.

This module defines the stage ``features``. ``--help`` imports it, so the work is in a separate module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pipekit import contract
from pipekit.contract import Call, Context, Dataset, Files, Params, Uses, param
from pipekit.tasks import supports


class DetectParams(Params):
    """The parameters that affect detection; others can change without detecting again."""

    detector: Annotated[Call, Uses("detector")] = param("harris", "The detector: its name, or a table with its parameters")
    arrays: bool = param(True, "Also write one NumPy file (.npz) per image: points, scales, angles, descriptors")


class FeaturesParams(DetectParams):
    table: Literal["csv", "parquet"] = param("csv", "Format of the table of all points")
    previews_per_class: int = param(4, "Number of images of each class to draw with their features", unit="images", ge=0)
    preview_px: int = param(640, "Longer side of a drawn image", unit="px", ge=64, le=4096)


@dataclass(frozen=True)
class FeatureFiles(Files):
    """``points.csv``, ``counts.csv``, ``classes.csv``, ``arrays/<id>.npz``, ``previews/<id>.png`` and ``features.png``."""

    kind: ClassVar[str] = "features"
    headline: ClassVar[tuple[str, ...]] = ("features.png", "counts.csv", "classes.csv")


@supports("classes", "multilabel", "number")
@contract.stage
def features(ctx: Context, dataset: Dataset, params: FeaturesParams) -> FeatureFiles:
    """Detect features in every image."""
    from pipekit.builtin.features.stage import find_features

    return find_features(ctx, dataset, params)
