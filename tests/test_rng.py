"""Randomness: one generator for each thing, the same everywhere."""

from __future__ import annotations

import hashlib
import os
import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipekit.rng import rng_for

parts = st.lists(st.one_of(st.text(max_size=5), st.integers(-5, 5)), max_size=4)


def drawn(seed: int, *things: str | int) -> bytes:
    return rng_for(seed, *things).bytes(16)


@given(st.integers(0, 3), parts, st.integers(0, 3), parts)
def test_different_things_draw_differently(seed: int, one: list[str | int], other_seed: int, other: list[str | int]) -> None:
    same = (seed, [(type(part), part) for part in one]) == (other_seed, [(type(part), part) for part in other])
    assert (drawn(seed, *one) == drawn(other_seed, *other)) == same


def test_parts_are_kept_apart() -> None:
    draws = [drawn(0, "ab", "c"), drawn(0, "a", "bc"), drawn(0, "abc"), drawn(0, "a\x1fb"), drawn(0, "a", "b"), drawn(0, 1)]
    draws += [drawn(0, "1"), drawn(0, "1", 0), drawn(0, "1", "0"), drawn(1, "1")]
    assert len(set(draws)) == len(draws)


def test_it_is_numpys_generator_from_a_sha256() -> None:
    """The recipe that the docstring gives, step by step, so that another program can make the same numbers."""
    text = "int:1:7\x1fstr:7:augment\x1fstr:5:a.jpg\x1fint:1:2"
    digest = hashlib.sha256(text.encode()).digest()
    high, low, stream_high, stream_low = (int.from_bytes(digest[at : at + 8], "little") for at in (0, 8, 16, 24))
    mask, multiplier = (1 << 128) - 1, 0x2360ED051FC65DA44385DF649FCCF645
    increment = ((stream_high << 64 | stream_low) << 1 | 1) & mask
    state = ((increment + (high << 64 | low)) * multiplier + increment) & mask  # O'Neill's pcg_setseq_128_srandom
    expected = np.random.PCG64(0)
    expected.state = {**expected.state, "state": {"state": state, "inc": increment}}
    assert np.array_equal(rng_for(7, "augment", "a.jpg", 2).random(5), np.random.Generator(expected).random(5))


def test_a_generator_has_children_and_can_be_pickled() -> None:
    rng = rng_for(7, "a.jpg")
    one, other = rng.spawn(2)
    assert one.random() != other.random()
    assert one.random() != rng.spawn(1)[0].random(), "children of a second call are further ones"
    again = pickle.loads(pickle.dumps(rng_for(7, "a.jpg").bit_generator))
    assert again.random_raw() == rng_for(7, "a.jpg").bit_generator.random_raw()


def test_names_that_are_not_utf8_have_a_generator() -> None:
    assert drawn(0, os.fsdecode(b"caf\xe9")) != drawn(0, "caf?")


def test_what_was_drawn_is_remembered() -> None:
    rng = rng_for(0)
    assert rng.note("angle_deg", 3.5) == 3.5
    assert rng.drawn == {"angle_deg": 3.5}
    assert rng_for(0).drawn == {}


def test_the_global_generator_is_left_alone() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    rng_for(0, "x").random(100)
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index, union-attr]
