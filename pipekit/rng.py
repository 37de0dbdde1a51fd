"""Random number generators whose results do not depend on order, number of workers or crashes.

Every random choice uses a generator derived from *what* is being made, so one worker and forty produce the same bytes.
There is no global generator anywhere in pipekit.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


class Rng(np.random.Generator):
    """A NumPy generator that also records the values drawn, for captions and manifests.

    For an op that writes ``angle = rng.note("angle_deg", rng.uniform(-40, 40))``, the preview shows the angle and the
    manifest stores it. Recording is optional.

    >>> rng = rng_for(7, "augment", "cat/1.jpg", 0)
    >>> rng.note("shift_px", 3)
    3
    >>> rng.drawn
    {'shift_px': 3}
    """

    def __init__(self, bit_generator: Any) -> None:
        super().__init__(bit_generator)
        self.drawn: dict[str, Any] = {}

    def note(self, name: str, value: T) -> T:
        """Record ``value`` under ``name`` (with its unit: ``angle_deg``, ``shift_px``) and return it unchanged."""
        self.drawn[name] = value
        return value


def rng_for(seed: int, *parts: str | int) -> Rng:
    """Return the generator for one item: ``rng_for(pipeline_seed, "augment", sample_id, copy)``.

    The parts are hashed with their types and lengths, so ``("ab", "c")`` and ``("a", "bc")`` differ.

    >>> first, again, other = rng_for(7, "cat/1.jpg", 0), rng_for(7, "cat/1.jpg", 0), rng_for(7, "cat/1.jpg", 1)
    >>> number = first.random()
    >>> number == again.random(), number == other.random()
    (True, False)
    """
    text = "\x1f".join(f"{type(part).__name__}:{len(str(part))}:{part}" for part in (seed, *parts))
    words = np.frombuffer(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), dtype=np.uint32)
    return Rng(np.random.PCG64(np.random.SeedSequence(words)))


@dataclass(frozen=True)
class Seeded:
    """Generators derived from a seed and a name. It can be pickled, unlike a method of a context.

    ``Seeded(seed, "train")("augment", epoch, id)`` is ``rng_for(seed, "train", "augment", epoch, id)``.
    """

    seed: int
    name: str

    def __call__(self, *parts: str | int) -> Rng:
        return rng_for(self.seed, self.name, *parts)
