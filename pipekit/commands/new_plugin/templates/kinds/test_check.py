from ${package}.${component} import ${Component}Params, ${component}

from pipekit.testing import check_check


def test_it_keeps_the_promises_of_a_check():
    check_check("${component}")
    check_check("${component}", min_px=33)


def test_small_images_are_reported_and_broken_ones_skipped():
    rows = [
        {"id": "a", "width_px": 100, "height_px": 10},
        {"id": "b", "width_px": 100, "height_px": 100},
        {"id": "c", "problem": "truncated JPEG"},
    ]
    (finding,) = ${component}(rows, None, ${Component}Params(min_px=24))
    assert finding.samples == ("a",)
    assert list(${component}(rows, None, ${Component}Params(min_px=10))) == []
