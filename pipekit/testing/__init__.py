"""The test kit for plugin authors, a pytest plugin that is active wherever pipekit is installed.

::

    from pipekit.testing import check_op
    from my_plugin.ops import speckle

    def test_speckle():
        check_op(speckle, amount=0.2)

Each ``check_*`` takes a component (the function itself, or its registered name) and its parameters, tests every promise of its
kind, and fails with the list of broken promises. The fixtures are ``pipekit_registry``, ``pipekit_project``,
``tiny_dataset`` and ``tiny_evaluation``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipekit.testing.kit import (
        Project,
        check_callback,
        check_check,
        check_codec,
        check_command,
        check_compare_metric,
        check_component,
        check_detector,
        check_embedder,
        check_executor,
        check_exporter,
        check_importer,
        check_loss,
        check_metric,
        check_model,
        check_op,
        check_optimizer,
        check_page,
        check_projection,
        check_recipe,
        check_report_section,
        check_sampler,
        check_schedule,
        check_search,
        check_splitter,
        check_stage,
        pipekit_project,
        pipekit_registry,
        tiny_dataset,
        tiny_evaluation,
        write_tiny_dataset,
    )

__all__ = [
    "Project",
    "check_callback",
    "check_check",
    "check_codec",
    "check_command",
    "check_compare_metric",
    "check_component",
    "check_detector",
    "check_embedder",
    "check_executor",
    "check_exporter",
    "check_importer",
    "check_loss",
    "check_metric",
    "check_model",
    "check_op",
    "check_optimizer",
    "check_page",
    "check_projection",
    "check_recipe",
    "check_report_section",
    "check_sampler",
    "check_schedule",
    "check_search",
    "check_splitter",
    "check_stage",
    "pipekit_project",
    "pipekit_registry",
    "tiny_dataset",
    "tiny_evaluation",
    "write_tiny_dataset",
]


def __getattr__(name: str) -> Any:
    """Import the kit on demand: ``pipekit plugins check`` needs its checks, and no pytest."""
    if name in __all__:
        from pipekit.testing import kit

        return getattr(kit, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The names that pytest searches for fixtures."""
    return sorted({*globals(), *__all__})
