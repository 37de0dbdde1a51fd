"""The verb ``inspect``: the contents and the problems of a folder of images."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.brief import Brief
from pipekit.commands.working import corrections_file, new_pipeline, run_pipeline
from pipekit.errors import UserError, did_you_mean
from pipekit.files import PlainTable, expanded, write_text
from pipekit.files.urls import located

if TYPE_CHECKING:
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.engine.outcome import Listener, Outcome

COLUMNS = ("id", "sha256", "match", "check", "reason")
"""The columns of the quarantine file."""


@dataclass(frozen=True)
class Inspected(Brief):
    """The result of an inspection.

    Attributes:
        found: the content of ``inspect.json``: ``num_images``, ``counts`` {split: {class: images}}, ``summary`` (a line for
            each check that found something), ``findings``, ``remove`` (what a quarantine file lists) …
        folder: the folder with ``inspect.html`` and ``inspect.json``.
        failing: the checks of ``fail_on`` that found something.
        warnings: the warnings of the stages.
        outcome: the run.
    """

    found: Mapping[str, Any]
    folder: Path
    failing: tuple[str, ...]
    warnings: tuple[str, ...]
    outcome: Outcome

    @property
    def findings(self) -> Sequence[Mapping[str, Any]]:
        """What the checks found: ``check``, ``severity``, ``message``, ``samples`` and ``values`` of each finding."""
        return tuple(self.found["findings"])

    def _repr_html_(self) -> str:
        from pipekit.commands.shown import of_inspected

        return of_inspected(self)


def inspect(
    source: str | Path,
    *,
    format: str = "",
    splits: str = "",
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    fail_on: Sequence[str] = (),
    out: str | Path | None = None,
    quarantine: str | Path | None = None,
    features: bool | None = None,
    corrections: str | Path | None = None,
    workers: int | None = None,
    plugins: Sequence[str] = (),
    disable: Sequence[str] = (),
    listener: Listener | None = None,
    **params: Any,
) -> Inspected:
    """Check every image of a folder: damaged files, duplicates, leaks between splits, contradicting labels, outliers.

    Nothing is changed or deleted. Each image is read once; inspecting an unchanged folder again reads none.

    Args:
        source: a folder, a file in a dataset's format, or a run.
        format: the importer to read it with; default: detected.
        splits: whether the top folders are splits ("yes") or classes ("no"), for the importer ``folders``; default: by their
            names.
        only: names of checks to run, instead of all; not together with ``checks``.
        skip: names of checks to skip.
        fail_on: names of checks, or ``"error"`` for all of that severity: those that found something are in ``failing``.
        out: a folder for ``inspect.html`` and ``inspect.json``; files of these names there are replaced.
        quarantine: a CSV file to write: the images to exclude, for ``exclude`` of import and split.
        features: whether to compute the features of each image by a pretrained network (the stage ``embed``), which several
            checks need; None: if it takes less than a minute, else a warning says what was left out.
        corrections: a corrections file, to check the images with the labels that it gives.
        workers: number of shards that run at once.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.
        listener: receives the engine's events.
        params: parameters of the stage ``inspect``: ``distance_bits``, ``max_shown`` …

    Raises:
        PlanError: a parameter is wrong; its path is the parameter's name.
        ReadingsError: ``source`` can be read in several ways; the error has the values that choose each.
        UserError: there is no such check, no importer reads ``source``, or a file can't be written.

    Example:
        >>> import pipekit
        >>> looked = pipekit.inspect("photos", fail_on=["leakage"])  # doctest: +SKIP
        >>> looked.failing, looked.found["num_images"]  # doctest: +SKIP
        (('leakage',), 800)
    """
    pipeline = new_pipeline(plugins, disable, workers=workers)
    _refuse_unknown(pipeline, (*only, *skip, *(name for name in fail_on if name != "error")))
    if only or skip:
        if "checks" in params:
            raise UserError("checks can't be combined with only or skip", "Give one of them.")
        params["checks"] = _chosen(pipeline, only, skip)
    trusted: dict[str, Any] = {"verify": "none", "max_failed": 1.0}  # inspect reads each file itself, once
    if corrections is not None:
        trusted["corrections"] = corrections_file(corrections)
    data = pipeline.dataset(source, format=format, splits=splits, **trusted)
    params.setdefault("checks", _chosen(pipeline, (), ()))
    wanted, left_out = _choose_features(features, source, params["checks"], workers)
    embeddings = pipeline.add("embed", "embed", dataset=data, max_failed=1.0) if wanted else None
    pipeline.add("inspect", "inspect", dataset=data, embeddings=embeddings, **params)
    outcome = run_pipeline(pipeline, "inspect", listener)
    stored = outcome.artifact("inspect").path
    found, warnings = _read(outcome)
    warnings += left_out
    if out is not None:
        _copy(stored, expanded(out))
    if quarantine is not None:
        _write_quarantine(expanded(quarantine), found)
    folder = stored if out is None else expanded(out)
    return Inspected(found, folder, _failing(found, fail_on), warnings, outcome)


BY_FEATURES = ("near_duplicates", "leakage", "label_conflicts", "foreign", "suspected_labels", "alike_classes")
"""The checks that find more, or anything at all, with features."""

FEWEST_FOR_FEATURES = 20
"""With fewer images there is too little to compare."""

FEATURES_WITHIN_S = 60.0
SECONDS_AN_IMAGE = 0.025
"""Of one worker, decoding included: docs/benchmarks.md."""


def _choose_features(
    asked: bool | None, source: str | Path, checks: Sequence[Any], workers: int | None
) -> tuple[bool, tuple[str, ...]]:
    """Whether to compute features, and a warning if they are left out because of the time."""
    names = {check if isinstance(check, str) else check.get("check") for check in checks}
    if asked is not None or not names.intersection(BY_FEATURES):
        return bool(asked), ()
    most = int(FEATURES_WITHIN_S * (workers or os.cpu_count() or 1) / SECONDS_AN_IMAGE)
    count = _count_images(located(source), most + 1)
    if count is not None and count <= most:
        return count >= FEWEST_FOR_FEATURES, ()
    time = "" if count is None else f", which takes more than {FEATURES_WITHIN_S:.0f} s"
    return False, (
        f"the features of the images were not computed{time}: cropped and turned copies, foreign images, suspected label "
        "errors and classes that can't be told apart were not sought; --features computes them",
    )


def _count_images(folder: Path, most: int) -> int | None:
    """The number of image files below a folder, counted up to ``most``; None if it is no folder."""
    from pipekit.files.suffixes import image_suffixes

    suffixes = image_suffixes()
    if not folder.is_dir() or (folder / "run.json").is_file():
        return None
    count = 0
    for _, _, files in os.walk(folder):
        count += sum(name.lower().endswith(suffixes) for name in files)
        if count >= most:
            return most
    return count


def _refuse_unknown(pipeline: AdhocPipeline, names: Sequence[str]) -> None:
    known = [component.name for component in pipeline.registry.components("check")]
    for name in names:
        if name not in known:
            raise UserError(f"no check called {name!r}", did_you_mean(name, known) or f"There are: {', '.join(known)}")


def _chosen(pipeline: AdhocPipeline, only: Sequence[str], skip: Sequence[str]) -> list[str]:
    """The checks in the stage's own order, then those of plugins."""
    known = [component.name for component in pipeline.registry.components("check")]
    usual = pipeline.registry.get("stage", "inspect").params_type().model_fields["checks"].default
    ordered = [*(name for name in usual if name in known), *(name for name in known if name not in usual)]
    return [name for name in ordered if (not only or name in only) and name not in skip]


