from pipekit.testing import check_recipe


def test_it_keeps_the_promises_of_a_recipe():
    check_recipe("${component}")
