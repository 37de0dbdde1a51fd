"""The verb ``embed``: a vector of features for every image, by a pretrained network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipekit.commands.working import add_images, new_pipeline, refuse_existing, run_pipeline
from pipekit.files import expanded

if TYPE_CHECKING:
    from pipekit.contract import Embeddings
    from pipekit.engine.outcome import Listener, Outcome


@dataclass(frozen=True)
class Embedding:
    """What ``embed`` made.

    Attributes:
        path: the output folder, or the run's folder under ``runs/``.
        artifact: the same files in the store; :func:`pipekit.learning.embeddings.read_embeddings` reads them.
        outcome: the run: stages, seconds, warnings.
    """

    path: Path
    artifact: Embeddings
    outcome: Outcome


def embed(
    source: str | Path,
    *,
    format: str = "",
    splits: str = "",
    out: str | Path | None = None,
    name: str = "embed",
    table: Literal["npz", "parquet", "none"] = "npz",
    workers: int | None = None,
    plugins: Sequence[str] = (),
    disable: Sequence[str] = (),
    listener: Listener | None = None,
    **params: Any,
) -> Embedding:
    """Compute a vector of features for every image. Each image is computed once, for every later command and run too.

    Args:
        source: an image, a folder of images, a file in a dataset's format, or a dataset of a run (``runs/NAME:STAGE``).
        format, splits: how to read a folder or file, as in :func:`pipekit.inspect`.
        out: a new folder for the result; default: ``runs/<name>/``.
        name: the run's name.
        table: the file to write besides ``embeddings.npy`` and ``images.csv``: ids, labels, splits and vectors in one.
        workers: number of shards that run at once.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.
        listener: receives the engine's events.
        params: parameters of the stage ``embed``; ``embedder`` is a name or a table with its parameters.

    Raises:
        PlanError: a parameter is wrong; its path is the parameter's name.
        UserError: ``out`` exists, no importer reads ``source``, or the embedder's weights are not installed.

    Example:
        >>> import pipekit
        >>> made = pipekit.embed("photos", table="parquet")  # doctest: +SKIP
    """
    from pipekit.engine.run_folder import take_out

    place = None if out is None else expanded(out)
    refuse_existing(place)
    pipeline = new_pipeline(plugins, disable, name=name, workers=workers)
    pipeline.add("embed", "embed", dataset=add_images(pipeline, source, format=format, splits=splits), table=table, **params)
    outcome = run_pipeline(pipeline, "embed", listener, publish=place is None)
    artifact: Any = outcome.artifact("embed")
    if place is not None:
        take_out(artifact, place)
    return Embedding(place or outcome.run_dir, artifact, outcome)
