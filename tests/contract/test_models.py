"""Every registered model template is held to what a model promises. In a file of its own: it imports TensorFlow."""

from __future__ import annotations

import pytest

from pipekit.registry.component import Component
from pipekit.registry.registry import load_registry
from pipekit.testing.checks import run_checks

REGISTRY = load_registry(installed=False)

SMALL: dict[str, dict[str, object]] = {
    "alexnet": {"input_shape_hwc": (67, 67, 3)},
    "logistic_regression": {"input_shape_hwc": (32, 32, 3)},
    "row_lstm": {"input_shape_hwc": (12, 12, 3)},
    "pretrained": {"input_shape_hwc": (32, 32, 3), "values": {"weights": "random", "backbone": "MobileNet"}},
}
"""What keeps the large ones quick, and off the network."""


@pytest.mark.parametrize("component", REGISTRY.components("model"), ids=lambda component: component.name)
def test_a_model_keeps_its_promises(component: Component) -> None:
    verdicts = list(run_checks(REGISTRY, component, **SMALL.get(component.name, {})))
    assert {verdict.promise: verdict.problem for verdict in verdicts if verdict.problem} == {}
