import numpy as np
from ${package}.${component} import ${Component}Params, ${component}

import pipekit
from pipekit.testing import check_projection


def test_it_keeps_the_promises_of_a_projection():
    check_projection("${component}")


def test_rows_that_differ_in_one_feature_lie_on_a_line():
    table = np.zeros((12, 3), np.float32)
    table[:, 1] = np.linspace(-1, 1, 12)
    points = ${component}(table, ${Component}Params(), pipekit.rng_for(0))
    assert (points[:, 1] == 0).all()
    assert (np.diff(points[:, 0]) > 0).all()
