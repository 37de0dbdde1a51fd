"""Every extension point of pipekit, on one screen.

A plugin is a module that implements some of these with ``@pipekit.hookimpl``. A registering hook receives ``register`` and
calls it once per component::

    @pipekit.hookimpl
    def register_ops(register):
        register("speckle", "my_plugin.ops:speckle", summary="Multiplicative noise", version=1)

``register(name, target, *, summary="", version=1, preload=())``: ``target`` is ``"module:attribute"`` (imported on first
use, which keeps start-up fast) or the object itself. Raise ``version`` when the component's output changes for the same
input: it is part of every cache key. ``preload`` names modules that worker processes load before they get work. See
:mod:`pipekit.contract` for the interface of each kind of component.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    from pipekit.contract import Artifact, RunInfo, StageInfo

hookspec = pluggy.HookspecMarker("pipekit")
hookimpl = pluggy.HookimplMarker("pipekit")
"""Marks a function of a plugin as its implementation of the hook of that name: ``@pipekit.hookimpl``."""

API_VERSION = 1
"""Raised when a hook or a contract changes incompatibly. A plugin may set ``PIPEKIT_API = n`` for the version it needs."""


class Register(Protocol):
    def __call__(self, name: str, target: Any, *, summary: str = "", version: int = 1, preload: Sequence[str] = ()) -> None: ...


@hookspec
def register_stages(register: Register) -> None:
    """Stages of a pipeline: functions decorated with ``@stage`` or ``@sample_stage``."""


@hookspec
def register_ops(register: Register) -> None:
    """Augmentation ops: ``op(image, params, rng)`` (pixel) or ``op(size_hw, params, rng)`` (geometric)."""


@hookspec
def register_recipes(register: Register) -> None:
    """Named lists of ops, ready to use: a list of tables as in a pipeline file, or a function that returns one."""


@hookspec
def register_models(register: Register) -> None:
    """Model templates: ``build(input_shape_hwc, num_classes, params) -> keras.Model``."""


@hookspec
def register_losses(register: Register) -> None:
    """Losses of the stage ``train``: ``loss(params)`` -> a Keras loss. It is used in training alone and saved in no model."""


@hookspec
def register_metrics(register: Register) -> None:
    """Metrics of the stage ``train``, after each epoch: ``metric(params)`` -> a Keras metric."""


@hookspec
def register_optimizers(register: Register) -> None:
    """Optimizers of the stage ``train``: ``optimizer(params)`` -> a Keras optimizer."""


@hookspec
def register_schedules(register: Register) -> None:
    """Learning rate schedules of the stage ``train``: ``schedule(share, params)`` -> the factor on the learning rate."""


@hookspec
def register_samplers(register: Register) -> None:
    """Samplers of the stage ``train``, the images of an epoch: ``sampler(targets, epoch, params, rng)`` -> (N,) positions."""


@hookspec
def register_callbacks(register: Register) -> None:
    """Callbacks of the stage ``train``: ``callback(params)`` -> a Keras callback."""


@hookspec
def register_importers(register: Register) -> None:
    """Dataset formats to read: a module or object with ``sniff(path)`` and ``read(path, params)``."""


@hookspec
def register_exporters(register: Register) -> None:
    """Formats to write: ``write(artifact, out_dir, params)`` for datasets and for models."""


@hookspec
def register_detectors(register: Register) -> None:
    """Feature detectors: ``detect(image, params)`` -> (N, 3) float32 x_px, y_px, response, or a response map."""


@hookspec
def register_embedders(register: Register) -> None:
    """Networks that turn an image into a vector of features: ``embedder(params) -> embed(images)``."""


@hookspec
def register_projections(register: Register) -> None:
    """Maps of features in two dimensions: ``projection(table, params, rng) -> (N, 2)``."""


@hookspec
def register_splitters(register: Register) -> None:
    """Splitters of the stage ``split``: ``splitter(units, fractions, params, rng)`` -> a split for each unit."""


@hookspec
def register_checks(register: Register) -> None:
    """Dataset checks for ``inspect``: ``check(rows, ctx, params)`` -> findings."""


@hookspec
def register_report_sections(register: Register) -> None:
    """Sections of the report: ``section(ctx, inputs, params) -> Section``."""


@hookspec
def register_compare_metrics(register: Register) -> None:
    """Metrics of the stage ``compare``: ``metric(rows, params)`` -> (N,) numbers, one for each row of predictions.csv."""


@hookspec
def register_searches(register: Register) -> None:
    """Searches of ``[matrix]``: ``search(space, params, rng)`` -> combinations, or a generator that receives each result."""


@hookspec
def register_codecs(register: Register) -> None:
    """Image formats to decode: a module or object with ``suffixes()``, ``reads(data)`` and ``decode(data)``."""


@hookspec
def register_executors(register: Register) -> None:
    """Executors, which run shards: ``execute(run, tasks, params) -> Iterator[ShardResult]``."""


@hookspec
def register_commands(register: Register) -> None:
    """Commands of the command line, ``pipekit NAME``: a typed function, a Typer app or a click command."""


@hookspec
def register_pages(register: Register) -> None:
    """Pages of the studio: ``page(studio, params) -> Section``, called again at each change of its form."""


@hookspec
def before_stage(run: RunInfo, stage: StageInfo) -> None:
    """Observer: a stage is about to run (not called for a cached one)."""


@hookspec
def after_stage(run: RunInfo, stage: StageInfo, artifact: Artifact) -> None:
    """Observer: a stage has ended, cached or run."""


@hookspec
def on_stage_error(run: RunInfo, stage: StageInfo, error: BaseException) -> None:
    """Observer: a stage has failed."""


@hookspec
def on_event(run: RunInfo, event: str, values: Mapping[str, Any]) -> None:
    """Observer: an event of the run as ``pipekit run --json`` prints it: the metrics of an epoch, progress, a stage's end."""


@hookspec
def after_run(run: RunInfo) -> None:
    """Observer: the run has ended and its folder under ``runs/`` is in place."""
