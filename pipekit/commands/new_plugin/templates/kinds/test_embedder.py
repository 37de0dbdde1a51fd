import numpy as np
from ${package}.${component} import ${Component}Params, ${component}

from pipekit.testing import check_embedder


def test_it_keeps_the_promises_of_an_embedder():
    check_embedder("${component}")


def test_colours_have_their_own_places():
    red = np.zeros((1, 64, 64, 3), np.uint8)
    red[..., 0] = 255
    row = ${component}(${Component}Params())(red)[0].reshape(8, 8, 3)
    assert (row[..., 0] == 1).all()
    assert (row[..., 1:] == 0).all()
