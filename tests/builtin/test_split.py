"""The stage ``split``: what stays together, what never moves, and how near to the fractions it comes."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipekit import images
from pipekit.builtin.split import COPIES, GROUP, SplitParams, outside_state, split
from pipekit.builtin.split.allocate import Singles, Unit, by_hash, position, positions_of, stratified
from pipekit.builtin.split.fixed_splits import Request, assign
from pipekit.builtin.split.groups import Items
from pipekit.builtin.split.split_file import Remembered, SplitFile
from pipekit.columnar import Chosen, Columns, Few, Texts, short_hashes
from pipekit.contract import PAUSE, Dataset, Sample
from pipekit.errors import ImageError, StageError, UserError

THREE = {"train": 0.7, "val": 0.15, "test": 0.15}


# --- the allocation alone ------------------------------------------------------------------------------------------------

sizes = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 60), min_size=1)
fractions = st.tuples(st.integers(1, 20), st.integers(0, 10), st.integers(0, 10)).map(
    lambda parts: {name: part / sum(parts) for name, part in zip(THREE, parts, strict=True) if part}
)


def singles(sizes: dict[str, int]) -> list[Unit]:
    return [Unit(f"{label}{number}", ((label, 1),)) for label, count in sizes.items() for number in range(count)]


def tally(units: Iterable[Unit], places: Iterable[str]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for unit, place in zip(units, places, strict=True):
        for label, count in unit.classes:
            found[label, place] += count
    return found


def dealt(units: list[Unit], fractions: dict[str, float], seed: int) -> list[str]:
    """The place of each unit; those of one image are given as arrays."""
    alone = [number for number, unit in enumerate(units) if not unit.place and unit.size == 1]
    others = [number for number in range(len(units)) if number not in set(alone)]
    names = tuple(dict.fromkeys(units[number].classes[0][0] for number in alone))
    classes = np.array([names.index(units[number].classes[0][0]) for number in alone], np.int64)
    positions = positions_of(seed, (units[number].key for number in alone), len(alone))
    found, places = stratified([units[number] for number in others], fractions, seed, Singles(positions, classes, names))
    of_alone = [list(fractions)[place] for place in places.tolist()]
    return [place for _, place in sorted([*zip(others, found, strict=True), *zip(alone, of_alone, strict=True)])]


def hashed(units: list[Unit], fractions: dict[str, float], seed: int) -> list[str]:
    places = by_hash(positions_of(seed, (unit.key for unit in units), len(units)), fractions)
    return [list(fractions)[place] for place in places.tolist()]


@settings(deadline=None)
@given(sizes, fractions, st.integers(0, 5))
def test_every_class_is_within_one_image_of_ideal(sizes: dict[str, int], fractions: dict[str, float], seed: int) -> None:
    units = singles(sizes)
    found = tally(units, dealt(units, fractions, seed))
    for label, size in sizes.items():
        for name, share in fractions.items():
            assert abs(found[label, name] - size * share) < 1 + 1e-6


@settings(deadline=None)
@given(sizes, sizes, fractions, st.integers(0, 5))
def test_added_images_move_none_and_fill_what_is_short(
    sizes: dict[str, int], more: dict[str, int], fractions: dict[str, float], seed: int
) -> None:
    old = singles(sizes)
    placed = [replace(u, place=p) for u, p in zip(old, dealt(old, fractions, seed), strict=True)]
    new = [replace(u, key=f"new {u.key}") for u in singles(more)]
    places = dealt([*placed, *new], fractions, seed)
    assert places[: len(placed)] == [unit.place for unit in placed]
    found = tally([*placed, *new], places)
    for label in {**sizes, **more}:
        total = sizes.get(label, 0) + more.get(label, 0)
        for name, share in fractions.items():
            # Rounding of the first division and of the second, where the first can't be undone.
            assert abs(found[label, name] - total * share) < 2


@settings(deadline=None)
@given(sizes, fractions, st.integers(0, 5), st.randoms())
def test_the_order_of_images_does_not_matter(
    sizes: dict[str, int], fractions: dict[str, float], seed: int, chance: random.Random
) -> None:
    units = singles(sizes)
    mixed = units.copy()
    chance.shuffle(mixed)
    assert dict(zip(units, dealt(units, fractions, seed), strict=True)) == dict(
        zip(mixed, dealt(mixed, fractions, seed), strict=True)
    )


def test_totals_are_near_ideal_over_many_small_classes() -> None:
    units = singles({f"class {number}": 3 for number in range(100)})
    totals = Counter(dealt(units, THREE, 0))
    assert abs(totals["val"] - 45) <= 3
    assert abs(totals["test"] - 45) <= 3


def test_a_class_of_one_image_is_for_training() -> None:
    assert dealt(singles({"a": 40, "b": 1}), THREE, 3)[-1] == "train"


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=12, max_size=40), st.integers(0, 3))
def test_groups_are_divided_by_their_sizes(group_sizes: list[int], seed: int) -> None:
    units = [Unit(str(n), (("a", size),)) for n, size in enumerate(group_sizes)]
    found = tally(units, dealt(units, THREE, seed))
    for name, share in THREE.items():
        assert abs(found["a", name] - share * sum(group_sizes)) <= max(group_sizes) + 1


def test_hash_mode_hangs_on_the_key_alone_and_keeps_the_fractions_in_expectation() -> None:
    units = [Unit(str(number), (("a", 1),)) for number in range(10_000)]
    places = hashed(units, THREE, 7)
    assert places[5000:] == hashed(units[5000:], THREE, 7)
    counts = Counter(places)
    for name, share in THREE.items():
        assert abs(counts[name] - share * 10_000) < 4 * (10_000 * share * (1 - share)) ** 0.5
    assert all(0 <= position(7, unit.key) < 1 for unit in units)


def test_the_test_set_stays_when_val_grows() -> None:
    units = [Unit(str(number), (("a", 1),)) for number in range(1000)]
    before = hashed(units, THREE, 1)
    after = hashed(units, {"train": 0.5, "val": 0.35, "test": 0.15}, 1)
    assert [p == "test" for p in before] == [p == "test" for p in after]


# --- the stage -----------------------------------------------------------------------------------------------------------


class FakeContext:
    """Runs ``map`` here and now; keeps warnings and what the stage wrote."""

    def __init__(self, project: Path, seed: int = 7) -> None:
        self.project_dir, self.out_dir, self.seed = project, project, seed
        self.warnings: list[str] = []
        self.rows: dict[str, Sample] = {}
        self.meta: dict[str, Any] = {}
        self.notes: dict[str, bytes] = {}

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def event(self, name: str, **values: Any) -> None:
        """What the terminal would say; nothing here depends on it."""

    def map(
        self, function: Any, samples: Iterable[Sample], params: Any = None, label: str = "", *, problems: bool = False
    ) -> Iterator[Any]:
        for sample in samples:
            try:
                yield from [found for found in function(sample, params, None) if found is not PAUSE]
            except ImageError as error:
                assert problems
                yield {"id": sample.id, "problem": error.message}

    def recall(self, name: str) -> bytes | None:
        return self.notes.get(name)

    def remember(self, name: str, data: bytes) -> None:
        self.notes[name] = data

    def revise(self, dataset: Dataset, change: Any) -> Iterator[Sample]:
        for sample in dataset:
            fields = change(sample.id)
            if fields is not None:
                yield replace(sample, **{**fields, "extra": {**sample.extra, **fields.get("extra", {})}})

    def dataset(self, samples: Iterable[Sample], **meta: Any) -> Dataset:
        self.rows = {sample.id: sample for sample in samples}
        self.meta = meta
        return dataset_of(self.rows.values())


def dataset_of(samples: Iterable[Sample]) -> Dataset:
    kept = sorted(samples, key=lambda sample: sample.id)
    return Dataset(Path(), "", {"num_samples": len(kept)}, lambda _: iter(kept), lambda _: iter(()))


def sample(name: str, label: str | None = "a", split: str = "", **extra: Any) -> Sample:
    return Sample(name, image=f"/nowhere/{name}", sha256=f"hash of {name}", label=label, split=split, extra=extra)


def many(count: int, label: str = "a", start: int = 0) -> list[Sample]:
    return [sample(f"{label}/{number:04}.jpg", label) for number in range(start, start + count)]


def run(project: Path, samples: Iterable[Sample], **params: Any) -> FakeContext:
    ctx = FakeContext(project)
    params.setdefault("duplicates", "exact")
    split(ctx, dataset_of(samples), SplitParams.model_validate(params))  # type: ignore[arg-type]
    return ctx


def places(ctx: FakeContext) -> dict[str, str]:
    return {name: row.split for name, row in ctx.rows.items()}


def test_adding_and_renaming_never_move_an_image(tmp_path: Path) -> None:
    first = many(40) + many(30, "b")
    before = places(run(tmp_path, first))
    more = places(run(tmp_path, first + many(25, "a", 40) + many(9, "c")))
    assert {name: more[name] for name in before} == before
    renamed = [replace(s, id=f"moved/{s.id}") for s in first]
    assert places(run(tmp_path, renamed)) == {f"moved/{name}": place for name, place in before.items()}


def test_the_same_images_split_the_same_again_and_without_the_file(tmp_path: Path) -> None:
    images = many(40) + many(30, "b")
    first = run(tmp_path, images)
    content = (tmp_path / "split.csv").read_bytes()
    assert places(run(tmp_path, images)) == places(first)
    assert (tmp_path / "split.csv").read_bytes() == content
    (tmp_path / "split.csv").unlink()
    assert places(run(tmp_path, reversed(images))) == places(first)


def test_the_file_can_be_edited_and_its_state_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "split.csv"
    params = SplitParams(file=file)
    assert outside_state(params) == ""
    run(tmp_path, many(20))
    state = outside_state(params)
    assert state
    assert outside_state(params.model_copy(update={"remember": False})) == ""
    text = file.read_text("utf-8")
    line = next(line for line in text.splitlines() if ",train," in line)
    file.write_text(text.replace(line, line.replace(",train,", ",test,")), "utf-8")
    assert outside_state(params) != state
    assert places(run(tmp_path, many(20)))[line.split(",")[0]] == "test"


def test_a_damaged_split_file_is_an_error_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("id,sha256,label,split,fold\nx,1,a,trian,\n", "utf-8")
    with pytest.raises(UserError, match=r"line 2: split 'trian'"):
        run(tmp_path, many(20))
    (tmp_path / "split.csv").write_text("name,where\n", "utf-8")
    with pytest.raises(UserError, match="no column 'id'"):
        run(tmp_path, many(20))


def test_given_splits_are_kept_and_nothing_is_remembered_for_them(tmp_path: Path) -> None:
    given = [replace(s, split=name) for name, s in zip(["train", "val", "test"] * 10, many(30), strict=True)]
    ctx = run(tmp_path, given)
    assert places(ctx) == {s.id: s.split for s in given}
    assert not (tmp_path / "split.csv").exists()


def test_a_missing_val_is_cut_from_train(tmp_path: Path) -> None:
    given = [replace(s, split="test" if n < 20 else "train") for n, s in enumerate(many(105))]
    found = places(run(tmp_path, given))
    assert [found[s.id] for s in given[:20]] == ["test"] * 20
    assert Counter(found.values()) == {"train": 70, "val": 15, "test": 20}


def test_exact_copies_stay_together(tmp_path: Path) -> None:
    copies = [replace(s, sha256=f"content {n // 3}") for n, s in enumerate(many(60))]
    found = places(run(tmp_path, copies))
    for n in range(0, 60, 3):
        assert len({found[s.id] for s in copies[n : n + 3]}) == 1


@pytest.mark.parametrize("mode", ["stratified", "hash"])
def test_groups_by_column_or_pattern_stay_together(tmp_path: Path, mode: str) -> None:
    by_column = [replace(s, extra={"patient": n // 4}) for n, s in enumerate(many(80))]
    by_pattern = [replace(s, id=f"p{n // 4:02}_{n}.jpg") for n, s in enumerate(many(80))]
    for samples, how in ((by_column, {"group_column": "patient"}), (by_pattern, {"group_pattern": r"^(p\d+)_"})):
        found = places(run(tmp_path, samples, mode=mode, remember=False, **how))
        assert set(found.values()) == {"train", "val", "test"}
        for n in range(0, 80, 4):
            assert len({found[s.id] for s in samples[n : n + 4]}) == 1


def test_groups_travel_on_with_numbers_that_further_images_do_not_change(tmp_path: Path) -> None:
    few = [replace(s, extra={"patient": n // 4}) for n, s in enumerate(many(40))]
    more = [*few, *(replace(s, extra={"patient": f"new {n // 4}"}) for n, s in enumerate(many(40, "b")))]
    before, after = (run(tmp_path, samples, group_column="patient", remember=False).rows for samples in (few, more))
    numbers = {name: row.extra[GROUP] for name, row in before.items()}
    assert len(set(numbers.values())) == 10
    assert {name: after[name].extra[GROUP] for name in numbers} == numbers
    assert all(GROUP not in row.extra for row in run(tmp_path, many(40), remember=False).rows.values())


def test_copies_travel_on_with_a_number_of_their_content(tmp_path: Path) -> None:
    """Also where the groups are named, as far as copies join two of them."""
    twins = [replace(s, sha256=f"content {n // 2}", extra={"patient": n // 4}) for n, s in enumerate(many(40))]
    joined = replace(sample("other.jpg"), sha256="content 0", extra={"patient": "other"})
    rows = run(tmp_path, twins, remember=False).rows
    numbers = {name: row.extra[COPIES] for name, row in rows.items()}
    assert len(set(numbers.values())) == 20
    more = run(tmp_path, [*twins, *many(9, "b")], remember=False).rows
    assert {name: row.extra.get(COPIES) for name, row in more.items() if name in numbers} == numbers
    assert all(COPIES not in more[one.id].extra for one in many(9, "b"))
    named = run(tmp_path, [*twins, joined], group_column="patient", remember=False).rows
    assert {name for name, row in named.items() if COPIES in row.extra} == {"other.jpg", *(one.id for one in twins[:4])}


def test_names_that_look_like_groups_are_told_of_with_the_option(tmp_path: Path) -> None:
    """120 patients with 8 images each: split image by image, the test would measure how well patients are remembered."""
    label = ["well" if patient % 3 else "sick" for patient in range(120)]
    samples = [sample(f"{label[n // 8]}/patient_{n // 8:03}_{n % 8}.jpg", label[n // 8]) for n in range(960)]
    (told,) = run(tmp_path, samples, remember=False).warnings
    assert "960 images share 120 stems, such as 'patient_000'" in told
    pattern = told.rpartition("--group-pattern '")[2].rstrip("'")
    found = run(tmp_path, samples, group_pattern=pattern, remember=False)
    assert found.warnings == []
    for patient in range(120):
        assert len({row.split for name, row in found.rows.items() if f"patient_{patient:03}" in name}) == 1


def test_names_are_not_told_of_where_copies_keep_each_stem_together(tmp_path: Path) -> None:
    """Each patient's images are the same file."""
    samples = [sample(f"{'ab'[n // 8 % 2]}/patient_{n // 8:03}_{n % 8}.jpg", "ab"[n // 8 % 2]) for n in range(320)]
    copies = [replace(s, sha256=f"patient {n // 8}") for n, s in enumerate(samples)]
    assert run(tmp_path, copies, remember=False).warnings == []
    pairs = [replace(s, sha256=f"pair {n // 2}") for n, s in enumerate(samples)]
    assert "40 stems" in run(tmp_path, pairs, remember=False).warnings[0]


def test_a_group_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image has a column 'patient'") as error:
        run(tmp_path, [sample(f"{n}.jpg", camera="x") for n in range(10)], group_column="patient")
    assert "camera" in error.value.hint
    with pytest.raises(UserError, match="matches no id"):
        run(tmp_path, many(10), group_pattern="patient")


def leaking() -> list[Sample]:
    given = [replace(s, split=name) for name, s in zip(["train", "val", "test"] * 10, many(30), strict=True)]
    return [replace(s, sha256="one content") if n in (0, 2) else s for n, s in enumerate(given)]


def test_a_leak_that_came_with_the_data_is_said(tmp_path: Path) -> None:
    (warning,) = run(tmp_path, leaking()).warnings
    assert "a/0000.jpg (train) and a/0002.jpg (test)" in warning


def test_a_leak_can_stop_the_run_or_be_left_out_of_train(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="2 images that belong together"):
        run(tmp_path, leaking(), leaks="fail")
    ctx = run(tmp_path, leaking(), leaks="drop")
    assert "a/0000.jpg" not in ctx.rows
    listed = (tmp_path / "left_out.csv").read_text("utf-8")
    assert listed == "id,reason\na/0000.jpg,belongs together with a/0002.jpg in test\n"
    assert ctx.meta["facts"]["left out"] == "1"


def test_near_copies_stay_together_and_are_found_by_their_pixels(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    samples = []
    for number in range(24):
        coarse = chance.integers(0, 255, (14, 14, 3), np.uint8)
        picture = images.resize(coarse, (90, 120))
        for copy, image in enumerate((picture, images.resize(picture, (60, 80)))):
            path = tmp_path / f"{number:02}_{copy}.jpg"
            images.write(path, image, quality=95 if copy else 60)
            samples.append(Sample(path.name, str(path), sha256=path.name, label="a"))
    ctx = run(tmp_path, samples, duplicates="near")
    found = places(ctx)
    assert all(found[f"{n:02}_0.jpg"] == found[f"{n:02}_1.jpg"] for n in range(24))
    assert set(found.values()) == {"train", "val", "test"}
    assert ctx.meta["facts"]["kept together"] == "48 images"


@pytest.mark.parametrize("duplicates", ["exact", "off"])
@pytest.mark.parametrize("mode", ["stratified", "hash"])
def test_copies_of_one_original_stay_together(tmp_path: Path, mode: str, duplicates: str) -> None:
    """By the rows of ``augment``, and by names alone."""
    originals = many(40)
    by_row = [
        replace(sample(f"{one.id}.copy{n}"), label=one.label, extra={"augmented": {"of": one.id, "sha256": one.sha256}})
        for one in originals[:20]
        for n in range(3)
    ]
    by_name = [replace(sample(f"{one.id[:-4]}.aug{n}.jpg"), label=one.label) for one in originals[20:] for n in range(3)]
    found = places(run(tmp_path, [*originals, *by_row, *by_name], duplicates=duplicates, mode=mode))
    assert set(found.values()) == {"train", "val", "test"}
    for one in originals:
        stem = one.id[:-4]
        assert len({place for name, place in found.items() if name == one.id or name.startswith(f"{stem}.")}) == 1, stem


def test_the_same_file_under_two_labels_is_said(tmp_path: Path) -> None:
    twice = [replace(sample(f"b/{n}.jpg", "b"), sha256=f"hash of a/000{n}.jpg") for n in (3, 4)]
    again = replace(sample("a/again.jpg"), sha256="hash of a/0005.jpg")
    ctx = run(tmp_path, [*many(40), *twice, again])
    (said,) = [warning for warning in ctx.warnings if "label" in warning]
    assert said.startswith("2 images are there again under another label: b/3.jpg (b) is the same file as a/0003.jpg (a).")
    assert not any("label" in warning for warning in run(tmp_path, [*many(40), again]).warnings)


def test_a_new_copy_of_a_known_image_follows_it(tmp_path: Path) -> None:
    before = places(run(tmp_path, many(40)))
    known = next(name for name, place in before.items() if place == "test")
    copy = replace(sample("a/copy.jpg"), sha256=f"hash of {known}")
    assert places(run(tmp_path, [*many(40), copy]))["a/copy.jpg"] == "test"


@pytest.mark.parametrize("mode", ["stratified", "hash"])
def test_folds_divide_all_but_test(tmp_path: Path, mode: str) -> None:
    data = many(60) + many(40, "b")
    runs = [run(tmp_path, data, folds=5, fold=fold, mode=mode) for fold in range(1, 6)]
    tests = [{name for name, place in places(ctx).items() if place == "test"} for ctx in runs]
    assert all(names == tests[0] for names in tests)
    vals = [{name for name, place in places(ctx).items() if place == "val"} for ctx in runs]
    assert set.union(*vals) | tests[0] == {s.id for s in data}
    assert sum(map(len, vals)) + len(tests[0]) == 100
    for fold, (ctx, names) in enumerate(zip(runs, vals, strict=True), start=1):
        assert {name for name, row in ctx.rows.items() if row.extra.get("fold") == fold} == names
    if mode == "stratified":
        assert sorted(map(len, vals)) == [17] * 5
    more = run(tmp_path, data + many(10, "b", 40), folds=5, fold=1, mode=mode)
    assert {name for name in vals[0] if places(more)[name] != "val"} == set()


@pytest.mark.parametrize("mode", ["stratified", "hash"])
def test_folds_and_a_plain_split_share_a_file(tmp_path: Path, mode: str) -> None:
    """What the plain split called val is divided like the rest, and is val again without folds."""
    data = many(60) + many(40, "b")
    plain = places(run(tmp_path, data))
    runs = [places(run(tmp_path, data, folds=5, fold=fold, mode=mode)) for fold in range(1, 6)]
    vals = [{name for name, place in found.items() if place == "val"} for found in runs]
    assert sum(map(len, vals)) == len(set.union(*vals)) == sum(place != "test" for place in plain.values())
    assert places(run(tmp_path, data)) == plain
    more = places(run(tmp_path, data + many(10, "b", 40)))
    assert {name: more[name] for name in plain} == plain
    again = [places(run(tmp_path, data, folds=5, fold=fold, mode=mode)) for fold in range(1, 6)]
    assert again == runs


def test_without_a_fold_that_is_val_all_are_train_and_a_given_test_stays_out(tmp_path: Path) -> None:
    data = [*many(20), *many(12, "b"), *(sample(f"t{n}", "a", "test") for n in range(4))]
    groups = [sample(f"p{n}_{k}", "ab"[n % 2]) for n in range(6) for k in range(4)]
    ctx = run(tmp_path, [*data, *groups], folds=4, fold=0, fractions={"train": 1.0}, group_pattern="(p[0-9])_")
    assert set(places(ctx).values()) == {"train", "test"}
    folds = {name: row.extra.get("fold") for name, row in ctx.rows.items()}
    assert {name for name, fold in folds.items() if fold is None} == {f"t{n}" for n in range(4)}
    for n in range(6):
        assert len({folds[f"p{n}_{k}"] for k in range(4)}) == 1, "a group is never on two sides"
    assert set(folds.values()) == {None, 1, 2, 3, 4}
    for label in "ab":
        counts = [sum(fold == n and ctx.rows[name].label == label for name, fold in folds.items()) for n in range(1, 5)]
        assert max(counts) - min(counts) <= 4, "stratified, as far as groups of four allow"
    assert not ctx.warnings


def test_more_folds_than_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="folds need at least as many"):
        run(tmp_path, many(6), folds=10)


def test_an_empty_split_is_an_error_and_a_class_without_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image is left for"):
        run(tmp_path, many(2))
    ctx = run(tmp_path, many(40) + many(1, "rare"))
    assert any("no image in test of the class rare (1 in all)" in warning for warning in ctx.warnings)


def test_exclusions_are_left_out_by_content_or_id(tmp_path: Path) -> None:
    pairs = "a/0003.jpg,hash of a/0003.jpg,id\na/0004.jpg,hash of a/0005.jpg,id\n"
    lines = "other name,hash of a/0001.jpg,content\na/0002.jpg,,content\n"
    (tmp_path / "bad.csv").write_text(f"id,sha256,match\n{lines}{pairs}", "utf-8")
    params = SplitParams.model_validate({"exclude": tmp_path / "bad.csv", "duplicates": "exact"})
    ctx = FakeContext(tmp_path)
    split(ctx, dataset_of(many(30)), params)  # type: ignore[arg-type]
    assert len(ctx.rows) == 27
    assert not {"a/0001.jpg", "a/0002.jpg", "a/0003.jpg"} & set(ctx.rows)
    assert ctx.meta["facts"]["excluded"] == "3"


def test_images_without_a_class_are_split_too(tmp_path: Path) -> None:
    found = Counter(places(run(tmp_path, [sample(f"{n}.jpg", None) for n in range(100)])).values())
    assert found == {"train": 70, "val": 15, "test": 15}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"fractions": {"train": 0.7, "val": 0.1}}, "sum to 0.8"),
        ({"fractions": {"train": 0.7, "dev": 0.3}}, "no split called 'dev'"),
        ({"group_pattern": "("}, "not a regular expression"),
        ({"group_pattern": "a", "group_column": "b"}, "give one of them"),
        ({"folds": 1}, "at least 2"),
        ({"folds": 3, "fold": 4}, "fold 4 of 3"),
        ({"folds": 3, "fractions": {"test": 1}}, "nothing to fold"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SplitParams.model_validate(params)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.sampled_from(["", "train", "test"])), min_size=8))
