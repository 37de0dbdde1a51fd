"""A pipekit plugin: an observer that logs every run to MLflow if ``MLFLOW_TRACKING_URI`` is set.

The metrics of a training are logged after each epoch, all else when the run has ended. MLflow itself is imported only then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pipekit

__all__ = ["Observer", "Seen", "observer"]


@dataclass
class Seen:
    """The record of one run: its start time, its stages with their artifacts, and its error.

    Attributes:
        run_id: of the MLflow run, if it was begun during a training.
        live: (stage, epoch) of each epoch that was logged during the training.
    """

    started: float = field(default_factory=time.time)
    stages: list[tuple[pipekit.StageInfo, pipekit.Artifact]] = field(default_factory=list)
    failed: list[tuple[pipekit.StageInfo, BaseException]] = field(default_factory=list)
    run_id: str = ""
    live: set[tuple[str, int]] = field(default_factory=set)


class Observer:
    """Records the events of a run, and logs the run as a whole at its end."""

    PIPEKIT_API = 1

    def __init__(self) -> None:
        self._runs: dict[Path, Seen] = {}

    def _seen(self, run: pipekit.RunInfo) -> Seen:
        return self._runs.setdefault(run.run_dir, Seen())

    @pipekit.hookimpl
    def before_stage(self, run: pipekit.RunInfo) -> None:
        self._seen(run)

    @pipekit.hookimpl
    def after_stage(self, run: pipekit.RunInfo, stage: pipekit.StageInfo, artifact: pipekit.Artifact) -> None:
        self._seen(run).stages.append((stage, artifact))

    @pipekit.hookimpl
    def on_stage_error(self, run: pipekit.RunInfo, stage: pipekit.StageInfo, error: BaseException) -> None:
        self._seen(run).failed.append((stage, error))

    @pipekit.hookimpl
    def on_event(self, run: pipekit.RunInfo, event: str, values: Mapping[str, Any]) -> None:
        if event == "epoch" and os.environ.get("MLFLOW_TRACKING_URI"):
            from pipekit_mlflow.log import log_epoch

            log_epoch(run, self._seen(run), values)

    @pipekit.hookimpl
    def after_run(self, run: pipekit.RunInfo) -> None:
        seen = self._runs.pop(run.run_dir, None)
        if seen is None or not os.environ.get("MLFLOW_TRACKING_URI") or not _matters(run, seen):
            return
        from pipekit_mlflow.log import log_run

        log_run(run, seen)


def _matters(run: pipekit.RunInfo, seen: Seen) -> bool:
    """Whether to log a run: all runs of pipeline files; runs behind other commands if they make a model or a report."""
    return bool(run.file) or any(isinstance(made, (pipekit.Model, pipekit.Report)) for _, made in seen.stages)


observer = Observer()
