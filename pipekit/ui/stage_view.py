"""The state of a stage during a run, as displays show it: its progress, speed and time left."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipekit.ui import duration

LAST_EPOCHS = 3
"""Number of recent epochs whose mean duration estimates the coming ones: the first is slow, and unfrozen layers slow later
ones."""


@dataclass
class Epochs:
    """Progress of a training, for estimating the time of all its epochs.

    Attributes:
        epoch, epochs: the current epoch, from 1, and the number of epochs.
        steps: batches per epoch.
        at_most: early stopping may end the training sooner.
        started: time at which the current epoch started.
        whole: the epoch started at its first batch, not in the middle by a resumed run.
        lasted: durations in seconds of the last finished epochs, including validation.
    """

    epoch: int
    epochs: int
    steps: int
    at_most: bool
    started: float
    whole: bool
    lasted: deque[float] = field(default_factory=lambda: deque(maxlen=LAST_EPOCHS))

    def left(self, now: float, rest: float | None, rate: float | None) -> float | None:
        """Seconds until the last epoch ends.

        Args:
            rest: seconds that the current epoch's remaining batches take, if known.
            rate: batches per second, if known: the only estimate in the first epoch.
        """
        if self.lasted:
            one = sum(self.lasted) / len(self.lasted)
            rest = max(one - (now - self.started), rest or 0.0, 0.0)
        elif rate and rest is not None:
            one = self.steps / rate
        else:
            return None
        return rest + (self.epochs - self.epoch) * one


@dataclass
class StageView:
    """The state of one stage during a run, or of a step beside the stages, such as showing the results."""

    name: str
    is_stage: bool = True
    use: str = ""
    state: str = "waiting"
    label: str = ""
    done: int = 0
    total: int | None = None
    unit: str = ""
    note: str = ""
    failed: int = 0
    warnings: int = 0
    seconds: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    started: float = 0.0
    marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=60))
    epochs: Epochs | None = None
    later_s: float = 0.0
    """Estimated seconds of what the stage does after this training: of the templates that it tries next."""

    def start_epoch(self, epoch: int, epochs: int, steps: int, step: int, at_most: bool, now: float) -> None:
        before = self.epochs
        self.epochs = Epochs(epoch, epochs, steps, at_most, now, step == 0)
        self.marks.clear()  # batches of an earlier epoch
        if before is not None and epoch == before.epoch + 1:
            self.epochs.lasted.extend(before.lasted)
            if before.whole:
                self.epochs.lasted.append(now - before.started)

    def advance(self, label: str, done: int, total: int | None, unit: str, now: float) -> None:
        if label != self.label or done < self.done:
            self.marks.clear()
        self.label, self.done, self.total, self.unit = label, done, total, unit
        if not self.marks or now - self.marks[-1][0] >= 0.5:
            self.marks.append((now, done))

    def rate(self, now: float) -> float | None:
        """Items per second over the last half minute; None during the first two seconds."""
        if not self.marks or now - self.marks[0][0] < 2 or self.done <= self.marks[0][1]:
            return None
        return (self.done - self.marks[0][1]) / (now - self.marks[0][0])

    def pace(self, now: float) -> str:
        """``"120 images/s, 5 s left"``, or "" if it ends in a moment; for a training, the time left of all epochs."""
        rate = self.rate(now)
        left = self.left(now)
        parts = []
        if rate is not None:
            parts.append(f"{f'{rate:,.0f}' if rate >= 10 else f'{rate:.1f}'} {self.unit or 'items'}/s")
        if left is not None:
            parts.append(f"{'at most ' if self.epochs and self.epochs.at_most else ''}{duration(left)} left")
        return ", ".join(parts)

    def left(self, now: float) -> float | None:
        """Seconds until the stage's items, or a training's epochs, are done; None if unknown or nothing is left."""
        rate = self.rate(now)
        rest = (self.total - self.done) / rate if rate and self.total else None
        if self.epochs is not None:
            rest = self.epochs.left(now, rest, rate)
        return rest + self.later_s if rest else None

    def count(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.done:,}{unit}" if self.total is None else f"{self.done:,}/{self.total:,}{unit}"

    def result(self) -> str:
        parts = [f"{name} {value}" for name, value in self.facts.items()]
        if self.failed and "failed" not in self.facts:
            parts.append(f"failed {self.failed:,}")
        return ", ".join(parts)
