from pipekit.testing import check_callback


def test_it_keeps_the_promises_of_a_callback():
    check_callback("${component}")