def test_given_places_hold_whatever_the_groups(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[str, int, str]]
) -> None:
    data = [replace(sample(f"{n}.jpg", label, split), sha256=f"{content}") for n, (label, content, split) in enumerate(made)]
    try:
        ctx = run(tmp_path_factory.mktemp("p"), data, fractions={"train": 0.5, "test": 0.5})
    except UserError as error:
        assert "no image is left" in str(error)  # noqa: PT017
        return
    both = {"train", "test"} <= {s.split for s in data}
    for s in data:
        if s.split == "test" or (s.split == "train" and both):
            assert ctx.rows[s.id].split == s.split
    assert {row.split for row in ctx.rows.values()} == {"train", "test"}


def test_the_file_is_on_the_disk_before_it_replaces_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipekit.builtin.split import split_file

    synced: list[bool] = []
    monkeypatch.setattr(split_file.os, "fsync", lambda handle: synced.append((tmp_path / "split.csv").exists()))
    line = split_file.Remembered("a", "12", "cat", "train")
    split_file.SplitFile.of([]).write(tmp_path / "split.csv", [line])
    assert synced == [False]
    assert list(split_file.SplitFile.read(tmp_path / "split.csv")) == [line]


@settings(max_examples=40)
@given(st.sets(st.integers(0, 5), min_size=1), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1))
def test_lines_that_are_spliced_in_are_those_of_a_file_written_anew(
    tmp_path_factory, before: set[int], news: list[Any]
) -> None:
    """A new line right before a changed one overwrote it, and the notes then named other lines than the file has."""
    path = tmp_path_factory.mktemp("splits") / "split.csv"

    def line(number: int, content: int) -> Remembered:
        return Remembered(f"a/{number:02}.jpg", f"{content:064}", "a", "train" if content % 2 else "val")

    old = {number: line(number, number) for number in before}
    SplitFile.of([]).write(path, [old[number] for number in sorted(old)])
    added = {number: line(number, 100 + content) for number, content in news}
    changed, notes = SplitFile.read(path).write(path, [added[number] for number in sorted(added)])
    anew = SplitFile.read(path)
    assert changed
    assert list(anew) == [found for _, found in sorted({**old, **added}.items())]
    written = SplitFile.read(path, notes)
    assert list(written) == list(anew)
    for name in ("names", "contents"):
        np.testing.assert_array_equal(getattr(written, name), getattr(anew, name))
    assert written.splits.tolist() == anew.splits.tolist()


