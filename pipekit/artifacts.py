"""Samples and artifacts, the data that stages exchange; and shards of work, which executors exchange."""

from __future__ import annotations

import math
import os
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TypeAlias, TypeVar

from pipekit.columnar import Columns, MakeColumns, columns_of_rows

F = TypeVar("F", bound=Callable[..., Any])

# --- one sample ----------------------------------------------------------------------------------------------------------

_NO_FACTS: Mapping[str, Any] = {}
"""Shared by all boxes without facts: a dictionary for each would cost memory. A ``Mapping`` is not changed in place."""


@dataclass(frozen=True, slots=True)
class Box:
    """An object's bounding box, ``xyxy`` in pixels: left, top, right, bottom edges (right > left, bottom > top).

    ``outline`` holds the object's polygons, if known, each as ``x, y, x, y, …``. ``facts`` holds JSON values that the source
    states about the object besides: the flags ``difficult``, ``truncated``, ``occluded`` and ``iscrowd``, where set, as true;
    ``oriented`` for an outline that is a turned rectangle; its ``id``; its ``attributes``.
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    label: str = ""
    outline: tuple[tuple[float, ...], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=lambda: _NO_FACTS, hash=False)


@dataclass(frozen=True, slots=True)
class Keypoint:
    """A named point in pixels; ``visible`` is False if it is occluded or outside the image.

    ``of`` is the index of its box in the sample's ``boxes``, from 0; None if it belongs to no box.
    """

    x: float
    y: float
    label: str = ""
    visible: bool = True
    of: int | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """Annotations that geometric ops transform with the image: a mask (an image file of class numbers), boxes, keypoints."""

    mask: str = ""
    mask_sha256: str = ""
    boxes: tuple[Box, ...] = ()
    keypoints: tuple[Keypoint, ...] = ()


NO_TARGETS = Targets()


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of a dataset.

    Attributes:
        id: unique in its dataset and stable: for class folders the path below the root, with ``/``. All randomness and
            all sharding depend on it.
        image: the path of the file. A location only: it enters no key and no digest.
        sha256: SHA-256 of the file's bytes, as hex; the image's identity. The engine computes it if an importer leaves it
            empty.
        label: the class name, or None for an unlabelled sample.
        labels: in a dataset of several labels: the classes that the image has, each once; ``()`` if it has none of them, None
            if it is unlabelled.
        value: in a dataset of numbers: the number, None if it is unlabelled.
        split: ``train``, ``val``, ``test``, or "" while unassigned.
        targets: mask, boxes, keypoints.
        extra: any further JSON values: a source, a group, a patient, a licence.
    """

    id: str
    image: str
    sha256: str = ""
    label: str | None = None
    split: str = ""
    targets: Targets = NO_TARGETS
    extra: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    value: float | None = None


def problem_of_sample(sample: Sample) -> str:
    """Why a sample from a plugin can't be a row of a dataset; "" if it can."""
    if not isinstance(sample.id, str) or not sample.id:
        return f"its id is {sample.id!r}, expected a text"
    if not isinstance(sample.image, (str, os.PathLike)) or not os.fspath(sample.image):
        return f"the image of {sample.id!r} is {sample.image!r}, expected a path"
    if sample.label is not None and not isinstance(sample.label, str):
        return f"the label of {sample.id!r} is {sample.label!r}, expected a text or None"
    if sample.labels is not None and not _are_labels(sample.labels):
        return f"the labels of {sample.id!r} are {sample.labels!r}, expected a tuple of different texts, or None"
    if sample.value is not None and not (isinstance(sample.value, float) and math.isfinite(sample.value)):
        return f"the value of {sample.id!r} is {sample.value!r}, expected a finite float, or None"
    if sum(one is not None for one in (sample.label, sample.labels, sample.value)) > 1:
        return f"{sample.id!r} has more than one of label, labels and value: a dataset has one task"
    if not isinstance(sample.split, str) or not isinstance(sample.sha256, str):
        return f"split and sha256 of {sample.id!r} must be texts"
    if not isinstance(sample.targets, Targets):
        return f"the targets of {sample.id!r} are of type {type(sample.targets).__name__}, expected Targets"
    return "" if isinstance(sample.extra, Mapping) else f"the extra of {sample.id!r} must be a mapping"


