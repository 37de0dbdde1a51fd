"""The files that a component writes, as the kit sees them."""

from __future__ import annotations

from pathlib import Path

from pipekit.testing.checks.watched import outside, written


def test_what_is_written_elsewhere_is_listed_without_the_byte_code_of_imports(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    with written() as paths:
        (own / "a.txt").write_text("", "utf-8")
        (tmp_path / "stray.txt").write_text("", "utf-8")
        (tmp_path / "__pycache__").mkdir()
        (tmp_path / "__pycache__" / "module.pyc").write_bytes(b"")
    assert str(own / "a.txt") in paths
    assert outside(paths, str(own)) == [str(tmp_path / "stray.txt")]
