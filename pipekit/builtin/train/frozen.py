"""Features of a frozen network: computed once per image by the engine, reused in this training and every later one.

If a network is frozen and no image changes from epoch to epoch, every epoch would compute the same features again. The engine
maps the network over the images like any other work: in shards that are cached, resume after a kill and run on any executor.
The cache key contains the network's layers and weights, and nothing of what is trained on the features: a training with another
head, learning rate or seed finds them in the store.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.train import data
from pipekit.builtin.train.cache import Decoded
from pipekit.builtin.train.params import TrainParams
from pipekit.contract import Call, Context, Dataset, InputPath, Params, Sample, SampleContext, param, unseeded
from pipekit.errors import ImageError, PluginError
from pipekit.images.choices import Fit
from pipekit.learning import templates
from pipekit.learning.embedders import at_size
from pipekit.learning.embeddings import embed_dataset
from pipekit.learning.keras_backend import load_keras

LAYERS, WEIGHTS = "layers.json", "weights.npz"


class EmbedParams(Params):
    """Parameters of :func:`embed`."""

    network: InputPath = param(..., "Folder of a network, see `write_network`")
    shape_hwc: tuple[int, int, int] = param(..., "Input shape of the network")
    fit: Fit = param("stretch", "How an image of another aspect ratio is brought to it", in_key="changed")


@unseeded
def embed(sample: Sample, params: EmbedParams, ctx: SampleContext) -> Iterator[dict[str, Any]]:
    """Compute the network's features of one image: float32 as base64; or the reason why the image can't be read.

    It computes one image at a time: the batch size changes the last bits, and results must not depend on the shard.
    """
    network = ctx.once("network", lambda: read_network(params.network))
    try:
        pixels = data.Loader(params.shape_hwc, params.fit)(sample.image)
    except ImageError as error:
        yield {"id": sample.id, "problem": error.message}
        return
    found = np.asarray(network.predict_on_batch(pixels[None].astype(np.float32))[0], "<f4")
    yield {"id": sample.id, "features": base64.b64encode(found.tobytes()).decode("ascii")}


def first_to_learn(template: Any, params: TrainParams) -> str:
    """The first trainable layer if everything before it computes the same in every epoch; else ""."""
    ask: Callable[[Params, int], str] | None = getattr(template, "head", None)
    if ask is None or params.features == "off" or params.ops or params.mixes:
        return ""
    return ask(params.model.params, params.epochs)


@dataclass(frozen=True)
class Cut:
    """A model in two parts that share its layers: ``network`` from pixels to features, ``head`` from features to output."""

    network: Any
    head: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image's features."""
        return tuple(self.network.output_shape[1:])


def cut(model: Any, layer: str) -> Cut:
    """Cut a model before a layer.

    Raises:
        PluginError: the layer does not exist, or a layer before it is trainable.
    """
    keras = load_keras()
    names = [one.name for one in model.layers]
    if layer not in names:
        raise PluginError(f"the template's head begins at {layer!r}, but its model has no such layer: {', '.join(names)}")
    features = model.get_layer(layer).input
    network = keras.Model(model.input, features, name="network")
    if network.trainable_weights:
        trainable = ", ".join(weight.path for weight in network.trainable_weights[:3])
        raise PluginError(f"the template's head begins at {layer!r}, but weights before it are trainable: {trainable}")
    return Cut(network, keras.Model(features, model.output, name="head"))


def write_network(network: Any, folder: Path) -> None:
    """Write a network as two files whose bytes depend only on its layers and weights; a ``.keras`` file contains the time."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / LAYERS).write_text(network.to_json(), encoding="utf-8")
    np.savez(folder / WEIGHTS, **{f"w{position}": value for position, value in enumerate(network.get_weights())})


def read_network(folder: Path) -> Any:
    """Read a network that :func:`write_network` wrote."""
    network = load_keras().models.model_from_json((folder / LAYERS).read_text("utf-8"))
    with np.load(folder / WEIGHTS) as saved:
        network.set_weights([saved[f"w{position}"] for position in range(len(saved.files))])
    return network


@dataclass(frozen=True)
class Features:
    """The features of images, in one memory-mapped file.

    Attributes:
        table: ``(N, ...)``, float32 or float16.
        rows: the row of each image, by path.
        problems: why an image has no features, by path.
    """

    table: NDArray[Any]
    rows: dict[str, int]
    problems: dict[str, str]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.table.shape[1:]

    def decoded(self, samples: Iterable[Sample]) -> Decoded:
        """The features in place of decoded images."""
        listed = list(samples)
        return Decoded([sample.image for sample in listed], [sample.id for sample in listed], self._of)

    def _of(self, image: str) -> Any:
        if image in self.problems:
            raise ImageError(self.problems[image])
        return self.table[self.rows[image]]


def features_of(
    ctx: Context, parts: Cut, samples: Iterable[Sample], shape_hwc: tuple[int, int, int], fit: Fit = "stretch"
) -> Features:
    """Every image's features, from the store if they are cached."""
    folder = ctx.work_dir / "features"
    write_network(parts.network, folder / "network")
    params = EmbedParams(network=InputPath(folder / "network"), shape_hwc=shape_hwc, fit=fit)
    # Only the image itself is in the key: another split or label finds the same features.
    bare = sorted((Sample(one.id, one.image, one.sha256) for one in samples), key=lambda one: one.id)
    table = np.lib.format.open_memmap(folder / "table.npy", "w+", np.float32, (max(1, len(bare)), *parts.shape))
    image_of, rows, problems = {one.id: one.image for one in bare}, {}, {}
    for number, row in enumerate(ctx.map(embed, bare, params, label="features", name="embed")):
        image = image_of[row["id"]]
        if "problem" in row:
            problems[image] = row["problem"]
        else:
            table[number] = np.frombuffer(base64.b64decode(row["features"]), "<f4").reshape(parts.shape)
            rows[image] = number
    return Features(table, rows, problems)


def embedder_for(template: Any, params: TrainParams, shape_hwc: tuple[int, int, int]) -> Call | None:
    """The embedder whose features the store has or shares, if the template names one that takes images of this size."""
    embedder = templates.embedder_of(template, params.model.params)
    return None if embedder is None or shape_hwc[2] != 3 else at_size(embedder, shape_hwc[:2])


def embedder_alone(template: Any, params: TrainParams, shape_hwc: tuple[int, int, int]) -> Call | None:
    """The embedder, where its features are all that the template's head learns from; None if the network is needed."""
    if not hasattr(template, "on_features") or not first_to_learn(template, params):
        return None
    return embedder_for(template, params, shape_hwc)


def embedded(ctx: Context, dataset: Dataset, embedder: Call, fit: Fit = "stretch") -> Features:
    """Every image's features by an embedder, shared with every stage and run; no TensorFlow is needed for them."""
    found = embed_dataset(ctx, dataset, embedder, ctx.work_dir / "features", fit=fit)
    image_of = {sample.id: sample.image for sample in dataset}
    rows = {image_of[name]: number for number, name in enumerate(found.ids)}
    return Features(found.table, rows, {image_of[name]: reason for name, reason in found.problems.items()})
