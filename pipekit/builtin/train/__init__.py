"""The ``train`` stage: train a model from a template on the train split, validate on val; test is never touched."""

from __future__ import annotations

from pipekit import contract
from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Context, Dataset, Model

__all__ = ["TrainParams", "train"]


@contract.stage(libraries=("tensorflow", "keras", "opencv-python-headless"))
def train(ctx: Context, dataset: Dataset, params: TrainParams) -> Model:
    """Train a model on the split ``train``, with validation on ``val``. The split ``test`` is never opened.

    The model's folder contains ``model.keras``, ``model.json``, ``history.csv`` and the learning curves. A stopped run resumes
    from its last checkpoint.

    With ``model = "auto"``, several templates are trained, and one of them is kept: chosen on ``val``, within a budget of
    estimated time.

    Raises:
        UserError: there are fewer than two classes, or the model does not fit the images.
        StageError: the loss became NaN or infinite, or the memory is too small.
    """
    from pipekit.learning.templates import candidates_of

    if candidates_of(params.model.load(), params.model.params):
        from pipekit.builtin.train.choose import train_best

        return train_best(ctx, dataset, params)
    from pipekit.builtin.train.stage import train_model  # loads NumPy and OpenCV, which `pipekit train --help` does without

    return train_model(ctx, dataset, params)