def _are_labels(found: Any) -> bool:
    return isinstance(found, tuple) and all(isinstance(one, str) for one in found) and len({*found}) == len(found)


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that could not be used, with the reason; or one of its annotations.

    Attributes:
        image: its location, if any.
        part_of: for an annotation: its image's id, or its file. The sample is kept, so ``max_failed`` does not count it.
    """

    id: str
    reason: str
    image: str = ""
    part_of: str = ""


@dataclass(frozen=True, slots=True)
class Adjusted:
    """What an importer did to the annotations of a sample to fit them to its image, or could not be sure of.

    ``how`` completes "the annotations of 3 images were ...". The import counts them and says so.
    """

    id: str
    how: str


@dataclass(frozen=True, slots=True)
class Category:
    """A class as its source lists it, whether or not a sample has it.

    Attributes:
        number: its number in the source: a COCO id, the first number of a YOLO line, a value of masks; None without one.
        keypoints: the names of its objects' keypoints, in their order.
        skeleton: pairs of positions in ``keypoints``, from 0, that a line joins.
        mirror: the position of each keypoint's counterpart when left and right are swapped; empty if unknown.
        group: the name of a class above it: COCO's ``supercategory``.
        unit: of the number that a dataset of numbers states, in the list ``value``.
    """

    name: str
    number: int | None = None
    keypoints: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()
    mirror: tuple[int, ...] = ()
    group: str = ""
    unit: str = ""

    def to_plain(self) -> dict[str, Any]:
        """Its JSON form, without default values."""
        values = {name: getattr(self, name) for name in ("name", "number", "keypoints", "skeleton", "mirror", "group", "unit")}
        return {name: _as_lists(value) for name, value in values.items() if value is not None and value not in ((), "")}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Category:
        lists = {name: tuple(plain.get(name, ())) for name in ("keypoints", "mirror")}
        skeleton = tuple((int(one), int(other)) for one, other in plain.get("skeleton", ()))
        group, unit = (str(plain.get(name, "")) for name in ("group", "unit"))
        return cls(str(plain.get("name", "")), plain.get("number"), **lists, skeleton=skeleton, group=group, unit=unit)


def _as_lists(value: Any) -> Any:
    return [_as_lists(one) for one in value] if isinstance(value, tuple) else value


ListOf: TypeAlias = Literal["labels", "boxes", "masks", "order", "value"]


@dataclass(frozen=True, slots=True)
class Categories:
    """The list of classes that a source has, in its order: an importer yields it beside its samples, at any point.

    ``of`` says what is named: the samples' labels, their boxes, the values of their masks; ``order``: labels whose order has a
    meaning, such as low, mid, high; ``value``: one entry, the name and the unit of the number of each sample.
    """

    of: ListOf
    entries: tuple[Category, ...]


CATEGORIES = "categories"
"""The entry in a dataset's ``meta`` with the lists of its classes, if it has one: ``{"boxes": [{"name": …, "number": …}]}``."""


def joined_categories(lists: Iterable[Mapping[str, Sequence[Mapping[str, Any]]]]) -> dict[str, list[dict[str, Any]]]:
    """Several sources' entries of :data:`CATEGORIES` as one. A class is known by its name; the first source decides.

    A number that two classes would share stays with the first.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for one in lists:
        for of, entries in one.items():
            known = found.setdefault(of, {})
            taken = {entry.get("number") for entry in known.values()} - {None}
            for entry in entries:
                values = dict(entry)
                if values.get("number") in taken:
                    del values["number"]
                known[values["name"]] = values | known.get(values["name"], {})
    return {of: list(known.values()) for of, known in found.items() if known}


def class_order(name: str) -> tuple[bool, int, str]:
    """Sort key of class names that no source lists: numbers by their value, before all other names."""
    is_number = name.isdecimal() and len(name) <= LONGEST_NUMBER
    return (not is_number, int(name) if is_number else 0, name)


LONGEST_NUMBER = 18
"""Maximum number of digits of a class name that is sorted as a number."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """What ``sniff`` returns for a path that is not in its format: false, like "", but with a reason.

    The reason names in a few words what is missing: ``Rejected("no labels.txt in it")``. ``near`` marks a path that seems to
    be meant for this importer: if no other reads it, the reason stands in the error.

    >>> bool(Rejected("no labels.txt in it"))
    False
    """

    reason: str
    near: bool = field(default=False, compare=False)

    def __bool__(self) -> Literal[False]:
        return False


# --- what a sample function yields ---------------------------------------------------------------------------------------


class _Pause(Enum):
    PAUSE = "pause"


PAUSE: Final[Any] = _Pause.PAUSE
"""What a sample function may yield between two kinds of work (reading, decoding, measuring): it resumes when a few other
samples of its shard have come as far.

