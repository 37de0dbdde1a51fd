"""Browse a dataset: its samples as columns, and single images as they are shown on a page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.columnar import Column, Columns, Few, Texts, makes_columns
from pipekit.commands.working import new_pipeline
from pipekit.errors import ImageError, UserError
from pipekit.files.urls import is_copy, located, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipekit.contract import Sample
    from pipekit.registry.registry import Registry

PIPELINE = "pipeline.toml"

MAX_VALUES = 1000
"""A column of texts with more distinct values than this is searched, and is no filter."""

MAX_NUMBER = 1e9
"""Larger numbers are identifiers: they are no scale to filter by."""

MAX_PX = 1600
"""Longer side of an image that a page shows in full."""

LOSSLESS_PX = 400
"""An image whose longer side is at most this is shown as PNG: its single pixels can be seen."""

SMALL_BYTES = 4096
"""A JPEG file of at most this size, and no larger than a thumbnail, is its own thumbnail."""


@dataclass(frozen=True)
class Source:
    """What is browsed, and the folder in which commands are run.

    Attributes:
        base: the folder of the pipeline file, or the current folder.
        images: the folder or file with the images, as a command takes it: relative to ``base`` where it is below.
        file: the pipeline file; None without one.
        use: the import stage; "" if there is no pipeline file.
        params: the parameters of the import stage.
        split_file: the file of the stage ``split``; None without one.
        format, splits: how to read it, as commands take it; "": detected.
    """

    base: Path
    images: str
    file: Path | None = None
    use: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    split_file: Path | None = None
    format: str = ""
    splits: str = ""

    @property
    def words(self) -> list[str]:
        """The source on a command line, with the options that say how to read it."""
        name, splits = self.format, self.splits
        if self.use:
            values = {key: value for key, value in self.params.items() if key != "splits" and isinstance(value, (str, int))}
            name = ":".join([self.use.removeprefix("import."), *(f"{key}={value}" for key, value in values.items())])
            splits = str(self.params.get("splits", ""))
        chosen = [*(["--format", name] if name else []), *(["--splits", splits] if splits else [])]
        return [self.images, *chosen]


def find_source(place: str | Path | None = None, format: str = "", splits: str = "") -> Source:
    """A folder of images or a file in a dataset's format, or the import stage of a pipeline file.

    Args:
        place: a folder of images, a pipeline file, or the folder of a ``pipeline.toml``; None: the current folder.
        format, splits: how to read a folder or file, as in :func:`pipekit.inspect`.

    Raises:
        UserError: there is neither, or the pipeline file imports nothing.
    """
    path = Path.cwd() if place is None else located(place).absolute()
    if path.is_dir() and (path / PIPELINE).is_file():
        path = path / PIPELINE
    if path.suffix == ".toml" and path.is_file():
        return _of_pipeline(path)
    if place is None:
        raise UserError(
            f"there is no {PIPELINE} in the current folder",
            "Give a folder of images: pipekit studio photos. Or make a project: pipekit scaffold NAME photos",
        )
    if not path.exists():
        raise UserError(f"no such file or folder: {place}", "Give a folder of images, or a project's folder.")
    return Source(Path.cwd(), _below(path, Path.cwd()), format=format, splits=splits)


def _of_pipeline(file: Path) -> Source:
    from pipekit.params import parse_toml

    try:
        table = parse_toml(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} can't be read: {error}", "pipekit run --dry-run lists its mistakes.") from error
    stages = [stage for stage in table.get("stages", {}).values() if isinstance(stage, dict)]
    imports = [stage for stage in stages if str(stage.get("use", "")).startswith("import.")]
    if not imports or not isinstance(imports[0].get("path"), str):
        raise UserError(f"{file} has no stage import.* with a path", "Give the folder of its images instead.")
    params = {name: value for name, value in imports[0].items() if name not in ("use", "path", *_OWN)}
    remembered = next((str(stage.get("file", "split.csv")) for stage in stages if stage.get("use") == "split"), "")
    path = (file.parent / located(imports[0]["path"])).absolute()
    split = file.parent / remembered if remembered else None
    return Source(file.parent, _below(path, file.parent), file, str(imports[0]["use"]), params, split)


_OWN = ("corrections", "exclude", "verify", "max_failed")
"""Parameters of an import that are set here: corrected and excluded images are browsed too, and each is verified on sight."""


def _below(path: Path, base: Path) -> str:
    if is_copy(path):  # commands take the URL, so that they see what changes there
        return shown(path)
    return path.relative_to(base).as_posix() or "." if path.is_relative_to(base) else str(path)


@makes_columns()
def browse_columns(rows: Sequence[Sample], params: None) -> dict[str, Column]:
    """What the rows of one part are filtered by, and the hashes of their files."""
    import numpy as np

    targets = [row.targets for row in rows]
    return {
        "id": Texts.of(row.id for row in rows),
        "sha256": np.frombuffer(b"".join(bytes.fromhex(row.sha256.rjust(64, "0")) for row in rows), np.uint8).reshape(-1, 32),
        "label": Few.of(row.label for row in rows),
        "split": Few.of(row.split or None for row in rows),
        "boxes": np.array([len(one.boxes) for one in targets], np.int32),
        "keypoints": np.array([len(one.keypoints) for one in targets], np.int32),
        "mask": Few.of("yes" if one.mask else None for one in targets),
        "extra": Texts.of(_plain(row.extra) for row in rows),
    }


def _plain(extra: Mapping[str, Any]) -> str:
    """The single values among the further columns of a sample, as JSON."""
    kept = {name: value for name, value in extra.items() if isinstance(value, (str, int, float, bool))}
    return json.dumps(kept) if kept else ""


@dataclass(frozen=True, eq=False)
class Catalog:
    """The samples of a dataset in the order of their ids. A row is a sample's number in that order.

    Attributes:
        digest: of the dataset: other images or labels have another one.
        ids: of all rows.
        hashes: ``(N, 32) uint8``, the SHA-256 of each file.
        categories: columns of few texts; a code of -1 stands for none.
        numbers: columns of ``(N,) float32``; NaN stands for none.
        read: the samples of some rows.
    """

    digest: str
    ids: Sequence[str]
    hashes: NDArray[np.uint8]
    categories: Mapping[str, Few]
    numbers: Mapping[str, NDArray[np.float32]]
    read: Callable[[Iterable[int]], Mapping[int, Sample]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def address(self) -> str:
        """Stands for the dataset and its columns in addresses whose answers a browser keeps: equal addresses, equal columns."""
        found = hashlib.sha256(self.digest.encode())
        for name, few in self.categories.items():
            found.update(json.dumps([name, *few.names]).encode("utf-8", "surrogatepass") + few.codes.tobytes())
        for name, column in self.numbers.items():
            found.update(json.dumps(name).encode("utf-8", "surrogatepass") + column.tobytes())
        return found.hexdigest()[:16]

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """id -> row."""
        return {identity: row for row, identity in enumerate(self.ids)}

    @cached_property
    def _lower(self) -> Sequence[str]:
        return [identity.lower() for identity in self.ids]

    def search(self, text: str) -> list[int]:
        """The rows whose id contains a text, whatever its case."""
        wanted = text.lower()
        return [row for row, identity in enumerate(self._lower) if wanted in identity]

    def order(self, name: str) -> NDArray[np.uint32]:
        """All rows by a column of numbers or texts, ascending; rows without a value last."""
        import numpy as np

        if name in self.numbers:
            return np.argsort(self.numbers[name], kind="stable").astype("<u4")
        few = self.categories[name]
        place = {text: number for number, text in enumerate(sorted(few.names))}
        ranks = np.array([*(place[text] for text in few.names), len(place)], np.int64)
        return np.argsort(ranks[few.codes], kind="stable").astype("<u4")

    def with_category(self, name: str, values: Mapping[str, str]) -> Catalog:
        """The same with one more column: id -> text."""
        few = Few.of(values.get(identity) for identity in self.ids)
        return replace(self, categories={**self.categories, name: few})

    def with_numbers(self, name: str, values: Mapping[str, float]) -> Catalog:
        """The same with one more column: id -> number."""
        import numpy as np

        return self.with_column(name, np.array([values.get(identity, np.nan) for identity in self.ids], np.float32))

    def with_column(self, name: str, column: NDArray[np.float32]) -> Catalog:
        """The same with one more column: a number for each row."""
        return replace(self, numbers={**self.numbers, name: column})


def open_catalog(source: Source, registry: Registry | None = None, *, plugins: Sequence[str] = ()) -> Catalog:
    """Import the dataset, without decoding its images, as columns.

    Raises:
        ReadingsError: the source can be read in several ways.
        UserError: no importer reads it.
    """
    from pipekit.engine.adhoc import AdhocPipeline

    if registry is None:
        pipeline = new_pipeline(plugins, name="browse")
    else:
        pipeline = AdhocPipeline(settings={"name": "browse"}, registry=registry)
    pipeline.base_dir = source.base
    trusted: dict[str, Any] = {"verify": "none", "max_failed": 1.0}
    path = str(source.base / located(source.images))
    if source.use:
        name = pipeline.add("data", source.use, path=path, **source.params, **trusted)
    else:
        name = pipeline.dataset(path, format=source.format, splits=source.splits, **trusted)
    dataset: Any = pipeline.given.get(name) or pipeline.run().artifact(name)
    return catalog_of(dataset.digest, dataset.columns(browse_columns), _remembered_splits(source))


def catalog_of(digest: str, columns: Columns, splits: Mapping[str, str] | None = None) -> Catalog:
    """Columns of :func:`browse_columns` in the order of ids.

    Args:
        splits: id -> split, for samples whose dataset states none.
    """
    import numpy as np

    names = columns["id"].tolist()
    order = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
    ids = [names[number] for number in order.tolist()]
    categories: dict[str, Few] = {name: columns[name][order] for name in ("label", "split", "mask")}
    if splits and not categories["split"].names:
        categories["split"] = Few.of(splits.get(identity) for identity in ids)
    numbers = {name: columns[name][order].astype(np.float32) for name in ("boxes", "keypoints")}
    if columns["extra"].data:
        _take_extras(columns["extra"].take(order.tolist()), categories, numbers)
    categories = {name: few for name, few in categories.items() if few.names or name == "label"}
    numbers = {name: column for name, column in numbers.items() if np.nan_to_num(column).any()}

    def read(rows: Iterable[int]) -> dict[int, Sample]:
        wanted = list(rows)
        found = columns.rows(int(order[row]) for row in wanted)
        return {row: found[int(order[row])] for row in wanted}

    return Catalog(digest, ids, columns["sha256"][order], categories, numbers, read)


def _take_extras(texts: Sequence[str], categories: dict[str, Few], numbers: dict[str, NDArray[np.float32]]) -> None:
    """The further columns of the samples: numbers where all values are numbers, else texts if there are few of them."""
    import numpy as np

    rows = [json.loads(text) if text else {} for text in texts]
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        given = [value for value in values if value is not None]
        shown = name if name not in categories and name not in numbers else f"extra.{name}"
        if all(map(_is_number, given)):
            numbers[shown] = np.array([np.nan if value is None else float(value) for value in values], np.float32)
        elif len(set(map(str, given))) <= MAX_VALUES:
            categories[shown] = Few.of(None if value is None else str(value) for value in values)


def _is_number(value: Any) -> bool:
    """Whether a value is a number, also as the text of a table."""
    if isinstance(value, bool):
        return False
    try:
        return abs(float(value)) < MAX_NUMBER
    except ValueError:
        return False


def _remembered_splits(source: Source) -> dict[str, str]:
    import csv

    from pipekit.files import plain_rows

    if source.split_file is None or not source.split_file.is_file():
        return {}
    try:
        with source.split_file.open(encoding="utf-8", errors="surrogatepass", newline="") as file:
            return {row["id"]: row["split"] for row in plain_rows(csv.DictReader(file)) if row.get("id") and row.get("split")}
    except (OSError, csv.Error):
        return {}


def state_folder(base: Path) -> Path:
    """The folder for thumbnails and jobs of the pages about ``base``: in the store, one for each folder of work."""
    from pipekit.store.store import store_of

    return store_of(base) / "studio" / hashlib.sha256(str(base.absolute()).encode("utf-8", "surrogatepass")).hexdigest()[:12]


# --- images on a page -----------------------------------------------------------------------------------------------------


def thumbnail(path: str, sha256: str, max_px: int, quality: int = 80) -> bytes:
    """A JPEG file of an image, its longer side at most ``max_px``.

    Raises:
        ImageError: it can't be read, or the file is no longer the one with this hash.
    """
    from pipekit import images

    data = images.read_bytes(path)
    if sha256.strip("0") and hashlib.sha256(data).hexdigest() != sha256:
        raise ImageError("the file has changed since the dataset was read")
    info = images.probe(data)
    is_own = len(data) <= SMALL_BYTES and max(info.width_px, info.height_px) <= max_px and info.orientation == 1
    if is_own and data[:3] == b"\xff\xd8\xff":
        return data
    scale = min(1.0, max_px / max(info.width_px, info.height_px))
    size = (max(1, round(info.height_px * scale)), max(1, round(info.width_px * scale)))
    return images.encode(images.thumbnail(images.decode(data, at_least_hw=size), max_px), "jpg", quality)


def picture(sample: Sample, *, drawn: bool = False) -> tuple[bytes, str]:
    """An image for a page, with its mask, outlines, boxes and keypoints drawn if ``drawn``; and its media type.

    It is always encoded anew, so that nothing but pixels reaches a page.

    Raises:
        ImageError: it can't be read.
    """
    from pipekit import images
    from pipekit.recipe.preview import subject_of

    if drawn:
        subject = subject_of(sample, MAX_PX)
        pixels = images.draw_targets(subject.image, subject.mask, subject.targets.boxes, subject.targets.keypoints)
        pixels = _with_outlines(pixels, subject.targets.boxes)
    else:
        pixels = images.thumbnail(images.read(sample.image), MAX_PX)
    if max(pixels.shape[:2]) <= LOSSLESS_PX:
        return images.encode(pixels, "png"), "image/png"
    return images.encode(pixels, "jpg", 92), "image/jpeg"


def _with_outlines(pixels: Any, boxes: Iterable[Any]) -> Any:
    """Outlines of objects, as lines of one pixel."""
    outlines = [ring for box in boxes for ring in box.outline]
    if not outlines:
        return pixels
    import numpy as np
    from PIL import Image, ImageDraw

    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    for ring in outlines:
        points = [(ring[at], ring[at + 1]) for at in range(0, len(ring) - 1, 2)]
        if len(points) > 1:
            pen.line([*points, points[0]], fill=(255, 255, 255), width=3)
            pen.line([*points, points[0]], fill=(0, 114, 178), width=1)
    return np.asarray(picture)


def facts_of(sample: Sample) -> dict[str, Any]:
    """Everything that is known about a sample, as JSON values; the size is that of the file now."""
    from pipekit import images

    found: dict[str, Any] = {
        "id": sample.id,
        "path": sample.image,
        "label": sample.label,
        "split": sample.split,
        "sha256": sample.sha256,
        "extra": dict(sample.extra),
        "boxes": [_box(box) for box in sample.targets.boxes[:200]],
        "keypoints": [
            {"label": one.label, "x": one.x, "y": one.y, "visible": one.visible} for one in sample.targets.keypoints[:200]
        ],
        "mask": sample.targets.mask,
    }
    try:
        data = images.read_bytes(sample.image)
        info = images.probe(data)
        found |= {"width_px": info.width_px, "height_px": info.height_px, "format": info.format, "bytes": len(data)}
    except (OSError, ImageError) as error:
        found["error"] = str(error)
    return found


def _box(box: Any) -> dict[str, Any]:
    corners = [round(float(value), 1) for value in (box.x_min, box.y_min, box.x_max, box.y_max)]
    return {"label": box.label, "xyxy": corners, "outlines": len(box.outline), "facts": dict(box.facts)}
