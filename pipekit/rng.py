"""Random number generators whose results do not depend on order, number of workers or crashes.

Every random choice uses a generator derived from *what* is being made, so one worker and forty produce the same bytes.
There is no global generator anywhere in pipekit.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

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


class _HashedSeed(np.random.bit_generator.ISpawnableSeedSequence):
    """The state of a bit generator, taken from a SHA-256 as it is.

    NumPy's ``SeedSequence`` would mix the bits of a hash once more: that makes them no more random, and takes four times as
    long.
    """

    def __init__(self, digest: bytes) -> None:
        self._digest = digest
        self._sequence: np.random.SeedSequence | None = None

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        if n_words == 4 and dtype is np.uint64:  # what PCG64 asks for
            return np.frombuffer(self._digest, "<u8")
        return self._mixed().generate_state(n_words, dtype)

    def spawn(self, n_children: int) -> list[Any]:
        return list(self._mixed().spawn(n_children))

    def _mixed(self) -> np.random.SeedSequence:
        if self._sequence is None:
            self._sequence = np.random.SeedSequence(np.frombuffer(self._digest, "<u4").tolist())
        return self._sequence


def rng_for(seed: int, *parts: str | int) -> Rng:
    """Return the generator for one item: ``rng_for(pipeline_seed, "augment", sample_id, copy)``.

    The parts are hashed with their types and lengths, so ``("ab", "c")`` and ``("a", "bc")`` differ. The SHA-256 is the state
    of a PCG64, as four little-endian words of 64 bits.

    >>> first, again, other = rng_for(7, "cat/1.jpg", 0), rng_for(7, "cat/1.jpg", 0), rng_for(7, "cat/1.jpg", 1)
    >>> number = first.random()
    >>> number == again.random(), number == other.random()
    (True, False)
    """
    text = "\x1f".join([f"{type(part).__name__}:{len(str(part))}:{part}" for part in (seed, *parts)])
    seed_sequence: Any = _HashedSeed(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())  # NumPy's types know fewer
    return Rng(np.random.PCG64(seed_sequence))


@dataclass(frozen=True)
class Seeded:
    """Generators derived from a seed and a name. It can be pickled, unlike a method of a context.

    ``Seeded(seed, "train")("augment", epoch, id)`` is ``rng_for(seed, "train", "augment", epoch, id)``.
    """

    seed: int
    name: str

    def __call__(self, *parts: str | int) -> Rng:
        return rng_for(self.seed, self.name, *parts)
