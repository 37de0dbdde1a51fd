"""Parameters of the ``train`` stage."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, field_validator, model_validator

from pipekit.builtin.train.keras_names import OWN_METRICS, USUAL_LOSSES, problem_of, table
from pipekit.contract import Call, Params, Uses, param
from pipekit.errors import UserError
from pipekit.images.choices import Fit
from pipekit.recipe.notation import Ops


def _of_keras(kind: str, name: str) -> tuple[str, str] | None:
    """Whether Keras has a loss or metric, as :class:`~pipekit.contract.Uses` asks: None where its names are not known."""
    return problem_of(kind, name) if table() or ">" in name else None


OPTIMIZERS = ("sgd", "rmsprop", "adam", "adamw", "adagrad", "adadelta", "adamax", "nadam", "lion")
SCHEDULES = ("constant", "cosine", "linear", "step", "exponential", "plateau")
Optimizer = Annotated[Call | str, Uses("optimizer", names=OPTIMIZERS)]
Schedule = Annotated[Call | str, Uses("schedule", names=SCHEDULES)]
Loss = Annotated[Call | str, Uses("loss", names=USUAL_LOSSES, known=partial(_of_keras, "loss"))]
Metric = Annotated[Call | str, Uses("metric", names=OWN_METRICS, known=partial(_of_keras, "metric"))]
Callback = Annotated[Call, Uses("callback")]
Sampler = Annotated[Call | str, Uses("sampler", names=("shuffle",))]
LabelMode = Literal["auto", "sparse", "categorical", "binary", "input"]
Side = Annotated[int, Field(ge=8, le=4096)]


class TrainParams(Params):
    """The model, the form of the images, and the training's hyperparameters."""

    model: Annotated[Call, Uses("model", key="template")] = param("simple_cnn", "Model template and its parameters")
    ops: Ops = param(
        (),
        "Data augmentation, applied to each training image in each epoch: a preset's name, a .toml file, text like "
        "'rotate(40)|hflip', or a list of ops. Pipeline files may call it augment",
        validation_alias=AliasChoices("ops", "augment"),
    )

    input_hw: tuple[Side, Side] | None = param(
        None,
        "Input height and width that images are resized to. Default: the template's, else the images' common size if it is at "
        "most 256, else 160",
        unit="px",
    )
    fit: Fit = param(
        "stretch",
        "How an image of another aspect ratio is brought to the input size: stretched, cropped at its longer sides, or padded "
        "with black; ops work on the result",
        in_key="changed",
    )
    detail: float = param(
        1.0,
        "For a recipe that moves pixels, cache images at up to this many times that size: 2 keeps crops and zooms sharp",
        ge=1,
        le=8,
    )
    channels: Literal[1, 3] = param(3, "3 for colour, 1 for grey")
    batch_size: int | None = param(
        None, "Batch size. Default: 32, or less if that gives under 20 steps per epoch", ge=1, le=65536
    )
    epochs: int = param(20, "Number of epochs: passes over the training images", ge=1, le=100_000)

    optimizer: Optimizer = param("adam", "Optimizer, with Keras' defaults; or a plugin's")
    learning_rate: float | None = param(
        None, "Peak learning rate. Default: the usual one for the optimizer, 0.001, or 0.01 for sgd", gt=0
    )
    find_learning_rate: bool = param(
        False,
        "Learning rate range test: try rising rates for 100 batches, take the one where the loss falls fastest (Smith 2017)",
    )
    momentum: float = param(0.9, "Momentum of sgd", ge=0, lt=1)
    weight_decay: float | None = param(
        None, "Decoupled weight decay. Default: Keras' default, 0.004 for adamw, else none", ge=0, le=1
    )
    clip_norm: float | None = param(None, "Gradient clipping: maximum global norm; 1.0 calms exploding losses", gt=0)
    schedule: Schedule = param("cosine", "Learning rate schedule over the epochs; or a plugin's")
    warmup_epochs: float = param(0.0, "Warm-up: the learning rate first rises linearly over these epochs", unit="epochs", ge=0)
    decay: float = param(0.1, "step: factor at each step; exponential: factor over all epochs; plateau: factor", gt=0, le=1)
    decay_epochs: int = param(10, "step: epochs between steps; plateau: epochs without progress", unit="epochs", ge=1)

    label_mode: LabelMode = param(
        "auto",
        "Form of the labels for the loss: class numbers, one-hot, two classes with the second as positive, or the image "
        "itself. auto: what the model and the other options need",
    )
    loss: Loss | None = param(None, "Name of a Keras loss, or a plugin's. Default: the one that fits label_mode")
    metrics: tuple[Metric, ...] = param(
        ("accuracy",),
        "Names of Keras metrics; also precision, recall, f1 and auc (macro means; binary: of the second class), and a plugin's",
    )
    callbacks: tuple[Callback, ...] = param((), "Callbacks of plugins, called in this order", in_key="changed")
    sampler: Sampler = param(
        "shuffle", "Which images an epoch shows. shuffle: each once, in a new order; or a plugin's sampler", in_key="changed"
    )
    class_weights: Literal["none", "balanced"] = param(
        "none", "Class weights. balanced: rare classes weigh more, n / (classes * n_class)"
    )
    threshold: str = param(
        "f1",
        "Several labels: what the threshold of each label is chosen for on val: f1, 'precision >= 0.9', 'recall >= 0.9', or a "
        "probability for all labels, such as 0.5",
        in_key="changed",
    )
    keep_value: bool = param(
        False,
        "Numbers: allow ops that move pixels, since the number of an image stays as it is; without it they are refused",
        in_key="changed",
    )
    label_smoothing: float = param(0.0, "Label smoothing: share of each label that is spread over all classes", ge=0, lt=1)
    mixup: float = param(0.0, "Alpha of MixUp; 0 is off, 0.2 is usual", ge=0, le=10)
    cutmix: float = param(0.0, "Alpha of CutMix; 0 is off, 1.0 is usual", ge=0, le=10)
    mosaic: float = param(0.0, "Share of the batches whose images are mosaics of four; 0 is off, 0.5 is usual", ge=0, le=1)

    keep: Literal["best", "last"] = param(
        "best", "Weights to keep: those of the epoch with the best `monitor`, or the last ones"
    )
    monitor: str = param(
        "val_loss", "Metric that decides the best epoch: a column of history.csv; losses best low, others high"
    )
    patience: int | None = param(
        None, "Early stopping: number of epochs without a better `monitor` before the run stops", unit="epochs", ge=1
    )

    cross_validate: bool = param(
        False,
        "K-fold cross-validation: also train a model for each fold that `split` made, and keep its predictions for the images "
        "of that fold; the published model is trained on all images. With `fold`, only that fold's predictions are made",
    )
    fold: int | None = param(
        None, "Leave this fold of `split` out: it is not trained on, and the next fold is val. Default: none", ge=1
    )

    features: Literal["auto", "off"] = param(
        "auto",
        "Features of a frozen network. auto: if no image changes from epoch to epoch, compute them once and cache them in the "
        "store, for this training and every later one; off: compute them in every epoch",
    )
    unknown_share: float = param(
        0.05,
        "Share of images like the training images that may be called unknown, none of the classes: it sets the limit of the "
        "distance to the training images, for models on a frozen pretrained network; 0: no limit",
        ge=0,
        le=0.5,
    )
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = param(
        "float32", "Mixed precision is faster and needs less memory on GPUs with tensor cores; it is slower on most CPUs"
    )
    deterministic: bool = param(True, "Deterministic ops: same seed, same weights on the same machine; a few ops are slower")
    seed: int | None = param(None, "Seed for initial weights, order and augmentation. Default: the pipeline's", ge=0, lt=2**63)

    cache: Literal["auto", "memory", "disk", "off"] = param(
        "auto",
        "Where decoded images are cached after the first epoch; auto: memory, disk or nowhere, as they fit",
        in_key=False,
    )
    feed: Literal["auto", "threads", "processes"] = param(
        "auto",
        "Threads or processes for loading and augmentation; auto: processes if pipekit's own ops augment many images, else "
        "threads",
        in_key=False,
    )
    checkpoint_s: float = param(60.0, "Maximum time between two checkpoints within an epoch", unit="s", ge=0, in_key=False)
    devices: Literal["auto", "one", "mirrored", "multi_worker"] = param(
        "auto",
        "auto: all GPUs of this machine, or all machines if TF_CONFIG is set; they share each batch",
        in_key=False,
    )
    tensorboard: bool = param(False, "Write TensorBoard logs into the model's folder")

    @property
    def mixes(self) -> bool:
        """Whether batches are mixed, so that an image may have several classes."""
        return bool(self.mixup or self.cutmix or self.mosaic)

    @model_validator(mode="before")
    @classmethod
    def _one_recipe(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and {"ops", "augment"} <= values.keys():
            raise ValueError("ops and augment are two names of the same recipe; give one of them")
        return values

    @field_validator("threshold", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """A probability may be given as a number."""
        return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value

    @field_validator("threshold")
    @classmethod
    def _is_threshold(cls, value: str) -> str:
        from pipekit.learning.thresholds import Target  # loads NumPy

        if value == "f1":
            return value
        try:
            return str(Target.read(value))
        except UserError as error:
            raise ValueError(f"{error.message}. {error.hint}") from None

    @model_validator(mode="after")
    def _fits(self) -> TrainParams:
        soft = [name for name in ("label_smoothing", "mixup", "cutmix", "mosaic") if getattr(self, name)]
        if soft and self.label_mode in ("sparse", "input"):
            raise ValueError(f"{soft[0]} needs label_mode 'auto', 'categorical' or 'binary', got {self.label_mode!r}")
        if self.find_learning_rate and self.learning_rate is not None:
            raise ValueError("find_learning_rate finds a learning rate: omit learning_rate")
        if isinstance(self.loss, Call) and self.label_smoothing:
            raise ValueError(f"label_smoothing is for the losses of Keras: give {self.loss.name!r} its own parameter")
        if isinstance(self.optimizer, Call) and self.weight_decay is not None:
            raise ValueError(f"weight_decay is for the optimizers of Keras: give {self.optimizer.name!r} its own parameter")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be less than epochs ({self.epochs})")
        if self.patience is not None and self.keep == "last":
            raise ValueError("patience needs keep = 'best'")
        return self
