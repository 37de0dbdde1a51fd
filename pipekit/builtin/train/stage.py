"""The stage ``train``: prepare the data, build the model, run the training loop, write the outputs."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit import processes
from pipekit.builtin.train import ahead, data, devices, frozen, none_of_these, record, tasks, temperature
from pipekit.builtin.train.cache import Decoded, can_share, choose
from pipekit.builtin.train.callbacks import Callbacks
from pipekit.builtin.train.classes import check_classes, needs_classes
from pipekit.builtin.train.compiling import OF_TASKS, Labels, choose_labels, make_loss, make_metrics, make_optimizer
from pipekit.builtin.train.feed import Feed
from pipekit.builtin.train.loop import Loop
from pipekit.builtin.train.mix import mixer
from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Call, Context, Dataset, Model, Params
from pipekit.errors import PipekitError, PluginError, StageError, UserError
from pipekit.images import Image
from pipekit.learning import templates
from pipekit.learning.assigning import drawn, name_of
from pipekit.learning.embedders import facts_of
from pipekit.learning.input_size import size_for
from pipekit.learning.keras_backend import is_loaded
from pipekit.learning.linear_head import write_head
from pipekit.learning.outputs import Outputs, makes
from pipekit.learning.templates import Work
from pipekit.recipe.compiled import CompiledRecipe, compile_recipe, walk
from pipekit.rng import Seeded
from pipekit.tasks import CLASSES, MULTILABEL

MANY_AUGMENTED = 1000
"""Minimum number of augmented images for which starting worker processes pays off."""

MEMORY_ERRORS = ("ResourceExhaustedError", "MemoryError")


def train_model(ctx: Context, dataset: Dataset, params: TrainParams) -> Model:
    """Train a model, and write its folder; see the stage ``train``."""
    return record.write(ctx, *learn(ctx, dataset, params))


def learn(ctx: Context, dataset: Dataset, params: TrainParams, *, head_alone: bool = False) -> tuple[Any, record.Result]:
    """Train a model; returns it with what is known of the training.

    Args:
        head_alone: where the features come from the store, train the layers on top of them without building the network, if
            the template can. The model then takes features in place of images.
    """
    template = params.model.load()
    outputs = Outputs(CLASSES, dataset.classes)
    if dataset.task != CLASSES and not getattr(template, "reconstructs", False):
        tasks.check_task(dataset, template, params)
        outputs = tasks.outputs_of(dataset)
    elif needs_classes(template, params):  # before TensorFlow is loaded, which takes seconds
        check_classes(ctx, dataset)
    if params.ops and _worth_processes(ctx, params, sum(dataset.counts.get("train", {}).values())):
        processes.start_early()  # while TensorFlow is loaded
    seed = params.seed if params.seed is not None else ctx.seed
    if not is_loaded():
        ctx.event("note", message="loading TensorFlow, which takes some seconds")
    devices.prepare(seed=int(_rng(ctx, params)("weights").integers(2**32)), deterministic=params.deterministic)
    every = data.read_part(dataset, "train", labelled=False)
    size = params.input_hw or size_for(template, params.model.params, lambda: every.samples)
    shape = (size[0], size[1], params.channels)
    with ExitStack() as stack:
        strategy = devices.strategy(params.devices)
        if strategy is not None:
            stack.enter_context(strategy.scope())
        stack.enter_context(devices.precision(precision_of(ctx, template, params)))
        alone = frozen.embedder_alone(template, params, shape) if head_alone and strategy is None else None
        if alone is None:
            model = build_model(template, shape, outputs, params)
        else:
            model = template.on_features(facts_of(alone.load(), alone.params).dimensions, outputs)
        reconstructs = tuple(model.output_shape[1:]) == shape
        if not reconstructs and model.output_shape[-1] != len(outputs):
            raise PluginError(
                f"the template {params.model.name!r} made a model with outputs of {model.output_shape} "
                f"for {len(outputs)} classes"
            )
        labelled = not reconstructs
        parts = {name: data.read_part(dataset, name, labelled) for name in ("train", "val")}
        if outputs.task == CLASSES or reconstructs:
            labels = choose_labels(params, dataset.classes, reconstructs)
        else:
            labels = tasks.labels_for(outputs, parts["train"].numbers, params)
        data.check_parts(ctx, dataset, parts["train"], parts["val"], labelled, params.keep == "best")
        layer = frozen.first_to_learn(template, params) if labelled and strategy is None else ""
        features, learner, embedder = None, model, None
        if alone is not None:
            embedder, features = alone, frozen.embedded(ctx, dataset, alone, params.fit)
        elif layer:
            halves = frozen.cut(model, layer)
            learner = halves.head
            samples = [*parts["train"].samples, *parts["val"].samples]
            embedder = frozen.embedder_for(template, params, shape)
            features = (
                frozen.features_of(ctx, halves, samples, shape, params.fit)
                if embedder is None
                else frozen.embedded(ctx, dataset, embedder, params.fit)
            )
        feed = stack.enter_context(_feed(ctx, params, parts["train"], shape, labels, "train", features))
        validation = None
        if len(parts["val"]):
            validation = stack.enter_context(_feed(ctx, params, parts["val"], shape, labels, "val", features))

        def prepare(model: Any = learner) -> None:
            model.compile(make_optimizer(params), make_loss(params, labels), metrics=make_metrics(params, labels))

        if features is None and not hasattr(template, "fit"):
            numbers = (len(every), len(parts["train"]), len(parts["val"]), len(dataset.classes))
            ahead.tell(ctx, model, params, Work(*numbers, shape, params.epochs), feed.batch_size)
        loop = Loop(
            ctx=ctx,
            model=learner,
            feed=feed,
            validation=validation,
            params=params,
            compile=prepare,
            unfreeze=None if features is not None else _unfreeze(template, params),
            solve=_solve(template, params, seed),
            strategy=strategy,
            callbacks=Callbacks.of(ctx, params, template),
            observe=devices.tensorboard(ctx.out_dir / "tensorboard") if params.tensorboard else None,
        )
        try:
            state = loop.run()
            calibration = temperature.fit_on(learner, validation) if labelled and labels.mode not in OF_TASKS else None
            on_val = tasks.fit_on_val(learner, validation, labels, params) if labels.mode in OF_TASKS else {}
        except Exception as error:
            if (translated := _translated(error, feed.batch_size, shape)) is error:
                raise
            raise translated from error
    # a head that was trained by itself shares its layers with the model, which has its weights without being compiled
    unknown = None
    if labelled and labels.mode not in OF_TASKS and _is_pretrained(template, params):
        unknown = none_of_these.limit_of(
            ctx, dataset, model, template, parts["train"], features, params, _rng(ctx, params)("unknown")
        )
    failures = [*feed.decoded.failed.values(), *(validation.decoded.failed.values() if validation else ())]
    result = record.Result(
        params=params,
        labels=labels,
        shape_hwc=shape,
        state=state,
        monitor=loop.monitor,
        batch_size=feed.batch_size,
        seed=seed,
        counts={name: len(part) for name, part in parts.items()},
        failures=tuple(failures),
        dataset=dataset,
        pretrained=_is_pretrained(template, params),
        pretrained_on=_pretrained_on(template, params, shape),
        unknown=unknown,
        calibration=calibration,
        on_val=on_val,
        features=None if embedder is None else write_head(ctx.out_dir, learner, embedder, dataset.digest),
    )
    return model, result


def _pretrained_on(template: Any, params: TrainParams, shape_hwc: tuple[int, int, int]) -> Mapping[str, Any] | None:
    """What the template states of its pretrained weights, with the size of the images that this model takes."""
    found = templates.pretrained_on(template, params.model.params)
    return {**found, "input_hw": list(shape_hwc[:2])} if found and "input_hw" in found else found


def build_model(template: Any, shape_hwc: tuple[int, int, int], outputs: Outputs, params: TrainParams) -> Any:
    """Build the template's model; an error of Keras becomes one that names the template and the size."""
    try:
        return template(shape_hwc, outputs if MULTILABEL in makes(template) else len(outputs), params.model.params)
    except PipekitError:
        raise
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"the template {params.model.name!r} can't be built for images of {shape_hwc[0]} x {shape_hwc[1]} x {shape_hwc[2]} "
            f"and {len(outputs)} classes: {reason}",
            f"Set input_hw, or see `pipekit models show {params.model.name}`.",
        ) from error


