"""The ``train`` stage: a model from a template, trained on the train split while watching val; test is never touched."""

from __future__ import annotations

from pipekit import contract
from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Context, Dataset, Model

__all__ = ["TrainParams", "train"]


@contract.stage(libraries=("tensorflow", "keras", "opencv-python-headless"))
def train(ctx: Context, dataset: Dataset, params: TrainParams) -> Model:
    """Train a model on the split ``train``, watching ``val``. The split ``test`` is never opened.

    The model's folder holds ``model.keras``, ``model.json``, ``history.csv`` and the curves. A run that was stopped goes on
    from its last checkpoint.

    Raises:
        UserError: there are no two classes to learn, or the model can't take the images.
        StageError: the loss is no number any more, or the memory does not suffice.
    """
    from pipekit.builtin.train.stage import train_model  # loads NumPy and OpenCV, which `pipekit train --help` does without

    return train_model(ctx, dataset, params)
