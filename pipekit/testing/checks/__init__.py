"""The promises of every kind of component, as checks that run on built-ins and on plugins.

A promise is a small function whose docstring states it in one sentence; it returns "" or the reason why it is broken. The
promises are used by :mod:`pipekit.testing` (in a plugin's tests), by ``pipekit plugins check`` and by pipekit's own tests, so
that built-ins and plugins meet the same requirements.

What is tried, by file: of every component its texts, parameters and imports (``general``); ops, recipes, detectors and codecs
on images (``pictures``); importers and exporters on folders (``formats``); stages and dataset checks in a pipeline
(``stages``), and killed in the middle (``killing``); report sections and executors (``running``); model templates
(``models``); embedders (``embedders``); projections (``projections``); pages of the studio (``pages``); splitters, samplers and
comparison metrics (``assigning``); searches (``searches``). A plugin as a whole is loaded, and its observers are
called (``plugin``).
"""

from pipekit.testing.checks import (
    assigning,
    commands,
    embedders,
    formats,
    general,
    killing,
    models,
    pages,
    pictures,
    projections,
    running,
    searches,
    stages,
    training,
)  # each adds its promises
from pipekit.testing.checks.core import Subject, Verdict, own_promises, required_parameters, run_checks
from pipekit.testing.checks.examples import make_tiny_evaluation, write_tiny_dataset
from pipekit.testing.checks.general import HEAVY, heavy_imports
from pipekit.testing.checks.plugin import check_plugin

__all__ = [
    "HEAVY",
    "Subject",
    "Verdict",
    "assigning",
    "check_plugin",
    "commands",
    "embedders",
    "formats",
    "general",
    "heavy_imports",
    "killing",
    "make_tiny_evaluation",
    "models",
    "own_promises",
    "pages",
    "pictures",
    "projections",
    "required_parameters",
    "run_checks",
    "running",
    "searches",
    "stages",
    "training",
    "write_tiny_dataset",
]
