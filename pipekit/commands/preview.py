"""The verb ``preview``: preview a recipe on images, as a contact sheet and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.commands.brief import Brief
from pipekit.commands.working import add_images, new_pipeline, refuse_inside
from pipekit.errors import UserError
from pipekit.files import expanded, write_text

if TYPE_CHECKING:
    from pipekit.contract import Sample
    from pipekit.engine.adhoc import AdhocPipeline
    from pipekit.images import Image
    from pipekit.pipeline.plan import Plan
    from pipekit.recipe.preview import Tile

PREVIEW_PX = 1024
SHOWN_IMAGES = 4
MOST_FOR_EACH = 5
"""Variants in a row of ``each``."""


@dataclass(frozen=True)
class Previewed(Brief):
    """A contact sheet.

    Attributes:
        sheet: ``(H, W, 3) uint8`` RGB.
        captions: the ops and values of each tile, row by row.
        path: the picture's file, or None if none was requested.
        page: the page with sliders, or None.
        warnings: what people should know before they write copies with this recipe.
    """

    sheet: Image
    captions: tuple[tuple[str, ...], ...]
    path: Path | None = None
    page: Path | None = None
    warnings: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from pipekit.page import notebook

        return notebook.whole(notebook.picture(self.sheet, "contact sheet of variants"))


def preview(
    source: str | Path,
    out: str | Path | None = None,
    *,
    variants: int = 12,
    each: bool = False,
    steps: bool = False,
    html: bool = False,
    seed: int = 0,
    plugins: Sequence[str] = (),
    disable: Sequence[str] = (),
    **params: Any,
) -> Previewed:
    """Preview a recipe on an image, or on a few images from all over a folder.

    Args:
        source: an image, a folder of images, or a run's dataset (``runs/NAME:STAGE``).
        out: a PNG file to write; an existing one is replaced. By default nothing is written.
        variants: number of variants, divided among the images of a folder.
        each: one row per op, applied alone.
        steps: show the image after each op.
        html: also write a page with sliders beside ``out``.
        seed: random seed; the same seed gives the same result.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.
        params: parameters of the stage ``augment``. All are checked; those of the recipe count (``ops``, ``size_hw``,
            ``fill_mode`` …), so that the call that writes copies can be tried first.

    Raises:
        PlanError: a parameter is wrong; its path is the parameter's name.
        UserError: ``out`` is no PNG file, lies in the source or is the source, or ``source`` can't be read.

    Example:
        >>> import pipekit
        >>> shown = pipekit.preview("cat.jpg", ops="rotate(40)|hflip", variants=4)  # doctest: +SKIP
        >>> shown.sheet.dtype  # doctest: +SKIP
        dtype('uint8')
    """
    from pipekit import images
    from pipekit.recipe import preview as drawing

    place = None if out is None else expanded(out)
    if place is not None:
        _refuse_overwriting(place, source)
    elif html:
        raise UserError("html needs a place for the page", "Give out, a PNG file: the page is written beside it.")
    pipeline = new_pipeline(plugins, disable, name="preview", seed=seed)
    data = add_images(pipeline, source)
    pipeline.add("augment", "augment", dataset=data, **params)
    plan = pipeline.plan(of="augment")
    asked: Any = plan.stage("augment").params
    recipe = asked.compiled()
    chosen = _chosen(pipeline, plan, data)
    subjects = [drawing.subject_of(sample, PREVIEW_PX) for sample in chosen]
    rows: list[list[Tile]]
    if each:

        def compiled(ops: Sequence[Any]) -> Any:
            return asked.model_copy(update={"ops": tuple(ops)}).compiled()

        rows = drawing.each(asked.ops, compiled, subjects[0], min(variants, MOST_FOR_EACH), seed)
    elif steps:
        rows = [drawing.steps(recipe, subject, seed) for subject in subjects]
    else:
        per_image = variants if len(subjects) == 1 else max(1, variants // len(subjects))
        rows = [drawing.variants(recipe, subject, per_image, seed) for subject in subjects]
    sheet = drawing.sheet(rows, columns=len(rows[0]) if each else None)
    page = None
    if place is not None:
        images.write(place, sheet)
        if html:
            page = place.with_suffix(".html")
            write_text(page, drawing.page(rows, f"{_words(params, asked)} on {source}"))
    return Previewed(sheet, tuple(tuple(tile.caption for tile in row) for row in rows), place, page, _warnings(chosen, asked))


def _warnings(chosen: Sequence[Sample], asked: Any) -> tuple[str, ...]:
    """That `augment` would refuse this recipe, which may change the numbers of the images."""
    from pipekit.recipe.coordinates import refuse_moving

    if asked.keep_value or all(sample.value is None for sample in chosen):
        return ()
    try:
        refuse_moving(asked.compiled().ops)
    except UserError as error:
        return (f"no copies can be written with this recipe: {error.message}. {error.hint}",)
    return ()


def _words(params: dict[str, Any], asked: Any) -> str:
    """The recipe as it was given, or its ops' names."""
    given = params.get("ops", type(asked).model_fields["ops"].default)
    return given if isinstance(given, str) else ", ".join(call.name for call in asked.ops)


def _refuse_overwriting(place: Path, source: str | Path) -> None:
    if place.suffix.lower() != ".png":
        raise UserError(
            f"the preview is a PNG file, not {place}", f"For example: pipekit augment {source} --preview --out preview.png"
        )
    if Path(source).is_dir():
        refuse_inside(place, source)
    if place.exists() and place.resolve() == Path(source).resolve():
        raise UserError(f"{place} is the source", "Choose another name for the preview.")


def _chosen(pipeline: AdhocPipeline, plan: Plan, data: str) -> list[Sample]:
    """The image, or a few from all over the folder."""
    from pipekit.contract import Sample
    from pipekit.engine.run import run_plan

    stage = pipeline.stages.get(data, {})
    if stage.get("use") == "import.image":
        path = Path(stage["path"])
        return [Sample(path.name, str(path))]
    given = pipeline.given.get(data)
    dataset: Any = run_plan(plan, until=data, publish=False).artifact(data) if given is None else given
    count = len(dataset)
    wanted = {round(i * (count - 1) / max(1, SHOWN_IMAGES - 1)) for i in range(min(SHOWN_IMAGES, count))}
    return [sample for number, sample in enumerate(dataset) if number in wanted]
