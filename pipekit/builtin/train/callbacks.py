"""Callbacks of plugins in the training loop: called as ``fit`` calls those of Keras, each error named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipekit.builtin.train.compiling import built
from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Call, Context
from pipekit.errors import PipekitError, PluginError
from pipekit.learning.keras_backend import load_keras


@dataclass(frozen=True)
class Callbacks:
    """The callbacks of a training, with what they are in the pipeline file."""

    each: tuple[tuple[Call, Any], ...] = ()

    @classmethod
    def of(cls, ctx: Context, params: TrainParams, template: Any) -> Callbacks:
        """Build them.

        Raises:
            PluginError: one can't be built.
        """
        if hasattr(template, "fit") and isinstance(params.sampler, Call):
            ctx.warn(f"sampler had no effect: {params.model.name} is not trained in epochs")
        if not params.callbacks:
            return cls()
        if hasattr(template, "fit"):
            ctx.warn(f"callbacks had no effect: {params.model.name} is not trained in epochs")
            return cls()
        kind = load_keras().callbacks.Callback
        return cls(tuple((call, built(call, (kind,))) for call in params.callbacks))

    def begin(self, model: Any, epochs: int, steps: int) -> None:
        """Give them the model, and say that training begins, or resumes."""
        for _, callback in self.each:
            callback.set_model(model)
            callback.set_params({"epochs": epochs, "steps": steps, "verbose": 0})
        if self.each:
            model.stop_training = False
        self.call("on_train_begin")

    def call(self, event: str, *values: Any) -> None:
        """Call one method of each. Values are an epoch or a step, from 0, and metrics.

        Raises:
            PluginError: one raises.
        """
        for call, callback in self.each:
            try:
                getattr(callback, event)(*values)
            except PipekitError:
                raise
            except Exception as error:
                where = f"callback {call.name!r} of plugin {call.component.plugin!r}"
                raise PluginError(f"{where} failed in {event}: {type(error).__name__}: {error}") from error

    @property
    def wants_to_stop(self) -> bool:
        """Whether one has set ``model.stop_training``."""
        return any(getattr(callback.model, "stop_training", False) for _, callback in self.each)
