"""Estimated times of the solvers of linear models: numbers that no clock decides, for the budget of `model = "auto"`.

What grows with the data is counted, in passes over the features; the constants are those of one core, measured on the features
of EfficientNet-Lite0 (2 to 40 classes of 100 to 900 images of Fashion-MNIST, docs/benchmarks.md).
"""

from __future__ import annotations

import math

from pipekit.tasks import CLASSES, NUMBER

MOST_ITERATIONS = 1000
"""Iterations after which scikit-learn's L-BFGS ends, for one strength of the regularisation."""
OPERATIONS_A_SECOND = 4e10
"""Rate of products and decompositions of matrices."""
OWN = 300
"""Images that take as long as what L-BFGS does with the coefficients alone."""


def iterations(images: int, classes: int, strengths: int) -> float:
    """Estimated iterations of L-BFGS for a multinomial logistic regression, all strengths together."""
    return strengths * min(MOST_ITERATIONS, 2.3 * math.sqrt(classes) * math.pow(images, 0.4))


def passes(images: int, strengths: int) -> float:
    """Estimated passes over the features for each of several labels (:mod:`pipekit.learning.logistic_path`)."""
    return strengths * 12 * math.cbrt(images)


def solver_s(task: str, images: int, dimensions: int, classes: int, strengths: int) -> float:
    """Estimated seconds to solve a linear model for each strength of the regularisation.

    Args:
        images: training images.
        classes: classes or labels; 1 for a number.
    """
    if task == CLASSES:
        return iterations(images, classes, strengths) * dimensions * classes * (images + OWN) * 3.5e-10
    axes = min(images, dimensions)
    rotated = (4.0 * images * dimensions * axes + 10.0 * axes**3) / OPERATIONS_A_SECOND
    if task == NUMBER:
        return strengths * rotated
    return rotated + passes(images, strengths) * images * axes * (2.5e-10 * classes + 1.7e-9)