def items_with(count: int) -> Items:
    """Images of ten classes, without groups, each with another content."""
    ids = [f"class{number % 10}/{number:07d}.jpg" for number in range(count)]
    hashes = [f"{number:064x}" for number in range(count)]
    of_texts = {"name": short_hashes(ids), "content": short_hashes(hashes)}
    columns = Columns({"id": Texts.of(ids), "sha256": Texts.of(hashes), **of_texts}, [count], lambda part, places: ())
    order = columns["id"].sorted_order()
    none, labels = Few.of([""] * count), Few.of(name.partition("/")[0] for name in ids)
    return Items(columns, order, Chosen(columns["id"], order), labels[order], none, none)


@pytest.mark.parametrize("folds", [0, 5])
def test_a_first_split_makes_no_objects_for_each_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: int) -> None:
    """Ids, labels and lines as objects took 2 kB an image."""
    from pipekit.builtin.split import groups, split_file

    monkeypatch.setattr(groups, "BATCH", 50)
    monkeypatch.setattr(split_file, "CHUNK", 50)
    monkeypatch.setattr(split_file, "MAX_SPLICED", 50)
    peaks = []
    for count in (200, 1_200):
        items = items_with(count)
        tracemalloc.start()
        found = assign(items, [], SplitFile.of([]), Request(THREE, "stratified", 1, folds))
        changed, notes = SplitFile.of([]).write(tmp_path / f"{count}.csv", found.to_remember)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert changed
        assert len(SplitFile.read(tmp_path / f"{count}.csv", notes)) == count
    assert (peaks[1] - peaks[0]) / 1_000 < 400


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(["a", "b,", "=c", "d", "é", "\ud800", "z"]), st.integers(0, 3)), st.data())
def test_merged_lines_are_those_of_both(tmp_path_factory, old: dict[str, int], data: Any) -> None:
    """Whether or not the file, or what is new, has ids that are quoted."""
    path = tmp_path_factory.mktemp("splits") / "split.csv"
    news = data.draw(st.dictionaries(st.sampled_from(["", "a", "b,", "=c", "e", "\ud800"]), st.integers(0, 3)))
    lines = [
        {name: Remembered(name, f"{content:064}", "label", "train") for name, content in sorted(some.items())}
        for some in (old, news)
    ]
    SplitFile.of([]).write(path, lines[0].values())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipekit.builtin.split.split_file.CHUNK", 2)
        patch.setattr("pipekit.builtin.split.split_file.MAX_SPLICED", 1)
        changed, notes = SplitFile.read(path).write(path, lines[1].values())
    both = {**lines[0], **lines[1]}
    assert changed == (both != lines[0])
    assert sorted(SplitFile.read(path)) == sorted(both.values())
    assert notes == SplitFile.read(path).notes()


