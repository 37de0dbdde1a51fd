from pipekit.testing import check_exporter


def test_it_keeps_the_promises_of_an_exporter():
    check_exporter("${component}")


def test_every_image_has_a_line(pipekit_project):
    stages = {"data": {"use": "import.folders", "path": "images"}, "out": {"use": "export.${component}"}}
    folder = pipekit_project.run(stages).artifact("out").path
    lines = (folder / "labels.txt").read_text("utf-8").splitlines()
    assert len(lines) == 18
    assert all((folder / line.partition("\t")[0]).is_file() for line in lines)
