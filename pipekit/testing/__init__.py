"""The test kit for plugin authors; pytest finds it by itself where pipekit is installed.

::

    from pipekit.testing import check_op
    from my_plugin.ops import speckle

    def test_speckle():
        check_op(speckle, amount=0.2)

Each ``check_*`` takes a component (the function itself, or the name that it is registered under) and its parameters, tries
everything that its kind promises, and fails with the list of what is broken. The fixtures: ``pipekit_registry``,
``pipekit_project``, ``tiny_dataset`` and ``tiny_evaluation``.
"""

from pipekit.testing.kit import (
    Project,
    check_check,
    check_component,
    check_detector,
    check_executor,
    check_exporter,
    check_importer,
    check_model,
    check_op,
    check_recipe,
    check_report_section,
    check_stage,
    pipekit_project,
    pipekit_registry,
    tiny_dataset,
    tiny_evaluation,
    write_tiny_dataset,
)

__all__ = [
    "Project",
    "check_check",
    "check_component",
    "check_detector",
    "check_executor",
    "check_exporter",
    "check_importer",
    "check_model",
    "check_op",
    "check_recipe",
    "check_report_section",
    "check_stage",
    "pipekit_project",
    "pipekit_registry",
    "tiny_dataset",
    "tiny_evaluation",
    "write_tiny_dataset",
]
