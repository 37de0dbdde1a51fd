"""Seeds, precision and devices: the settings of TensorFlow that a run needs, put back afterwards where they can be."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipekit.errors import UserError
from pipekit.learning.keras_backend import load_keras


def prepare(seed: int, deterministic: bool) -> None:
    """Seed Keras' initialisers and dropout, and ask TensorFlow for the same result each time.

    Deterministic ops can't be switched off again within a process (TensorFlow has no call for it); they stay on.
    """
    keras = load_keras()
    import tensorflow as tf

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Keras' dtype policy while the model is built and trained."""
    keras = load_keras()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def strategy(wanted: str) -> Any:
    """A ``tf.distribute`` strategy, or None for one device.

    Raises:
        UserError: what was asked for is not there.
    """
    load_keras()
    import tensorflow as tf

    cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    if wanted == "multi_worker" and not cluster:
        raise UserError(
            "devices = 'multi_worker' needs the environment variable TF_CONFIG, which names the machines",
            'For example TF_CONFIG=\'{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}\'.',
        )
    if wanted in ("auto", "multi_worker") and cluster:
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    if wanted == "mirrored" or (wanted == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        if len(devices) < 2:
            raise UserError(
                f"devices = 'mirrored' needs at least two devices, TensorFlow sees {len(devices)}",
                "Leave it out; see `pipekit doctor`.",
            )
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return None


def is_several_machines(strategy: Any) -> bool:
    if strategy is None:
        return False
    import tensorflow as tf

    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def step_function(strategy: Any, step: Callable[[Any], Any]) -> Callable[[Iterator[Any]], dict[str, Any]]:
    """``step`` on all machines; gives this machine's metrics.

    Keras compiles one that also takes the mean over machines, but of scalars as if they were rows, which fails (Keras 3.15).
    """
    import tensorflow as tf

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run(batch: Any) -> Any:
        return strategy.run(step, args=(batch,))

    def function(batches: Iterator[Any]) -> dict[str, Any]:
        return {name: strategy.experimental_local_results(value)[0] for name, value in run(next(batches)).items()}

    return function


def mean_of_machines(strategy: Any, values: dict[str, float]) -> dict[str, float]:
    """Each value's mean over the machines, which must all ask at the same time."""
    import tensorflow as tf

    return {
        name: float(strategy.reduce(tf.distribute.ReduceOp.MEAN, tf.constant(value, tf.float32), axis=None))
        for name, value in values.items()
    }


def tensorboard(folder: Path) -> Callable[[int, dict[str, float]], None]:
    """A writer of each epoch's row as TensorBoard scalars: ``train/loss``, ``val/loss`` …

    They are written as plain protocol buffers: ``tf.summary.scalar`` wants TensorBoard itself installed.
    """
    load_keras()
    import tensorflow as tf

    writers = {name: tf.summary.create_file_writer(str(folder / name)) for name in ("train", "val")}

    def observe(epoch: int, row: dict[str, float]) -> None:
        for name, value in row.items():
            split = "val" if name.startswith("val_") else "train"
            with writers[split].as_default():
                scalar = tf.compat.v1.Summary.Value(tag=name.removeprefix("val_"), simple_value=value)
                summary = tf.compat.v1.Summary(value=[scalar])
                tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=epoch + 1)
        for writer in writers.values():
            writer.flush()

    return observe
