"""Seeds, precision and devices: the TensorFlow settings of a run, restored afterwards where possible."""

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
    """Seed Keras' initialisers and dropout, and enable TensorFlow's deterministic ops.

    Deterministic ops can't be disabled again within a process (TensorFlow has no call for it); they stay enabled.
    """
    keras = load_keras()
    import tensorflow as tf

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Set Keras' dtype policy while the model is built and trained."""
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
        UserError: the requested devices are not available.
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
                "Omit devices; see `pipekit doctor`.",
            )
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return None


def is_several_machines(strategy: Any) -> bool:
    if strategy is None:
        return False
    import tensorflow as tf

    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def step_function(strategy: Any, step: Callable[[Any], Any]) -> Callable[[Iterator[Any]], dict[str, Any]]:
    """Run ``step`` on all machines; returns this machine's metrics.

    Keras' own function also averages over machines, but treats scalars as rows, which fails (Keras 3.15).
    """
    import tensorflow as tf

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run(batch: Any) -> Any:
        return strategy.run(step, args=(batch,))

    def function(batches: Iterator[Any]) -> dict[str, Any]:
        return {name: strategy.experimental_local_results(value)[0] for name, value in run(next(batches)).items()}

    return function


def mean_of_machines(strategy: Any, values: dict[str, float]) -> dict[str, float]:
    """Each value's mean over the machines; all of them must call this at the same time."""
    import tensorflow as tf

    return {
        name: float(strategy.reduce(tf.distribute.ReduceOp.MEAN, tf.constant(value, tf.float32), axis=None))
        for name, value in values.items()
    }


def tensorboard(folder: Path) -> Callable[[int, dict[str, float]], None]:
    """Return a writer of each epoch's metrics as TensorBoard scalars: ``train/loss``, ``val/loss`` …

    It writes plain protocol buffers, because ``tf.summary.scalar`` requires TensorBoard itself.
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
