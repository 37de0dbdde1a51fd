"""The contract of embedders: networks that turn an image into a vector of features.

An embedder is a function with :func:`embedder` above it, which states what people and stages must know of it::

    @embedder(Facts(input_hw=(224, 224), dimensions=1280, licence="Apache-2.0", source="…", trained_on="ImageNet-1k"))
    def my_embedder(params: Params) -> Embed: ...

``Facts`` may be a function of the parameters, where these choose the network. The embedder loads it and returns
``embed(images)``: ``(N, H, W, 3) uint8`` RGB of the size ``input_hw`` to ``(N, dimensions) float32``. pipekit passes one image
at a time: on one thread that is as fast as 32 (docs/benchmarks.md), and the vector of an image can't depend on the images
beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipekit.contract import Call, ComponentLike, Params, depends_on, params_type_of
from pipekit.errors import PluginError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embed", "Facts", "at_size", "describe", "embedder", "facts_of", "onnx_embed", "open_embedder"]

Embed = Callable[["NDArray[np.uint8]"], "NDArray[np.float32]"]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Facts:
    """What an embedder states.

    Attributes:
        input_hw: the size that images are resized to.
        dimensions: the length of the vectors.
        licence: of the weights, and where it is stated.
        source: where the weights come from.
        trained_on: the images that the network was trained on.
        weights: finds the file of weights; it raises UserError if it is not installed.
        sha256: of that file.
        convert: turns the file of weights into the bytes of the network that is loaded. The result is kept in the store, and
            its path is the embedder's second argument, ``network``.
        fine_side: a larger side of a square input, for images that have as many pixels, if they are told apart better by it;
            the embedder then has a parameter ``side``.
        keras: ``keras(input_shape_hwc)`` builds the same network as a frozen Keras model, from an image in 0..255 to the
            features; a model template builds upon it. None: no template can.
    """

    input_hw: tuple[int, int]
    dimensions: int
    licence: str
    source: str
    trained_on: str
    weights: Callable[[], Path] | None = None
    sha256: str = ""
    convert: Callable[[Path], bytes] | None = None
    keras: Callable[[tuple[int, int, int]], Any] | None = None
    fine_side: int | None = None


def embedder(facts: Facts | Callable[[Any], Facts], *, libraries: Sequence[str] = ()) -> Callable[[F], F]:
    """Mark a function as an embedder.

    Args:
        facts: what it states; a function of its parameters, where these choose the network.
        libraries: distributions whose version changes the vectors: the runtime. Their versions are part of every key.
    """

    def mark(function: F) -> F:
        function.__pipekit_embedder__ = facts  # type: ignore[attr-defined]
        return depends_on(*libraries)(function)

    return mark


def facts_of(function: Any, params: Params | None = None) -> Facts:
    """What an embedder states, with these parameters; with its defaults if there are none.

    Raises:
        PluginError: the function is not marked with :func:`embedder`.
    """
    facts = getattr(function, "__pipekit_embedder__", None)
    if callable(facts):
        facts = facts(params_type_of(function)() if params is None else params)
    if not isinstance(facts, Facts):
        name = getattr(function, "__qualname__", type(function).__name__)
        raise PluginError(f"the embedder {name} lacks @pipekit.learning.embedders.embedder(Facts(...)) above it")
    return facts


def at_size(call: Call, size_hw: tuple[int, int]) -> Call | None:
    """The embedder with an input of this size, by its parameter ``side``; None if it takes no images of it."""
    if facts_of(call.load(), call.params).input_hw == size_hw:
        return call
    if size_hw[0] != size_hw[1] or "side" not in type(call.params).model_fields:
        return None
    try:
        params = type(call.params).model_validate({**call.params.model_dump(), "side": size_hw[0]})
    except ValueError:  # too small or too large
        return None
    return replace(call, params=params)


def open_embedder(function: Any, params: Params, network: Path | None = None) -> Embed:
    """Load an embedder.

    Args:
        network: the file that ``convert`` made, where the embedder has one.
    """
    made = function(params) if facts_of(function, params).convert is None else function(params, network)
    if not callable(made):
        name = getattr(function, "__qualname__", type(function).__name__)
        raise PluginError(f"the embedder {name} must return a function from images to vectors, not {type(made).__name__}")
    return made  # type: ignore[no-any-return]


def describe(component: ComponentLike, params: Params | None = None) -> Mapping[str, Any]:
    """What a model card, an export and a table say of an embedder, as JSON."""
    facts = facts_of(component.load(), params)
    return {
        "embedder": component.name,
        "version": component.version,
        "dimensions": facts.dimensions,
        "input_hw": list(facts.input_hw),
        "licence": facts.licence,
        "source": facts.source,
        "trained_on": facts.trained_on,
        "weights_sha256": facts.sha256,
    }


def onnx_embed(network: Path) -> Embed:
    """``embed(images)`` for an ONNX file with one input, ``images`` (1, H, W, 3) uint8, on one thread of ONNX Runtime.

    More threads would divide sums differently, and change the last bits.
    """
    import numpy as np
    import onnxruntime

    from pipekit.files import read_bytes

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Read so that a network in the store is compared with its hash: a flipped bit would give other features, in silence.
    session = onnxruntime.InferenceSession(read_bytes(network), options, providers=["CPUExecutionProvider"])

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = [session.run(None, {"images": np.ascontiguousarray(image[None])})[0] for image in images]
        return np.concatenate(rows)

    return embed
