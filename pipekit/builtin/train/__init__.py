"""The ``train`` stage: a model from a template, trained on the train split while watching val; test is never touched."""

from __future__ import annotations

from pipekit.builtin.train.params import TrainParams
from pipekit.builtin.train.stage import train

__all__ = ["TrainParams", "train"]
