"""The pictures on the pages of ``pipekit docs``: what ops, detectors, checks and sections do, and the layers of models."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.errors import PipekitError, StageError, UserError
from pipekit.findings import SEVERITIES, Picture, Table

if TYPE_CHECKING:
    from pipekit.contract import Sample
    from pipekit.registry.component import Component
    from pipekit.registry.registry import Registry

DRAWN = ("op", "recipe", "detector", "check", "model", "report_section")
"""Kinds whose components have a picture."""

TILE_PX = 224
"""Longer side of an image on a picture."""

VARIANTS = 3
"""Number of variants that show what an op does."""

MOST_POINTS = 200
"""Maximum number of a detector's points that are drawn."""

OF_A_CHECK = 6
"""Number of images that show what a check finds."""

CHECK_PX = 150
"""Longer side of these images."""

FOUND = (213, 94, 0)
"""RGB of the frame of an image that a check names."""

CLASSES = 10
"""Number of classes of a model that is drawn."""


class NoPictureError(PipekitError):
    """A component that has no picture, and why."""


BUILTIN = "builtin"
"""The plugin in the box. Its sections may need all metrics."""

Drawn = tuple[bytes, str, str, str]
"""A picture: the bytes of its file (none: Markdown alone), their suffix, words for who can't see it, and Markdown below it."""


class Pictures:
    """Draws what components do: most of them with an image.

    Attributes:
        whole: the image, ``(H, W, 3) uint8`` RGB.
        subject: the same, no larger than a tile.
        count: number of pictures so far.
        undrawn: components whose picture failed, and why.
        without: components that have no picture, and why.

    Raises:
        UserError: there is no such image.
        ImageError: it can't be read.
    """

    def __init__(self, registry: Registry, image: Path) -> None:
        from pipekit import images
        from pipekit.contract import Sample
        from pipekit.recipe.preview import subject_of

        if not image.is_file():
            raise UserError(f"no such image: {image}")
        self._registry = registry
        self.whole = images.read(image)
        self.subject = subject_of(Sample(image.name, str(image)), TILE_PX)
        self.count = 0
        self.undrawn: dict[str, str] = {}
        self.without: dict[str, str] = {}

    def into(self, folder: Path, link: str) -> Callable[[Component], str]:
        """A function that writes a component's picture and returns Markdown that shows it; without one, it says so."""

        def write(component: Component) -> str:
            if component.kind not in DRAWN or component.name.endswith(".*"):
                return ""
            draw: Callable[[Component], Drawn] = getattr(self, f"_{component.kind}")
            try:
                data, suffix, words, below = draw(component)
            except Exception as error:  # a plugin's mistake leaves out its own picture alone
                said = str(error) if isinstance(error, PipekitError) else f"{type(error).__name__}: {error}"
                found = self.without if isinstance(error, NoPictureError) else self.undrawn
                found[f"{component.kind} {component.name}"] = said
                return f"*No picture: {in_markdown(said)}.*"
            if not data:
                return below
            name = f"{component.kind}-{component.name.replace(':', '-').replace('.', '-')}.{suffix}"
            folder.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
            self.count += 1
            shown = f"![{component.name}: {words}]({link}/{name})"
            return f"{shown}\n\n{below}" if below else shown

        return write

    def _op(self, component: Component) -> Drawn:
        return jpeg(self._variants(component)), "jpg", "an image and variants of it", ""

    _recipe = _op

    def _detector(self, component: Component) -> Drawn:
        return jpeg(self._points(component)), "jpg", "points that it finds", ""

    def _check(self, component: Component) -> Drawn:
        from pipekit.testing.check_examples import run_example

        with tempfile.TemporaryDirectory() as folder:
            example = run_example(self._registry, component, self.whole, Path(folder))
            if example is None:
                raise NoPictureError("the check has no example")
            if not example.findings:
                raise NoPictureError("the check finds nothing in its example with this image")
            finding = min(example.findings, key=lambda found: SEVERITIES.index(found["severity"]))
            picture = sheet_of_finding(finding, example.samples, example.unusable)
        words = "images of its example; a frame marks those that it names"
        return jpeg(picture), "jpg", words, f"*{finding['severity'].capitalize()}: {in_markdown(finding['message'])}.*"

    def _report_section(self, component: Component) -> Drawn:
        from pipekit.testing.section_examples import run_section

        with tempfile.TemporaryDirectory() as folder:
            try:
                section = run_section(self._registry, component, Path(folder))
            except StageError as error:
                if component.plugin != BUILTIN:  # a plugin's section must do with the accuracy: the test kit holds it to that
                    raise
                raise NoPictureError("it shows metrics of a whole evaluation, which its example has not") from error
        if section is None:
            raise NoPictureError("it has nothing to say about predictions without a model, as in its example")
        table = "\n".join(table_of(section.tables[0])) if section.tables else ""
        for figure in section.figures:
            suffix = "svg" if figure.media_type == "image/svg+xml" else "png"
            return figure.data, suffix, f"{figure.alt}, of an example with three classes", table
        if section.pictures:
            return jpeg(sheet_of_pictures(section.pictures)), "jpg", "images that it shows, of an example", table
        if not table:
            raise NoPictureError("its example has words alone")
        return b"", "", "", table

    def _model(self, component: Component) -> Drawn:
        from pipekit.commands.models import summary_of_template
        from pipekit.learning.model_summary import draw_svg

        if hasattr(component.load(), "candidates"):
            raise NoPictureError("it tries the other templates, and has no layers of its own")
        drawn = draw_svg(summary_of_template(self._registry, component, None, CLASSES, {}), wrap_px=760, most=24)
        return drawn.encode(), "svg", f"its layers, for {CLASSES} classes", ""

    def _variants(self, component: Component) -> Any:
        from pipekit.recipe import preview

        subject = self.subject
        ops = component.name if component.kind == "recipe" else [{"use": component.name}]
        params = self._registry.get("stage", "augment").params_type()
        asked: Any = self._registry.check_params(params, {"ops": ops, "size_hw": list(subject.image.shape[:2])})

        def compiled(calls: Sequence[Any]) -> Any:
            return asked.model_copy(update={"ops": tuple(calls)}).compiled()

        if component.kind == "op":
            (row,) = preview.each(asked.ops, compiled, subject, VARIANTS, seed=1)
        else:
            row = preview.variants(compiled(asked.ops), subject, VARIANTS, seed=1)
        return preview.sheet([row], columns=len(row))

    def _points(self, component: Component) -> Any:
        from pipekit import images
        from pipekit.contract import Keypoint
        from pipekit.keypoints.detection import features_of

        image = self.subject.image
        params = self._registry.check_params(component.params_type(), {})
        height, width = image.shape[:2]
        found = features_of(component.load()(image, params), (height, width), component.name)
        points = [Keypoint(float(x), float(y)) for x, y, _ in found.strongest(MOST_POINTS).points.tolist()]
        said = f"{len(found):,} points" + (f", the {MOST_POINTS} strongest drawn" if len(found) > MOST_POINTS else "")
        tiles = [image, images.draw_targets(image, keypoints=points)]
        return images.contact_sheet(tiles, [self.subject.id, said], columns=2, tile_px=TILE_PX)