def _read(outcome: Outcome) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The content of ``inspect.json``, and the warnings. The files that the import passed over are listed as they are now,
    since a file that is not an image does not cause the page to be recomputed."""
    from pipekit.passed_over import META, sentence

    found: dict[str, Any] = json.loads((outcome.artifact("inspect").path / "inspect.json").read_text("utf-8"))
    # Images without features are those that inspect lists as corrupt.
    warnings = [warning for stage in outcome.stages if stage.use != "embed" for warning in stage.warnings]
    imported = [stage.artifact.meta.get(META, {}) for stage in outcome.stages if stage.use.startswith("import.")]
    if imported:
        found[META] = imported[0]
    elif others := found.get(META):  # a run's dataset, whose import is not among the stages
        warnings.append(sentence(others))
    return found, tuple(warnings)


def _failing(found: Mapping[str, Any], fail_on: Sequence[str]) -> tuple[str, ...]:
    wanted = set(fail_on)
    lines = found["summary"]
    return tuple(
        sorted(
            {line["check"] for line in lines if line["check"] in wanted or ("error" in wanted and line["severity"] == "error")}
        )
    )


def _copy(stored: Path, out: Path) -> None:
    import shutil

    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in ("inspect.html", "inspect.json"):
            shutil.copyfile(stored / name, out / f".{name}.part")
            (out / f".{name}.part").replace(out / name)
    except OSError as error:
        raise UserError(f"can't write to {out}: {error.strerror}") from error


def _write_quarantine(path: Path, found: Mapping[str, Any]) -> None:
    """Each image once, with the first reason to exclude it."""
    first: dict[str, Any] = {}
    for entry in found["remove"]:
        first.setdefault(entry["id"], entry)
    write_quarantine(path, first.values())


def write_quarantine(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Write a quarantine file: a line for each image to exclude, whole or not at all."""
    import io

    text = io.StringIO()
    table = PlainTable(text)
    table.writerow(COLUMNS)
    table.writerows([entry[column] for column in COLUMNS] for entry in entries)
    write_text(path, text.getvalue())
