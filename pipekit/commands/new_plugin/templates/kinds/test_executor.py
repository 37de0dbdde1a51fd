from pipekit.testing import check_executor


def test_it_keeps_the_promises_of_an_executor():
    check_executor("${component}")
    check_executor("${component}", workers=3)


def test_the_result_equals_that_of_another_executor(pipekit_project):
    stages = {"data": {"use": "import.folders", "path": "images"}}
    here = pipekit_project.run(stages, executor="${component}", shard_size=4).artifact("data")
    there = pipekit_project.run(stages, executor="serial").artifact("data")
    assert here.digest == there.digest
