"""The contracts of components. A component is a plain function; its signature is its contract.

A *stage* turns artifacts into an artifact::

    @stage
    def split(ctx: Context, dataset: Dataset, params: SplitParams) -> Dataset: ...

Arguments annotated with an :class:`Artifact` class are its input slots, ``params`` is its one :class:`Params`, the return
annotation is its output. A *sample stage* turns one sample into any number; the engine runs it over shards and keeps these::

    @sample_stage
    def thumbnail(sample: Sample, params: ThumbnailParams, ctx: SampleContext) -> Iterable[Sample]: ...

The other kinds, each ``function(..., params)`` with its own :class:`Params`:

=================  ======================================================================================================
op (pixel)         ``op(image, params, rng) -> image``: ``(H, W, 3) uint8 RGB`` in, the same shape out, input unchanged
op (geometric)     ``op(size_hw, params, rng) -> (3, 3) homography``, or ``(homography, new_size_hw)``; pixel coordinates,
                   source to target, pixel centres at whole numbers
op (view)          ``op(view, params, rng) -> View``: transforms image, mask, boxes and keypoints (:mod:`pipekit.recipe`)
op (choosing)      ``op(ops, params, rng) -> Sequence[int]``: which of ``params.ops`` to do now, by position
recipe             a list of op tables as in a pipeline file, or ``recipe() -> list``
model              ``build(input_shape_hwc, num_classes, params) -> keras.Model`` on images in 0..255, with softmax outputs
loss, metric       ``build(params)`` -> a Keras loss or metric (or a function of targets and outputs), for ``train``. Targets
                   are one-hot; a loss with the attribute ``labels = "sparse"`` gets class numbers
optimizer          ``build(params)`` -> a Keras optimizer; a parameter ``learning_rate`` is the peak unless ``train`` has one
schedule           ``schedule(share, params) -> float``: the factor on the peak learning rate, from the share of the steps
                   after the warm-up that are done, 0 to 1; plain Python
sampler            ``sampler(targets, epoch, params, rng) -> (N,)`` whole numbers: which images an epoch shows, by position;
                   as many as there are, with repetitions. ``targets`` has the class number of each image (or its labels)
splitter           ``splitter(units, fractions, params, rng) -> list[str]``: a split for each :class:`SplitUnit`
compare_metric     ``metric(rows, params) -> (N,)`` numbers, one for each row of ``predictions.csv``; higher is better
search             ``search(space, params, rng)`` -> a list of combinations for ``[matrix]``, or a generator that yields one
                   at a time and receives its :class:`Trial`; ``space`` is a :class:`SearchSpace`
callback           ``build(params)`` -> a Keras callback; after a kill it is built anew, and resumes with the epoch
importer           an object with ``sniff(path)``, why it is this format, or :class:`Rejected` with why it is not, or ""; and
                   ``read(path, params) -> Iterator[Sample]``; a ``Failure`` among them is a row that can't be used, a
                   ``Categories`` the list of classes; a third argument ``out_dir`` is a folder to write pictures to that
                   lie inside other files. It may have ``READS``, ``GENERALITY`` (the fitting importer with the lowest is
                   used), ``WRITTEN_AS`` (the exporter that writes back all that it reads), ``COPIES_MAY_BE_LABELS = True``
                   (many files in several classes are asked about) and ``PER_FILE = True``: then a
                   change to a file costs one file, by ``layout_of(path, params)``, whose ``repr`` has all that samples
                   depend on besides the paths of their files, and ``sample_of(below, path, layout) -> Sample | None``,
                   with the path below as its id; NotImplemented if that depends on other files
exporter           ``write(artifact, out_dir, params)``; further inputs as ``dataset: Dataset | None = None``; may return
                   ``{"facts": ..., "headline": ...}``
detector           ``detect(image, params) -> (N, 3) float32`` x_px, y_px, response; or an ``(H, W) float32`` response map;
                   or :class:`pipekit.keypoints.detection.Features`, with scales, angles, descriptors
embedder           ``embedder(params) -> embed``, with ``embed(images) -> (N, D) float32``, :mod:`pipekit.learning.embedders`
projection         ``projection(table, params, rng) -> (N, 2)``: points of a plane from features, ``(N, D) float32``
check              ``check(rows, ctx, params) -> Iterable[Finding]``; a fourth argument ``dataset`` is the inspected dataset
report_section     ``section(ctx, inputs, params) -> Section``
codec              an object with ``suffixes()``; unless :mod:`pipekit.images` decodes the files itself, ``reads(data)`` and
                   ``decode(data) -> (H, W, 3) uint8 RGB`` as displayed
executor           ``execute(run, tasks, params) -> Iterator[ShardResult]``; ``run(task)`` in any order, tasks taken from
                   the iterator in the calling thread; a parameter ``workers`` left at None is set to the run's. Its
                   attribute ``prepare()``, where it has one, is called as soon as a run meets many new files; its
                   attribute ``for_one_worker``, an executor, takes its place in a run with one worker; with an attribute
                   ``starts_processes`` that is true, the run may start processes here too
command            a function whose annotated parameters are arguments and options (as Typer reads them), a Typer app, or a
                   click command; ``pipekit NAME`` calls it. A return value that is an integer is the exit code
page               ``page(studio: StudioContext, params) -> Section``: a page of ``pipekit studio``, whose form is made from
                   its parameters. It is called again at each change, in a separate process
=================  ======================================================================================================
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pipekit.artifacts import (
    NO_TARGETS,
    PAUSE,
    SMALL_BYTES,
    Adjusted,
    Artifact,
    Box,
    Categories,
    Category,
    Dataset,
    Embeddings,
    Failure,
    Files,
    Keypoint,
    Model,
    Rejected,
    Report,
    Sample,
    ShardResult,
    ShardTask,
    Targets,
    reads_files,
)
from pipekit.findings import Figure, Finding, Picture, RunInfo, Section, StageInfo, StudioContext, Table
from pipekit.params import Call, InputPath, Params, Uses, param
from pipekit.searching import SearchSpace, Trial, ValueRange
from pipekit.signatures import Slot as Slot
from pipekit.signatures import StageContract, read_sample_stage, read_stage
from pipekit.signatures import params_type_of as params_type_of

if TYPE_CHECKING:
    from pipekit.rng import Rng

__all__ = [
    "NO_TARGETS",
    "PAUSE",
    "SMALL_BYTES",
    "Adjusted",
    "Artifact",
    "Box",
    "Call",
    "Categories",
    "Category",
    "Context",
    "Dataset",
    "Embeddings",
    "Failure",
    "Figure",
    "Files",
    "Finding",
    "InputPath",
    "Keypoint",
    "Model",
    "Params",
    "Picture",
    "Rejected",
    "Report",
    "RunInfo",
    "Sample",
    "SampleContext",
    "SearchSpace",
    "Section",
    "ShardResult",
    "ShardTask",
    "SplitUnit",
    "StageContract",
    "StageInfo",
    "StudioContext",
    "Table",
    "Targets",
    "Trial",
    "Uses",
    "ValueRange",
    "depends_on",
    "param",
    "reads_files",
    "sample_stage",
    "shared",
    "stage",
    "unseeded",
]

F = TypeVar("F", bound=Callable[..., Any])
A = TypeVar("A", bound="Artifact")
T = TypeVar("T")


# --- what a stage is given -----------------------------------------------------------------------------------------------


class ComponentLike(Protocol):
    """A registered component, as a stage sees it."""

    @property
    def name(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def plugin(self) -> str: ...
    def load(self) -> Any: ...
    def params_type(self) -> type[Params]: ...


class Context(Protocol):
    """A stage's access to the run: output folders, random numbers, parallel work, progress and warnings."""

    @property
    def stage(self) -> str:
        """The stage's name in the pipeline file."""

    @property
    def seed(self) -> int: ...

    @property
    def workers(self) -> int:
        """Number of workers that the user allows; the output must not depend on it."""

    @property
    def out_dir(self) -> Path:
        """An empty private folder; what is left in it when the stage returns becomes the artifact, whole or not at all."""

    @property
    def work_dir(self) -> Path:
        """A folder that survives a kill and belongs to exactly this key: checkpoints to resume from."""

    @property
    def project_dir(self) -> Path:
        """The folder of the pipeline file, for what lives beside it on purpose (the split file)."""

    @property
    def pipeline_file(self) -> Path | None:
        """The pipeline file, to be shown to people; None where there is none. The output must not depend on it."""

    def rng(self, *parts: str | int) -> Rng:
        """A generator derived from the pipeline's seed, the stage and ``parts``."""

    def map(
        self,
        function: Callable[[Sample, Any, SampleContext], Iterable[Sample] | Iterable[Mapping[str, Any]]],
        samples: Iterable[Sample],
        params: Params | None = None,
        label: str = "",
        *,
        name: str = "",
        problems: bool = False,
    ) -> Iterator[Any]:
        """Run a module-level ``function(sample, params, ctx)`` over samples in cached, resumable, parallel shards.

        Yields what it yielded (samples or JSON-like dicts with an ``id``) in the order of ids. A sample for which it raises
        is listed as failed and left out; ``max_failed`` of the stage says how many may. If the result of mapping over a
        :class:`Dataset` goes to :meth:`dataset`, no row of an unchanged shard is read.

        Args:
            label: what the progress display calls the work.
            problems: yield ``{"id": ..., "problem": reason}`` for a sample for which the function raises, and count no failure.
            name: the name under which the function's random numbers are drawn and its shards are kept. With it the function
                may be renamed or moved and nothing changes; give each function of a stage its own. Left out, the function's
                own name draws, and its module and name keep.
        """

    def map_parts(
        self,
        function: Callable[[Sample, Any, SampleContext], Iterable[Mapping[str, Any]]],
        samples: Iterable[Sample],
        params: Params | None = None,
        label: str = "",
        *,
        name: str = "",
    ) -> Iterator[tuple[str, Sequence[dict[str, Any]]]]:
        """As :meth:`map` for a function that yields dicts, but a shard at a time: ``(digest of its samples, rows)``.

        Rows are in the order of ids within a shard, shards in any fixed order; memory holds one shard. A sample for which the
        function raises is ``{"id": ..., "problem": reason}``, and counts as no failure.
        """

    def keep(
        self,
        function: Callable[[Sample, Any, SampleContext], Iterable[Any]],
        samples: Iterable[Sample],
        params: Params | None = None,
        label: str = "",
        *,
        name: str = "",
    ) -> Iterable[Sample]:
        """The samples for which ``function`` does not raise, unchanged; the others are listed as failed."""

    def revise(self, dataset: Iterable[Sample], change: Callable[[str], Mapping[str, Any] | None]) -> Iterable[Sample]:
        """The samples with new ``id``, ``label``, ``split`` or ``extra``, by ``change(id)``; None leaves a sample out.

        Args:
            dataset: a dataset, or what :meth:`map` over one returned.
        """

    def amended(self, name: str, note: str | None, sample_of: Callable[[str], Any]) -> Iterable[Sample] | None:
        """The samples of this stage's last run with what has changed since in a folder: only changed files are read.

        Args:
            name: the parameter that names the folder.
            note: what the samples depend on besides the other parameters and the paths and bytes of files. None: the next
                run can't amend them after all.
            sample_of: the sample of a file by its path below the folder (with ``/``), which is its id; None if it is none,
                NotImplemented if it depends on other files.

        Returns:
            None if there is no such run, it had another ``note``, or most files have changed: then give :meth:`keep` or
            :meth:`dataset` all samples. The next run can amend them.
        """

    def recall(self, name: str) -> bytes | None:
        """What :meth:`remember` kept in an earlier run of this stage, or None; the output must not depend on it."""

    def remember(self, name: str, data: bytes | bytearray | memoryview) -> None:
        """Keep notes for the next run of this stage."""

    def tolerate(self, failures: Sequence[Failure], num_attempted: int) -> None:
        """Count samples that the stage itself, not :meth:`map`, found unusable against its ``max_failed``.

        Raises:
            StageError: there are too many; it names the first few and says how to continue.
        """

    def variant(self, params: Params) -> Artifact:
        """What this stage makes of the same inputs with other parameters, from the store if it was made before.

        The result is kept under its own key: a stage with these parameters in any run finds it, and a kill loses only the
        variant that is being made. A stage that tries several settings and keeps one is made of variants.
        """

    def component(self, kind: str, name: str) -> ComponentLike: ...
    def components(self, kind: str) -> Sequence[ComponentLike]: ...

    def track(self, items: Iterable[T], total: int | None = None, label: str = "", unit: str = "") -> Iterator[T]:
        """Pass items through and show progress."""

    def event(self, name: str, **values: Any) -> None:
        """Send a stage-specific event to listeners (the progress display, ``--json``, observers): an epoch's metrics."""

    def warn(self, message: str) -> None:
        """Warn the user; the warning is kept in ``run.json`` and repeated for a cached stage."""

    def dataset(
        self, samples: Iterable[Sample] | Sequence[Iterable[Sample]], failed: Iterable[Failure] = (), **meta: Any
    ) -> Dataset:
        """Write an index. Rows may come in any order; ids must be unique. Failures of ``map`` are added by themselves.

        A list of datasets, and of what :meth:`map`, :meth:`keep` and :meth:`revise` returned, is joined: the parts of each stay
        as they are.
        """

    def artifact(self, kind: type[A], *, digest: str | None = None, **meta: Any) -> A:
        """What lies in ``out_dir``, as an artifact.

        ``digest`` replaces the hash of the files where their bytes carry times or other noise (a Keras file, a report).
        """


