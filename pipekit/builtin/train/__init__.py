"""The ``train`` stage: train a model from a template on the train split, validate on val; test is never touched."""

from __future__ import annotations

from collections.abc import Iterator

from pipekit import contract
from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Context, Dataset, Model
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

__all__ = ["TrainParams", "train"]


def _check(task: str, params: TrainParams) -> Iterator[tuple[str, str]]:
    """What doesn't fit a task, when a pipeline file is read."""
    from pipekit.builtin.train.tasks import problems_of

    template = params.model.load()
    return iter(()) if getattr(template, "reconstructs", False) else problems_of(task, template, params)


@supports(CLASSES, MULTILABEL, NUMBER, check=_check)
@contract.stage(libraries=("tensorflow", "keras", "opencv-python-headless"))
def train(ctx: Context, dataset: Dataset, params: TrainParams) -> Model:
    """Train a model on the split ``train``, with validation on ``val``. The split ``test`` is never opened.

    The model's folder contains ``model.keras``, ``model.json``, ``history.csv`` and the learning curves. A stopped run resumes
    from its last checkpoint.

    With ``model = "auto"``, several templates are trained, and one of them is kept: chosen on ``val``, within a budget of
    estimated time.

    With ``cross_validate``, a model is trained for each fold of ``split``, and one of all images, which is published with the
    predictions of the others for the images that they did not learn from.

    Raises:
        UserError: there are fewer than two classes, or the model does not fit the images.
        StageError: the loss became NaN or infinite, or the memory is too small.
    """
    from pipekit.learning.templates import candidates_of

    template = params.model.load()
    if dataset.task != CLASSES and not getattr(template, "reconstructs", False):
        from pipekit.builtin.train.tasks import check_task

        check_task(dataset, template, params)
    if params.cross_validate and params.fold is None:
        from pipekit.builtin.train.folds import cross_validate

        return cross_validate(ctx, dataset, params)
    if params.fold is not None:
        from pipekit.learning.cross_validation import leaving_out

        dataset = leaving_out(dataset, params.fold)
    if candidates_of(template, params.model.params):
        from pipekit.builtin.train.choose import train_best

        return train_best(ctx, dataset, params)
    if params.cross_validate:
        from pipekit.builtin.train.folds import train_fold

        return train_fold(ctx, dataset, params)
    from pipekit.builtin.train.stage import train_model  # loads NumPy and OpenCV, which `pipekit train --help` does without

    return train_model(ctx, dataset, params)
