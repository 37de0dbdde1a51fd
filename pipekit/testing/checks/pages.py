"""Promises of pages of the studio."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pipekit.contract import Sample, StudioContext
from pipekit.findings import problem_of_section
from pipekit.testing.checks.core import Subject, in_short, promise
from pipekit.testing.checks.examples import write_tiny_dataset


@promise("page")
def _makes_a_section(subject: Subject) -> str:
    """it takes (studio), and params if it has any, and returns a well-formed Section or None, also for an unlabelled image"""
    names = list(inspect.signature(subject.found).parameters)
    if names[:1] != ["studio"] or names[1:] not in ([], ["params"]):
        return f"expected page(studio, params), got ({', '.join(names)})"
    with tempfile.TemporaryDirectory() as folder:
        for what, studio in _studios(write_tiny_dataset(Path(folder), per_class=2)):
            try:
                problem = problem_of_section(subject.found(studio, *([subject.params] if names[1:] else [])))
            except (Exception, SystemExit) as error:
                problem = in_short(error)
            if problem:
                return f"{what}: {problem}"
    return ""


def _studios(folder: Path) -> Iterator[tuple[str, StudioContext]]:
    """What a page may receive, from the images of a folder."""
    samples = {
        path.relative_to(folder).as_posix(): Sample(path.relative_to(folder).as_posix(), str(path), label=path.parent.name)
        for path in sorted(folder.rglob("*.png"))
    }

    def read(ids: Iterable[str]) -> Mapping[str, Sample]:
        return {one: samples[one] for one in ids}

    first = next(iter(samples.values()))
    labels = [sample.label for sample in samples.values()]
    yield "an image of 32 x 32", StudioContext(first, list(samples), labels, read)
    yield "an image without a class", StudioContext(replace(first, label=None), list(samples), [None, *labels[1:]], read)
