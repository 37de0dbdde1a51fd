"""Promises of stages and of dataset checks; the latter are tested inside the stage ``inspect``."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.contract import Dataset
from pipekit.testing.checks.core import Skipped, Subject, promise
from pipekit.testing.checks.examples import photograph, write_tiny_dataset
from pipekit.testing.checks.trial import STAGE

if TYPE_CHECKING:
    from pipekit.engine.outcome import Outcome
    from pipekit.registry.component import Component

DATA: Mapping[str, Mapping[str, Any]] = {"data": {"use": "import.folders", "path": "images"}}
"""The default stages before a stage that takes one dataset."""


@promise("stage")
def _has_a_contract(subject: Subject) -> str:
    """its inputs and output are artifacts"""
    subject.component.contract()
    return ""


@promise("stage")
def _repeats_itself_anywhere(subject: Subject) -> str:
    """it gives the same digest in another folder, with other workers and shards, and is cached when run again"""
    before = before_of(subject)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        first = _run(subject, before, Path(one), executor="serial", workers=1, shard_size=1000)
        second = _run(subject, before, Path(other), executor="threads", workers=2, shard_size=3)
        if first.artifact(STAGE).digest != second.artifact(STAGE).digest:
            return "two workers, small shards and another folder give another result; does it contain a random value or a path?"
        third = _run(subject, before, Path(other), executor="threads", workers=2, shard_size=3)
        if not third.stages[-1].cached:
            return "it ran again although nothing had changed"
    return ""


@promise("stage")
def _leaves_the_images_alone(subject: Subject) -> str:
    """the source images are not changed"""
    before = before_of(subject)
    with tempfile.TemporaryDirectory() as folder:
        images = write_tiny_dataset(Path(folder, "images"))
        was = hashes(images)
        _run(subject, before, Path(folder))
        return "" if hashes(images) == was else "a source image was changed, added or removed"


@promise("check")
def _finds(subject: Subject) -> str:
    """it takes rows of images, broken ones too, and gives findings about them, the same twice"""
    check = {"use": qualified(subject.component), **subject.samples.get("values", {})}
    stages = {**DATA, STAGE: {"use": "inspect", "checks": [check]}}
    found = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            write_tiny_dataset(Path(folder, "images"))
            Path(folder, "images", "discs", "broken.png").write_bytes(b"no image")
            outcome = run_stages(subject, stages, Path(folder), max_failed=0.5)
            if outcome.stages[-1].warnings:
                return outcome.stages[-1].warnings[0]
            found.append((outcome.artifact(STAGE).path / "inspect.json").read_text("utf-8"))
    known = {"error", "warning", "info"}
    wrong = [one["severity"] for one in json.loads(found[0])["findings"] if one["severity"] not in known]
    if wrong:
        return f"a finding's severity must be one of {', '.join(sorted(known))}, not {wrong[0]!r}"
    return "" if found[0] == found[1] else "two calls on the same images differ"


@promise("check")
def _finds_in_its_example(subject: Subject) -> str:
    """it finds something in its example, if it has one: ``check.example(folder, image)``"""
    from pipekit.testing.check_examples import run_example

    function = subject.component.load()
    if not hasattr(function, "example"):
        raise Skipped("it has no example")
    if "features" in signature(function).parameters:
        raise Skipped("its example needs features; `pipekit docs --image` shows it")
    with tempfile.TemporaryDirectory() as folder:
        found = run_example(subject.registry, subject.component, photograph(), Path(folder))
    assert found is not None
    return (found.warnings[0] if found.warnings else "") or ("" if found.findings else "it finds nothing in its example")


def before_of(subject: Subject) -> Mapping[str, Mapping[str, Any]]:
    """The stages before it.

    Raises:
        Skipped: the stage must not be run, or it needs more than a dataset and ``before`` is missing.
    """
    if "before" in subject.samples:
        found: Mapping[str, Mapping[str, Any]] | None = subject.samples["before"]
        if found is None:
            raise Skipped("it has separate tests that run it")
        return found
    slots = [slot for slot in subject.component.contract().slots if slot.required]
    if not slots:
        return {}
    if len(slots) == 1 and issubclass(Dataset, slots[0].artifact):
        return DATA
    needs = " and ".join(f"a {slot.artifact.kind}" for slot in slots)
    raise Skipped(f"it needs {needs}; try it in a test of your own, with check_stage(..., before={{...}})")


def stages_of(subject: Subject, before: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """A pipeline's stages: those before it, and itself."""
    given = subject.samples.get("values", {})
    return {**before, STAGE: {"use": qualified(subject.component), **subject.samples.get("inputs", {}), **given}}


def qualified(component: Component) -> str:
    """The name by which a pipeline finds it, whatever other plugins have."""
    return component.reference


def _run(subject: Subject, before: Mapping[str, Mapping[str, Any]], folder: Path, **settings: Any) -> Outcome:
    return run_stages(subject, stages_of(subject, before), folder, **settings)


def run_stages(subject: Subject, stages: Mapping[str, Mapping[str, Any]], folder: Path, **settings: Any) -> Outcome:
    """Run a pipeline in a folder with the tiny dataset, and a separate store."""
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    write_images(folder)
    table = {"name": "trial", "seed": 3, "max_failed": 0, **settings, "stages": stages}
    return run_plan(load_plan(table=table, base_dir=folder, registry=subject.registry, store=folder / ".pipekit"))


def write_images(folder: Path) -> None:
    """The tiny dataset in ``images/``."""
    if not (folder / "images").exists():
        write_tiny_dataset(folder / "images")


def hashes(folder: Path) -> dict[str, str]:
    """Every file below a folder, with the hash of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
