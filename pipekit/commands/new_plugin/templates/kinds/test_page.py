import numpy as np
from ${package}.${component} import ${Component}Params, ${component}

import pipekit
from pipekit.testing import check_page


def test_it_keeps_the_promises_of_a_page():
    check_page("${component}")
    check_page("${component}", threshold=255)


def test_a_plain_image_has_no_edges(tmp_path):
    pipekit.images.write(tmp_path / "plain.png", np.full((8, 8, 3), 90, np.uint8))
    sample = pipekit.Sample("plain.png", str(tmp_path / "plain.png"))
    studio = pipekit.StudioContext(sample, [sample.id], [None], lambda ids: {})
    assert ${component}(studio, ${Component}Params()).markdown.startswith("0.0%")
