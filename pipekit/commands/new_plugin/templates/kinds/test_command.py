from pipekit.cli import main
from pipekit.testing import check_command


def test_it_keeps_the_promises_of_a_command():
    check_command("${component}")


def test_it_counts_files(tiny_dataset, capsys):
    assert main(["${component}", str(tiny_dataset)]) == 0
    assert capsys.readouterr().out == ".png: 18\n"
    assert main(["${component}", str(tiny_dataset / "nothing")]) == 2
    assert "is no folder" in capsys.readouterr().err
