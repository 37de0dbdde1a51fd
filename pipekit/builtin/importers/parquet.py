"""Parquet files with one row per image: its bytes (as Hugging Face stores them) or its path."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.boxes import Finder
from pipekit.builtin.importers.files import BY_LAST_PARTS, how_found, is_file, on_one_line, split_of, subfolders
from pipekit.builtin.importers.hf_targets import TargetColumns, features_of, inside, names_of, target_columns, with_targets
from pipekit.builtin.importers.lists import listed_labels
from pipekit.builtin.importers.tables import Columns, TableParams, find_columns, stated_lists
from pipekit.contract import Adjusted, Categories, Failure, Rejected, Sample
from pipekit.errors import ImageError, UserError
from pipekit.files import files_in
from pipekit.params import ImagesPath, param
from pipekit.tasks import CLASSES, NUMBER

BATCH_ROWS = 64

WRITTEN_AS = "parquet"
"""The exporter that writes back all that is read here, and not a class for each image alone."""


class StoredParams(TableParams):
    images: ImagesPath | None = param(
        None, "The folder that paths of images are relative to, where a file has no bytes; by default the file's own"
    )


def sniff(path: Path) -> str | Rejected:
    """List the Parquet files, or say that there are none."""
    found = _files(path)
    if not found:
        return Rejected("no .parquet file in it or in data/" if path.is_dir() else "the file does not end in .parquet")
    return f"{len(found)} Parquet file{'s' if len(found) > 1 else ''}, such as {found[0].name}"


def read(path: Path, params: StoredParams, out_dir: Path) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """One sample per row, a few rows in memory at a time. The bytes are written unchanged to ``out_dir`` once they decode.

    A row with a path instead of bytes names an image in ``images``, in the file's folder or in a folder in it, by its last
    parts if need be.

    The split comes from a column, else from the file name, as in ``train-00000-of-00004.parquet``. Integer labels become
    names if the file carries Hugging Face's list of them. Boxes, outlines, keypoints and masks are read from columns as the
    exporter ``parquet`` writes them; what can't be used of them is listed as failed.

    Raises:
        UserError: there is no Parquet file, one is damaged, a column is missing, or pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError("reading Parquet needs pyarrow", 'Install it: pip install "pipekit-vision[parquet]"') from error
    files = _files(path)
    if not files:
        raise UserError(f"no Parquet file in {path}")
    for file in files:
        try:
            with pq.ParquetFile(file) as table:
                columns, targets = columns_of(table.schema_arrow, params, file)
                images = images_of(params, [file.parent])
                names = class_names(table.schema_arrow.metadata or {}, columns.label)
                yield from lists_of(names, targets, columns, params)
                number = 0
                for batch in table.iter_batches(batch_size=BATCH_ROWS):
                    for row in batch.to_pylist():
                        number += 1
                        identity = f"{file.stem}/{number:07}"
                        split = split_of(re.split(r"[-_.]", file.stem)[0])
                        found = stored_sample(row, identity, split, images, columns, names, out_dir, targets)
                        yield from (in_row(one, file, number) for one in found)
        except (pa.ArrowException, OSError, ValueError) as error:  # a damaged text is a ValueError
            raise UserError(f"can't read {file}: {on_one_line(error)}") from error


def columns_of(schema: Any, params: TableParams, file: Path, image: str = "") -> tuple[Columns, TargetColumns]:
    """The columns of images, classes and splits, and those of targets. Raises UserError."""
    columns = find_columns(schema.names, params, file, image)
    targets = target_columns(schema, columns.image)
    columns = replace(columns, label="" if columns.label in targets.taken else columns.label)
    if params.labels and columns.task != CLASSES and not columns.label and not columns.one_hot:
        raise UserError(
            f"{file} has no column that is surely the {'number' if columns.task == NUMBER else 'labels'}; it has: "
            f"{', '.join(schema.names)}",
            'Name it: label = "…".',
        )
    return columns, targets


def lists_of(names: list[str], targets: TargetColumns, columns: Columns, params: TableParams) -> Iterator[Categories]:
    """The lists of classes that a file carries: of its labels, and of its boxes; the name and the unit of its numbers."""
    yield from stated_lists(columns, params)
    yield from listed_labels(dict(enumerate(names)))
    yield from listed_labels(dict(enumerate(targets.names)), "boxes")


