from ${package}.${component} import ${Component}Params, ${component}

import pipekit
from pipekit.testing import check_splitter


def test_it_keeps_the_promises_of_a_splitter():
    check_splitter("${component}")
    check_splitter("${component}", newest_first=True)


def test_the_newest_images_are_test():
    units = [pipekit.SplitUnit(str(day), (("cat", 1),), group=f"2024-05-{day:02}") for day in (3, 1, 2, 4)]
    found = ${component}(units, {"train": 0.5, "test": 0.5}, ${Component}Params(), pipekit.rng_for(0))
    assert found == ["test", "train", "train", "test"]
