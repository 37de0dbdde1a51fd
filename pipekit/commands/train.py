"""Split a folder of images, train a model and evaluate it, without a pipeline file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.contact_sheet import draw_sheet
from pipekit.commands.working import add_corrected, new_pipeline, split_file, with_names
from pipekit.errors import PlanError, Problem, UserError
from pipekit.files import expanded
from pipekit.files.urls import is_url, located

if TYPE_CHECKING:
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.engine.outcome import Listener, Outcome
    from pipekit.pipeline.plan import Plan

SPLIT_FILE, FOLDS_FILE = "split.csv", "folds.csv"
IN_FOLDS = {"fractions": {"train": 1.0}, "fold": 0}
"""Parameters of the split for cross-validation: all images that are not given as test lie in a fold, and none is val."""
OUT_OF_FOLD = "out-of-fold"
NAMES = {"stages.train.model.budget": "budget", "stages.train.": "", "stages.split.": "split."}
"""The names of parameters in the pipeline that is made, and those of the arguments."""
FEWEST, MOST_SEEDS = 3, 100


def train(
    data: str | Path,
    *,
    split: Mapping[str, Any] | None = None,
    report: bool = True,
    folds: int = 0,
    seeds: int = 1,
    budget: str = "",
    format: str = "",
    splits: str = "",
    name: str = "",
    seed: int = 0,
    workers: int | None = None,
    resume: bool = False,
    plugins: Sequence[str] | None = (),
    disable: Sequence[str] | None = (),
    listener: Listener | None = None,
    **params: Any,
) -> Outcome:
    """Split a folder of images, train a model on it, and evaluate it on images that it has not seen.

    The results are in ``runs/NAME/``: ``model.keras`` with ``model.json``, ``report.html``, a folder for each stage. The same
    call again continues a training that was stopped, or returns what is finished.

    Args:
        data: a folder of images, a file in a dataset's format, or a dataset of a run (``runs/pets:split``). Folders train, val
            and test are taken as the split.
        split: parameters of the ``split`` stage: ``{"fractions": {"train": 0.8, "val": 0.1, "test": 0.1}}``. Without
            ``file``, it is kept in ``split.csv`` in the current folder if that exists, else in ``runs/NAME/split.csv``.
        report: evaluate the model on the test split and write the report.
        folds: number of folds for cross-validation, at least 3; 0 for none. A model is trained for each fold and predicts the
            images of that fold, so the report measures every image, also without a test split; the published model is trained
            on all images. The folds are kept in ``split.csv`` in the current folder if that exists, whose test images then
            stay out, else in ``runs/NAME/folds.csv``.
        seeds: number of trainings with different seeds, ``seed``, ``seed + 1`` …; the report has the mean and the spread of
            each figure, and ``compare`` compares the recipe. The split stays the same. The published model is the first one.
        budget: estimated time that the templates which ``model = "auto"`` tries may take together, in all folds: "90s", "5m",
            "1h"; default: three minutes.
        format: the importer to read ``data`` with; default: detected.
        splits: whether the top folders are splits ("yes") or classes ("no"), for the importer ``folders``; default: by their
            names.
        name: the run's name; default: the name of ``data``.
        seed: random seed of the split, the weights, the order and the augmentation.
        workers: number of threads that prepare images; the result is the same.
        resume: only resume a stopped run; an error if there is none.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.
        listener: receives each event of the run.
        **params: parameters of the ``train`` stage. ``model`` is a template's name or a table with its parameters
            (``{"template": "mlp", "units": [64]}``); default: ``"auto"``, which tries several templates and keeps the one that
            val speaks for. ``ops`` is a recipe, applied to each training image in each epoch.

    Returns:
        The run: ``outcome.headline``, ``outcome.run_dir``, ``outcome.artifact("train")`` and ``outcome.artifact("report")``.

    Raises:
        PlanError: a parameter is unknown or has a wrong value; nothing was run.
        ReadingsError: ``data`` can be read in several ways; the error has the values that choose each.
        UserError: there are no images, or, with ``resume``, nothing to resume; a budget for a template other than "auto".
        StageError: a stage failed; finished work is kept.

    Example:
        >>> import pipekit
        >>> outcome = pipekit.train("photos", model="mlp", epochs=20, ops="rotate(40)|hflip")  # doctest: +SKIP
        >>> outcome.headline  # doctest: +SKIP
        'test accuracy 0.917 (95 % interval 0.730 to 0.990), 24 images'
        >>> pipekit.train("photos", folds=5).headline  # doctest: +SKIP
        'out-of-fold accuracy 0.925 (95 % interval 0.862 to 0.965), 120 images in 5 folds'
    """
    from pipekit.commands.progress import listener_or_progress
    from pipekit.commands.shown import shown
    from pipekit.engine.resume import check_resumable
    from pipekit.engine.run import forecast, run_plan
    from pipekit.engine.run_place import prepare
    from pipekit.learning.keras_backend import require_keras

    pipeline = new_pipeline(plugins, disable, seed=seed, workers=workers)
    name = name or run_name(data)  # after the plugins, which may bring the protocol of a URL
    pipeline.settings = {**pipeline.settings, "name": name}
    file = split_file(name, FOLDS_FILE if folds else SPLIT_FILE)
    how: dict[str, Any] = {"file": str(file), **(IN_FOLDS | {"folds": folds} if folds else {}), **(split or {})}
    wrong = list(problems_of(folds, seeds, report, split or {}, params))
    divided = pipeline.add("split", "split", dataset=add_corrected(pipeline, data, how, format=format, splits=splits), **how)
    params["model"] = model_of(params.get("model", "auto"), budget)
    trained = pipeline.add("train", "train", dataset=divided, cross_validate=True if folds else None, **params)
    if report and seeds > 1 and not wrong:
        _add_seeds(pipeline, divided, range(seed, seed + seeds))
    elif report:
        pipeline.add("report", "evaluate", dataset=divided, model=trained, split=OUT_OF_FOLD if folds else None)
    plan = _checked(pipeline, wrong)
    require_keras()
    if resume:
        check_resumable(plan.name, forecast(plan))
    if file.parent.name:
        prepare(plan.base_dir / "runs" / plan.name)  # so that an import of this folder passes over the split file
    try:
        return shown(run_plan(plan, listener_or_progress(listener), draw=draw_sheet))
    except PlanError as error:  # the data have another task than the parameters are for
        raise with_names(error, NAMES) from error


def _add_seeds(pipeline: AdhocPipeline, dataset: str, seeds: Sequence[int]) -> None:
    """Add the trainings with further seeds before the stage ``train``, which stays the run's model, and their report."""
    first = pipeline.stages.pop("train")
    for number, seed in reversed(list(enumerate(seeds, 1))):
        name = "train" if number == 1 else f"train_{number}"
        pipeline.stages[name] = first if number == 1 else {**first, "seed": seed}
        pipeline.add(f"report_{number}", "evaluate", dataset=dataset, model=name)
    reports = [f"report_{number}" for number in range(1, len(seeds) + 1)]
    pipeline.add("report", "average", reports=reports, seeds=list(seeds))


