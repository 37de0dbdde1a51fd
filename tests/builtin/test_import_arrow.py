"""The importer ``arrow``, on folders written as Hugging Face's ``save_to_disk`` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipekit.builtin.importers import arrow
from pipekit.builtin.importers.files import BY_LAST_PARTS
from pipekit.builtin.importers.parquet import StoredParams
from pipekit.contract import Adjusted
from pipekit.errors import UserError
from tests.builtin.annotated import picture, sort_out, write

FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}


def save(
    folder: Path, rows: list[dict[str, Any]], features: Any = FEATURES, state: Any = None, name: str = "data-00000-of-00001"
) -> None:
    """A folder of ``save_to_disk``: Arrow's stream format, with the features in the schema."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    file = folder / f"{name}.arrow"
    with pa.OSFile(str(file), "wb") as stream, pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    write(
        folder / "state.json",
        json.dumps({"_data_files": [{"filename": file.name}], "_split": None} if state is None else state),
    )


def row(path: Path, label: Any, **more: Any) -> dict[str, Any]:
    return {"image": {"bytes": path.read_bytes(), "path": path.name}, "label": label, **more}


def test_the_splits_of_a_dataset(tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png")
    saved = tmp_path / "saved"
    save(saved / "train", [row(image, at % 2, camera="x") for at in range(5)])
    save(saved / "validation", [row(image, 1)])
    write(saved / "dataset_dict.json", '{"splits": ["train", "validation"]}')
    said = "a dataset of Hugging Face: train/data-00000-of-00001.arrow, validation/data-00000-of-00001.arrow"
    assert arrow.sniff(saved) == said
    found, failed = sort_out(arrow.read(saved, StoredParams(), tmp_path / "out"))
    assert failed == {}
    assert [(one.id, one.split, one.label) for one in found] == [
        *((f"train/data-00000-of-00001/{at:07}", "train", ["dog", "cat"][at % 2]) for at in range(1, 6)),
        ("validation/data-00000-of-00001/0000001", "val", "dog"),
    ]
    assert found[0].extra == {"camera": "x"}
    assert Path(found[0].image).read_bytes() == image.read_bytes()


def test_one_dataset_with_its_names_beside_it(tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png")
    rows = [
        {"photo": {"bytes": image.read_bytes(), "path": None}, "label": 1},
        {"photo": {"bytes": b"no image", "path": None}, "label": 0},
    ]
    save(tmp_path / "saved", rows, features=None)
    write(tmp_path / "saved/dataset_info.json", json.dumps({"features": FEATURES}))
    found, failed = sort_out(arrow.read(tmp_path / "saved", StoredParams(), tmp_path / "out"))
    assert [(one.label, one.split) for one in found] == [("dog", "")]
    assert list(failed) == ["data-00000-of-00001/0000002"]


def test_the_arrow_files_of_the_cache(tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png")
    save(tmp_path / "cache", [row(image, 0)], name="mnist-train")
    save(tmp_path / "cache", [row(image, 0)], name="mnist-test")
    (tmp_path / "cache/state.json").unlink()
    found, failed = sort_out(arrow.read(tmp_path / "cache", StoredParams(), tmp_path / "out"))
    assert ([(one.id, one.split) for one in found], failed) == (
        [("mnist-test/0000001", "test"), ("mnist-train/0000001", "train")],
        {},
    )


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"_data_files": [{"filename": "gone.arrow"}]}, r"lacks gone\.arrow, which state\.json lists"),
        ({"_data_files": [{"filename": "../x.arrow"}]}, "'_data_files' is .*not a list of files in the folder"),
        ({"_data_files": 3}, "'_data_files' is 3"),
        ({}, "'_data_files' is None"),
        ([], r"state\.json is no object"),
        ({"_data_files": [], "_indices_files": [{"filename": "x"}]}, r"is a selection of rows.*flatten_indices"),
    ],
)
def test_a_state_that_can_not_be_is_an_error(tmp_path: Path, state: Any, message: str) -> None:
    save(tmp_path, [row(picture(tmp_path / "a.png"), 0)], state=state)
    assert not arrow.sniff(tmp_path)
    with pytest.raises(UserError, match=message):
        list(arrow.read(tmp_path, StoredParams(), tmp_path / "out"))


def test_damaged_files_are_an_error(tmp_path: Path) -> None:
    image = picture(tmp_path / "images/a.png")
    save(tmp_path, [row(image, 0) for _ in range(6)])
    file = tmp_path / "data-00000-of-00001.arrow"
    whole = file.read_bytes()
    for length in (0, 5, 200, len(whole) - 200):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"can't read .*data-00000-of-00001\.arrow"):
            list(arrow.read(tmp_path, StoredParams(), tmp_path / "out"))
    with pytest.raises(UserError, match="no dataset of Hugging Face"):
        list(arrow.read(tmp_path / "images", StoredParams(), tmp_path / "out"))


def test_a_row_without_an_image_is_listed_by_its_place(tmp_path: Path) -> None:
    save(
        tmp_path,
        [{"image": {"bytes": None, "path": None}, "label": 0}, {"image": {"bytes": None, "path": "gone.png"}, "label": 0}],
    )
    found, failed = sort_out(arrow.read(tmp_path, StoredParams(), tmp_path / "out"))
    reasons = {
        "data-00000-of-00001/0000001": "data-00000-of-00001.arrow row 1: no image in column 'image'",
        "gone.png": "data-00000-of-00001.arrow row 2: no such file; `images` states the folder that the paths are relative to",
    }
    assert (found, failed) == ([], reasons)


def test_paths_of_another_folder_are_found_by_their_last_parts_or_by_the_folder_that_is_stated(tmp_path: Path) -> None:
    for place in ("saved/images/cat/a.png", "data/dog/b.png"):
        picture(tmp_path / place)
    rows = [
        {"image": {"bytes": None, "path": path}, "label": at} for at, path in enumerate(["C:\\x\\cat\\a.png", "data/dog/b.png"])
    ]
    save(tmp_path / "saved/train", rows)
    write(tmp_path / "saved/dataset_dict.json", '{"splits": ["train"]}')
    found = list(arrow.read(tmp_path / "saved", StoredParams(), tmp_path / "out"))
    assert Adjusted("cat/a.png", BY_LAST_PARTS) in found
    (sample,), failed = sort_out(iter(found))
    assert (sample.image, sample.label, sample.split) == (str(tmp_path / "saved/images/cat/a.png"), "cat", "train")
    assert list(failed) == ["data/dog/b.png"]
    assert "`images` states the folder" in failed["data/dog/b.png"]
    (sample,), _ = sort_out(arrow.read(tmp_path / "saved", StoredParams(images=tmp_path), tmp_path / "out"))
    assert (sample.id, sample.image) == ("data/dog/b.png", str(tmp_path / "data/dog/b.png"))
