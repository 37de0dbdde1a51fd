from pipekit.testing import check_optimizer


def test_it_keeps_the_promises_of_an_optimizer():
    check_optimizer("${component}")
