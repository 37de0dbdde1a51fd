import numpy as np
from ${package}.${component} import ${Component}Params, ${component}

from pipekit.testing import check_loss


def test_it_keeps_the_promises_of_a_loss():
    check_loss("${component}")
    check_loss("${component}", gamma=0)


def test_without_an_exponent_it_is_the_cross_entropy():
    targets, made = np.eye(2, dtype=np.float32), np.array([[0.8, 0.2], [0.5, 0.5]], np.float32)
    assert np.allclose(${component}(${Component}Params(gamma=0))(targets, made), -np.log([0.8, 0.5]), atol=1e-5)
