import pytest

from pipekit import UserError
from pipekit.testing import check_importer


@pytest.fixture
def folder(tiny_dataset):
    """The tiny dataset in this format."""
    names = sorted(path.relative_to(tiny_dataset).as_posix() for path in tiny_dataset.rglob("*.png"))
    lines = [f"{name}\t{name.partition('/')[0]}\n" for name in names]
    (tiny_dataset / "labels.txt").write_text("".join(lines), encoding="utf-8")
    return tiny_dataset


def test_it_keeps_the_promises_of_an_importer(folder):
    check_importer("${component}", folder)


def test_it_is_a_stage(folder, pipekit_project):
    outcome = pipekit_project.run({"data": {"use": "import.${component}", "path": str(folder)}})
    assert outcome.artifact("data").classes == ("discs", "squares", "stripes")


def test_a_wrong_line_is_named(folder, pipekit_project):
    (folder / "labels.txt").write_text("no separator here", encoding="utf-8")
    with pytest.raises(UserError, match="line 1"):
        pipekit_project.run({"data": {"use": "import.${component}", "path": str(folder)}})
