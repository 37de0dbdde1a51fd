from ${package}.${component} import ${Component}Params, ${component}

from pipekit.testing import check_schedule


def test_it_keeps_the_promises_of_a_schedule():
    check_schedule("${component}")
    check_schedule("${component}", cycles=5, floor=0)


def test_each_wave_begins_at_the_peak():
    assert ${component}(0, ${Component}Params()) == ${component}(0.5, ${Component}Params()) == 1
