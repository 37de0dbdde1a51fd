"""The learning rate range test of ``find_learning_rate``: where the loss falls fastest, if beyond the noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

FROM, TO, STEPS = 1e-6, 1.0, 100
"""The rates that are tried, and in how many batches."""
SKIP, REACH = 10, 12
"""Number of batches that warm up the mean loss, and number of batches on either side over which its slope is measured."""
SMOOTHING = 0.9
"""Share of the earlier mean in the exponential moving average of the losses."""
DIVERGED = 4.0
"""The test ends when the mean loss exceeds so many times its minimum."""
CLEAR = 4.0
"""Number of standard deviations by which the lowest mean must lie below the first: it is the lowest of about 90."""
NOISE_OF_FALL = math.sqrt(2 * (1 - SMOOTHING) / (1 + SMOOTHING))
"""Standard deviation of the difference of two moving averages, for losses that vary by 1 from batch to batch."""
FEWEST = 3


@dataclass
class RangeTest:
    """The losses of a range test, batch by batch; the rate rises by the same factor from each to the next.

    L. Smith, "Cyclical learning rates for training neural networks", WACV 2017: the loss falls until the rate is too high.

    Attributes:
        losses: the loss of each batch, before the step with its rate.
    """

    losses: list[float] = field(default_factory=list)

    def rate(self, step: int) -> float:
        return float(FROM * (TO / FROM) ** (step / (STEPS - 1)))

    def add(self, loss: float) -> bool:
        """Add the next loss; returns whether the test continues. A loss that diverges or is not finite is not kept."""
        means = smoothed([*self.losses, loss])
        if not math.isfinite(means[-1]) or (self.losses and means[-1] > DIVERGED * min(means[:-1])):
            return False
        self.losses.append(loss)
        return len(self.losses) < STEPS

    @property
    def tried(self) -> list[tuple[float, float]]:
        """Each rate with the smoothed loss."""
        return [(self.rate(step), mean) for step, mean in enumerate(smoothed(self.losses))]

    @property
    def is_clear(self) -> bool:
        """Whether the loss falls below its start by more than the noise of single batches explains.

        A fall from a peak that a rate was too high for does not count: no model is better for it.
        """
        if len(self.losses) < FEWEST + SKIP:
            return False
        means = smoothed(self.losses)[_window(len(self.losses))[1] :]
        return means[0] - min(means) > CLEAR * NOISE_OF_FALL * noise(self.losses)


def smoothed(losses: Sequence[float]) -> list[float]:
    """The exponential moving average of the losses, corrected for its start at zero as in Adam."""
    means, mean = [], 0.0
    for step, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        means.append(mean / (1 - SMOOTHING**step))
    return means


def noise(losses: Sequence[float]) -> float:
    """The standard deviation of a batch's loss, from the differences of neighbours: the trend hardly adds to them.

    The median of the absolute differences, so that the few batches near divergence don't count.
    """
    apart = np.abs(np.diff(np.asarray(losses, float)))
    return float(np.median(apart) / 0.6745 / math.sqrt(2)) if len(apart) else 0.0


def choose_rate(tried: Sequence[tuple[float, float]]) -> float:
    """The rate from (rate, smoothed loss) pairs: where the loss falls fastest, at most a tenth of the rate at the lowest loss.

    fastai's finder calls the two "steep" and "minimum"; the smaller one is safer. The slope is measured over a decade and a
    half of rates, not from one batch to the next, and without the first batches, over which little is averaged: there the noise
    of single batches falls faster than any loss.
    """
    if len(tried) < FEWEST:
        return FROM
    rates, losses = np.array(tried).T
    reach, skip = _window(len(tried))
    lowest = skip + int(losses[skip:].argmin())
    last = max(1, min(len(losses), lowest + reach + 1) - 2 * reach - skip)  # what falls later, falls from a peak
    falls = (losses[skip + 2 * reach :] - losses[skip : -2 * reach])[:last]
    return float(min(rates[skip + reach + falls.argmin()], rates[lowest] / 10))


def found_words(clear: bool, rate: float) -> str:
    """One sentence about the rate that was taken."""
    if clear:
        return f"The range test chose a learning rate of {rate:.2g}."
    return f"The range test was too noisy to choose a learning rate; the usual {rate:.2g} was taken."


def _window(count: int) -> tuple[int, int]:
    """Half the number of batches over which a fall is measured, and the first batch."""
    reach = max(1, min(REACH, (count - SKIP) // 4))
    return reach, min(SKIP, count - 1 - 2 * reach)
