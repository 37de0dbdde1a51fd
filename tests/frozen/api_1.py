"""A plugin of API 1, as it was written when that was the newest. It must run for ever: nobody edits this file."""

from pathlib import Path

import numpy as np

import pipekit
from pipekit import images

PIPEKIT_API = 1
SEEN = []


class DimParams(pipekit.Params):
    """Parameters of dim."""

    share: float = pipekit.param(0.5, "Share of the brightness that is left", ge=0, le=1)


def dim(image: np.ndarray, params: DimParams, rng: pipekit.Rng) -> np.ndarray:
    """Darken the image."""
    share = rng.note("share", rng.uniform(params.share, 1))
    return (image * share).astype(np.uint8)


def slide(size_hw: tuple[int, int], params: pipekit.Params, rng: pipekit.Rng) -> np.ndarray:
    """Shift the image sideways."""
    return np.array([[1, 0, rng.uniform(-0.1, 0.1) * size_hw[1]], [0, 1, 0], [0, 0, 1]])


@pipekit.stage
def head(ctx: pipekit.Context, dataset: pipekit.Dataset, params: pipekit.Params) -> pipekit.Dataset:
    """Keep the first samples of each run."""
    return ctx.dataset(sample for number, sample in enumerate(dataset) if number < 4)


@pipekit.sample_stage
def thumbnail(sample: pipekit.Sample, params: pipekit.Params, ctx: pipekit.SampleContext):
    """Reduce every image to a thumbnail."""
    path = ctx.out_path(f"{sample.id}.jpg")
    images.write(path, images.thumbnail(images.read(sample.image), 16))
    yield pipekit.Sample(sample.id, str(path), label=sample.label, split=sample.split)


class Importer:
    """Images whose names begin with their class."""

    @staticmethod
    def sniff(path):
        found = any(Path(path).rglob("*.png"))
        return "PNG files" if found else pipekit.Rejected("no PNG file in it")

    @staticmethod
    def read(path, params: pipekit.Params):
        for file in sorted(Path(path).rglob("*.png")):
            yield pipekit.Sample(file.stem, str(file), label=file.stem.partition("_")[0])


def listing(artifact: pipekit.Dataset, out_dir: Path, params: pipekit.Params):
    """A list of ids."""
    ids = [sample.id for sample in artifact]
    (out_dir / "ids.txt").write_text("\n".join(ids), encoding="utf-8")
    return {"facts": {"ids": str(len(ids))}, "headline": "a list"}


def detect(image: np.ndarray, params: pipekit.Params) -> np.ndarray:
    """The brightest pixel."""
    y, x = np.unravel_index(image.sum(axis=2).argmax(), image.shape[:2])
    return np.array([[x, y, 1]], np.float32)


def wide(rows, ctx, params: pipekit.Params):
    """Images wider than high."""
    ids = tuple(row["id"] for row in rows if "problem" not in row and row["width_px"] >= row["height_px"])
    yield pipekit.Finding("api_1_wide", "info", "wide images", ids)


def counted(ctx, evaluation) -> pipekit.Section:
    """The number of images."""
    return pipekit.Section("Counted", "text", tables=(pipekit.Table(("images",), ((len(evaluation.samples),),)),))


def half(table: np.ndarray, params: pipekit.Params, rng: pipekit.Rng) -> np.ndarray:
    """The first two features."""
    return np.pad(table, ((0, 0), (0, 1)))[:, :2]


def in_turn(run, tasks, params: pipekit.Params):
    """One task after the other."""
    for task in tasks:
        yield run(task)


class Gray:
    """One line with width and height, then a byte for each pixel."""

    @staticmethod
    def suffixes():
        return (".api1gray",)

    @staticmethod
    def reads(data):
        return data.startswith(b"API1GRAY ")

    @staticmethod
    def decode(data):
        first, _, pixels = data.partition(b"\n")
        width, height = map(int, first.split()[1:])
        return np.repeat(np.frombuffer(pixels, np.uint8).reshape(height, width, 1), 3, axis=2)


@pipekit.hookimpl
def register_stages(register):
    register("api_1_head", head)
    register("api_1_thumbnail", thumbnail, version=2)


@pipekit.hookimpl
def register_ops(register):
    register("api_1_dim", dim, summary="Darken", version=3)
    register("api_1_slide", slide)


@pipekit.hookimpl
def register_recipes(register):
    register("api_1_gentle", [{"op": "api_1_dim", "share": 0.9}, {"op": "hflip", "p": 0.5}], summary="A recipe")


@pipekit.hookimpl
def register_importers(register):
    register("api_1_names", Importer)


@pipekit.hookimpl
def register_exporters(register):
    register("api_1_list", listing)


@pipekit.hookimpl
def register_detectors(register):
    register("api_1_brightest", detect)


@pipekit.hookimpl
def register_checks(register):
    register("api_1_wide", wide)


@pipekit.hookimpl
def register_report_sections(register):
    register("api_1_counted", counted)


@pipekit.hookimpl
def register_projections(register):
    register("api_1_half", half)


@pipekit.hookimpl
def register_executors(register):
    register("api_1_in_turn", in_turn)


@pipekit.hookimpl
def register_codecs(register):
    register("api_1_gray", Gray)


@pipekit.hookimpl
def before_stage(run, stage):
    SEEN.append(("before", stage.name))


@pipekit.hookimpl
def after_stage(run, stage, artifact):
    SEEN.append(("after", stage.name))


@pipekit.hookimpl
def after_run(run):
    SEEN.append(("run", run.name))
