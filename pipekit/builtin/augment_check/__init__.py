"""The stage ``augment_check``: the accuracy that each op of a recipe costs a trained model on held-out images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from pipekit.contract import Context, Dataset, Files, Model, Params, param, stage
from pipekit.images.choices import FillMode
from pipekit.recipe.notation import Ops
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

Strength = Annotated[float, Field(gt=0, le=1)]


class AugmentCheckParams(Params):
    ops: Ops = param("medium", "The recipe: a preset's name, a .toml file, text like 'rotate(40)|hflip', or a list of ops")
    strengths: tuple[Strength, ...] = param(
        (0.25, 0.5, 1.0), "Fractions of each op's strength in the recipe to measure", min_length=1, max_length=10
    )
    split: str = param("", "The split to measure on, or all; by default val, or test if there is no val")
    copies: int = param(1, "Number of draws of each op and strength for each image", ge=1, le=100)
    max_images: int = param(500, "Maximum number of images to measure, evenly spread over the split", unit="images", ge=1)
    fill_mode: FillMode = param("nearest", "How to fill pixels outside: nearest (the edge), constant, reflect or wrap")
    mirror_labels: dict[str, str] = param(
        {}, 'Labels to swap when left and right are swapped: { left = "right", right = "left" }'
    )
    batch_size: int = param(32, "Batch size of prediction", unit="images", ge=1, le=4096, in_key=False)


@dataclass(frozen=True)
class AugmentCheckFiles(Files):
    """``augment_check.html``, ``augment_check.csv`` and ``augment_check.png``."""

    kind: ClassVar[str] = "augment_check"
    headline: ClassVar[tuple[str, ...]] = ("augment_check.html", "augment_check.csv", "augment_check.png")


@supports(
    CLASSES,
    why=dict.fromkeys(
        (MULTILABEL, NUMBER), "it measures how far each op lowers the accuracy, which is a figure of single classes"
    ),
)
@stage(libraries=("tensorflow", "keras"))
def augment_check(ctx: Context, model: Model, dataset: Dataset, params: AugmentCheckParams) -> AugmentCheckFiles:
    """Apply each op alone, at several strengths, to held-out images, and measure how much the model's accuracy drops.

    For one image, all strengths of an op use the same draws, so they differ in strength alone. The whole recipe is measured
    beside its ops. Each op is always applied, whatever its probability.
    """
    from pipekit.builtin.augment_check.measure import measure
    from pipekit.builtin.augment_check.outputs import facts, headline, write_outputs

    measured = measure(ctx, model.path, dataset, params)
    write_outputs(ctx.out_dir, measured)
    return ctx.artifact(AugmentCheckFiles, facts=facts(measured), headline=headline(measured))