One kind of work on sixteen samples in turn, instead of all kinds on each, was measured to take a tenth less time in `inspect`
with two workers, and a fifth less with one: a library's code and tables stay in the processor's cache. The result is the
same. A function that holds more than :data:`SMALL_BYTES` for its sample should not pause: sixteen wait at once.
"""

SMALL_BYTES = 1_000_000
"""What a sample may hold in memory while it pauses."""


# --- artifacts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Artifact:
    """The output of a stage: an immutable folder, and the digest of its content.

    A plugin may subclass it for a new kind; a slot accepts an artifact of the annotated class or a subclass.
    ``headline`` names the files that appear at the top of ``runs/<name>/``.
    """

    kind: ClassVar[str] = "artifact"
    headline: ClassVar[tuple[str, ...]] = ()

    path: Path
    digest: str
    meta: Mapping[str, Any]


CODECS = "codecs"
"""The entry in a dataset's ``meta`` that names the codecs of plugins that decode some of its images. It is in no digest."""


@dataclass(frozen=True)
class Dataset(Artifact):
    """An index of samples: one row per sample, sorted by id, streamed from disk. It copies no images.

    ``meta`` holds ``num_samples``, ``num_failed``, ``classes`` (the names of labels that occur), ``counts``
    ({split: {class: n}}) and, where the source lists its classes, ``categories``; ``task``, unless it is ``classes``.
    """

    kind: ClassVar[str] = "dataset"

    reader: Callable[[Path], Iterator[Sample]] = field(repr=False, compare=False)
    failures: Callable[[Path], Iterator[Failure]] = field(repr=False, compare=False)
    kept_columns: Callable[[Path, MakeColumns, Any], Columns] | None = field(default=None, repr=False, compare=False)
    first_of: Callable[[Path, int], Iterator[Sample]] | None = field(default=None, repr=False, compare=False)

    def __iter__(self) -> Iterator[Sample]:
        """Yield samples in the order of their ids, one at a time; memory use does not grow with the dataset."""
        return self.reader(self.path)

    def first(self, count: int) -> Iterator[Sample]:
        """Yield the first samples in the order of their ids, as ``itertools.islice`` does, without sorting the dataset."""
        return self.first_of(self.path, count) if self.first_of is not None else islice(self, count)

    def __len__(self) -> int:
        return int(self.meta["num_samples"])

    def columns(self, make: MakeColumns, params: Any = None) -> Columns:
        """Columns of the samples, in the order of the dataset's parts (:class:`Columns`).

        ``make`` is called with the samples of each part that it has not seen before; what it makes is kept. So for one added
        sample, one part of the dataset is read.

        Args:
            make: a function at the top of a module, marked with :func:`pipekit.columnar.makes_columns`. It may use
                only the suffix of an image's path: images may move.
        """
        if self.kept_columns is not None:
            return self.kept_columns(self.path, make, params)
        return columns_of_rows(list(self), make, params)

    def split(self, *names: str) -> Iterator[Sample]:
        """Yield the samples of the named splits, in the order of their ids."""
        return (sample for sample in self if sample.split in names)

    def failed(self) -> Iterator[Failure]:
        """Yield the samples that failed here or upstream, each with its reason."""
        return self.failures(self.path)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, in the order of the source's list; others follow, sorted."""
        return in_order(self.meta["classes"], self.categories("labels"))

    def categories(self, of: ListOf) -> tuple[Category, ...]:
        """The classes that the source lists, in its order, unused ones included; empty if it has no list.

        A sample may have a class that is not among them.
        """
        return tuple(map(Category.from_plain, self.meta.get(CATEGORIES, {}).get(of, ())))

    @property
    def task(self) -> str:
        """What it states of each image: ``classes`` (one), ``multilabel`` (several) or ``number``; :mod:`pipekit.tasks`."""
        return str(self.meta.get("task", "classes"))

    @property
    def order(self) -> tuple[str, ...]:
        """The classes from the lowest to the highest, if their order has a meaning; else empty."""
        return tuple(entry.name for entry in self.categories("order"))

    @property
    def value(self) -> Category:
        """The name and the unit of the number of each image."""
        return next(iter(self.categories("value")), Category("value"))

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        return typing.cast("Mapping[str, Mapping[str, int]]", self.meta["counts"])


