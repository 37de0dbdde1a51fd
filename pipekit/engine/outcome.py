"""The outcome of a run and of each of its stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipekit.contract import Artifact, Dataset
from pipekit.engine.unchanged import Basis
from pipekit.passed_over import META

Listener = Callable[..., None]
"""Receives events: ``listener("stage_started", stage="split", use="split")``."""


ADHOC = "adhoc"
"""The name of a run that nobody has named: of a command on a folder, without a pipeline file."""


def shown_name(name: str, stages: Iterable[Any]) -> str:
    """The name of a run for people: that of its last stage if nobody has named it."""
    listed = [str(stage) for stage in stages]
    return listed[-1] if name == ADHOC and listed else name


@dataclass(frozen=True)
class StageOutcome:
    """A stage after a run.

    Attributes:
        parts: the parts of its key.
        why: why it ran; "" if it was cached.
    """

    name: str
    use: str
    key: str
    cached: bool
    seconds: float
    artifact: Artifact
    parts: Mapping[str, Any]
    params: Mapping[str, Any]
    inputs: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...] = ()
    num_failed: int = 0
    why: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """A few short values for people."""
        found = self.artifact.meta.get("facts")
        if isinstance(found, Mapping):
            return {str(name): str(value) for name, value in found.items()}
        if isinstance(self.artifact, Dataset):
            meta = self.artifact.meta
            counted = {"images": f"{meta['num_samples']:,}", "classes": str(len(meta["classes"]))}
            counted |= {"failed": f"{meta['num_failed']:,}"} if meta["num_failed"] else {}
            others = meta.get(META, {}) if self.use.startswith("import.") else {}
            counted |= {"passed over": f"{sum(others['counts'].values()):,}"} if others.get("counts") else {}
            return counted | ({"empty folders": f"{others['num_empty']:,}"} if others.get("num_empty") else {})
        return {}

    @property
    def described(self) -> dict[str, Any]:
        """The stage in the record of its run."""
        return {
            "name": self.name,
            "use": self.use,
            "key": self.key,
            "digest": self.artifact.digest,
            "params": dict(self.params),
            "inputs": {slot: list(names) for slot, names in self.inputs.items()},
            "cached": self.cached,
            **({"why": self.why} if self.why else {}),
            "seconds": round(self.seconds, 3),
            "facts": self.facts,
            "headline": str(self.artifact.meta.get("headline", "")),
            "warnings": list(self.warnings),
            "parts": dict(self.parts),
        }


def headline_of(stages: Iterable[StageOutcome]) -> str:
    """The headline of the last stage that has one; "" if none has."""
    found = [str(stage.artifact.meta["headline"]) for stage in stages if stage.artifact.meta.get("headline")]
    return found[-1] if found else ""


def advice_of(stages: Iterable[StageOutcome]) -> str:
    """The advice of the last stage that gives advice, which may be that there is none."""
    found = [str(stage.artifact.meta["advice"]) for stage in stages if "advice" in stage.artifact.meta]
    return found[-1] if found else ""


@dataclass(frozen=True)
class Outcome:
    """A run that has finished.

    Attributes:
        basis: what it depended on, see :func:`pipekit.engine.basis.basis_of`.
    """

    name: str
    status: str
    run_dir: Path
    stages: tuple[StageOutcome, ...]
    seconds: float
    headline: str = ""
    file: Path | None = None
    basis: Callable[[Sequence[str], int], Basis | None] = field(default=lambda path, since_ns: None, repr=False, compare=False)

    def artifact(self, stage: str) -> Artifact:
        """The output of a stage."""
        return next(found.artifact for found in self.stages if found.name == stage)
