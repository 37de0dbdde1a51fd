"""What every component promises, as checks that can be run on anybody's.

A promise is a small function whose docstring says it in one sentence; it returns "" or what breaks it. They are used by
:mod:`pipekit.testing` (in an author's own tests), by ``pipekit plugins check`` and by pipekit's own tests, so that a built-in
and a stranger's plugin are held to the same.
"""

from pipekit.testing.checks import formats, general, killing, models, pictures, running, stages  # each adds its promises
from pipekit.testing.checks.core import Subject, Verdict, check_plugin, required_parameters, run_checks
from pipekit.testing.checks.examples import make_tiny_evaluation, write_tiny_dataset
from pipekit.testing.checks.general import HEAVY, heavy_imports

__all__ = [
    "HEAVY",
    "Subject",
    "Verdict",
    "check_plugin",
    "formats",
    "general",
    "heavy_imports",
    "killing",
    "make_tiny_evaluation",
    "models",
    "pictures",
    "required_parameters",
    "run_checks",
    "running",
    "stages",
    "write_tiny_dataset",
]
