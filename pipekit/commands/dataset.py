"""A dataset for Python code: ``pipekit.dataset("photos")`` counts, iterates, shows itself, and becomes a table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipekit.errors import UserError, did_you_mean
from pipekit.tasks import stated

if TYPE_CHECKING:
    from pipekit.contract import Dataset, Failure, Sample
    from pipekit.engine.outcome import Listener

SHOWN_IMAGES = 18
LOOKED_AT = 5_000
"""Samples among which the images of the contact sheet are chosen."""

TILE_PX = 96

INSTALL = {"pandas": "pip install pandas", "polars": "pip install polars"}


@dataclass(frozen=True)
class ImageDataset:
    """The images of a dataset, or of some of its splits. Iterating yields :class:`~pipekit.Sample`, streamed from disk.

    Attributes:
        name: what was opened.
        artifact: the dataset in the store.
        splits: the splits that count; empty for all images.
        warnings: what the import warned of.
    """

    name: str
    artifact: Dataset = field(repr=False)
    splits: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=(), repr=False)

    def __iter__(self) -> Iterator[Sample]:
        return self.artifact.split(*self.splits) if self.splits else iter(self.artifact)

    def __len__(self) -> int:
        sizes: Mapping[str, int] = self.artifact.meta["splits"]
        return sum(number for split, number in sizes.items() if not self.splits or split in self.splits)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur in the whole dataset, in the order of the source's list, else sorted."""
        return self.artifact.classes

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """{split: {class: images}}; the class of an image without one is "", the split of one without is ""."""
        return {split: dict(of) for split, of in self.artifact.counts.items() if not self.splits or split in self.splits}

    def split(self, *names: str) -> ImageDataset:
        """The images of these splits.

        Raises:
            UserError: the dataset has no such split.
        """
        known = [name for name in self.artifact.counts if not self.splits or name in self.splits]
        for name in names:
            if name not in known:
                there = ", ".join(filter(None, known)) or "none: pipekit.split divides it"
                raise UserError(
                    f"{self.name} has no split {name!r}", f"{did_you_mean(name, known)} There are: {there}.".strip()
                )
        if not names:
            raise UserError("expected the name of a split", f"There are: {', '.join(filter(None, known)) or 'none'}.")
        return ImageDataset(self.name, self.artifact, names, self.warnings)

    def failed(self) -> tuple[Failure, ...]:
        """The files that could not be used, each with its reason."""
        return tuple(self.artifact.failed())

    def to_pandas(self, rows: Literal["images", "boxes"] = "images") -> Any:
        """A ``pandas.DataFrame``.

        Args:
            rows: a row for each image (``id``, ``image``, ``label`` (a class, several as
                a list in JSON, or a number), ``split``, ``sha256``, ``mask``, ``boxes`` and
                ``keypoints`` as numbers, then the columns of the source), or for each box (``id``, ``image``, ``split``,
                ``box_label``, ``x_min``, ``y_min``, ``x_max``, ``y_max`` in pixels).

        Raises:
            UserError: pandas is not installed; the message has the command.
        """
        return _library("pandas").DataFrame(self._columns(rows))

    def to_polars(self, rows: Literal["images", "boxes"] = "images") -> Any:
        """A ``polars.DataFrame``; see :meth:`to_pandas`. Values of mixed types become text.

        Raises:
            UserError: polars is not installed; the message has the command.
        """
        return _library("polars").DataFrame(_one_type_each(self._columns(rows)), infer_schema_length=None)

    def _columns(self, rows: str) -> dict[str, list[Any]]:
        """The table by columns; a sample without a column has None there."""
        if rows not in ("images", "boxes"):
            raise UserError(f'rows is "images" or "boxes", got {rows!r}')
        found: dict[str, list[Any]] = {name: [] for name in (IMAGE_COLUMNS if rows == "images" else BOX_COLUMNS)}
        count = 0
        for sample in self:
            for row in [_image_row(sample)] if rows == "images" else _box_rows(sample):
                for name in row.keys() - found.keys():
                    found[name] = [None] * count
                for name, column in found.items():
                    column.append(row.get(name))
                count += 1
        return found

    def _repr_html_(self) -> str:
        from pipekit.page import notebook

        failed = self.artifact.meta["num_failed"]
        facts = {"splits": ", ".join(self.splits), "files that could not be used": f"{failed:,}" if failed else ""}
        return notebook.whole(
            notebook.counts_table(self.counts),
            notebook.facts(facts),
            notebook.warnings(self.warnings),
            sheet_html(self),
            title=f"{Path(self.name).name or self.name}: {len(self):,} images, {len(self.classes):,} classes",
        )


