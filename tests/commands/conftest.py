"""The command line beside the verbs, in a folder of the test's own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builtin.conftest import colour_project
from tests.cli.conftest import pipekit, quiet_surroundings, speckle

__all__ = ["colour_project", "pipekit", "quiet_surroundings", "speckle"]


@pytest.fixture
def colours(colour_project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project with images of three colours and a model of them, as the working folder."""
    monkeypatch.chdir(colour_project.path)
    return colour_project
