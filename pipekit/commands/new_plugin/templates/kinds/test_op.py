import numpy as np
from ${package}.${component} import ${Component}Params, ${component}

from pipekit import rng_for
from pipekit.testing import check_op


def test_it_keeps_the_promises_of_an_op():
    check_op("${component}")
    check_op("${component}", amount=1)


def test_nothing_happens_at_amount_0():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(${component}(image, ${Component}Params(amount=0), rng_for(0)), image)
