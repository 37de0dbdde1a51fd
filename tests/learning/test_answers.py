"""The probabilities of evaluated images where their features are in the store: no network, and the order that was asked for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipekit.contract import Sample
from pipekit.errors import ImageError
from pipekit.learning import answers as module
from pipekit.learning.answers import Answers
from pipekit.learning.embeddings import Embedded
from pipekit.learning.linear_head import LinearHead
from pipekit.learning.unknown import Unknown, unit

IDS = ("a", "b", "c", "d", "e")
TABLE = np.arange(20, dtype=np.float16).reshape(5, 4) / 8


class Given(list[Sample]):
    """As much of a dataset as is needed."""

    digest = "digest"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, Any]]]:
    """The ids that features were asked for; those of ``d`` can't be computed."""
    calls: list[tuple[list[str], dict[str, Any]]] = []

    def embed_dataset(ctx: Any, dataset: Any, embedder: Any, folder: Path, **more: Any) -> Embedded:
        calls.append(([sample.id for sample in dataset], more))
        there = [sample.id for sample in dataset if sample.id != "d"]
        rows = TABLE[[IDS.index(name) for name in there]]
        return Embedded(tuple(there), rows, {"d": "truncated PNG"} if "d" in calls[-1][0] else {})

    monkeypatch.setattr(module, "embed_dataset", embed_dataset)
    return calls


def made(head: LinearHead, needed: str = "ceda") -> Answers:
    samples = Given(Sample(name, f"/{name}.png") for name in IDS)
    context: Any = SimpleNamespace(work_dir=Path("/nowhere"), workers=1)
    no_network: Any = SimpleNamespace()
    dataset: Any = samples
    return Answers(context, no_network, head, dataset, [sample for sample in samples if sample.id in needed], 32)


def head(dataset: str = "digest", **more: Any) -> LinearHead:
    rng = np.random.default_rng(0)
    embedder: Any = "embedder"
    return LinearHead(embedder, rng.normal(size=(4, 3)).astype(np.float32), np.zeros(3, np.float32), dataset, **more)


def test_answers_come_from_the_stored_features_in_the_order_that_was_asked_for(asked: list[Any]) -> None:
    answers, own = made(head()), head()
    order = [Sample(name, f"/{name}.png") for name in "ceda"]
    found = [*answers.of(order, "test")]
    assert [sample.id for sample, _ in found] == ["c", "e", "d", "a"]
    for sample, answer in found:
        if sample.id == "d":
            assert isinstance(answer, ImageError)
            assert answer.message == "truncated PNG"
        else:
            np.testing.assert_allclose(answer, own.probabilities(TABLE[[IDS.index(sample.id)]])[0], rtol=1e-5)
    [*answers.of(order[:1], "test")]
    assert asked == [(list(IDS), {"fit": "stretch"})], "once, of the whole dataset, whose shards the training has made"
    ((_, alone),) = answers.of([order[2]], "test")
    assert isinstance(alone, ImageError)


def test_of_another_dataset_only_what_is_needed_is_computed(asked: list[Any]) -> None:
    answers = made(head("another", fit="crop"))
    [*answers.of([Sample("a", "/a.png")], "test")]
    assert asked == [(["a", "c", "d", "e"], {"fit": "crop"})]


def test_the_score_of_unknown_images_is_one_more_column(asked: list[Any]) -> None:
    unknown = Unknown(unit(TABLE[:2]).astype(np.float32), 0.1)
    ((_, answer),) = made(head(unknown=unknown)).of([Sample("e", "/e.png")], "test")
    assert not isinstance(answer, ImageError)
    assert answer.shape == (4,)
    assert answer[3] == pytest.approx(unknown.scores(TABLE[4:])[0])
