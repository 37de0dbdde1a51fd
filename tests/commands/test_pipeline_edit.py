"""A pipeline file reads what was decided: lines are added, every other byte stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipekit.commands.pipeline_edit import ignored_decisions, read_decisions
from pipekit.commands.variants import ChangedError, content_hash
from pipekit.errors import UserError

PIPELINE = '''# mine
name = "p"

[ stages . "data" ] # all images
use = "import.folders"
path = "photos" # here

[stages.split]
use = "split"'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for name in ("corrections.csv", "quarantine.csv"):
        (tmp_path / name).write_text("id\n", "utf-8")
    found = tmp_path / "pipeline.toml"
    found.write_text(PIPELINE, "utf-8")
    return found


def test_lines_are_added_and_the_others_stay(file: Path) -> None:
    assert ignored_decisions(file) == ["corrections", "exclude"]
    added = read_decisions(file, content_hash(file))
    assert added == ['corrections = "corrections.csv"', 'exclude = "quarantine.csv"']
    lines = file.read_text("utf-8").split("\n")
    assert lines[5:7] == added
    assert "\n".join(lines[:5] + lines[7:]) == PIPELINE
    assert ignored_decisions(file) == []


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_what_is_there_and_not_named_is_added(file: Path, end: str) -> None:
    (file.parent / "corrections.csv").unlink()
    text = end.join(["[stages.data]", 'path = "photos"', 'use = "import.folders"'])
    file.write_bytes(text.encode())
    assert read_decisions(file, content_hash(file)) == ['exclude = "quarantine.csv"']
    lines = text.split(end)
    assert file.read_bytes().decode() == end.join([lines[0], 'exclude = "quarantine.csv"', *lines[1:]])
    (file.parent / "corrections.csv").write_text("id\n", "utf-8")
    file.write_text('[stages.data]\nuse = "import.csv"\ncorrections = "other.csv"\nexclude = "x.csv"\n', "utf-8")
    assert ignored_decisions(file) == []


def test_a_file_that_was_changed_meanwhile_stays(file: Path) -> None:
    known = content_hash(file)
    file.write_text(f"{PIPELINE}\n# more\n", "utf-8")
    with pytest.raises(ChangedError, match="changed"):
        read_decisions(file, known)
    assert file.read_text("utf-8") == f"{PIPELINE}\n# more\n"


@pytest.mark.parametrize(
    "text",
    [
        'stages.data.use = "import.folders"\n',
        '[stages]\ndata = { use = "import.folders" }\n',
        'text = """\n[stages.data]\n"""\n[stages]\ndata = { use = "import.folders" }\n',
    ],
)
def test_another_form_is_not_changed(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")
    with pytest.raises(UserError, match="a form that is not changed") as caught:
        read_decisions(file, content_hash(file))
    assert 'exclude = "quarantine.csv"' in caught.value.hint
    assert file.read_text("utf-8") == text


def test_what_is_no_pipeline(file: Path) -> None:
    file.write_text('[stages.split]\nuse = "split"\n', "utf-8")
    assert ignored_decisions(file) == []
    file.write_text("stages = 5\n", "utf-8")
    assert ignored_decisions(file) == []
    file.write_text("[", "utf-8")
    with pytest.raises(UserError, match="can't be read"):
        ignored_decisions(file)