# --- findings ------------------------------------------------------------------------------------------------------------


def jpeg(image: Any) -> bytes:
    from pipekit import images

    return images.encode(image, "jpg", 85)


def in_markdown(text: str) -> str:
    """Text as it is, in emphasised Markdown."""
    from pipekit.page.markdown import literal

    return literal(text.rstrip("."))


def sheet_of_finding(finding: Mapping[str, Any], samples: Sequence[Sample], unusable: Sequence[Sample] = ()) -> Any:
    """Images of a dataset with their names: those that a finding names first and framed, then others of each class.

    Args:
        finding: as in ``inspect.json``.
        samples: the images that can be read.
        unusable: those that can't; a grey tile stands for each.
    """
    from pipekit import images

    named = [*finding["samples"]]
    place = {name: number for number, name in enumerate(named)}
    every = sorted([*samples, *unusable], key=lambda sample: (place.get(sample.id, len(named)), sample.id))
    chosen = [sample for sample in every if sample.id in place][: OF_A_CHECK - (len(every) > len(named))]
    chosen += in_turn([sample for sample in every if sample.id not in place])[: OF_A_CHECK - len(chosen)]
    lost = {sample.id for sample in unusable}
    tiles = [tile_of(sample, framed=sample.id in place, lost=sample.id in lost) for sample in chosen]
    return images.contact_sheet(
        tiles, [caption_of(sample, sample.id in lost) for sample in chosen], columns=3, tile_px=CHECK_PX, font_px=12
    )


def sheet_of_pictures(shown: Sequence[Picture]) -> Any:
    """The first thumbnails of a report section, with the first line of their captions."""
    from pipekit import images

    chosen = shown[:OF_A_CHECK]
    tiles = [images.decode(one.data) for one in chosen]
    captions = [one.caption.partition("\n")[0] or one.alt for one in chosen]
    return images.contact_sheet(tiles, captions, columns=3, tile_px=CHECK_PX, font_px=12)


def table_of(table: Table) -> Iterator[str]:
    """The first rows of a report's table in Markdown."""
    yield f"| {' | '.join(map(in_markdown, table.columns))} |"
    yield "|" + "---|" * len(table.columns)
    for row in table.rows[:OF_A_CHECK]:
        cells = (f"{value:.3g}" if isinstance(value, float) else in_markdown(str(value)) for value in row)
        yield f"| {' | '.join(cells)} |"


def caption_of(sample: Sample, lost: bool) -> str:
    """The id; below it what its folder does not say: several labels, a number, that the file can't be read."""
    said = "can't be read" if lost else ", ".join(sample.labels or ()) or ("" if sample.value is None else f"{sample.value:g}")
    return f"{sample.id}\n{said}" if said else sample.id


def in_turn(samples: Sequence[Sample]) -> list[Sample]:
    """One of each split and class, then the next of each."""
    seen: dict[tuple[str, str], int] = {}
    keyed = []
    for number, sample in enumerate(samples):
        group = (sample.split or "", str(sample.label))
        seen[group] = seen.get(group, -1) + 1
        keyed.append((seen[group], number))
    return [samples[number] for _, number in sorted(keyed)]


def tile_of(sample: Sample, *, framed: bool, lost: bool) -> Any:
    """A thumbnail, with its mask, and with a frame."""
    import numpy as np

    from pipekit import images

    if lost:
        tile = np.full((CHECK_PX * 2 // 3, CHECK_PX, 3), 160, np.uint8)
    else:
        image = images.read(sample.image)
        mask = sample.targets.mask
        if mask:
            image = images.draw_targets(image, images.read_mask(mask))
        tile = images.thumbnail(image, CHECK_PX)
    if framed:
        thick = max(1, min(4, min(tile.shape[:2]) // 20))
        framing = np.ones(tile.shape[:2], bool)
        framing[thick:-thick, thick:-thick] = False
        tile = np.where(framing[..., None], np.array(FOUND, np.uint8), tile)
    return tile
