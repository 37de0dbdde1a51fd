from ${package}.${component} import ${Component}Params, ${component}

from pipekit.testing import check_report_section


def test_it_keeps_the_promises_of_a_report_section():
    check_report_section("${component}")


def test_the_least_sure_comes_first(tiny_evaluation):
    made = ${component}(None, tiny_evaluation, ${Component}Params(count=3))
    shown = [row[-1] for row in made.tables[0].rows]
    assert len(shown) == 3
    assert shown == sorted(shown)
