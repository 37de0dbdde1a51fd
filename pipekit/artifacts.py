"""What goes from stage to stage: samples, and the artifacts that hold them."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

# --- one sample ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Box:
    """An object's box, ``xyxy`` in pixels of its image: left, top, right, bottom edges (right > left, bottom > top).

    ``outline`` holds the polygons around the object where they are known, each as ``x, y, x, y, …``.
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    label: str = ""
    outline: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Keypoint:
    """A named point in pixels of its image; ``visible`` is False where it is hidden or has left the picture.

    ``of`` is the place of the box to which it belongs among the sample's boxes, from 0; None where it belongs to none.
    """

    x: float
    y: float
    label: str = ""
    visible: bool = True
    of: int | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """What moves with the pixels: a mask (an image file, its values are class numbers), boxes, keypoints."""

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
            all sharding hang on it.
        image: the path of the file. Location only: it is in no key and no digest.
        sha256: of the file's bytes, as hex; its identity. The engine fills it in for importers that leave it empty.
        label: the class name, or None where there is none.
        split: ``train``, ``val``, ``test``, or "" while undecided.
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


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that could not be used, and why. ``image`` is its location where it has one."""

    id: str
    reason: str
    image: str = ""


# --- artifacts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Artifact:
    """What a stage makes: a folder that never changes again, and the digest of what is in it.

    A plugin may subclass it for a new kind; slots accept an artifact when its class is the annotated one or a subclass.
    ``headline`` names the files that ``runs/<name>/`` shows at its top.
    """

    kind: ClassVar[str] = "artifact"
    headline: ClassVar[tuple[str, ...]] = ()

    path: Path
    digest: str
    meta: Mapping[str, Any]


@dataclass(frozen=True)
class Dataset(Artifact):
    """An index: one row per sample, sorted by id, streamed from disk. It copies no image.

    ``meta`` holds ``num_samples``, ``num_failed``, ``classes`` (sorted names) and ``counts`` ({split: {class: n}}).
    """

    kind: ClassVar[str] = "dataset"

    reader: Callable[[Path], Iterator[Sample]] = field(repr=False, compare=False)
    failures: Callable[[Path], Iterator[Failure]] = field(repr=False, compare=False)

    def __iter__(self) -> Iterator[Sample]:
        """Samples in the order of their ids, one at a time; memory does not grow with the dataset."""
        return self.reader(self.path)

    def __len__(self) -> int:
        return int(self.meta["num_samples"])

    def split(self, *names: str) -> Iterator[Sample]:
        """The samples of the named splits, in the order of their ids."""
        return (sample for sample in self if sample.split in names)

    def failed(self) -> Iterator[Failure]:
        """The samples that were left out here or upstream, each with its reason."""
        return self.failures(self.path)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.meta["classes"])

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        return typing.cast("Mapping[str, Mapping[str, int]]", self.meta["counts"])


@dataclass(frozen=True)
class Model(Artifact):
    """A trained classifier: ``model.keras`` (or what the template saves) and ``model.json`` with all that predicting needs."""

    kind: ClassVar[str] = "model"
    headline: ClassVar[tuple[str, ...]] = ("model.keras", "model.json")


@dataclass(frozen=True)
class Report(Artifact):
    """An evaluation: ``report.html``, ``metrics.json`` and ``predictions.csv``."""

    kind: ClassVar[str] = "report"
    headline: ClassVar[tuple[str, ...]] = ("report.html", "metrics.json", "predictions.csv")


@dataclass(frozen=True)
class Files(Artifact):
    """A folder of files for people or other tools; nothing downstream reads it."""

    kind: ClassVar[str] = "files"
