"""The stage ``explain``: attribution maps (saliency) for a model's predictions, and the feature maps of its layers."""

from __future__ import annotations

from typing import Literal

from pipekit.contract import Context, Files, InputPath, Model, Params, param, stage
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports, task_of

Method = Literal["grad_cam", "grad_cam_pp", "integrated_gradients", "occlusion"]


class ExplainParams(Params):
    images: tuple[InputPath, ...] = param(..., "The images to explain", min_length=1, max_length=64)
    methods: tuple[Method, ...] = param(
        ("grad_cam", "grad_cam_pp", "integrated_gradients", "occlusion"), "Attribution methods to draw maps with"
    )
    about: str = param("", "Class or label to explain; empty: the predicted class, or each predicted label")
    layers: int = param(4, "Number of layers whose feature maps are drawn", ge=0, le=32)
    steps: int = param(24, "Maximum number of layers shown step by step for the first image", ge=0, le=200)
    maximise: int = param(48, "Rounds of activation maximisation for the explained class; 0: none", ge=0, le=2000)
    channels: int = param(16, "Number of channels drawn of each feature map", ge=1, le=64)


FOLDED = ("feature-maps", "filters", "layers")
"""Sections that are closed until the reader opens them."""


LEADS = {
    CLASSES: "Yellow: evidence for the class; blue: against it or neutral.",
    MULTILABEL: "Yellow: evidence for the label; blue: against it or neutral.",
    NUMBER: "Yellow: what raises the number; blue: what lowers it, or nothing.",
}
ASKED = {
    CLASSES: "Which parts of the image are evidence for the class?",
    MULTILABEL: "Which parts of the image are evidence for each label?",
    NUMBER: "Which parts of the image raise the number?",
}


@supports(CLASSES, MULTILABEL, NUMBER)
@stage(libraries=("tensorflow", "keras"))
def explain(ctx: Context, model: Model, params: ExplainParams) -> Files:
    """Write ``explain.html`` and the maps as PNG files and NumPy arrays.

    With several labels, each predicted label has maps of its logit; the maps of a number are of the number itself.

    Each map comes with the sanity check of Adebayo et al. (2018): its rank correlation with the map of the same model with
    random weights. Near 1, the map shows the image's edges and not what the model has learned.
    """
    from pipekit.builtin.explain.pages import build_sections
    from pipekit.page import Top, render

    sections = list(build_sections(ctx, model.path, params))
    task = task_of(model)
    unchanged = "A map that stays the same when the weights are shuffled explains nothing that the model learned."
    lead = f"{LEADS[task]} {unchanged}"
    top = Top(ASKED[task])
    page = render("Explanations", sections, lead=lead, top=top, folded=FOLDED)
    (ctx.out_dir / "explain.html").write_text(page, "utf-8", errors="replace")
    explained = sum(anchor.startswith("image-") for anchor, _ in sections)
    return ctx.artifact(Files, facts={"labels of images" if task == MULTILABEL else "images": str(explained)})