def auto_batch_size(num_images: int) -> int:
    """32, or the largest power of two that gives at least 20 steps per epoch, but no less than 8."""
    return int(min(32, max(8, 2 ** int(np.log2(max(1, num_images // 20))))))


def _rng(ctx: Context, params: TrainParams) -> Seeded:
    """The stage's random generators, with its own seed if one is given."""
    return Seeded(ctx.seed if params.seed is None else params.seed, "train")


def _feed(
    ctx: Context,
    params: TrainParams,
    part: data.Part,
    shape: tuple[int, int, int],
    labels: Labels,
    split: str,
    features: frozen.Features | None,
) -> Feed:
    training = split == "train"
    ids = [sample.id for sample in part.samples]
    recipe = compile_recipe(params.ops, shape[:2]) if training and params.ops else None
    worker_pool = recipe is not None and features is None and _in_processes(ctx, params, recipe, len(ids))
    decoded = (
        _decoded(ctx, params, part, shape, recipe, split, worker_pool) if features is None else features.decoded(part.samples)
    )
    return Feed(
        decoded=decoded,
        shape_hwc=shape if features is None else features.shape,
        ids=ids,
        targets=labels.targets(part.numbers),
        weights=data.class_weights(part, len(labels.classes), params.class_weights if training else "none"),
        batch_size=params.batch_size or auto_batch_size(len(ids)) if training else params.batch_size or 32,
        rng=_rng(ctx, params),
        shuffle=training,
        epochs=params.epochs if training else 0,
        sampler=_sampler(ctx, params, part) if training else None,
        augment=None if recipe is None else data.augmenter(recipe, shape[2]),
        mix=mixer(params.mixup, params.cutmix, params.mosaic) if training else None,
        workers=ctx.workers,
        processes=worker_pool,
        warn=ctx.warn,
        dtype=np.uint8 if features is None else np.float32,
    )


def _sampler(ctx: Context, params: TrainParams, part: data.Part) -> Callable[[int], NDArray[np.int64]] | None:
    """What chooses the images of each epoch, if a plugin does."""
    call, rng = params.sampler, _rng(ctx, params)
    if not isinstance(call, Call):
        return None
    sampler, who = call.load(), name_of(call)
    return lambda epoch: drawn(sampler, part.numbers, epoch, call.params, rng("sampler", epoch), who)


def _worth_processes(ctx: Context, params: TrainParams, num_images: int) -> bool:
    """Whether worker processes are allowed for augmented batches, and pay off."""
    if params.feed == "threads" or ctx.workers == 1 or not can_share():
        return False
    return params.feed == "processes" or (num_images >= MANY_AUGMENTED and not params.mixes and processes.allowed())


def _in_processes(ctx: Context, params: TrainParams, recipe: CompiledRecipe, num_images: int) -> bool:
    """Whether worker processes make the batches. With ``feed = "auto"``, not for plugins' ops, which may load anything in each
    process, nor for mixed batches, since mixing runs in this process."""
    if not _worth_processes(ctx, params, num_images):
        return False
    if params.feed == "auto":
        return all(op.function.__module__.startswith("pipekit.") for op in walk(recipe.ops))
    try:
        pickle.dumps(recipe)
    except Exception as error:
        raise UserError(f"this recipe can't be sent to other processes: {error}", "Set feed = 'threads'.") from error
    return True


def _decoded(
    ctx: Context,
    params: TrainParams,
    part: data.Part,
    shape: tuple[int, int, int],
    recipe: CompiledRecipe | None,
    split: str,
    shared: bool,
) -> Decoded:
    ids = [sample.id for sample in part.samples]
    folder = ctx.work_dir / "decoded" / split
    folder.mkdir(parents=True, exist_ok=True)
    load: Callable[[str], Image] = data.Loader(shape, params.fit)
    size_bytes, largest_bytes = len(ids) * math.prod(shape), math.prod(shape)
    if recipe is not None and data.moves_first(recipe):
        kept_hw = (round(shape[0] * params.detail), round(shape[1] * params.detail))
        load, largest_bytes = data.Decoder(kept_hw, shape[2], params.fit), math.prod(kept_hw) * shape[2]
        size_bytes = data.decoded_bytes(part.samples, kept_hw, shape[2])
    place = choose(params.cache, size_bytes, folder)
    if place.where == "disk":
        ctx.event("cache", split=split, message=f"decoded images are cached in {folder}, about {size_bytes / 1e9:.1f} GB")
    files = [sample.image for sample in part.samples]
    return Decoded(files, ids, load, place, folder, largest_bytes, shared)


def precision_of(ctx: Context, template: Any, params: TrainParams) -> str:
    """Keras' dtype policy. A template that solves for its weights gets float32: its features would overflow in 16 bits."""
    if params.precision == "float32" or not hasattr(template, "fit"):
        return params.precision
    ctx.warn(f"precision had no effect: {params.model.name} is not trained in epochs, and is solved in float32")
    return "float32"


def _unfreeze(template: Any, params: TrainParams) -> Callable[[Any, int], float | None] | None:
    unfreeze: Callable[[Any, Params, int], float | None] | None = getattr(template, "unfreeze", None)
    if unfreeze is None:
        return None
    return lambda model, epoch: unfreeze(model, params.model.params, epoch)


def _is_pretrained(template: Any, params: TrainParams) -> bool:
    """Whether the model starts from weights trained on other images: it has a head on a frozen network."""
    call = params.model.params
    random = getattr(call, "weights", None) == "random" and getattr(call, "weights_file", None) is None
    return hasattr(template, "head") and not random


def _solve(template: Any, params: TrainParams, seed: int) -> Callable[..., Any] | None:
    fit: Callable[..., Any] | None = getattr(template, "fit", None)
    if fit is None:
        return None
    return lambda model, train, val: fit(model, train, val, params.model.params, seed)


def _translated(error: Exception, batch_size: int, shape: tuple[int, int, int]) -> Exception:
    """Turn TensorFlow's out-of-memory errors into a clear error; return any other unchanged."""
    if type(error).__name__ in MEMORY_ERRORS:
        return StageError(
            f"out of memory with batches of {batch_size} images of {shape[0]} x {shape[1]}",
            f"Set batch_size = {max(1, batch_size // 2)}, a smaller input_hw or a smaller model; finished epochs are kept.",
        )
    return error
