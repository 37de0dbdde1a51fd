"""The verb ``split``: split images into train, val and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.brief import Brief
from pipekit.commands.working import add_corrected, new_pipeline, refuse_existing, refuse_inside
from pipekit.files import expanded

if TYPE_CHECKING:
    from pipekit.contract import Dataset
    from pipekit.engine.outcome import Listener, Outcome


@dataclass(frozen=True)
class Split(Brief):
    """Where each image went.

    Attributes:
        counts: {split: {class: images}}, train, val and test in this order; the class of an image without one is "".
        dataset: the images with their splits, in the store.
        file: the split file, or None where none was written: all images came with a split, or nothing is to be remembered.
        path: the folder that was asked for, or None.
        outcome: the run, with its warnings.
    """

    counts: Mapping[str, Mapping[str, int]]
    dataset: Dataset
    file: Path | None
    path: Path | None
    outcome: Outcome

    def _repr_html_(self) -> str:
        from pipekit.commands.shown import of_split

        return of_split(self)


def split(
    source: str | Path,
    *,
    out: str | Path | None = None,
    format: str = "",
    splits: str = "",
    seed: int = 0,
    workers: int | None = None,
    plugins: Sequence[str] = (),
    disable: Sequence[str] = (),
    listener: Listener | None = None,
    **params: Any,
) -> Split:
    """Split images into train, val and test, keep duplicates and groups in one split, and record it in a split file.

    ``train`` and pipelines in the same folder take the split from that file, so adding images moves none. Images that came with
    a split keep it. The source is never changed.

    Args:
        source: a folder of images, a file in a dataset's format, or a run's dataset.
        out: a folder to write, which must not exist: ``train/cat/1.jpg`` …, with a ``metadata.csv`` for each split.
        format: the importer to read ``source`` with; default: detected.
        splits: whether the top folders are splits ("yes") or classes ("no"), for the importer ``folders``; default: by their
            names.
        seed: random seed; the same seed gives the same result.
        workers: number of shards that run at once.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.
        listener: receives the engine's events.
        params: parameters of the stage ``split``: ``fractions``, ``mode``, ``group_pattern``, ``folds``, ``file`` (the split
            file, ``split.csv`` in the current folder unless given) …

    Raises:
        PlanError: a parameter is wrong; its path is the parameter's name.
        ReadingsError: ``source`` can be read in several ways; the error has the values that choose each.
        UserError: ``out`` exists, ``out`` or the split file lies in the source, or a split would be empty.

    Example:
        >>> import pipekit
        >>> made = pipekit.split("photos", fractions={"train": 0.8, "val": 0.2})  # doctest: +SKIP
        >>> made.counts["val"]  # doctest: +SKIP
        {'cat': 80, 'dog': 80}
    """
    from pipekit.commands.progress import listener_or_progress
    from pipekit.engine.run import run_plan
    from pipekit.engine.run_folder import take_out

    place = None if out is None else expanded(out)
    refuse_inside(place, source)
    refuse_existing(place)
    pipeline = new_pipeline(plugins, disable, name="split", seed=seed, workers=workers)
    pipeline.add("split", "split", dataset=add_corrected(pipeline, source, params, format=format, splits=splits), **params)
    plan = pipeline.plan(of="split")
    stage = plan.stage("split")
    asked: Any = stage.params
    if asked.remember:
        refuse_inside(Path(asked.file), source)
    outcome = run_plan(plan, listener_or_progress(listener), publish=False)
    dataset: Any = outcome.artifact("split")
    if place is not None:
        take_out(dataset, place)
    remembered = stage.contract.fingerprint is not None and stage.contract.fingerprint(asked) != ""
    return Split(_counted(dataset), dataset, Path(asked.file) if remembered else None, place, outcome)


def _counted(dataset: Dataset) -> dict[str, dict[str, int]]:
    """The number of images of each split and class; an image with several labels counts for each."""
    counts: dict[str, dict[str, int]] = {name: {} for name in ("train", "val", "test")}
    for sample in dataset:
        of = counts.setdefault(sample.split, {})
        for label in (sample.label or "",) if sample.labels is None else sample.labels or ("",):
            of[label] = of.get(label, 0) + 1
    return {name: dict(sorted(of.items())) for name, of in counts.items() if of}
