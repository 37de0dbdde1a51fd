"""Rebuild a Keras model as it is published: in float32, without the optimizer."""

from __future__ import annotations

from typing import Any

from pipekit.learning.keras_backend import load_keras


def plain_model(model: Any) -> Any:
    """An uncompiled copy of a model that computes in float32, with the same weights.

    Weights are float32 under a mixed precision too, so nothing is rounded. The file of a compiled model also contains the
    optimizer's state, for Adam twice the size of the weights; and the converters to ONNX and TensorFlow Lite fail on layers of
    a mixed precision.

    Raises:
        TypeError, ValueError: Keras can't rebuild a layer from its configuration, so it could not load the model's file either.
    """
    keras = load_keras()
    config = _in_float32(keras.saving.serialize_keras_object(model))
    config.pop("compile_config", None)
    plain = keras.saving.deserialize_keras_object(config)
    ours, theirs = model.variables, plain.variables  # also the states of random generators: equal files for equal trainings
    if [variable.shape for variable in ours] != [variable.shape for variable in theirs]:
        raise ValueError(f"the model {model.name!r}, rebuilt from its configuration, has other weights")
    for variable, value in zip(theirs, ours, strict=True):
        variable.assign(value.numpy())
    return plain


def has_mixed_precision(model: Any) -> bool:
    """Whether a layer, also one inside another, computes in 16 bits."""
    return any(layer.compute_dtype in ("float16", "bfloat16") for layer in model._flatten_layers())


def _in_float32(config: Any) -> Any:
    """A configuration in which each mixed precision is replaced by float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy" and _is_mixed(config["config"]["name"]):
            return {**config, "config": {**config["config"], "name": "float32"}}
        return {key: "float32" if key == "dtype" and _is_mixed(value) else _in_float32(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_in_float32(value) for value in config)
    return config


def _is_mixed(name: Any) -> bool:
    return isinstance(name, str) and name in ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
