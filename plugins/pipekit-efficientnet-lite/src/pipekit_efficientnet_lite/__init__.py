"""A pipekit plugin: model templates with EfficientNet-Lite0, which has learnt from ImageNet."""

import pipekit

PIPEKIT_API = 1


@pipekit.hookimpl
def register_models(register):
    where = "pipekit_efficientnet_lite.templates"
    register(
        "efficientnet_lite0", f"{where}:efficientnet_lite0", summary="Learnt from ImageNet; a new output, then fine-tuning"
    )
    register(
        "efficientnet_lite0_probe",
        f"{where}:efficientnet_lite0_probe",
        summary="Learnt from ImageNet; a logistic regression on its features, in one pass",
    )