def dataset(
    source: str | Path,
    *,
    format: str = "",
    splits: str = "",
    workers: int | None = None,
    plugins: Sequence[str] = (),
    disable: Sequence[str] = (),
    listener: Listener | None = None,
    **params: Any,
) -> ImageDataset:
    """Open a dataset. The files stay where they are; opening an unchanged folder again reads none of them.

    Args:
        source: a folder of images, a file in a dataset's format (COCO, CSV …), or a dataset of a run (``runs/pets:split``).
        format: the importer to read it with, as ``csv:label=kind``; default: detected.
        splits: whether the top folders are splits ("yes") or classes ("no"), for the importer ``folders``.
        workers: number of shards that run at once.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.
        listener: receives the engine's events.
        params: parameters of the import stage: ``verify``, ``max_failed`` …

    Raises:
        PlanError: a parameter is wrong; its path is the parameter's name.
        ReadingsError: ``source`` can be read in several ways; the error has the values that choose each.
        UserError: no importer reads it, or the run has no dataset of that name.

    Example:
        >>> import pipekit
        >>> photos = pipekit.dataset("photos")  # doctest: +SKIP
        >>> len(photos), photos.classes  # doctest: +SKIP
        (800, ('cat', 'dog'))
        >>> photos.to_pandas().groupby("label").size()  # doctest: +SKIP
    """
    from pipekit.commands.working import new_pipeline, run_pipeline

    pipeline = new_pipeline(plugins, disable, workers=workers)
    name = pipeline.dataset(source, format=format, splits=splits, **params)
    if name in pipeline.given:
        if params:
            raise UserError(
                f"{source} is a dataset of a run, which was imported with its own parameters",
                f"Leave out: {', '.join(params)}.",
            )
        found: Any = pipeline.given[name]
        return ImageDataset(str(source), found)
    outcome = run_pipeline(pipeline, name, listener)
    warnings = tuple(warning for stage in outcome.stages for warning in stage.warnings)
    made: Any = outcome.artifact(name)
    return ImageDataset(str(source), made, (), warnings)


# --- tables -----------------------------------------------------------------------------------------------------------------

IMAGE_COLUMNS = ("id", "image", "label", "split", "sha256", "mask", "boxes", "keypoints")
BOX_COLUMNS = ("id", "image", "split", "box_label", "x_min", "y_min", "x_max", "y_max")


def _image_row(sample: Sample) -> dict[str, Any]:
    targets = sample.targets
    own = {
        "id": sample.id,
        "image": str(sample.image),
        "label": stated(sample) if sample.value is None else sample.value,
        "split": sample.split,
        "sha256": sample.sha256,
        "mask": targets.mask or None,
        "boxes": len(targets.boxes),
        "keypoints": len(targets.keypoints),
    }
    return own | {f"{name} (source)" if name in own else name: value for name, value in sample.extra.items()}


def _box_rows(sample: Sample) -> list[dict[str, Any]]:
    image = {"id": sample.id, "image": str(sample.image), "split": sample.split}
    return [
        {**image, "box_label": box.label, "x_min": box.x_min, "y_min": box.y_min, "x_max": box.x_max, "y_max": box.y_max}
        for box in sample.targets.boxes
    ]


def _one_type_each(columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Columns of one type, for polars: mixed and nested values become JSON text."""
    import json

    def plain(values: list[Any]) -> list[Any]:
        kinds = {type(value) for value in values if value is not None}
        if kinds <= {int, float} or (len(kinds) == 1 and kinds <= {str, bool}):
            return values
        return [
            None if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for value in values
        ]

    return {name: plain(values) for name, values in columns.items()}


def _library(name: str) -> Any:
    from importlib import import_module
    from importlib.util import find_spec

    if find_spec(name) is None:
        raise UserError(f"{name} is not installed here", INSTALL[name])
    return import_module(name)


# --- pictures ---------------------------------------------------------------------------------------------------------------


def sheet_html(samples: Any) -> str:
    """A contact sheet of a few images, evenly from the classes; "" if none of them can be read."""
    from itertools import islice

    from pipekit import images
    from pipekit.errors import ImageError
    from pipekit.page import notebook

    tiles, captions = [], []
    for sample in chosen(islice(iter(samples), LOOKED_AT)):
        try:
            image = images.read(sample.image, at_least_hw=(TILE_PX, TILE_PX))
        except (ImageError, OSError):
            continue
        tiles.append(images.thumbnail(image, TILE_PX))
        captions.append(stated(sample) or "")
    if not tiles:
        return ""
    sheet = images.contact_sheet(tiles, captions if any(captions) else (), 9, tile_px=TILE_PX, font_px=11, max_lines=1)
    return notebook.picture(sheet, "contact sheet", sheet.shape[1])


def chosen(samples: Iterator[Sample], count: int = SHOWN_IMAGES) -> list[Sample]:
    """A few samples of each class, by a hash of their ids, sorted by class."""
    of_class: dict[str, list[tuple[bytes, Sample]]] = {}
    for sample in samples:
        order = hashlib.sha256(sample.id.encode("utf-8", "surrogatepass")).digest()
        found = of_class.setdefault(sample.label or "", [])
        found.append((order, sample))
        found.sort(key=lambda pair: pair[0])
        del found[count:]
    taken: list[tuple[str, bytes, Sample]] = []
    for place in range(count):
        for name in sorted(of_class):
            if place < len(of_class[name]) and len(taken) < count:
                taken.append((name, *of_class[name][place]))
    return [sample for *_, sample in sorted(taken, key=lambda one: one[:2])]
