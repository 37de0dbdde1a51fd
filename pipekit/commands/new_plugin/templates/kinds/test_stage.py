from pipekit.testing import check_stage


def test_it_keeps_the_promises_of_a_stage():
    check_stage("${component}")


def test_small_images_are_left_out(pipekit_project):
    stages = {"data": {"use": "import.folders", "path": "images"}, "kept": {"use": "${component}", "min_px": 16}}
    assert len(pipekit_project.run(stages).artifact("kept")) == 18
    stages["kept"]["min_px"] = 33  # the images are 32 x 32
    assert len(pipekit_project.run(stages).artifact("kept")) == 0
