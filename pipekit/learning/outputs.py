"""The outputs that a model template has to make: classes, several labels, or a number.

A template takes them as one argument, ``build(input_shape_hwc, outputs, params)``, and ends with ``outputs.layer(features)``::

    def build(input_shape_hwc, outputs: Outputs, params):
        inputs = keras.Input(input_shape_hwc)
        features = keras.layers.Flatten()(inputs)
        return keras.Model(inputs, Outputs.of(outputs).layer(features))

A template whose second argument is called ``num_classes`` is given their number, and makes classes alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipekit.tasks import CLASSES, MULTILABEL, NUMBER

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAYER = "probabilities"
"""The layer with the model's own weights; a number is scaled after it."""

ACTIVATIONS = {CLASSES: "softmax", MULTILABEL: "sigmoid", NUMBER: "linear"}

SAID = {
    CLASSES: "softmax probabilities, in the order of classes",
    MULTILABEL: "a sigmoid probability for each label, in the order of classes",
    NUMBER: "the number, in its unit",
}
"""How ``model.json`` describes them."""


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model.

    Attributes:
        task: ``classes``, ``multilabel`` or ``number``.
        names: of the classes or labels; of the number, its name.
        mean, spread: of a number, over the training images: the model's last layer computes ``mean + spread * x``, so that its
            weights learn a target of mean 0 and standard deviation 1.
    """

    task: str
    names: tuple[str, ...]
    mean: float = 0.0
    spread: float = 1.0

    def __len__(self) -> int:
        return len(self.names)

    @property
    def activation(self) -> str:
        return ACTIVATIONS[self.task]

    @classmethod
    def of(cls, outputs: Outputs | int) -> Outputs:
        """The same; a number stands for that many classes."""
        return outputs if isinstance(outputs, Outputs) else cls(CLASSES, tuple(map(str, range(outputs))))

    @classmethod
    def of_number(cls, name: str, values: Sequence[float] | NDArray[np.float64]) -> Outputs:
        """A number with the mean and the standard deviation of the training images."""
        found = np.asarray(values, np.float64)
        spread = float(found.std()) if len(found) else 1.0
        return cls(NUMBER, (name,), float(found.mean()) if len(found) else 0.0, spread if spread > 0 else 1.0)

    def layer(self, features: Any, name: str = LAYER, **dense: Any) -> Any:
        """The last layers of a Keras model: ``(N, D)`` features to ``(N, len(self))`` probabilities, or numbers.

        Args:
            dense: further arguments of the dense layer, such as initialisers.
        """
        from pipekit.learning.keras_backend import load_keras

        layers = load_keras().layers
        made = layers.Dense(len(self), self.activation, **{"dtype": "float32", **dense}, name=name)(features)
        if self.task != NUMBER:
            return made
        return layers.Rescaling(self.spread, self.mean, dtype="float32", name="value")(made)


def makes(template: Callable[..., Any]) -> tuple[str, ...]:
    """The tasks that a template can make outputs for: all, if it takes ``outputs``."""
    names = list(inspect.signature(template).parameters)
    return tuple(ACTIVATIONS) if len(names) > 1 and names[1] == "outputs" else (CLASSES,)