class SampleContext(Protocol):
    """What a sample function receives besides the sample and the parameters."""

    @property
    def seed(self) -> int: ...

    def rng(self, copy: int = 0) -> Rng:
        """The generator of this sample's ``copy``-th variant."""

    def out_path(self, name: str) -> Path:
        """Where to write an output file; ``name`` may have folders and must be unique to the sample (begin it with its id)."""

    def write(self, name: str, data: bytes) -> str:
        """Write an output file in one go; its path, as :class:`Sample` takes it. A packed one is no file before the yield."""

    def once(self, name: str, make: Callable[[], T]) -> T:
        """``make()``, kept for all samples that this worker handles with these parameters: a compiled recipe, a model."""

    def component(self, kind: str, name: str) -> ComponentLike: ...


# --- the decorators ------------------------------------------------------------------------------------------------------


@typing.overload
def stage(function: F, /) -> F: ...
@typing.overload
def stage(*, libraries: Sequence[str] = (), fingerprint: Callable[[Any], str] | None = None) -> Callable[[F], F]: ...
def stage(function: Any = None, /, *, libraries: Sequence[str] = (), fingerprint: Callable[[Any], str] | None = None) -> Any:
    """Mark ``function(ctx, <artifacts>, params) -> Artifact`` as a stage.

    Args:
        libraries: distributions whose version changes the output ("tensorflow"); their versions are part of the key.
        fingerprint: ``fingerprint(params) -> str`` for outside state that no :class:`InputPath` parameter names.
    """

    def mark(function: F) -> F:
        function.__pipekit_stage__ = read_stage(function, tuple(libraries), fingerprint)  # type: ignore[attr-defined]
        return function

    return mark if function is None else mark(function)


