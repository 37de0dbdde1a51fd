"""The stage ``augment``: augmented copies of images, each with a record of how it was made, to reproduce it."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator, model_validator

from pipekit import images
from pipekit.contract import Context, Dataset, Params, Sample, SampleContext, Targets, param, stage
from pipekit.errors import UserError
from pipekit.files import hash_file
from pipekit.images.choices import FillMode, Fit, Interpolation, SizeHw
from pipekit.recipe.copies import FUNCTION
from pipekit.recipe.notation import Ops
from pipekit.tasks import NUMBER, require, supports

if TYPE_CHECKING:
    from pipekit.recipe.compiled import Applied, CompiledRecipe

COPIES = "copies of augment"
"""In a sample's ``extra``, only between the stage and its workers: the number of copies to make of it."""

LOOKED_AT = 200
"""Samples whose columns are searched for coordinates."""

LOSSLESS = (".png", ".bmp", ".gif", ".tif", ".tiff")


class RecipeOptions(Params):
    """How to apply a recipe, wherever images are written."""

    ops: Ops = param("medium", "The recipe: a preset's name, a .toml file, text like 'rotate(40)|hflip', or a list of ops")
    size_hw: tuple[int, int] | None = param(
        None, "Height and width of the output images; by default each keeps its size", unit="px"
    )
    fit: Fit = param("stretch", "How to fit another aspect ratio into size_hw: stretch, crop (cut at the sides) or pad")
    full_resolution: bool = param(
        False, "Apply the ops to the full image and resize last; slower, and pixel values refer to the full image"
    )
    interpolation: Interpolation = param(
        "area", "Interpolation: nearest, linear, cubic, lanczos, or area (linear, but averages where it shrinks)"
    )
    fill_mode: FillMode = param("nearest", "How to fill pixels outside: nearest (the edge), constant, reflect or wrap")
    fill_value: int = param(0, "The grey level for fill_mode = constant", ge=0, le=255)
    mask_fill: int | None = param(
        None,
        "The class number for fill_mode = constant in masks; default: 255 if the mask has it besides classes, else 0",
        ge=0,
        le=255,
    )
    min_visible: float = param(0.1, "Minimum fraction of a box inside the image; boxes with less are dropped", ge=0, le=1)
    min_area_px: float = param(1.0, "Drop boxes with a smaller area", unit="px²", ge=0)
    mirror_labels: dict[str, str] = param(
        {}, 'Labels to swap when left and right are swapped: { left = "right", right = "left" }'
    )

    @field_validator("size_hw")
    @classmethod
    def _sizes(cls, size_hw: SizeHw | None) -> SizeHw | None:
        if size_hw is not None and not all(1 <= side <= 32767 for side in size_hw):
            raise ValueError(f"height and width must lie within 1 and 32767 px, got {list(size_hw)}")
        return size_hw

    @model_validator(mode="after")
    def _can_be_done(self) -> RecipeOptions:
        try:
            self.compiled()
        except UserError as error:
            raise ValueError(f"{error.message}. {error.hint}".strip(". ")) from error
        return self

    def compiled(self) -> CompiledRecipe:
        """The recipe, ready to be applied to images."""
        from pipekit.recipe.compiled import compile_recipe

        return compile_recipe(
            self.ops,
            self.size_hw,
            fit=self.fit,
            full_resolution=self.full_resolution,
            interpolation=self.interpolation,
            fill_mode=self.fill_mode,
            fill_value=self.fill_value,
            min_visible=self.min_visible,
            min_area_px=self.min_area_px,
            mirror_labels=self.mirror_labels,
            mask_fill=self.mask_fill,
        )


class OutputOptions(RecipeOptions):
    """A recipe, and the format of the images that it writes."""

    format: Literal["same", "jpg", "png", "webp"] = param("same", "File format; same: png for lossless sources, else jpg")
    quality: int = param(95, "Quality of jpg and webp", ge=1, le=100)
    suffix: str = param("aug", "Part of the new file names: cat/1.jpg gives cat/1.aug1.jpg", pattern=r"^[A-Za-z0-9_-]+$")


class AugmentParams(OutputOptions):
    copies: int = param(3, "Number of augmented copies of each image", ge=1, le=10_000)
    splits: tuple[str, ...] = param(("train",), "The splits to augment; images without a split count as train", min_length=1)
    keep_originals: bool = param(True, "Keep the original images in the dataset, beside their copies")
    coordinates: Literal["refuse", "drop", "keep"] = param(
        "refuse",
        "What to do with columns that may be coordinates in the image (x, y, bbox) if ops move its pixels: refuse, drop them "
        "from the copies, or keep them as they are",
    )
    strip_metadata: bool = param(
        False, "Remove position, serial numbers and other metadata from the kept originals; copies never have any"
    )
    keep_value: bool = param(
        False,
        "In a dataset of numbers, allow ops that move pixels: the number of an image holds for its copies too. Without it, "
        "they are refused, since a rotation changes an angle",
        in_key="changed",
    )
    balance: bool = param(False, "Balance the classes: make as many images of each as the largest class has with its copies")


