"""A pipekit plugin: EfficientNet-Lite1 and Lite2 as embedders, and model templates with Lite0, pretrained on ImageNet."""

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
        version=2,
    )


@pipekit.hookimpl
def register_embedders(register):
    where = "pipekit_efficientnet_lite.embedders"
    register(
        "efficientnet_lite1", f"{where}:efficientnet_lite1", summary="EfficientNet-Lite1, trained on ImageNet: 1,280 features"
    )
    register(
        "efficientnet_lite2", f"{where}:efficientnet_lite2", summary="EfficientNet-Lite2, trained on ImageNet: 1,280 features"
    )
