"""The stage ``augment_check``: what each op of a recipe costs a trained model on held-out images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from pipekit.contract import Context, Dataset, Files, Model, Params, param, stage
from pipekit.images.choices import FillMode
from pipekit.recipe.notation import Ops

Strength = Annotated[float, Field(gt=0, le=1)]


class AugmentCheckParams(Params):
    ops: Ops = param("medium", "The recipe: a preset's name, a .toml file, text like 'rotate(40)|hflip', or a list of ops")
    strengths: tuple[Strength, ...] = param(
        (0.25, 0.5, 1.0), "Parts of each op's strength in the recipe at which it is tried", min_length=1, max_length=10
    )
    split: str = param("", "Which split to measure on, or all; unless set: val, or test where there is no val")
    copies: int = param(1, "Draws of each op and strength for each image", ge=1, le=100)
    max_images: int = param(500, "Images that are measured, evenly over the split", unit="images", ge=1)
    fill_mode: FillMode = param("nearest", "What lies outside: nearest (the edge), constant, reflect or wrap")
    mirror_labels: dict[str, str] = param(
        {}, 'Classes that change when left and right change places: { left = "right", right = "left" }'
    )
    batch_size: int = param(32, "Images that the model takes at a time", unit="images", ge=1, le=4096, in_key=False)


@dataclass(frozen=True)
class AugmentCheckFiles(Files):
    """``augment_check.html``, ``augment_check.csv`` and ``augment_check.png``."""

    kind: ClassVar[str] = "augment_check"
    headline: ClassVar[tuple[str, ...]] = ("augment_check.html", "augment_check.csv", "augment_check.png")


@stage(libraries=("tensorflow", "keras"))
def augment_check(ctx: Context, model: Model, dataset: Dataset, params: AugmentCheckParams) -> AugmentCheckFiles:
    """Apply each op alone, at several strengths, to held-out images, and measure how the model's answers fall.

    An image meets all strengths of an op with the same draws, so they differ in strength alone. The whole recipe is measured
    beside its ops, each of which is applied always, whatever its probability.
    """
    from pipekit.builtin.augment_check.measure import measure
    from pipekit.builtin.augment_check.outputs import facts, headline, write_outputs

    measured = measure(ctx, model.path, dataset, params)
    write_outputs(ctx.out_dir, measured)
    return ctx.artifact(AugmentCheckFiles, facts=facts(measured), headline=headline(measured))
