"""The command line beside the verbs, in a folder of the test's own."""

from __future__ import annotations

from tests.cli.conftest import pipekit, quiet_surroundings, speckle

__all__ = ["pipekit", "quiet_surroundings", "speckle"]
