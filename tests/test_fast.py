"""The fast tests do not import TensorFlow, and who does is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.marks import SLOW, TENSORFLOW

ROOT = Path(__file__).parents[1]
INSIDE = """
def test_it():
    try:
        import tensorflow
    except ImportError:
        pass
"""
OUTSIDE = """
import subprocess, sys
def test_it():
    subprocess.run([sys.executable, "-c", "import tensorflow"])
"""
NEITHER = """
def test_it():
    pass
"""


@pytest.mark.parametrize(
    ("code", "workers", "status"), [(INSIDE, ("-n", "1"), 1), (OUTSIDE, ("-n", "0"), 1), (NEITHER, ("-n", "0"), 0)]
)
def test_who_imports_tensorflow_fails_the_session(tmp_path: Path, code: str, workers: tuple[str, ...], status: int) -> None:
    (tmp_path / "test_it.py").write_text(code)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    tensorflow\n    slow\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PIPEKIT"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.fast", "-p", "no:cacheprovider", "-m", "not tensorflow", *workers],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert ("test_it.py::test_it imports TensorFlow: add it to TENSORFLOW in tests/marks.py" in done.stdout) == bool(status)


@pytest.mark.parametrize("name", [*TENSORFLOW, *SLOW])
def test_a_marked_test_is_there(name: str) -> None:
    file, _, test = name.partition("::")
    path = ROOT / "tests" / file
    assert path.exists()
    if path.is_file():
        assert f"def {test.partition('[')[0]}" in path.read_text("utf-8")
