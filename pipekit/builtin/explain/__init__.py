"""The stage ``explain``: where a model looks, and what its layers make of a picture."""

from __future__ import annotations

from typing import Literal

from pipekit.contract import Context, Files, InputPath, Model, Params, param, stage

Method = Literal["grad_cam", "grad_cam_pp", "integrated_gradients", "occlusion"]


class ExplainParams(Params):
    images: tuple[InputPath, ...] = param(..., "The images to explain", min_length=1, max_length=64)
    methods: tuple[Method, ...] = param(
        ("grad_cam", "grad_cam_pp", "integrated_gradients", "occlusion"), "Which maps are drawn"
    )
    about: str = param("", "The class that is explained; empty: the one that the model predicts")
    layers: int = param(4, "How many layers' feature maps are drawn", ge=0, le=32)
    steps: int = param(24, "How many layers are shown at work on the first image, one after the other", ge=0, le=200)
    maximise: int = param(48, "Rounds in which a picture is made that the class would most like to see; 0: none", ge=0, le=2000)
    channels: int = param(16, "How many channels of each are drawn", ge=1, le=64)


@stage(libraries=("tensorflow", "keras"))
def explain(ctx: Context, model: Model, params: ExplainParams) -> Files:
    """Write ``explain.html`` and the maps as PNG files and NumPy arrays.

    Each map comes with the check of Adebayo et al. (2018): its rank correlation with the map of the same model with random
    weights. Near 1 it shows the picture's edges and not what the model has learned.
    """
    from pipekit.builtin.explain.pages import build_sections
    from pipekit.page import render

    sections = list(build_sections(ctx, model.path, params))
    page = render("What does the model look at?", sections, lead="Maps of what in each picture speaks for a class.")
    (ctx.out_dir / "explain.html").write_text(page, "utf-8", errors="replace")
    return ctx.artifact(Files, facts={"images": str(sum(anchor.startswith("image-") for anchor, _ in sections))})
