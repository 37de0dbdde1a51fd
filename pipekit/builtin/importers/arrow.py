"""Hugging Face datasets as ``save_to_disk`` writes them, and the Arrow files of its cache.
https://huggingface.co/docs/datasets/process#save
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipekit.builtin.importers.files import NO_FOLDER, first_of, is_file, not_utf8, on_one_line, split_in, split_of, subfolders
from pipekit.builtin.importers.parquet import StoredParams, class_names, columns_of, images_of, in_row, lists_of, stored_sample
from pipekit.contract import Adjusted, Categories, Failure, Rejected, Sample
from pipekit.errors import UserError
from pipekit.files import files_in

STATE, DICT = "state.json", "dataset_dict.json"

SUFFIX = ".arrow"

READS = (SUFFIX, ".json", ".lock")

BATCH_ROWS = 64


@dataclass(frozen=True, slots=True)
class _File:
    """An Arrow file, the prefix of its ids, and the split of its rows."""

    path: Path
    prefix: str
    split: str


def sniff(path: Path) -> str | Rejected:
    """List the Arrow files, or say what is missing."""
    if not path.is_dir():
        return NO_FOLDER
    try:
        found = _files(path)
    except UserError as error:
        return Rejected(error.message)
    if not found:
        return Rejected(f"no {STATE}, no {DICT} and no .arrow file in it")
    return f"a dataset of Hugging Face: {first_of(file.path.relative_to(path).as_posix() for file in found)}"


def read(path: Path, params: StoredParams, out_dir: Path) -> Iterator[Sample | Failure | Adjusted | Categories]:
    """One sample per row. The bytes are written unchanged to ``out_dir`` once they decode. Memory holds one batch of a file,
    usually 100 images.

    A row with a path instead of bytes names an image in ``images``, or in the dataset's folders, by its last parts if need be.
    The split comes from a column, else from the folder or the file's name. Integer labels become names if the files carry them.

    Raises:
        UserError: there is no such dataset, a file is damaged, a column is missing, or pyarrow is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise UserError("reading Arrow files needs pyarrow", 'Install it: pip install "pipekit-vision[parquet]"') from error
    files = _files(path) if path.is_dir() else []
    if not files:
        raise UserError(f"no dataset of Hugging Face in {path}", f"Expected the folder that save_to_disk wrote, with {STATE}.")
    for file in files:
        try:
            with pa.OSFile(str(file.path)) as stream, pa.ipc.open_stream(stream) as batches:
                columns, targets = columns_of(batches.schema, params, file.path, _image_column(batches.schema))
                names = class_names(batches.schema.metadata or {}, columns.label) or _listed_names(file.path, columns.label)
                yield from lists_of(names, targets, columns, params)
                images = images_of(params, list(dict.fromkeys([file.path.parent, path])))
                number = 0
                for batch in batches:
                    batch.validate(full=True)  # wrong offsets in a damaged file would end the process
                    for start in range(0, batch.num_rows, BATCH_ROWS):
                        for row in batch.slice(start, BATCH_ROWS).to_pylist():
                            number += 1
                            identity = f"{file.prefix}{file.path.stem}/{number:07}"
                            found = stored_sample(row, identity, file.split, images, columns, names, out_dir, targets)
                            yield from (in_row(one, file.path, number) for one in found)
        except (pa.ArrowException, OSError, ValueError) as error:  # a damaged text is a ValueError
            raise UserError(f"can't read {file.path}: {on_one_line(error)}") from error


def _image_column(schema: Any) -> str:
    """The first column that holds images as Hugging Face stores them: bytes and a path."""
    pairs = ((field.name, field.type) for field in schema)
    return next((name for name, kind in pairs if getattr(kind, "num_fields", 0) and kind.get_field_index("bytes") >= 0), "")


def _files(path: Path) -> list[_File]:
    """The files of each split. Raises UserError."""
    splits = [name for name in subfolders(path) if (path / name / STATE).is_file()] if (path / DICT).is_file() else []
    if splits:
        return [file for name in splits for file in _saved(path / name, f"{name}/", split_of(name))]
    if (path / STATE).is_file():
        return _saved(path, "", split_of(path.name))
    names = sorted(files_in(path, (SUFFIX,)))
    return [_File(path / name, "", split_in(Path(name).stem)) for name in names if not name.startswith("cache-")]


def _saved(folder: Path, prefix: str, split: str) -> list[_File]:
    """The files that a folder's ``state.json`` lists. Raises UserError."""
    state = _load(folder / STATE)
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise UserError(f"{folder} is a selection of rows", "Call dataset.flatten_indices() before save_to_disk.")
    listed = state.get("_data_files")
    names: list[Any] = [one.get("filename") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    if not names or not all(isinstance(name, str) and name == Path(name).name for name in names):
        raise UserError(f"{folder / STATE}: '_data_files' is {str(listed)[:80]}, not a list of files in the folder")
    if missing := next((name for name in names if not is_file(folder / name)), ""):
        raise UserError(f"{folder} lacks {missing}, which {STATE} lists", "Save the dataset again.")
    return [_File(folder / name, prefix, split or split_of(str(state.get("_split") or ""))) for name in names]


def _listed_names(file: Path, label: str) -> list[str]:
    """The class names in ``dataset_info.json``."""
    try:
        names = _load(file.with_name("dataset_info.json"))["features"][label]["names"]
    except (UserError, KeyError, TypeError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _load(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except UnicodeDecodeError:
        raise UserError(f"can't read {file}: {not_utf8(file)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"can't read {file}: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{file} is no object")
    return found
