import numpy as np
from pipekit_speckle import SpeckleParams, speckle

from pipekit import rng_for
from pipekit.testing import check_op, check_page

GREY = np.full((64, 64, 3), 100, np.uint8)


def test_it_keeps_the_promises_of_an_op():
    check_op("speckle")
    check_op("speckle", amount=1)


def test_it_keeps_the_promises_of_a_page():
    check_page("speckle")
    check_page("speckle", strongest=1, pictures=2)


def test_nothing_happens_at_amount_0():
    assert np.array_equal(speckle(GREY, SpeckleParams(amount=0), rng_for(0)), GREY)


def test_the_noise_has_the_strength_that_was_asked_for_and_no_colour():
    made = speckle(GREY, SpeckleParams(amount=0.1), rng_for(0))
    assert abs(made.std() / 100 - 0.1) < 0.01
    assert (made == made[..., :1]).all()


def test_black_stays_black():
    assert not speckle(np.zeros_like(GREY), SpeckleParams(amount=1), rng_for(0)).any()
