"""Previews of a recipe: variants, each op by itself, or step by step; as a contact sheet or as a page.

Variant ``n`` equals copy ``n`` of the stage ``augment`` for the same image and seed.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape

from pipekit import images
from pipekit.contract import NO_TARGETS, Sample, Targets
from pipekit.images.warping import Image
from pipekit.params import Call
from pipekit.recipe.compiled import Applied, CompiledRecipe, View
from pipekit.recipe.copies import copy_rng
from pipekit.rng import Rng
from pipekit.tasks import written

Compile = Callable[[Sequence[Call]], CompiledRecipe]


@dataclass(frozen=True)
class Tile:
    """An image of a contact sheet and its caption."""

    image: Image
    caption: str


@dataclass(frozen=True)
class Subject:
    """An image to preview a recipe on, with its targets.

    Attributes:
        label: its several labels or its number, for the caption; "" for a class, which the id mostly has.
    """

    id: str
    image: Image
    targets: Targets = NO_TARGETS
    mask: Image | None = None
    label: str = ""

    @property
    def tile(self) -> Tile:
        drawn = images.draw_targets(self.image, self.mask, self.targets.boxes, self.targets.keypoints)
        height, width = self.image.shape[:2]
        return Tile(drawn, "\n".join(filter(None, (self.id, self.label, f"{width} x {height} px"))))

    def rng(self, seed: int, copy: int) -> Rng:
        return copy_rng(seed, self.id, copy)


def subject_of(sample: Sample, max_px: int) -> Subject:
    """Load a sample's image, no larger than ``max_px``; its boxes and keypoints are scaled with it.

    Raises:
        ImageError: the image can't be read.
    """
    from pipekit.recipe.homography import TargetTracker, resizing

    whole = images.read(sample.image)
    image = images.thumbnail(whole, max_px)
    mask = images.read_mask(sample.targets.mask) if sample.targets.mask else None
    if image is whole:
        return Subject(sample.id, image, sample.targets, mask, _label_of(sample))
    size, new_size = whole.shape[:2], image.shape[:2]
    moving = TargetTracker(sample.targets.boxes, sample.targets.keypoints)
    moving.apply(resizing(size, new_size), size, new_size)
    boxes, keypoints = moving.now()
    mask = None if mask is None else images.resize(mask, new_size, "nearest")
    return Subject(sample.id, image, replace(sample.targets, boxes=boxes, keypoints=keypoints), mask, _label_of(sample))


def _label_of(sample: Sample) -> str:
    return "" if sample.labels is None and sample.value is None else written(sample) or ""


# --- rows of images -----------------------------------------------------------------------------------------------------


def variants(recipe: CompiledRecipe, subject: Subject, count: int, seed: int) -> list[Tile]:
    """The original and ``count`` variants, each captioned with its ops and their values."""
    tiles = [subject.tile]
    for copy in range(1, count + 1):
        applied = recipe.apply(subject.image, subject.rng(seed, copy), subject.targets, subject.mask)
        tiles.append(Tile(drawn(applied), "\n".join(applied.captions) or "unchanged"))
    return tiles


def each(ops: Sequence[Call], make: Compile, subject: Subject, count: int, seed: int) -> list[list[Tile]]:
    """A row for each op, applied alone and always."""
    rows = []
    for call in ops:
        row = variants(make([always(call)]), subject, count, seed)
        given = {name: value for name, value in call.to_plain().items() if name not in ("op", "p", "ops")}
        options = {name: value for name, value in given.items() if value not in (None, [], ())}
        first = Tile(row[0].image, "\n".join([f"{call.name} alone", *(f"{name} = {value}" for name, value in options.items())]))
        rows.append([first, *row[1:]])
    return rows


def always(call: Call) -> Call:
    """The op with p = 1."""
    params = call.params.model_copy(update={"p": 1.0}) if "p" in type(call.params).model_fields else call.params
    return replace(call, params=params, options={**call.options, "p": 1.0})


def steps(recipe: CompiledRecipe, subject: Subject, seed: int, copy: int = 1) -> list[Tile]:
    """The original, and the image after each op of one variant."""
    tiles = [subject.tile]

    def watch(caption: str, view: View) -> None:
        tiles.append(Tile(images.draw_targets(view.image, view.mask, view.boxes, view.keypoints), f"{len(tiles)}. {caption}"))

    recipe.apply(subject.image, subject.rng(seed, copy), subject.targets, subject.mask, watch=watch)
    return tiles


def drawn(applied: Applied) -> Image:
    """The image with its mask, boxes and keypoints drawn on it."""
    return images.draw_targets(applied.image, applied.mask, applied.boxes, applied.keypoints)


def sheet(rows: Sequence[Sequence[Tile]], columns: int | None = None) -> Image:
    """All rows as one contact sheet; a single row is wrapped to about a square."""
    if len(rows) > 1:
        columns = max(len(row) for row in rows)
        blank = Tile(images.thumbnail(rows[0][0].image, 8) * 0 + 255, "")
        rows = [[*row, *[blank] * (columns - len(row))] for row in rows]
    tiles = [tile for row in rows for tile in row]
    return images.contact_sheet([t.image for t in tiles], [t.caption for t in tiles], columns, max_lines=9)


# --- a page ---------------------------------------------------------------------------------------------------------------

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
  color: #222; background: #fff }}
h1 {{ font-size: 1.3rem }} h2 {{ font-size: 1rem; margin: 2rem 0 .6rem }}
.row {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.2rem }}
figure {{ margin: 0 }} figcaption {{ font-size: .8rem; white-space: pre-line; color: #555 }}
.pair {{ position: relative; display: grid }} .pair img {{ grid-area: 1 / 1; width: 100%; height: 100%; object-fit: contain }}
.pair .after {{ clip-path: inset(0 0 0 var(--cut, 50%)) }}
input {{ width: 100%; margin: .3rem 0 }}
@media (prefers-color-scheme: dark) {{ body {{ color: #ddd; background: #181818 }} figcaption {{ color: #aaa }} }}
</style>
<h1>{title}</h1>
<p>Move the slider: the variant is on its right, the original on its left.</p>
{rows}
<script>
for (const slider of document.querySelectorAll("input"))
  slider.addEventListener("input", () => slider.previousElementSibling.style.setProperty("--cut", slider.value + "%"));
</script>
</html>
"""


def page(rows: Sequence[Sequence[Tile]], title: str) -> str:
    """A self-contained page: the first image of each row against each of the others, with a slider between."""
    parts = []
    for row in rows:
        first, *others = row
        before = _uri(first.image)
        parts.append(f"<h2>{escape(first.caption.partition(chr(10))[0])}</h2>\n<div class='row'>")
        parts += [
            f"<figure><div class='pair'><img src='{before}' alt='original'>"
            f"<img class='after' src='{_uri(other.image)}' alt='variant {number}'></div>"
            f"<input type='range' value='50' aria-label='original or variant {number}'>"
            f"<figcaption>{escape(other.caption)}</figcaption></figure>"
            for number, other in enumerate(others, 1)
        ]
        parts.append("</div>")
    return _PAGE.format(title=escape(title), rows="\n".join(parts))


def _uri(image: Image) -> str:
    data = images.encode(images.thumbnail(image, 480), "jpg", 88)
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
