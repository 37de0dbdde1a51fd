"""The probabilities of a dataset's images: by the model, or, where its features are in the store, by its last layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Context, Dataset, Sample
from pipekit.errors import ImageError
from pipekit.learning.embeddings import Embedded, embed_dataset
from pipekit.learning.linear_head import LinearHead
from pipekit.learning.predictor import Predictor

Answer = tuple[Sample, NDArray[np.float32] | ImageError]


@dataclass(frozen=True)
class Answers:
    """Predicts samples of a dataset.

    Attributes:
        needed: the samples that will be asked for, in one call or several.
        head: None for a model that has no features in the store.
    """

    ctx: Context
    predictor: Predictor
    head: LinearHead | None
    dataset: Dataset
    needed: Sequence[Sample]
    batch_size: int

    def of(self, samples: Sequence[Sample], label: str) -> Iterator[Answer]:
        """Each sample with its ``(num_classes,)`` probabilities, or the reason why its image can't be used, in order.

        In one column more the score for *none of these*, if the model has one.
        """
        if self.head is not None:
            return self._from_features(samples, self.head)
        stream = self.predictor.scoring().stream(
            samples, lambda sample: sample.image, workers=self.ctx.workers, batch_size=self.batch_size
        )
        return self.ctx.track(stream, total=len(samples), label=label, unit="images")

    @cached_property
    def _embedded(self) -> Embedded:
        assert self.head is not None
        # The shards of the whole dataset are those that the training has made; of another dataset only what is needed.
        every = self.dataset if self.dataset.digest == self.head.dataset else sorted(self.needed, key=lambda one: one.id)
        return embed_dataset(self.ctx, every, self.head.embedder, self.ctx.work_dir / "features", fit=self.head.fit)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self._embedded.ids)}

    def _from_features(self, samples: Sequence[Sample], head: LinearHead) -> Iterator[Answer]:
        good = [sample for sample in samples if sample.id in self._rows]
        table = self._embedded.table[[self._rows[sample.id] for sample in good]]
        found = iter(head.answers(table) if good else ())
        for sample in samples:
            problem = self._embedded.problems.get(sample.id)
            yield sample, next(found) if problem is None else ImageError(problem)
