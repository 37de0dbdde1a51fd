"""A pipekit plugin: model templates with EfficientNet-Lite0, pretrained on ImageNet."""

import pipekit

PIPEKIT_API = 1


@pipekit.hookimpl
def register_models(register):
    where = "pipekit_efficientnet_lite.templates"
    register(
        "efficientnet_lite0",
        f"{where}:efficientnet_lite0",
        summary="Pretrained on ImageNet; a new output layer, then fine-tuning",
    )
    register(
        "efficientnet_lite0_probe",
        f"{where}:efficientnet_lite0_probe",
        summary="Pretrained on ImageNet; a linear probe (logistic regression on its features), in one pass",
    )
