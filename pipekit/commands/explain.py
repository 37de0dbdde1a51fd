"""Explain predictions with attribution maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.brief import Brief
from pipekit.commands.working import new_pipeline, run_pipeline
from pipekit.errors import UserError
from pipekit.files import write_text
from pipekit.files.urls import located

if TYPE_CHECKING:
    from pipekit.engine.outcome import Listener


@dataclass(frozen=True)
class Explanation(Brief):
    """Explanations of predictions.

    Attributes:
        folder: the maps, as JPEG files and NumPy arrays of float32; filters and a maximised class as PNG files.
        page: all of them on a page, as HTML.
        warnings: maps that could not be drawn, with the reason.
    """

    folder: Path
    page: str = field(repr=False)
    warnings: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from pipekit.commands.shown import of_explanation

        return of_explanation(self)


def explain(
    model: str | Path,
    images: str | Path | Iterable[str | Path],
    out: str | Path | None = None,
    *,
    plugins: Sequence[str] | None = (),
    disable: Sequence[str] | None = (),
    listener: Listener | None = None,
    **params: Any,
) -> Explanation:
    """Explain predictions: attribution maps of the pixels that raise a class's score, and the activations of the layers.

    Methods: Grad-CAM, Grad-CAM++, integrated gradients and occlusion, each checked against the same model with random weights
    (Adebayo et al. 2018).

    Args:
        model: a run (``runs/pets``), a folder with ``model.keras`` and ``model.json``, or that file.
        images: one image or several, at most 64.
        out: a file for the page; by default it is only returned.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.
        listener: receives each event of the run.
        **params: parameters of the ``explain`` stage: ``about`` (a class; default: the predicted one), ``methods`` and
            more.

    Returns:
        The page, and the folder with the maps.

    Raises:
        PlanError: a parameter is unknown or has a wrong value; nothing was run.
        UserError: there is no model or no such image.

    Example:
        >>> import pipekit
        >>> pipekit.explain("runs/pets", "cat.jpg", out="explain.html", about="cat").warnings  # doctest: +SKIP
        ()
    """
    paths = [Path(images)] if isinstance(images, (str, Path)) else [Path(image) for image in images]
    pipeline = new_pipeline(plugins, disable)
    for path in paths:
        if not located(path).is_file():
            raise UserError(f"no such image: {path}")
    files = [str(located(path).absolute()) for path in paths]
    pipeline.add("explain", "explain", model=pipeline.model(model), images=files, **params)
    outcome = run_pipeline(pipeline, "explain", listener)
    folder = outcome.artifact("explain").path
    page = (folder / "explain.html").read_text(encoding="utf-8")
    if out is not None:
        write_text(Path(out), page)
    return Explanation(folder, page, outcome.stages[-1].warnings)
