"""The project of colours, which the built-ins' tests have too."""

from tests.builtin.conftest import colour_project

__all__ = ["colour_project"]
