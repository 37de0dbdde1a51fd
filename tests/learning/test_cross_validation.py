"""Cross-validation: each image is held out once, and its prediction is kept under its content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit.contract import Dataset, Sample
from pipekit.errors import ImageError, UserError
from pipekit.learning.cross_validation import OUT_OF_FOLD, HeldOut, folds_of, leaving_out


def sample(name: str, fold: Any = None, split: str = "train", label: str | None = "a") -> Sample:
    extra = {} if fold is None else {"fold": fold}
    return Sample(name, image=f"/nowhere/{name}", sha256=f"hash of {name}", label=label, split=split, extra=extra)


def dataset_of(samples: Iterable[Sample]) -> Dataset:
    kept = sorted(samples, key=lambda one: one.id)
    counts = Counter(one.split for one in kept)
    meta = {"num_samples": len(kept), "classes": ["a"], "counts": {name: {"a": n} for name, n in counts.items()}}
    return Dataset(Path(), "", meta, lambda _: iter(kept), lambda _: iter(()))


def in_folds(number: int, each: int = 2) -> list[Sample]:
    return [sample(f"{fold}-{place}", fold) for fold in range(1, number + 1) for place in range(each)]


def test_each_fold_is_held_out_once_and_val_once() -> None:
    dataset = dataset_of([*in_folds(4), sample("kept", split="test")])
    assert folds_of(dataset) == (1, 2, 3, 4)
    roles = [{one.id: one.split for one in leaving_out(dataset, fold)} for fold in folds_of(dataset)]
    assert [roles[0][f"{fold}-0"] for fold in (1, 2, 3, 4)] == [OUT_OF_FOLD, "val", "train", "train"]
    for one in in_folds(4):
        assert Counter(found[one.id] for found in roles) == {OUT_OF_FOLD: 1, "val": 1, "train": 2}
    assert {found["kept"] for found in roles} == {"test"}
    assert leaving_out(dataset, 1).counts == {OUT_OF_FOLD: {"a": 2}, "test": {"a": 1}, "train": {"a": 4}, "val": {"a": 2}}


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([sample("a"), sample("b")], "the dataset has no folds"),
        (in_folds(2), "2 folds are too few"),
        ([*in_folds(3), sample("late")], "1 images outside test are in no fold"),
        ([sample(str(n), str(n + 1)) for n in range(5)], "the dataset has no folds"),  # a column of a table, not ours
    ],
)
def test_a_dataset_without_folds_is_refused(samples: list[Sample], said: str) -> None:
    with pytest.raises(UserError, match=said):
        folds_of(dataset_of(samples))


def test_predictions_are_kept_with_the_reasons_for_those_that_are_missing(tmp_path: Path) -> None:
    samples = in_folds(3, 1)
    rows = [np.array([0.25 * n, 1 - 0.25 * n, 0.5], np.float32) for n in range(3)]
    parts = [HeldOut.of([(one, row)]) for one, row in zip(samples[:2], rows[:2], strict=True)]
    parts.append(HeldOut.of([(samples[2], ImageError("truncated")), (sample("3-1", 3), rows[2][:2])]))
    HeldOut.joined(parts[::-1]).write(tmp_path)
    held = HeldOut.read(tmp_path)
    assert (held.ids, held.folds.tolist()) == (("1-0", "2-0", "3-0", "3-1"), [1, 2, 3, 3])
    assert held.rows.shape == (4, 2), "the third model has no score, so none has"
    found = list(held.of_samples([samples[1], samples[2]]))
    assert found[0][1].tolist() == [0.25, 0.75]  # type: ignore[union-attr]
    assert str(found[1][1]) == "truncated"
    assert held.plain() == HeldOut.joined(parts).plain()


def test_only_images_that_were_predicted_are_measured() -> None:
    samples = in_folds(3, 1)
    held = HeldOut.of([(one, np.array([1.0], np.float32)) for one in samples])
    changed = Sample("2-0", image="/nowhere", sha256="another", label="a", split="train", extra={"fold": 2})
    view = held.view(dataset_of([samples[0], changed, samples[2], sample("new")]))
    assert {one.id: one.split for one in view} == {"1-0": OUT_OF_FOLD, "2-0": "train", "3-0": OUT_OF_FOLD, "new": "train"}
    assert view.counts[OUT_OF_FOLD] == {"a": 2}


def test_a_model_without_predictions_out_of_fold_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no predictions out of fold") as raised:
        HeldOut.read(tmp_path)
    assert "--folds 5" in str(raised.value.hint)
    (tmp_path / "out_of_fold.npz").write_bytes(b"not a file of arrays")
    with pytest.raises(UserError, match="can't be read"):
        HeldOut.read(tmp_path)