@pytest.mark.parametrize("may_write", [True, False])
def test_a_large_split_file_is_read_as_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_write: bool) -> None:
    """It is copied and mapped; in memory where its folder may only be read."""
    from pipekit.builtin.split import split_file
    from pipekit.files import buffers

    lines = [Remembered(f"{number:03}", f"hash {number}", "ab"[number % 2], "train") for number in range(300)]
    _, notes = SplitFile.of([]).write(tmp_path / "split.csv", lines)
    small = SplitFile.read(tmp_path / "split.csv")
    monkeypatch.setattr(split_file, "LARGE_BYTES", 1)
    monkeypatch.setattr(split_file, "ROWS", 7)
    if not may_write:
        monkeypatch.setattr(buffers, "_new_file", mock.Mock(side_effect=PermissionError))
    for large in (SplitFile.read(tmp_path / "split.csv"), SplitFile.read(tmp_path / "split.csv", notes)):
        assert isinstance(large.data, buffers.Mapped) is may_write
        assert list(large) == list(small) == lines
        assert (large.at(7), large.at(-1), large.notes()) == (lines[7], None, small.notes())
        some = [lines[250], lines[3]._replace(id="new"), Remembered("z", "", "", "val")]
        names, contents = (short_hashes(line[place] for line in some) for place in (0, 1))
        assert large.find_all(names, contents).tolist() == small.find_all(names, contents).tolist() == [250, 3, -1]
    added = [Remembered("0011", "x", "c", "val"), lines[5]._replace(split="test")]
    changed, spliced = large.write(tmp_path / "split.csv", added)
    assert (changed, spliced) == (True, SplitFile.read(tmp_path / "split.csv").notes())
    assert len(SplitFile.read(tmp_path / "split.csv", spliced)) == 301