@typing.overload
def sample_stage(function: F, /) -> F: ...
@typing.overload
def sample_stage(*, libraries: Sequence[str] = ()) -> Callable[[F], F]: ...
def sample_stage(function: Any = None, /, *, libraries: Sequence[str] = ()) -> Any:
    """Mark ``function(sample, params, ctx) -> Iterable[Sample]`` as a stage from dataset to dataset."""

    def mark(function: F) -> F:
        function.__pipekit_stage__ = read_sample_stage(function, tuple(libraries))  # type: ignore[attr-defined]
        return function

    return mark if function is None else mark(function)


def depends_on(*distributions: str) -> Callable[[F], F]:
    """Name distributions whose version changes a component's output; it joins the cache key: ``@depends_on("scipy")``."""

    def mark(function: F) -> F:
        function.__pipekit_libraries__ = distributions  # type: ignore[attr-defined]
        return function

    return mark


def unseeded(function: F) -> F:
    """Mark a function for :meth:`Context.map` that draws no random numbers: what it made holds under any seed."""
    function.__pipekit_seeded__ = False  # type: ignore[attr-defined]
    return function


@dataclass(frozen=True, slots=True)
class SplitUnit:
    """Images that must stay in one split, as a splitter receives them: copies of one picture, a group, or a single image.

    Attributes:
        key: its name, made of the images' content; equal datasets have equal keys.
        classes: the number of its images of each class, or with each label.
        place: the split that it is already in; "" if it is free.
        images: the number of its images, if they may have several labels or none.
        group: the value of ``group_column``, or what ``group_pattern`` matches; "" without either.
        ids: the ids of its images; empty for units that are already in a split.
    """

    key: str
    classes: tuple[tuple[str, int], ...]
    place: str = ""
    images: int | None = None
    group: str = ""
    ids: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return self.images if self.images is not None else sum(count for _, count in self.classes)


@dataclass(frozen=True)
class Shared:
    """What the results of a :func:`shared` function depend on besides the image."""

    version: int
    libraries: tuple[str, ...]


def shared(*, version: int = 1, libraries: Iterable[str] = ()) -> Callable[[F], F]:
    """Mark a function for :meth:`Context.map` whose results depend on the image file and the parameters alone.

    They are computed once for an image. The function receives a sample with id, image and hash alone, and draws no random
    numbers. Raise ``version`` when it computes something else.
    """

    def mark(function: F) -> F:
        function.__pipekit_shared__ = Shared(version, tuple(sorted(libraries)))  # type: ignore[attr-defined]
        return function

    return mark
