"""Presets: named lists of ops. ``augment = "medium"`` in a pipeline file, or among other ops: ``["light", "noise"]``."""

from __future__ import annotations

from typing import Any

HALF = 0.5

light: list[dict[str, Any]] = [
    {"op": "rotate", "limit_deg": 10},
    {"op": "shift", "width": 0.05, "height": 0.05},
    {"op": "zoom", "amount": 0.1, "keep_aspect": True},
    {"op": "hflip", "p": HALF},
    {"op": "brightness", "range": [0.9, 1.1]},
]

medium: list[dict[str, Any]] = [
    {"op": "rotate", "limit_deg": 20},
    {"op": "shift", "width": 0.1, "height": 0.1},
    {"op": "skew", "x_deg": 8},
    {"op": "zoom", "amount": 0.2, "keep_aspect": True},
    {"op": "hflip", "p": HALF},
    {"op": "brightness", "range": [0.75, 1.25]},
    {"op": "contrast", "range": [0.75, 1.25]},
    {"op": "hue_saturation", "hue_deg": 8, "p": HALF},
    {"op": "one_of", "p": 0.2, "ops": [{"op": "blur"}, {"op": "noise"}]},
]

heavy: list[dict[str, Any]] = [
    {"op": "resized_crop", "area": [0.4, 1.0]},
    {"op": "rotate", "limit_deg": 30},
    {"op": "skew", "x_deg": 12, "y_deg": 6},
    {"op": "perspective", "amount": 0.08, "p": HALF},
    {"op": "hflip", "p": HALF},
    {"op": "brightness", "range": [0.6, 1.4]},
    {"op": "contrast", "range": [0.6, 1.4]},
    {"op": "hue_saturation", "hue_deg": 15, "saturation": [0.5, 1.5]},
    {"op": "one_of", "p": HALF, "ops": [{"op": "blur"}, {"op": "motion_blur"}, {"op": "noise"}, {"op": "jpeg"}]},
    {"op": "greyscale", "p": 0.05},
    {"op": "cutout", "p": HALF},
]

keras_tutorial: list[dict[str, Any]] = [
    {"op": "rotate", "limit_deg": 40},
    {"op": "shift", "width": 0.2, "height": 0.2},
    {"op": "shear", "limit_deg": 0.2},
    {"op": "zoom", "amount": 0.2},
    {"op": "hflip", "p": HALF},
]
"""``ImageDataGenerator(rotation_range=40, width_shift_range=0.2, height_shift_range=0.2, shear_range=0.2, zoom_range=0.2,
horizontal_flip=True, fill_mode="nearest")``, from the Keras blog's "Building powerful image classification models using very
little data" (2016)."""

# TrivialAugment's and RandAugment's ops at their full "wide" and usual strengths (Müller and Hutter 2021; Cubuk et al. 2020).
_WIDE: list[dict[str, Any]] = [
    {"op": "skew", "x_deg": 44.7, "y_deg": 0},
    {"op": "skew", "x_deg": 0, "y_deg": 44.7},
    {"op": "shift", "width": 32, "height": 0},
    {"op": "shift", "width": 0, "height": 32},
    {"op": "rotate", "limit_deg": 135},
    {"op": "brightness", "range": [0.01, 1.99]},
    {"op": "contrast", "range": [0.01, 1.99]},
    {"op": "hue_saturation", "hue_deg": 0, "saturation": [0.01, 1.99]},
    {"op": "sharpen", "amount": [-0.99, 0.99]},
    {"op": "posterize", "bits": 3},
    {"op": "solarize", "threshold": [0, 255]},
    {"op": "autocontrast"},
    {"op": "equalize"},
]

_RAND: list[dict[str, Any]] = [
    {"op": "identity"},
    {"op": "skew", "x_deg": 16.7, "y_deg": 0},
    {"op": "skew", "x_deg": 0, "y_deg": 16.7},
    {"op": "shift", "width": 0.3, "height": 0},
    {"op": "shift", "width": 0, "height": 0.3},
    {"op": "rotate", "limit_deg": 30},
    {"op": "brightness", "range": [0.1, 1.9]},
    {"op": "contrast", "range": [0.1, 1.9]},
    {"op": "hue_saturation", "hue_deg": 0, "saturation": [0.1, 1.9]},
    {"op": "sharpen", "amount": [-0.9, 0.9]},
    {"op": "posterize", "bits": 4},
    {"op": "solarize", "threshold": [128, 255]},
    {"op": "autocontrast"},
    {"op": "equalize"},
]

trivial: list[dict[str, Any]] = [{"op": "one_of", "ops": [{"op": "identity"}, *_WIDE]}]
rand: list[dict[str, Any]] = [{"op": "some_of", "n": 2, "replace": True, "ops": _RAND}]
