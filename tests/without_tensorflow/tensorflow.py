"""Stands in front of TensorFlow in the fast tests: whoever imports it is written down, and fails."""

import os

TEST = os.environ.get("PYTEST_CURRENT_TEST", "no test").rpartition(" (")[0] or "no test"

with open(os.environ["PIPEKIT_TENSORFLOW_LOG"], "a", encoding="utf-8") as _log:
    _log.write(f"{TEST}\n")

raise ImportError(f"{TEST} imports TensorFlow: add it to TENSORFLOW in tests/marks.py")