def in_order(names: Iterable[str], listed: Iterable[Category]) -> tuple[str, ...]:
    """Class names in the order of a list; those that are not in it come last, sorted by :func:`class_order`."""
    place = {entry.name: at for at, entry in enumerate(listed)}
    return tuple(sorted(set(names), key=lambda name: (place.get(name, len(place)), class_order(name))))


@dataclass(frozen=True)
class Model(Artifact):
    """A trained classifier: ``model.keras`` (or the template's own file) and ``model.json`` with all that inference needs."""

    kind: ClassVar[str] = "model"
    headline: ClassVar[tuple[str, ...]] = ("model.keras", "model.json", "model.unknown.npz", "model.head.npz")


@dataclass(frozen=True)
class Embeddings(Artifact):
    """Vectors of features: ``embeddings.npy``, ``(N, D) float16``, a row for each line of ``images.csv``, by ``embedder.json``.

    :func:`pipekit.learning.embeddings.read_embeddings` reads it.
    """

    kind: ClassVar[str] = "embeddings"
    headline: ClassVar[tuple[str, ...]] = (
        "embeddings.npy",
        "embeddings.npz",
        "embeddings.parquet",
        "images.csv",
        "embedder.json",
    )


@dataclass(frozen=True)
class Report(Artifact):
    """An evaluation: ``report.html``, ``metrics.json`` and ``predictions.csv``."""

    kind: ClassVar[str] = "report"
    headline: ClassVar[tuple[str, ...]] = ("report.html", "metrics.json", "predictions.csv")


@dataclass(frozen=True)
class Files(Artifact):
    """A folder of files for people or other tools; nothing downstream reads it."""

    kind: ClassVar[str] = "files"


# --- shards, for executors -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ShardTask:
    """A piece of work as plain data, so that any machine with the same plugins can do it.

    ``target`` is ``@stage/<use>`` or a function's ``module:name``; ``rows`` are samples as JSON-like dicts; ``params`` is the
    JSON form; ``packed`` puts the files that are made into one tar; ``scope`` names what all shards of one job share;
    ``plugins`` are the files given beside entry points; ``name`` is what :meth:`Context.map` draws under; ``began_ns`` is when
    the run began, in ns since 1970: a source that has changed since then fails the shard; ``plugin`` is the stage's.
    """

    key: str
    scope: str
    target: str
    stage: str
    seed: int
    params_type: str
    params: Mapping[str, Any] | None
    rows: tuple[Mapping[str, Any], ...]
    store: str
    project: str
    packed: bool = False
    plugins: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    name: str = ""
    began_ns: int = 0
    plugin: str = ""


@dataclass(frozen=True, slots=True)
class ShardResult:
    """The result of a task. ``error`` is a formatted traceback when the shard itself could not be done, else ""."""

    key: str
    num_samples: int
    num_outputs: int
    num_failed: int
    seconds: float
    error: str = ""


# --- what a stage reads ---------------------------------------------------------------------------------------------------


def reads_files(files: Callable[[Any], Iterable[Path]]) -> Callable[[F], F]:
    """Mark the ``fingerprint`` of a stage whose text depends on these files alone.

    A run in which nothing has changed compares them, and need not call the fingerprint.

    Args:
        files: ``files(params)``, the files; each may be missing.
    """

    def mark(function: F) -> F:
        function.__pipekit_files__ = files  # type: ignore[attr-defined]
        return function

    return mark
