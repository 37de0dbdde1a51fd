from ${package}.${component} import ${Component}Params, ${component}

from pipekit.testing import check_compare_metric


def test_it_keeps_the_promises_of_a_comparison_metric():
    check_compare_metric("${component}")


def test_sure_mistakes_cost_more():
    rows = [{"correct": "1", "confidence": "0.99"}, {"correct": "0", "confidence": "0.5"}, {"correct": "0", "confidence": "0.95"}]
    assert ${component}(rows, ${Component}Params()) == [0, -1, -5]
