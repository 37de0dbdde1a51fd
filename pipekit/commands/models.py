"""The model templates, and a summary of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.working import registry_with
from pipekit.errors import UserError
from pipekit.files import write_text

if TYPE_CHECKING:
    from pipekit.learning.model_summary import ModelSummary
    from pipekit.registry.component import Component
    from pipekit.registry.registry import Registry

DEFAULT_HW = (128, 128)


def models(*, plugins: Sequence[str] | None = (), disable: Sequence[str] | None = ()) -> tuple[Component, ...]:
    """The model templates, by name.

    Args:
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.

    Returns:
        Components with ``name``, ``plugin`` and ``summary``.

    Example:
        >>> import pipekit
        >>> [template.name for template in pipekit.models()][:2]  # doctest: +SKIP
        ['alexnet', 'inception_v1']
    """
    return tuple(registry_with(plugins, disable).components("model"))


def model_summary(
    template: str,
    *,
    input_shape: Sequence[int] | None = None,
    classes: int = 1000,
    svg: str | Path | None = None,
    plugins: Sequence[str] | None = (),
    disable: Sequence[str] | None = (),
    **params: Any,
) -> ModelSummary:
    """Every layer of a model template with its shape, parameters and multiply-adds.

    Args:
        template: the template's name.
        input_shape: height and width in pixels, and channels (default: 3). By default the size that the template requires, or
            128 x 128 x 3.
        classes: number of classes.
        svg: write a drawing of the model to this file.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.
        **params: parameters of the template.

    Returns:
        The summary: ``parts``, ``parameters``, ``trainable``, ``multiply_adds`` for one image, ``weights_bytes``,
        ``training_bytes(batch_size)``.

    Raises:
        UserError: there is no such template, a parameter is wrong, or it can't take images of that size.

    Example:
        >>> import pipekit
        >>> pipekit.model_summary("mlp", input_shape=(28, 28, 1), classes=10, units=[32]).parameters  # doctest: +SKIP
        25450
    """
    from pipekit.learning.model_summary import draw_svg

    registry = registry_with(plugins, disable)
    found = summary_of_template(registry, registry.get("model", template), input_shape, classes, params)
    if svg is not None:
        write_text(Path(svg), draw_svg(found))
    return found


def summary_of_template(
    registry: Registry, component: Component, input_shape: Sequence[int] | None, classes: int, params: Mapping[str, Any]
) -> ModelSummary:
    """See :func:`model_summary`. The template's ``example`` has values of parameters with which its layers need no download.

    Raises:
        UserError: a parameter is wrong, or the template can't take images of that size.
    """
    from pipekit.learning.model_summary import summarize_model
    from pipekit.learning.templates import input_hw_of

    build = component.load()
    checked = registry.check_params(component.params_type(), {**getattr(build, "example", {}), **params})
    sides: Sequence[int] = input_shape if input_shape is not None else input_hw_of(build, checked) or DEFAULT_HW
    height, width, channels = (*sides, 3)[:3]
    shape = (int(height), int(width), int(channels))
    try:
        model = build(shape, classes, checked)
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        size = " x ".join(map(str, shape))
        raise UserError(
            f"{component.name} can't be built for images of {size}: {reason}", "Give another input size."
        ) from error
    return summarize_model(model)
