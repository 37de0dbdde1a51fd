from pipekit.testing import check_model


def test_it_keeps_the_promises_of_a_model():
    check_model("${component}", input_shape_hwc=(32, 32, 3))
    check_model("${component}", input_shape_hwc=(48, 64, 1), blocks=1)