class CopyParams(AugmentParams):
    """What the copies of one image depend on: the parameters of the stage, and the mirror tables of the dataset."""

    counterparts: dict[str, dict[str, str]] = param({}, "Class, keypoint, and its counterpart in a mirrored image")

    def compiled(self) -> CompiledRecipe:
        return replace(super().compiled(), counterparts=self.counterparts)


@supports("classes", "multilabel", "number")
@stage(libraries=("numpy", "opencv-python-headless", "pillow", "simplejpeg"))
def augment(ctx: Context, dataset: Dataset, params: AugmentParams) -> Dataset:
    """Make augmented copies of the training images; masks, boxes and keypoints move with the pixels.

    The images of other splits pass through unchanged. ``extra.augmented`` of each copy records its source image, the applied
    ops, the values that they drew, and the matrix from the source's pixels to its own.
    """
    sizes = dataset.meta["splits"]
    num_chosen = sum(number for split, number in sizes.items() if (split or "train") in params.splits)
    if not num_chosen:
        there = ", ".join(repr(name) for name in dataset.counts) or "none"
        raise UserError(
            f"no image is in the splits {', '.join(params.splits)}",
            f"The dataset's splits: {there}. Set splits, or split it first.",
        )
    if params.balance:
        require("'balance' of the stage 'augment'", dataset.task, ["classes"])
    if dataset.task == NUMBER and not params.keep_value:
        from pipekit.recipe.coordinates import refuse_moving

        refuse_moving(params.compiled().ops)
    if params.coordinates == "refuse":
        _refuse_coordinates(dataset, params)
    _warn_of_numbered_keypoints(ctx, dataset, params)
    samples: Iterable[Sample] = dataset
    if wanted := _copies(dataset, params):
        samples = (_with_extra(s, {**s.extra, COPIES: wanted[s.id]}) if s.id in wanted else s for s in dataset)
    copied = ctx.map(make_copies, samples, _for_copies(dataset, params), label="augmenting", name=FUNCTION)
    facts: dict[str, str] = {}
    made = ctx.dataset(copied, params=params.model_dump(mode="json"), seed=ctx.seed, facts=facts)
    num_new_failed = made.meta["num_failed"] - dataset.meta["num_failed"]
    num_originals = len(dataset) - (num_new_failed if params.keep_originals else num_chosen)
    facts.update(copies=str(len(made) - num_originals), originals=str(num_originals))
    return made


def _refuse_coordinates(dataset: Dataset, params: AugmentParams) -> None:
    """Raise if the samples have columns that may be coordinates, which would be wrong for the copies."""
    from pipekit.recipe.compiled import walk
    from pipekit.recipe.coordinates import coordinate_columns

    recipe = params.compiled()
    if recipe.size_hw is None and not any(op.kind in ("geometric", "view") for op in walk(recipe.ops)):
        return
    for sample in dataset.first(LOOKED_AT):
        if found := coordinate_columns(sample.extra):
            raise UserError(
                f"the columns {', '.join(found)} may be coordinates in the image (in {sample.id}), and the recipe moves its "
                "pixels without them",
                "Read them as boxes or keypoints (`pipekit components importer` lists the formats), drop them from the copies: "
                'coordinates = "drop", or keep them as they are: coordinates = "keep".',
            )


def _for_copies(dataset: Dataset, params: AugmentParams) -> AugmentParams:
    """What the copies of one image depend on: how the classes are balanced is in the number of copies of each."""
    from pipekit.recipe.sides import counterparts_of

    plain, tables = params.model_copy(update={"balance": False}), counterparts_of(dataset.categories("boxes"))
    return CopyParams.model_construct(**dict(plain), counterparts=tables) if tables else plain


def _warn_of_numbered_keypoints(ctx: Context, dataset: Dataset, params: AugmentParams) -> None:
    """Warn if the recipe may mirror, and keypoints have neither names nor a mirror table that tell left from right."""
    from pipekit.recipe.sides import NumberedParams, counterparts_of, is_number, may_mirror, numbered_columns

    if any(map(is_number, params.mirror_labels)):
        return
    known = NumberedParams(splits=params.splits, counterparts=counterparts_of(dataset.categories("boxes")))
    highest = dataset.columns(numbered_columns, known)["highest"]
    if (highest > 0).any() and may_mirror(params.compiled()):
        num_images = int((highest >= 0).sum())
        ctx.warn(
            f"left and right can't be told apart in {num_images} images: their keypoints are named by numbers (0, 1 …), "
            "and a recipe that mirrors keeps those names. State the counterparts as flip_idx in data.yaml or as "
            'mirror_labels = { "0" = "1", "1" = "0" }, or name the keypoints left_ and right_ (kpt_names)'
        )


