"""The training loop: epochs, validation, the best weights, and checkpoints that lose at most a minute.

It drives ``model.train_step`` through Keras' own compiled functions, as ``fit`` does, but can stop and resume between any two
batches: a checkpoint contains everything that the next step depends on (weights, optimizer, dropout's generators, running
metrics, best epoch), and the feed makes the same batches again from the epoch and step alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.train import devices
from pipekit.builtin.train.callbacks import Callbacks
from pipekit.builtin.train.compiling import name_of, rate_at, usual_rate
from pipekit.builtin.train.feed import Batch, Feed
from pipekit.builtin.train.params import TrainParams
from pipekit.builtin.train.range_test import STEPS, RangeTest, choose_rate
from pipekit.contract import Context, Failure
from pipekit.errors import StageError

Row = dict[str, float]
Arrays = dict[str, NDArray[Any]]

DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass
class State:
    """The state of a training run, without the arrays."""

    epoch: int = 0
    step: int = 0
    history: list[Row] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    epoch_seconds: float = 0.0
    best_epoch: int = -1
    found_rate: float | None = None
    range_test: list[float] = field(default_factory=list)
    """The losses of the learning rate range test."""
    waited: int = 0
    plateau_factor: float = 1.0
    rate_factor: float = 1.0
    plateau_waited: int = 0
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    """Id, reason and file of unreadable images."""
    resumed: int = 0
    stopped_early: bool = False


@dataclass
class Loop:
    """One training run of a compiled model.

    Attributes:
        compile: compiles the model; called again when ``unfreeze`` changes which layers are trainable.
        unfreeze: ``unfreeze(model, epoch)``: a template's function that unfreezes layers; returns the factor for the learning
            rate if it has, else None.
        solve: ``solve(model, train, val)``: a template's function that trains in one step instead of epochs; None for most.
        strategy: a ``tf.distribute`` strategy with several replicas, or None.
        observe: called with (epoch, row) after each epoch: TensorBoard.
        callbacks: those of plugins.
    """

    ctx: Context
    model: Any
    feed: Feed
    validation: Feed | None
    params: TrainParams
    compile: Callable[[], None]
    unfreeze: Callable[[Any, int], float | None] | None = None
    solve: Callable[[Any, Iterable[Batch], Iterable[Batch]], Any] | None = None
    strategy: Any = None
    observe: Callable[[int, Row], None] | None = None
    callbacks: Callbacks = field(default_factory=Callbacks)
    state: State = field(default_factory=State)
    best: list[NDArray[Any]] | None = None
    _saved_at: float = field(default_factory=time.monotonic)

    @property
    def folder(self) -> Path:
        return self.ctx.work_dir / "checkpoint"

    @property
    def monitor(self) -> str:
        """The metric that decides which epoch is best; without validation images, the same metric of training."""
        name = self.params.monitor
        return name if self.validation is not None else name.removeprefix("val_")

    def run(self) -> State:
        """Train to the end, resuming from the last checkpoint if there is one, and load the kept weights into the model."""
        if self.solve is not None:
            self._solve(self.solve)
            return self.state
        self._start()
        self.callbacks.begin(self.model, self.params.epochs, self.feed.steps)
        try:
            while self.state.epoch < self.params.epochs and not self.state.stopped_early:
                self._epoch()
        except KeyboardInterrupt:
            self._save()
            raise
        self.callbacks.call("on_train_end")
        if self.params.keep == "best" and self.best is not None:
            for variable, value in zip(self.model.weights, self.best, strict=True):
                variable.assign(value)
        return self.state

    def _solve(self, solve: Callable[[Any, Iterable[Batch], Iterable[Batch]], Any]) -> None:
        """Let the template solve for its weights, and record their metrics as one epoch."""
        self.compile()
        solve(self.model, self.feed.epoch(0), () if self.validation is None else self.validation.epoch(0))
        row = self.evaluate(self.feed)
        if self.validation is not None:
            row.update({f"val_{name}": value for name, value in self.evaluate(self.validation).items()})
        self.state.history, self.state.seconds = [row], [round(time.monotonic() - self._saved_at, 3)]
        self.state.best_epoch = 0
        self.ctx.event("epoch", epoch=1, epochs=1, best=1, **row)

    # --- one epoch ------------------------------------------------------------------------------------------------------

    def _epoch(self) -> None:
        state, began = self.state, time.monotonic()
        if state.step == 0:
            self._unfreeze(state.epoch)
            self.model.reset_metrics()
        self.callbacks.call("on_epoch_begin", state.epoch)
        logs: dict[str, Any] = {}
        before = state.epoch_seconds
        self._announce()
        for logs in self._steps():
            self._count_left_out()
            state.epoch_seconds = before + time.monotonic() - began
            if time.monotonic() - self._saved_at > min(5.0, self.params.checkpoint_s):
                self._finite(logs)
            if self.strategy is None and time.monotonic() - self._saved_at > self.params.checkpoint_s:
                self._save()
        self._count_left_out()
        if not logs and not state.step:
            raise StageError("none of the training images can be read", "The run's list of failed images has the reasons.")
        row = self._finite(self._of_all(logs or self.model.get_metrics_result()))
        row["learning_rate"] = float(self._rate())
        if self.validation is not None:
            row.update({f"val_{name}": value for name, value in self.evaluate(self.validation).items()})
        state.history.append(row)
        state.seconds.append(round(before + time.monotonic() - began, 3))
        self._judge(row)
        self.callbacks.call("on_epoch_end", state.epoch, row)
        state.stopped_early = state.stopped_early or self.callbacks.wants_to_stop
        if self.observe is not None:
            self.observe(state.epoch, row)
        self.ctx.event("epoch", epoch=state.epoch + 1, epochs=self.params.epochs, best=state.best_epoch + 1, **row)
        state.epoch, state.step, state.epoch_seconds = state.epoch + 1, 0, 0.0
        self.feed.decoded.flush()
        self._save()

    def _announce(self) -> None:
        """Report the remaining work, for the display of the time left; with early stopping it is an upper bound."""
        state, params = self.state, self.params
        self.ctx.event(
            "epoch_started",
            epoch=state.epoch + 1,
            epochs=params.epochs,
            step=state.step,
            steps=self.feed.steps,
            at_most=params.patience is not None,
            last_epochs_s=state.seconds[-3:],
        )

    def _steps(self) -> Iterator[dict[str, Any]]:
        """Run the remaining training steps of the epoch; yields the running metrics."""
        state = self.state
        label = f"epoch {state.epoch + 1}/{self.params.epochs}"
        for step, batch in self.ctx.track(self._batches(), total=self.feed.steps - state.step, label=label, unit="batches"):
            state.step = step
            self.model.optimizer.learning_rate = self._rate()
            self.callbacks.call("on_train_batch_begin", step)
            logs = self.model.train_function(iter((batch,)))
            self.callbacks.call("on_train_batch_end", step, logs)
            state.step = step + 1
            yield logs

    def _of_all(self, logs: dict[str, Any]) -> dict[str, Any]:
        """The metrics at the end of the epoch, averaged over the machines if there are several."""
        if not devices.is_several_machines(self.strategy):
            return logs
        return devices.mean_of_machines(self.strategy, {name: float(value) for name, value in logs.items()})

    def _batches(self) -> Iterator[tuple[int, Any]]:
        epoch, start = self.state.epoch, self.state.step
        if self.strategy is None:
            return self.feed.numbered(epoch, start)
        return enumerate(self.strategy.experimental_distribute_dataset(self.feed.tf_dataset(epoch, start)), start)

    def _finite(self, logs: dict[str, Any]) -> Row:
        """Metrics as floats; a loss that is NaN or infinite ends the run with an error that suggests a remedy."""
        row = {name: float(value) for name, value in logs.items()}
        if not math.isfinite(row.get("loss", 0.0)):
            tried, usual = self._rate(), usual_rate(self.params.optimizer)
            other = (
                f"the usual {usual:g} of {name_of(self.params.optimizer)}"
                if tried > 10 * usual
                else f"a tenth of it, {tried / 10:g},"
            )
            raise StageError(
                f"the loss became {row['loss']} in epoch {self.state.epoch + 1}, at a learning rate of {tried:g}",
                f"Try {other} as learning_rate, warmup_epochs = 1 or clip_norm = 1.0"
                + ("; or precision = 'mixed_bfloat16'." if self.params.precision == "mixed_float16" else "."),
            )
        return row

    def evaluate(self, feed: Feed) -> Row:
        """Loss and metrics on a feed, with dropout and augmentation off."""
        self.model.reset_metrics()
        self.model.make_test_function()
        logs: dict[str, Any] = {}
        for batch in feed.epoch(0):
            logs = self.model.test_function(iter((batch,)))
        self._count_left_out()
        if not logs:
            raise StageError("none of the validation images can be read", "The run's list of failed images has the reasons.")
        return {name: float(value) for name, value in logs.items()}

    def _feeds(self) -> list[Feed]:
        return [self.feed] if self.validation is None else [self.feed, self.validation]

    def _count_left_out(self) -> None:
        """Record unreadable images; too many of them end the run, as in any other stage."""
        found = [failure for feed in self._feeds() for failure in list(feed.decoded.failed.values())]
        if len(found) > len(self.state.left_out):
            self.state.left_out = [(one.id, one.reason, one.image) for one in found]
            self.ctx.tolerate(found, sum(len(feed.ids) for feed in self._feeds()))

    # --- what is kept ---------------------------------------------------------------------------------------------------

    def _judge(self, row: Row) -> None:
        """Update the best epoch, early stopping and the plateau schedule."""
        state, params = self.state, self.params
        if self.monitor not in row:
            raise StageError(
                f"there is no column {self.monitor!r} to choose the best epoch by",
                f"Set `monitor` to one of: {', '.join(row)}.",
            )
        sign = 1 if any(word in self.monitor for word in ("loss", "error", "mse", "mae")) else -1
        *earlier, value = [sign * one[self.monitor] for one in state.history]
        if not earlier or value < min(earlier):
            state.best_epoch, state.waited = state.epoch, 0
            if params.keep == "best":
                self.best = [np.array(variable.numpy()) for variable in self.model.weights]
                self._save_best()
        else:
            state.waited += 1
        state.stopped_early = params.patience is not None and state.waited >= params.patience
        if params.schedule == "plateau":
            state.plateau_waited = 0 if state.waited == 0 else state.plateau_waited + 1
            if state.plateau_waited >= params.decay_epochs:
                state.plateau_factor, state.plateau_waited = state.plateau_factor * params.decay, 0

    def _rate(self) -> float:
        step = self.state.epoch * self.feed.steps + self.state.step
        return (
            rate_at(self.params, step, self.feed.steps, self.state.found_rate)
            * self.state.plateau_factor
            * self.state.rate_factor
        )

    # --- checkpoints ----------------------------------------------------------------------------------------------------

    def _compiled(self) -> None:
        self.compile()
        self.model.optimizer.build(self.model.trainable_variables)
        if devices.is_several_machines(self.strategy):
            self.model.train_function = devices.step_function(self.strategy, self.model.train_step)
            self.model.test_function = devices.step_function(self.strategy, self.model.test_step)
        else:
            self.model.make_train_function(force=True)
            self.model.make_test_function(force=True)

    def _unfreeze(self, epoch: int) -> None:
        """Let the template unfreeze layers; then the optimizer starts anew."""
        factor = self.unfreeze(self.model, epoch) if self.unfreeze is not None else None
        if factor is not None:
            self.state.rate_factor = factor
            self._compiled()

    def _find_rate(self) -> float:
        """Run the learning rate range test, and restore everything that it changes.

        Returns:
            The rate that it finds, or the optimizer's usual one, with a warning, if no fall of the loss exceeds its noise.
        """
        before = [(variable, np.array(variable.numpy())) for variable in self._variables()]
        batches = (batch for epoch in count(1) for batch in self.feed.epoch(-epoch))
        test = RangeTest(self.state.range_test)
        for step, batch in enumerate(self.ctx.track(islice(batches, STEPS), STEPS, "learning rate", "batches")):
            self.model.optimizer.learning_rate = test.rate(step)
            self.model.reset_metrics()
            if not test.add(float(self.model.train_function(iter((batch,)))["loss"])):
                break
        for variable, value in before:
            variable.assign(value)
        if not test.is_clear:
            usual = usual_rate(self.params.optimizer)
            self.ctx.warn(
                f"the range test finds no learning rate: over {len(test.losses)} batches, the loss falls no further than it "
                f"varies from batch to batch; the usual {usual:g} of {name_of(self.params.optimizer)} is taken. "
                "A larger batch_size makes the test less noisy; learning_rate sets a rate"
            )
            return usual
        found = choose_rate(test.tried)
        self.ctx.event("learning_rate", learning_rate=found, message=f"learning rate {found:.2g}, found by a range test")
        return found

    def _start(self) -> None:
        """Compile, and restore the last checkpoint if there is one."""
        self._compiled()
        saved, best = self._read_checkpoint()
        if self.strategy is not None and not self._all_have(saved):
            saved = None
        if saved is None:
            if self.params.find_learning_rate:
                self.state.found_rate = self._find_rate()
                self._save()
            return
        self.state = State(**json.loads(str(saved["state"])))
        for feed in self._feeds():
            feed.decoded.recall(Failure(*one) for one in self.state.left_out)
        for epoch in range(self.state.epoch + bool(self.state.step)):
            self._unfreeze(epoch)
        if self.state.step:
            self._build()
        for position, variable in enumerate(self._variables()):
            if (name := f"v{position}") in saved:
                variable.assign(saved[name])
        if best is not None:
            self.best = [best[f"v{position}"] for position in range(len(best))]
        self.state.resumed += 1
        done = f"{self.state.epoch} of {self.params.epochs} epochs"
        self.ctx.event("resumed", epoch=self.state.epoch, step=self.state.step, message=f"resuming after {done}")

    def _read_checkpoint(self) -> tuple[Arrays | None, Arrays | None]:
        """The last checkpoint and the best weights, read whole before anything is changed; None where there are none.

        A checkpoint that is damaged is removed: training starts anew, and ends as it would have.
        """
        try:
            saved = _read_npz(self.folder / "state.npz")
            best = None
            if saved is not None:
                best_epoch = int(json.loads(str(saved["state"]))["best_epoch"])
                best = _read_npz(self._best_file(best_epoch))
                if best is None and best_epoch >= 0 and self.params.keep == "best" and self.strategy is None:
                    raise FileNotFoundError(f"no {self._best_file(best_epoch)}")
            return saved, best
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            self.ctx.warn(f"the checkpoint is damaged ({type(error).__name__}): training starts anew")
            shutil.rmtree(self.folder, ignore_errors=True)
            return None, None

    def _all_have(self, saved: Arrays | None) -> bool:
        """Whether all machines can resume from the same epoch; otherwise all start anew."""
        epoch = -1.0 if saved is None else float(json.loads(str(saved["state"]))["epoch"])
        if devices.is_several_machines(self.strategy):
            mean = devices.mean_of_machines(self.strategy, {"epoch": epoch})["epoch"]
            apart = devices.mean_of_machines(self.strategy, {"apart": abs(epoch - mean)})["apart"]
            if apart:
                self.ctx.warn("the machines have checkpoints of different epochs, or not all have one: training starts anew")
                return False
        return epoch >= 0

    def _build(self) -> None:
        """Run a step on the first batch of the epoch, before a mid-epoch checkpoint sets every variable that it changes.

        Keras creates the metrics' variables at the first batch, and TensorFlow compiles a step for the first size that it meets
        and, from the second on, for any size. The last batch of an epoch is smaller: resumed right before it, training would
        compile for that size, and round in another way than it would have without a stop.
        """
        self.model.train_function(iter((next(self.feed.epoch(self.state.epoch)),)))

    def _variables(self) -> list[Any]:
        """All variables that the next step depends on, in a fixed order."""
        model = self.model
        metrics = [variable for metric in model.metrics for variable in metric.variables]
        unique = {id(v): v for v in (*model.variables, *model.optimizer.variables, *metrics)}
        return list(unique.values())

    def _save(self) -> None:
        arrays = {f"v{position}": np.array(variable.numpy()) for position, variable in enumerate(self._variables())}
        _write_npz(self.folder / "state.npz", state=np.array(json.dumps(asdict(self.state))), **arrays)
        for file in self.folder.glob("best-*.npz"):
            if file != self._best_file(self.state.best_epoch):
                file.unlink(missing_ok=True)
        self._saved_at = time.monotonic()

    def _save_best(self) -> None:
        assert self.best is not None
        _write_npz(self._best_file(self.state.best_epoch), **{f"v{n}": value for n, value in enumerate(self.best)})

    def _best_file(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch}.npz"


def _read_npz(file: Path) -> Arrays | None:
    """All arrays of a file; None where there is no file.

    Raises:
        ValueError: the file is not what was written. The checksums of the zip format don't cover its directory: with a bit of
            that changed, arrays are missing, or are taken to be encrypted.
    """
    if not file.exists():
        return None
    with file.open("rb") as handle:
        if _digest(handle, file.stat().st_size - DIGEST_BYTES) != handle.read():
            raise ValueError("its checksum differs")
    with np.load(file) as saved:
        return {name: saved[name] for name in saved.files}


def _write_npz(file: Path, **arrays: NDArray[Any]) -> None:
    """Write through a temporary file and sync it, so that a kill or a power cut leaves the old or the new file.

    A SHA-256 follows the zip file; readers of zip files pass over it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}")
    with temporary.open("w+b") as handle:
        np.savez(handle, allow_pickle=False, **arrays)
        size_bytes = handle.seek(0, os.SEEK_END)
        handle.seek(0)
        handle.write(_digest(handle, size_bytes))
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(file)


def _digest(handle: BinaryIO, size_bytes: int) -> bytes:
    """The SHA-256 of so many bytes from here on."""
    found = hashlib.sha256()
    while size_bytes > 0 and (part := handle.read(min(size_bytes, 2**20))):
        found.update(part)
        size_bytes -= len(part)
    return found.digest()
