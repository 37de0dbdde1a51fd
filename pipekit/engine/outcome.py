"""The outcome of a run and of each of its stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipekit.contract import Artifact, Dataset


@dataclass(frozen=True)
class StageOutcome:
    """A stage after a run. ``parts`` is what its key was made from."""

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

    @property
    def facts(self) -> dict[str, str]:
        """A few short values for people."""
        found = self.artifact.meta.get("facts")
        if isinstance(found, Mapping):
            return {str(name): str(value) for name, value in found.items()}
        if isinstance(self.artifact, Dataset):
            meta = self.artifact.meta
            counted = {"images": f"{meta['num_samples']:,}", "classes": str(len(meta["classes"]))}
            return counted | ({"failed": f"{meta['num_failed']:,}"} if meta["num_failed"] else {})
        return {}

    def described(self) -> dict[str, Any]:
        """The stage as a part of the run's record."""
        return {
            "name": self.name,
            "use": self.use,
            "key": self.key,
            "digest": self.artifact.digest,
            "params": dict(self.params),
            "inputs": {slot: list(names) for slot, names in self.inputs.items()},
            "cached": self.cached,
            "seconds": round(self.seconds, 3),
            "facts": self.facts,
            "headline": str(self.artifact.meta.get("headline", "")),
            "warnings": list(self.warnings),
            "parts": dict(self.parts),
        }


@dataclass(frozen=True)
class Outcome:
    """A run that has finished."""

    name: str
    status: str
    run_dir: Path
    stages: tuple[StageOutcome, ...]
    seconds: float
    headline: str = ""

    def artifact(self, stage: str) -> Artifact:
        """The output of a stage."""
        return next(found.artifact for found in self.stages if found.name == stage)
