"""Metadata in the images of an exported dataset: counted and reported, or removed with ``strip_metadata``.

An exporter that writes no image file, only pixels or names, declares ``COPIES_FILES = False``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import create_model

from pipekit.contract import Context, Dataset, Params, Sample, SampleContext, param, shared, unseeded
from pipekit.errors import PluginError, UserError
from pipekit.files import read_bytes
from pipekit.registry.component import Component

FIELD = "strip_metadata"


def with_field(exporter: Component) -> type[Params]:
    """The exporter's parameters and ``strip_metadata``."""
    own = exporter.params_type()
    if FIELD in own.model_fields:
        raise PluginError(f"exporter {exporter.name!r} of plugin {exporter.plugin!r} may not have a parameter called {FIELD!r}")
    name = "".join(word.title() for word in exporter.name.replace("-", "_").split("_"))
    what = "Remove position, serial numbers and all other metadata from the copies of images; no pixel changes"
    fields: dict[str, Any] = {FIELD: (bool, param(False, what))}
    made: type[Params] = create_model(
        f"Export{name}Params",
        __base__=own,
        __module__=own.__module__,
        __doc__=f"Parameters of export.{exporter.name}.",
        **fields,
    )
    return made


@shared(version=1, libraries=("pillow",))
def find_private(sample: Sample, params: Any, ctx: SampleContext) -> Iterator[dict[str, Any]]:
    """Yield whether the image's file has a position, and serial numbers."""
    from pipekit.images import metadata

    found = metadata.private_metadata(read_bytes(sample.image))
    yield {"id": sample.id, "position": found.position, "camera": found.serial}


@unseeded
def strip_file(sample: Sample, params: Any, ctx: SampleContext) -> Iterator[Sample]:
    """Yield a sample whose file has no metadata; the sample itself if its file has none."""
    from pipekit.images import metadata

    data = read_bytes(sample.image)
    stripped = metadata.without_metadata(data)
    if stripped == data:
        yield sample
        return
    name = f"{sample.id}{PurePosixPath(Path(sample.image).name).suffix}"
    yield replace(sample, image=ctx.write(name, stripped), sha256="")


def prepared(ctx: Context, dataset: Dataset, params: Any, exporter: Any) -> Dataset:
    """The dataset that an exporter writes: without metadata if that is asked for; otherwise what would be copied is reported.

    Raises:
        UserError: the metadata of an image can't be removed.
    """
    copies = getattr(exporter, "COPIES_FILES", True) and getattr(params, "images", "") != "leave"
    if not copies:
        return dataset
    if getattr(params, FIELD, False):
        return _stripped(ctx, dataset)
    counts = {"position": 0, "camera": 0}
    for row in ctx.map(find_private, dataset, label="reading metadata", name="find_private", problems=True):
        for name in counts:
            counts[name] += row.get(name, False)
    if said := sentence(counts["position"], counts["camera"]):
        ctx.warn(f"{said} {FIELD} = true removes them")
    return dataset


def sentence(num_positions: int, num_serials: int) -> str:
    """What is said of copies with a position or serial numbers; "" if none has any."""
    parts = [
        f"{number:,} of the copied images {'has' if number == 1 else 'have'} {what}"
        for number, what in (
            (num_positions, "the position where it was taken" if num_positions == 1 else "the positions where they were taken"),
            (num_serials, "a serial number of camera or lens" if num_serials == 1 else "serial numbers of camera or lens"),
        )
        if number
    ]
    return f"{' and '.join(parts)} in the metadata." if parts else ""


def _stripped(ctx: Context, dataset: Dataset) -> Dataset:
    changed: dict[str, tuple[str, str]] = {}
    problems: dict[str, str] = {}
    stripped: Iterator[Any] = ctx.map(strip_file, dataset, label="removing metadata", name="strip_file", problems=True)
    for found in stripped:
        if isinstance(found, dict):
            problems[found["id"]] = found["problem"]
        else:
            changed[found.id] = found.image, found.sha256
    if problems:
        name, reason = next(iter(problems.items()))
        images = "1 image" if len(problems) == 1 else f"{len(problems):,} images"
        raise UserError(
            f"the metadata of {images} can't be removed: {name}: {reason}", "Leave such images out, or convert them."
        )

    def samples(folder: Path) -> Iterator[Sample]:
        for sample in dataset.reader(folder):
            image, sha256 = changed.get(sample.id, (sample.image, sample.sha256))
            yield replace(sample, image=image, sha256=sha256)

    return replace(dataset, reader=samples)