@dataclass(frozen=True)
class ImageFolders:
    """Where the images are that rows name by their paths: the folder of relative paths, and all folders to search."""

    root: Path
    finder: Finder


def images_of(params: StoredParams, folders: Sequence[Path]) -> ImageFolders:
    """The folder that the parameter states, or ``folders``, each with the folders in it."""
    roots = [Path(params.images)] if params.images else folders
    return ImageFolders(
        roots[0], Finder(list(dict.fromkeys(chain(roots, *(map(root.joinpath, subfolders(root)) for root in roots)))))
    )


def in_row(found: Sample | Failure | Adjusted, file: Path, number: int) -> Sample | Failure | Adjusted:
    """The same; a failure says the file and the row."""
    return replace(found, reason=f"{file.name} row {number}: {found.reason}") if isinstance(found, Failure) else found


def stored_sample(
    row: dict[str, Any],
    identity: str,
    split: str,
    images: ImageFolders,
    columns: Columns,
    names: list[str],
    out_dir: Path,
    targets: TargetColumns,
) -> Iterator[Sample | Failure | Adjusted]:
    """A row as a sample, after what is wrong with its targets; bytes of an image are written to ``out_dir``.

    Args:
        split: if no column says it.
    """
    plain = {name: value for name, value in row.items() if name not in targets.taken}
    found, by_last_parts = _stored(plain, identity, split, images, columns, names, out_dir)
    if isinstance(found, Failure):
        yield found
        return
    if by_last_parts:
        yield Adjusted(found.id, BY_LAST_PARTS)
    yield from with_targets(found, row, targets, out_dir)


def _stored(
    row: dict[str, Any], identity: str, split: str, images: ImageFolders, columns: Columns, names: list[str], out_dir: Path
) -> tuple[Sample | Failure, bool]:
    """The sample, and whether its image was found by the last parts of its path alone."""
    value = row[columns.image]
    data = value.get("bytes") if isinstance(value, Mapping) else value if isinstance(value, bytes) else None
    label = row.get(columns.label) if columns.label else None
    if isinstance(label, int) and 0 <= label < len(names):
        row = {**row, columns.label: names[label]}
    elif isinstance(label, list) and names:
        row = {**row, columns.label: [names[one] if isinstance(one, int) and 0 <= one < len(names) else one for one in label]}
    if not columns.split:
        row = {**row, "split": split}
        columns = replace(columns, split="split")
    if data is None:
        return _by_path(value.get("path") if isinstance(value, Mapping) else value, row, identity, images, columns)
    return _written(data, row, identity, columns, out_dir), False


def _by_path(
    path: Any, row: dict[str, Any], identity: str, images: ImageFolders, columns: Columns
) -> tuple[Sample | Failure, bool]:
    if not path:
        return Failure(identity, f"no image in column {columns.image!r}"), False
    found = columns.sample({**row, columns.image: path}, 0, images.root)
    if isinstance(found, Failure) or is_file(Path(found.image)):
        return found, False
    part = images.finder.part_of(str(path)) or str(path)
    place = images.finder.find(part)
    if place is None:
        return Failure(found.id, "no such file; `images` states the folder that the paths are relative to"), False
    other = columns.sample({**row, columns.image: part}, 0, images.root)
    return (replace(other, image=str(place)) if isinstance(other, Sample) else other), bool(how_found(str(path), place))


def _written(data: bytes, row: dict[str, Any], identity: str, columns: Columns, out_dir: Path) -> Sample | Failure:
    from pipekit import images

    try:
        kind = images.verify(data).format.lower()
    except ImageError as error:
        return Failure(identity, error.message)
    place = out_dir / "images" / f"{identity}.{ {'jpeg': 'jpg'}.get(kind, kind) }"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    found = columns.sample({**row, columns.image: identity}, 0, out_dir)
    if isinstance(found, Failure):
        return found
    return replace(found, id=identity, image=str(place), sha256=hashlib.sha256(data).hexdigest())


def class_names(metadata: Mapping[bytes, bytes], label: str) -> list[str]:
    """The class names that Hugging Face's ``datasets`` stores in the file's schema."""
    feature = features_of(metadata).get(label)
    return names_of(feature) or names_of(inside(feature, "feature"))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    return sorted(folder / name for folder in (path, path / "data") for name in files_in(folder, (".parquet",)))
