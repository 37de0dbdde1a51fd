"""``pipekit.replay`` in Python: the bytes, and the files that were asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipekit
from pipekit.errors import UserError
from pipekit.testing.checks import write_tiny_dataset


def test_a_copy_is_made_again_from_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_dataset(tmp_path / "photos", 1)
    pipekit.augment("photos", "more", ops="medium", copies=1, seed=4)
    copy = next(Path("more").rglob("*.aug1.png"))
    made = pipekit.replay(str(copy), out="again.png")
    assert made.identical
    assert made.written == (Path("again.png"),)
    assert Path("again.png").read_bytes() == copy.read_bytes() == made.data
    with pytest.raises(UserError, match="exists already"):
        pipekit.replay(copy, out="again.png")
    with pytest.raises(UserError, match="no such file"):
        pipekit.replay("nothing.png")
