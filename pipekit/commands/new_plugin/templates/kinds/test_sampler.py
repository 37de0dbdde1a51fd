import numpy as np
from ${package}.${component} import ${Component}Params, ${component}

import pipekit
from pipekit.testing import check_sampler


def test_it_keeps_the_promises_of_a_sampler():
    check_sampler("${component}")
    check_sampler("${component}", evenness=0)


def test_a_rare_class_is_shown_as_often_as_a_common_one():
    targets = np.array([0] * 900 + [1] * 100)
    shown = targets[${component}(targets, 0, ${Component}Params(), pipekit.rng_for(0))]
    assert 0.45 < shown.mean() < 0.55
