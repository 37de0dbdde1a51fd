import numpy as np
from ${package}.${component} import ${Component}Params, ${component}

from pipekit.testing import check_detector


def test_it_keeps_the_promises_of_a_detector():
    check_detector("${component}")


def test_it_finds_an_edge():
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, 12:] = 200
    points = ${component}(image, ${Component}Params(count=10))
    assert set(points[:, 0]) <= {11, 12}


def test_a_blank_image_has_no_points():
    assert len(${component}(np.full((9, 9, 3), 77, np.uint8), ${Component}Params())) == 0
