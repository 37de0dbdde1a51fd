import numpy as np
from ${package}.${component} import ${component}

import pipekit
from pipekit.testing import check_metric


def test_it_keeps_the_promises_of_a_metric():
    check_metric("${component}")


def test_it_is_the_mean_of_the_highest_probabilities():
    metric = ${component}(pipekit.Params())
    metric.update_state(np.eye(2, dtype=np.float32), np.array([[0.8, 0.2], [0.4, 0.6]], np.float32))
    assert np.isclose(float(metric.result()), 0.7)
