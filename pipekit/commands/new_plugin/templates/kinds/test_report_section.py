from ${package}.${component} import ${Component}Params, ${component}

from pipekit.testing import check_report_section


def test_it_keeps_the_promises_of_a_report_section():
    check_report_section("${component}")


def test_the_least_confident_comes_first(tiny_evaluation):
    section = ${component}(None, tiny_evaluation, ${Component}Params(count=3))
    probabilities = [row[-1] for row in section.tables[0].rows]
    assert len(probabilities) == 3
    assert probabilities == sorted(probabilities)
