"""The fast tests: ``pytest -m "not tensorflow and not slow"``, or ``make test-fast``.

:mod:`tests.marks` says which tests need TensorFlow and which are slow. Where the expression has ``not tensorflow`` in it, a
module that fails stands in TensorFlow's place, for the tests' processes and all that these start. So a test without the mark
that imports TensorFlow fails, and so does the session where the test has passed over the failed import.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests.marks import SLOW, TENSORFLOW

IN_ITS_PLACE = Path(__file__).parent / "without_tensorflow"
LOG = "PIPEKIT_TENSORFLOW_LOG"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if "not tensorflow" not in (config.option.markexpr or ""):
        return
    if not hasattr(config, "workerinput"):  # the workers of pytest-xdist have it from the process that starts them
        handle, os.environ[LOG] = tempfile.mkstemp(prefix="imports-of-tensorflow-", suffix=".log")
        os.close(handle)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(IN_ITS_PLACE), os.environ.get("PYTHONPATH"))))
    sys.path.insert(0, str(IN_ITS_PLACE))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests, and run the files with most marked ones first: at the end, no process waits for the other's last file."""
    marked = Counter[str]()
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        if name.startswith(TENSORFLOW):
            item.add_marker(pytest.mark.tensorflow)
        if name.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        marked[_file_of(item)] += any(item.iter_markers("tensorflow")) + any(item.iter_markers("slow"))
    items.sort(key=lambda item: -marked[_file_of(item)])


def _file_of(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if importers() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name in importers():
        terminalreporter.write_line(f"{name} imports TensorFlow: add it to TENSORFLOW in tests/marks.py", red=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    if LOG in os.environ and not hasattr(config, "workerinput"):
        Path(os.environ.pop(LOG)).unlink(missing_ok=True)


def importers() -> list[str]:
    """The tests that imported TensorFlow, though they are not marked."""
    file = Path(os.environ.get(LOG, os.devnull))
    return sorted(set(file.read_text("utf-8").splitlines())) if file.exists() else []
