"""The ``train`` stage: train a model from a template on the train split, validate on val; test is never touched."""

from __future__ import annotations

from pipekit.builtin.train.params import TrainParams
from pipekit.builtin.train.stage import train

__all__ = ["TrainParams", "train"]