def problems_of(folds: int, seeds: int, report: bool, split: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the folds and the seeds, by the names of the arguments."""
    if not 1 <= seeds <= MOST_SEEDS:
        yield Problem("seeds", f"expected 1 to {MOST_SEEDS} seeds, got {seeds}", "5 are usual.")
    if seeds > 1 and folds:
        message = "folds and seeds can't be combined: folds repeat the training on other images, seeds on the same ones"
        yield Problem("seeds", message, "Choose folds where images are few, and seeds where the training is random.")
    if seeds > 1 and not report:
        yield Problem("seeds", "seeds are compared by the report", "Ask for the report, too.")
    for stage, name in (("split", "folds"), ("split", "fold"), ("", "fold"), ("", "cross_validate")):
        if name in (split if stage else params):
            shown = f"{stage}.{name}" if stage else name
            yield Problem(shown, "the folds of a training are set with `folds`", "Omit it; a pipeline file sets it by itself.")
    if not folds:
        return
    if folds < FEWEST:
        message = (
            f"cross-validation needs at least {FEWEST} folds, got {folds}: one is held out, one is val, one is learned from"
        )
        yield Problem("folds", message, "5 and 10 are usual.")
    if not report:
        yield Problem("folds", "cross-validation measures, and the report is what it measures for", "Ask for the report, too.")


def _checked(pipeline: AdhocPipeline, wrong: Sequence[Problem]) -> Plan:
    """The checked plan.

    Raises:
        PlanError: with ``wrong`` and all problems of the pipeline.
    """
    try:
        plan = pipeline.plan()
    except PlanError as error:
        named = with_names(error, NAMES)
        told = {problem.path for problem in wrong}
        raise PlanError([*wrong, *(problem for problem in named.problems if problem.path not in told)]) from error
    if wrong:
        raise PlanError(wrong)
    return plan


def model_of(model: Any, budget: str) -> Any:
    """The value of ``model`` with the budget in its table.

    Raises:
        UserError: a budget for a template that chooses nothing.
    """
    if not budget:
        return model
    table = {"template": model} if isinstance(model, str) else model
    if not isinstance(table, Mapping) or table.get("template") != "auto":
        raise UserError("a budget is for model = 'auto', which tries several templates", "Omit --budget, or set epochs.")
    return {**table, "budget": budget}


def run_name(data: str | Path) -> str:
    """``photos/cats_dogs`` -> ``cats_dogs``, ``runs/a:split`` -> ``a-split``: the letters that a name may have."""
    if is_url(data):
        stem = located(data).name
    else:
        folder, _, stage = str(data).partition(":")
        stem = "-".join(filter(None, (expanded(folder).absolute().name, stage)))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "train"
