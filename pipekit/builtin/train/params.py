"""What the ``train`` stage can be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, model_validator

from pipekit.contract import Call, Params, Uses, param
from pipekit.recipe.notation import Ops

Optimizer = Literal["sgd", "rmsprop", "adam", "adamw", "adagrad", "adadelta", "adamax", "nadam", "lion"]
Schedule = Literal["constant", "cosine", "linear", "step", "exponential", "plateau"]
LabelMode = Literal["auto", "sparse", "categorical", "binary", "input"]
Side = Annotated[int, Field(ge=8, le=4096)]


class TrainParams(Params):
    """What is trained, on which form of the images, and how."""

    model: Annotated[Call, Uses("model", key="template")] = param("simple_cnn", "The model: a template and its parameters")
    ops: Ops = param(
        (),
        "The recipe, applied on the fly to each training image in each epoch: a preset's name, a .toml file, text like "
        "'rotate(40)|hflip', or a list of ops. Files may call it augment",
        validation_alias=AliasChoices("ops", "augment"),
    )

    input_hw: tuple[Side, Side] | None = param(
        None,
        "Height and width that images are brought to. Left out: what the template needs, else the images' own size where it "
        "is one and at most 256, else 160",
        unit="px",
    )
    detail: float = param(
        1.0,
        "Images are kept at up to this many times that size for a recipe that moves pixels: 2 keeps crops and zooms sharp",
        ge=1,
        le=8,
    )
    channels: Literal[1, 3] = param(3, "3 for colour, 1 for grey")
    batch_size: int | None = param(
        None, "Images in a batch. Left out, 32, or less where that gives under 20 steps", ge=1, le=65536
    )
    epochs: int = param(20, "How often every training image is shown", ge=1, le=100_000)

    optimizer: Optimizer = param("adam", "The optimizer, with Keras' defaults")
    learning_rate: float | None = param(
        None, "Learning rate at its highest. Left out, a usual one for the optimizer: 0.001, or 0.01 for sgd", gt=0
    )
    find_learning_rate: bool = param(
        False, "First try rising rates for 100 batches and take the one at which the loss falls fastest (Smith 2017)"
    )
    momentum: float = param(0.9, "Momentum of sgd", ge=0, lt=1)
    weight_decay: float | None = param(
        None, "Decoupled weight decay. Left out, Keras' default: 0.004 for adamw, else none", ge=0, le=1
    )
    clip_norm: float | None = param(None, "Gradients are scaled down to this global norm; 1.0 calms exploding losses", gt=0)
    schedule: Schedule = param("cosine", "How the learning rate falls over the epochs")
    warmup_epochs: float = param(0.0, "The learning rate rises linearly over this many epochs first", unit="epochs", ge=0)
    decay: float = param(0.1, "step: factor at each step; exponential: factor over all epochs; plateau: factor", gt=0, le=1)
    decay_epochs: int = param(10, "step: epochs between steps; plateau: epochs without progress", unit="epochs", ge=1)

    label_mode: LabelMode = param(
        "auto",
        "How the loss sees labels: class numbers, one-hot, two classes with the second as positive, or the image itself. "
        "auto: what the model and the other options need",
    )
    loss: str | None = param(None, "Any Keras loss by its name. Left out, the one that fits label_mode")
    metrics: tuple[str, ...] = param(
        ("accuracy",), "Keras metrics by name; also precision, recall, f1 and auc (macro means; binary: of the second class)"
    )
    class_weights: Literal["none", "balanced"] = param("none", "balanced: rare classes weigh more, n / (classes * n_class)")
    label_smoothing: float = param(0.0, "This share of each label is spread over all classes", ge=0, lt=1)
    mixup: float = param(0.0, "Alpha of MixUp; 0 is off, 0.2 is usual", ge=0, le=10)
    cutmix: float = param(0.0, "Alpha of CutMix; 0 is off, 1.0 is usual", ge=0, le=10)
    mosaic: float = param(0.0, "Part of the batches whose images are mosaics of four; 0 is off, 0.5 is usual", ge=0, le=1)

    keep: Literal["best", "last"] = param("best", "Which weights are kept: the epoch with the best `monitor`, or the last one")
    monitor: str = param("val_loss", "What best means: a column of history.csv; losses are best low, the rest high")
    patience: int | None = param(None, "Stop after this many epochs without a better `monitor`", unit="epochs", ge=1)

    features: Literal["auto", "off"] = param(
        "auto",
        "auto: where a network stays frozen and no image changes from epoch to epoch, what it sees is computed once and kept "
        "in the store, for this training and every later one; off: in every epoch anew",
    )
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = param(
        "float32", "mixed: faster and smaller on GPUs with tensor cores; slower on most processors"
    )
    deterministic: bool = param(True, "The same seed gives the same weights on the same machine; a few ops are slower for it")
    seed: int | None = param(
        None, "Draws the initial weights, order and augmentation. Left out, the pipeline's", ge=0, lt=2**63
    )

    cache: Literal["auto", "memory", "disk", "off"] = param(
        "auto",
        "Where decoded images are kept from the first epoch on; auto: memory, disk or nowhere, as they fit",
        in_key=False,
    )
    feed: Literal["auto", "threads", "processes"] = param(
        "auto",
        "What makes the batches beside the model; auto: processes where many images are augmented by pipekit's own ops, else "
        "threads",
        in_key=False,
    )
    checkpoint_s: float = param(
        60.0, "A checkpoint to resume from is written at least this often", unit="s", ge=0, in_key=False
    )
    devices: Literal["auto", "one", "mirrored", "multi_worker"] = param(
        "auto",
        "auto: all GPUs of this machine, or all machines where TF_CONFIG is set; the batch is shared among them",
        in_key=False,
    )
    tensorboard: bool = param(False, "Also write TensorBoard logs into the model's folder")

    @property
    def mixes(self) -> bool:
        """Whether images of a batch are put together, and so have several classes each."""
        return bool(self.mixup or self.cutmix or self.mosaic)

    @model_validator(mode="before")
    @classmethod
    def _one_recipe(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and {"ops", "augment"} <= values.keys():
            raise ValueError("ops and augment are two names of the same recipe; give one of them")
        return values

    @model_validator(mode="after")
    def _fits(self) -> TrainParams:
        soft = [name for name in ("label_smoothing", "mixup", "cutmix", "mosaic") if getattr(self, name)]
        if soft and self.label_mode in ("sparse", "input"):
            raise ValueError(f"{soft[0]} needs label_mode 'auto', 'categorical' or 'binary', got {self.label_mode!r}")
        if self.find_learning_rate and self.learning_rate is not None:
            raise ValueError("find_learning_rate finds one: leave learning_rate out")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be less than epochs ({self.epochs})")
        if self.patience is not None and self.keep == "last":
            raise ValueError("patience needs keep = 'best'")
        return self