def _chosen(sample: Sample, params: AugmentParams) -> bool:
    return (sample.split or "train") in params.splits


def _copies(dataset: Dataset, params: AugmentParams) -> Mapping[str, int]:
    """The number of copies of each image, where it differs between images: to balance the classes.

    The remainder of the division goes to the images with the smallest hashes of their ids, so one more image affects few.
    """
    if not params.balance:
        return {}
    of_class: dict[str, list[str]] = {}
    for sample in dataset:
        if _chosen(sample, params) and sample.label is not None:
            of_class.setdefault(sample.label, []).append(sample.id)
    if not of_class:
        raise UserError("balance needs labels, and no chosen image has one")
    kept = int(params.keep_originals)
    target = max(len(ids) for ids in of_class.values()) * (params.copies + kept)
    wanted = {}
    for ids in of_class.values():
        each, rest = divmod(target - kept * len(ids), len(ids))
        for place, name in enumerate(
            sorted(ids, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest())
        ):
            wanted[name] = each + (place < rest)
    return wanted


# --- one image ------------------------------------------------------------------------------------------------------------


def make_copies(sample: Sample, params: AugmentParams, ctx: SampleContext) -> Iterator[Sample]:
    """A sample, if it is kept, and its augmented copies, written."""
    from pipekit.recipe.compiled import Picture

    extra = dict(sample.extra)
    copies = int(extra.pop(COPIES, params.copies if _chosen(sample, params) else 0))
    source = _with_extra(sample, extra)
    moved = source
    if params.coordinates == "drop":
        from pipekit.recipe.coordinates import coordinate_columns

        dropped = coordinate_columns(extra)
        moved = _with_extra(sample, {name: value for name, value in extra.items() if name not in dropped})
    if params.keep_originals or not _chosen(sample, params):
        yield _without_metadata(source, ctx) if params.strip_metadata else source
    if not copies:
        return
    recipe = ctx.once("recipe", params.compiled)
    picture = Picture(sample.image)
    mask = images.read_mask(sample.targets.mask) if sample.targets.mask else None
    mask_sha256 = hash_file(sample.targets.mask) if sample.targets.mask else ""
    for copy in range(1, copies + 1):
        applied = recipe.load(picture, ctx.rng(copy), sample.targets, mask)
        yield _write(moved, mask_sha256, copy, applied, params, ctx)


def _without_metadata(sample: Sample, ctx: SampleContext) -> Sample:
    """The sample, with its file written again if that has metadata; no pixel changes."""
    from pipekit.images.metadata import without_metadata

    data = images.read_bytes(sample.image)
    stripped = without_metadata(data)
    if stripped == data:
        return sample
    suffix = posixpath.splitext(sample.image)[1]
    path = ctx.write(f"originals/{sample.id.removesuffix(suffix)}{suffix}", stripped)
    return replace(sample, image=path, sha256="")


def _write(sample: Sample, mask_sha256: str, copy: int, applied: Applied, params: OutputOptions, ctx: SampleContext) -> Sample:
    name, format = output_name(sample.id, copy, params.suffix, params.format)
    path = ctx.write(name, images.encode(applied.image, format, params.quality))
    mask, mask_made = "", {}
    if applied.mask is not None:
        data = images.encode(applied.mask, "png")
        mask = ctx.write(f"masks/{PurePosixPath(name).with_suffix('.png')}", data)
        mask_made = {"mask": {"of_sha256": mask_sha256, "sha256": hashlib.sha256(data).hexdigest()}}
    label, labels = sample.label, sample.labels
    if applied.mirrored and label is not None:
        label = params.mirror_labels.get(label, label)
    if applied.mirrored and labels is not None:
        labels = tuple(sorted({params.mirror_labels.get(one, one) for one in labels}))
    made = {
        "of": sample.id,
        "sha256": sample.sha256,
        "copy": copy,
        "steps": [[step.op, dict(step.drawn)] for step in applied.steps],
        "matrix": None if applied.matrix is None else applied.matrix.tolist(),
        **mask_made,
    }
    targets = Targets(mask, "", applied.boxes, applied.keypoints)
    extra = {**sample.extra, "augmented": made}
    return Sample(name, path, "", label, sample.split, targets, extra, labels, sample.value)


def output_name(sample_id: str, copy: int, suffix: str, format: str) -> tuple[str, str]:
    """``("cat/1.aug2.jpg", "jpg")`` for ``cat/1.jpg``; a changed suffix stays in the name, so that names never collide."""
    suffix_now = posixpath.splitext(sample_id)[1].lower()
    chosen = ("png" if suffix_now in LOSSLESS else "jpg") if format == "same" else format
    stem = sample_id.removesuffix(f".{chosen}")
    return f"{stem}.{suffix}{copy}.{chosen}", chosen


def _with_extra(sample: Sample, extra: Mapping[str, Any]) -> Sample:
    return replace(sample, extra=extra)
