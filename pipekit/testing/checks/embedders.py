"""Promises of embedders."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from pipekit.testing.checks.core import Skipped, Subject, form_of, promise
from pipekit.testing.checks.examples import pictures

LARGEST = 65504.0
"""Vectors are kept as float16."""

APART = 0.01
"""Largest difference between the features of two runtimes, as a share of the largest feature."""


@promise("embedder")
def _states_its_facts(subject: Subject) -> str:
    """it states its input size, its dimensions, its licence, its source and what it was trained on"""
    from pipekit.learning.embedders import facts_of

    facts = facts_of(subject.found, subject.params)
    if len(facts.input_hw) != 2 or min(facts.input_hw) < 1 or facts.dimensions < 1:
        return f"input_hw and dimensions must be positive, got {facts.input_hw} and {facts.dimensions}"
    missing = [name for name in ("licence", "source", "trained_on") if not getattr(facts, name).strip()]
    if facts.weights is not None and len(facts.sha256) != 64:
        missing.append("sha256")
    if (facts.weights is None) != (facts.convert is None):
        return "weights and convert belong together: the file, and what turns it into the network"
    return f"empty: {', '.join(missing)}" if missing else ""


@promise("embedder")
def _embeds(subject: Subject) -> str:
    """embed gives (N, dimensions) finite float32, the same for an image alone and in any company, and changes no image"""
    import numpy as np

    from pipekit.learning.embedders import facts_of

    facts, embed = facts_of(subject.found, subject.params), _opened(subject)
    images = _examples(facts.input_hw)
    given = images.copy()
    rows = embed(given)
    if not isinstance(rows, np.ndarray) or rows.shape != (len(images), facts.dimensions) or rows.dtype != np.float32:
        return f"expected ({len(images)}, {facts.dimensions}) float32, got {form_of(rows)}"
    if not np.array_equal(given, images):
        return "it modifies its input array; work on a copy"
    if not np.isfinite(rows).all() or np.abs(rows).max() > LARGEST:
        return f"features must be finite and below {LARGEST:g}: they are kept as float16"
    for company in ([0], [3, 2, 1, 0], [1, 1]):
        if not np.array_equal(embed(images[company]), rows[company]):
            return f"the features of an image depend on the images beside it (images {company})"
    return ""


@promise("embedder")
def _is_the_same_in_keras(subject: Subject) -> str:
    """the Keras network that its facts build, if they do, has the features of embed: a model template is built on it"""
    import numpy as np

    from pipekit.learning.embedders import facts_of
    from pipekit.learning.keras_backend import load_keras

    facts = facts_of(subject.found, subject.params)
    if facts.keras is None:
        return ""
    embed, images = _opened(subject), _examples(facts.input_hw)
    keras = load_keras()
    network = facts.keras((*facts.input_hw, 3))
    if not isinstance(network, keras.Model):
        return f"its keras(input_shape_hwc) must return a keras.Model, got {form_of(network)}"
    rows, made = embed(images), np.asarray(network(images.astype(np.float32), training=False))
    if made.shape != rows.shape:
        return f"its network in Keras gives {form_of(made)}, and embed {form_of(rows)}"
    apart = float(np.abs(made - rows).max()) / max(float(np.abs(rows).max()), 1e-6)
    return "" if apart <= APART else f"its features in Keras differ from those of embed, by up to {apart:.1%} of the largest"


def _examples(size_hw: tuple[int, int]) -> Any:
    """Four images, (4, H, W, 3) uint8."""
    import numpy as np

    return np.stack([_resized(image, size_hw) for image in list(pictures().values())[:4]])


def _opened(subject: Subject) -> Any:
    from pipekit.errors import UserError
    from pipekit.learning.embedders import facts_of, open_embedder

    facts = facts_of(subject.found, subject.params)
    if facts.weights is None or facts.convert is None:
        try:
            return open_embedder(subject.found, subject.params)
        except UserError as error:
            raise Skipped(f"it can't be opened here: {error.message}") from error
    try:
        file = facts.weights()
    except UserError as error:
        raise Skipped(f"its weights are not installed: {error.message}") from error
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder, "network")
        network.write_bytes(facts.convert(file))
        return open_embedder(subject.found, subject.params, network)


def _resized(image: Any, size_hw: tuple[int, int]) -> Any:
    from pipekit import images

    return images.resize(image, size_hw)
