"""The importers ``csv``, ``metadata``, ``parquet`` and ``names``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.importers import csv, metadata, names, parquet
from pipekit.builtin.importers.tables import GUESSED, TableParams
from pipekit.contract import Adjusted, Failure, Rejected, Sample
from pipekit.engine.adhoc import AdhocPipeline
from pipekit.errors import UserError


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def picture(path: Path, value: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, np.full((20, 30, 3), value, np.uint8))
    return path


def brief(found: Any) -> list[Any]:
    return [(s.id, s.label, s.split) if isinstance(s, Sample) else s.reason for s in found]


# --- csv -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_columns_are_found_and_the_rest_is_kept(tmp_path: Path, delimiter: str) -> None:
    lines = [["Image", "Class", "Subset", "camera"], ["a/1.jpg", "dog", "valid", "N 5"], ["a/2.jpg", "", "", ""]]
    file = write(tmp_path / "t.csv", "\n".join(delimiter.join(line) for line in lines))
    first, second = csv.read(file, csv.CsvParams())
    assert isinstance(first, Sample)
    assert (first.id, first.label, first.split, first.extra) == ("a/1.jpg", "dog", "val", {"camera": "N 5"})
    assert Path(first.image) == tmp_path / "a/1.jpg"
    assert isinstance(second, Sample)
    assert (second.label, second.split, second.extra) == (None, "", {})
    assert csv.sniff(file) == "a table with image names in column 'Image'"


def test_csv_columns_can_be_named_and_paths_completed(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    file = write(tmp_path / "t.csv", "code,breed,kind\n7a,pug,dog\n")
    params = csv.CsvParams.model_validate({"image": "code", "label": "breed", "images": tmp_path / "pics", "suffix": ".jpg"})
    (found,) = csv.read(file, params)
    assert isinstance(found, Sample)
    assert (found.id, found.label, Path(found.image)) == ("7a.jpg", "pug", tmp_path / "pics" / "7a.jpg")


@pytest.mark.parametrize(
    ("header", "place", "name", "said"),
    [
        ("Image_Name,Label_Name", "{}.jpg", "{}.jpg", "a table with image names in column 'Image_Name'"),
        ("photo of,class", "images/{}.png", "{}.png", "a table with image names in column 'photo of'"),
        ("id,breed", "train/{}.jpeg", "{}", "a table with names of images, without suffixes, in column 'id'"),
    ],
)
def test_csv_images_are_found_where_they_lie(tmp_path: Path, header: str, place: str, name: str, said: str) -> None:
    for number in range(7):
        picture(tmp_path / place.format(number))
    lines = "".join(f"{name.format(number)},dog\n" for number in range(7))
    file = write(tmp_path / "t.csv", f"{header}\n{lines}")
    assert csv.sniff(file) == said
    found = list(csv.read(file, csv.CsvParams()))
    assert [Path(row.image) for row in found if isinstance(row, Sample)] == [
        tmp_path / place.format(number) for number in range(7)
    ]
    suffix = Path(place).suffix
    assert brief(found) == [(f"{number}{suffix}", "dog", "") for number in range(7)]


def test_csv_paths_that_are_written_differently_are_one(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", "path\n./a/1.jpg\na//2.jpg\na/../3.jpg\n../4.jpg\n")
    assert [row.id for row in csv.read(file, csv.CsvParams())] == ["a/1.jpg", "a/2.jpg", "3.jpg", "../4.jpg"]


def test_csv_names_of_no_image_are_left_as_they_are(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", "id,label\n7,dog\n" + f"{'n' * 300},dog\na\x00b,dog\n")
    assert csv.sniff(file) == Rejected("no column has names of image files in its first 5 rows; columns: id, label")
    assert [row.id for row in csv.read(file, csv.CsvParams())] == ["7", "n" * 300, "a\x00b"]
    picture(tmp_path / "images/7.png")
    assert next(iter(csv.read(file, csv.CsvParams(suffix=".jpg")))).id == "7.jpg", "who says a suffix gets it"


def test_csv_rows_that_can_not_be_used_are_listed(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", "path,label,split\n,dog,\nb.jpg,dog,holdout\nc.jpg,dog,test,too,many\nd.jpg\n")
    assert brief(csv.read(file, csv.CsvParams())) == [
        "t.csv line 2: no image in column 'path'",
        "t.csv line 3: split 'holdout', expected one of train, training, val, valid, validation, dev, test, testing",
        ("c.jpg", "dog", "test"),
        ("d.jpg", None, ""),
    ]


@pytest.mark.parametrize(
    ("text", "params", "message"),
    [
        ("a,b\n1,2\n", {}, "no column looks like image paths"),
        ("path,label\nx.jpg,dog\n", {"label": "lable"}, "no column 'lable'"),
        ("", {}, "no column looks like image paths"),
        ("\0\1\2", {}, "is not a text file"),
    ],
)
def test_a_csv_that_is_none_is_refused(tmp_path: Path, text: str, params: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(csv.read(write(tmp_path / "t.csv", text), csv.CsvParams.model_validate(params)))


def test_csv_in_no_known_encoding_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"path,label\n\x81\xff.jpg,x\n")  # Windows-1252 has no 0x81
    with pytest.raises(UserError, match="not UTF-8"):
        list(csv.read(tmp_path / "t.csv", csv.CsvParams()))


def test_the_folder_of_the_images_is_part_of_the_key(tmp_path: Path) -> None:
    class WithPath(csv.CsvParams):
        path: Path

    params = WithPath.model_validate({"path": "set/t.csv"}, context={"base_dir": write(tmp_path / "set/t.csv", "").parents[1]})
    assert params.images == tmp_path / "set"
    write(tmp_path / "labels/t.csv", "")
    params = WithPath.model_validate({"path": "labels/t.csv"}, context={"base_dir": tmp_path})
    assert params.images == tmp_path  # a folder for tables: the images lie beside it


def test_a_table_written_beside_the_images_is_no_reason_to_read_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(tmp_path / "data/t.csv", "file_name,label\na.png,x\nb.png,y\n")
    for name in ("a", "b"):
        picture(tmp_path / f"data/{name}.png")

    def cached() -> bool:
        adhoc = AdhocPipeline(base_dir=tmp_path, settings={"executor": "serial"})
        adhoc.add("data", "import.csv", path="data/t.csv")
        return adhoc.run().stages[0].cached

    assert not cached()
    write(tmp_path / "data/split.csv", "id,split\na.png,train\n")
    assert cached()
    picture(tmp_path / "data/b.png", 91)
    assert not cached()


# --- metadata ------------------------------------------------------------------------------------------------------------


def test_metadata_in_split_folders_and_classes_from_folders(tmp_path: Path) -> None:
    write(tmp_path / "train/metadata.csv", "file_name,text\ndog/1.png,a pug\n")
    write(
        tmp_path / "validation/metadata.jsonl",
        '{"file_name": "2.png", "label": "cat", "boxes": [[1, 2], [3, 4]]}\n\nnot json\n',
    )
    found = list(metadata.read(tmp_path, TableParams()))
    assert brief(found) == [
        ("train/dog/1.png", "dog", "train"),
        ("validation/2.png", "cat", "val"),
        "not JSON: Expecting value (character 1)",
    ]
    assert isinstance(found[1], Sample)
    assert found[1].extra == {"boxes": [[1, 2], [3, 4]]}
    assert metadata.sniff(tmp_path) == "train/metadata.csv, validation/metadata.jsonl"


def test_a_folder_without_metadata_is_refused(tmp_path: Path) -> None:
    assert metadata.sniff(tmp_path) == Rejected("no metadata.csv or metadata.jsonl in it or the folders in it")
    with pytest.raises(UserError, match=r"no metadata\.csv"):
        list(metadata.read(tmp_path, TableParams()))


# --- parquet -------------------------------------------------------------------------------------------------------------


def test_parquet_with_bytes_as_hugging_face_stores_them(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    good = images.encode(np.full((20, 30, 3), 90, np.uint8), "png")
    info = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table(
        {
            "image": [{"bytes": good, "path": "a.png"}, {"bytes": b"no image", "path": "b.png"}],
            "label": [1, 0],
            "weight": [0.5, float("nan")],
        }
    ).replace_schema_metadata({"huggingface": json.dumps(info)})
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet")
    out = tmp_path / "out"
    _, first, second = parquet.read(tmp_path, parquet.StoredParams(), out)
    assert isinstance(first, Sample)
    assert (first.label, first.split, first.extra) == ("dog", "train", {"weight": 0.5})
    assert Path(first.image).read_bytes() == good
    assert isinstance(second, Failure)
    assert "not an image" in second.reason or second.reason


def test_parquet_with_paths(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    picture(tmp_path / "a.png")
    pq.write_table(pa.table({"file_name": ["a.png", "gone.png"], "class": ["dog", "cat"]}), tmp_path / "t.parquet")
    assert brief(parquet.read(tmp_path / "t.parquet", parquet.StoredParams(), tmp_path)) == [
        ("a.png", "dog", ""),
        "t.parquet row 2: no such file; `images` states the folder that the paths are relative to",
    ]


def test_a_damaged_parquet_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(UserError, match="can't read"):
        list(parquet.read(tmp_path, parquet.StoredParams(), tmp_path))


# --- names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("dog_1.jpg", "dog"),
        ("cat.12.jpg", "cat"),
        ("golden_retriever-003.png", "golden_retriever"),
        ("great dane (4).jpg", "great dane"),
        ("katze7.JPG", "katze"),
        ("größe_2.jpg", "größe"),
    ],
)
def test_the_class_in_the_name(tmp_path: Path, name: str, label: str) -> None:
    write(tmp_path / name, "")
    assert brief(names.read(tmp_path, names.NamesParams())) == [(name, label, "")]


def test_names_without_a_class_are_listed_and_own_patterns_work(tmp_path: Path) -> None:
    write(tmp_path / "2021_dog.jpg", "")
    assert brief(names.read(tmp_path, names.NamesParams())) == ["no class in the name"]
    assert brief(names.read(tmp_path, names.NamesParams(pattern=r"_(\w+)\.")))[0][1] == "dog"
    assert names.sniff(tmp_path) == Rejected("no word and number in the name '2021_dog.jpg'")


def test_names_are_recognised(tmp_path: Path) -> None:
    for name in ("dog_1.jpg", "dog_2.jpg", "cat_1.jpg", "cat_2.jpg"):
        write(tmp_path / name, "")
    assert names.sniff(tmp_path) == "files named after 2 classes: cat, dog"
    assert not names.sniff(tmp_path.parent), "not from below a folder that names no split"


def test_folders_of_named_files_say_the_split(tmp_path: Path) -> None:
    for name in ("train/dog.1.jpg", "train/dog.2.jpg", "train/cat.1.jpg", "train/cat.2.jpg"):
        write(tmp_path / name, "")
    assert names.sniff(tmp_path) == "folders train with files named after 2 classes: cat, dog"
    assert {row[2] for row in brief(names.read(tmp_path, names.NamesParams()))} == {""}, (
        "of one alone nothing would be left to test"
    )
    write(tmp_path / "valid/cat.3.jpg", "")
    assert names.sniff(tmp_path) == "folders train, valid with files named after 2 classes: cat, dog"
    assert brief(names.read(tmp_path, names.NamesParams()))[-1] == ("valid/cat.3.jpg", "cat", "val")
    write(tmp_path / "train/dog/dog.4.jpg", "")
    assert not names.sniff(tmp_path), "these are class folders"


@pytest.mark.parametrize(("named_well", "recognised"), [(999, False), (1000, True)])
def test_a_thousand_names_are_enough_to_recognise_classes(tmp_path: Path, named_well: int, recognised: bool) -> None:
    for number in range(named_well):
        (tmp_path / f"{'cat' if number % 2 else 'dog'}_{number:04}.jpg").touch()
    (tmp_path / "zebra.jpg").touch()  # the last one in order, without a number
    expected = "files named after 2 classes: cat, dog" if recognised else Rejected("no word and number in the name 'zebra.jpg'")
    assert names.sniff(tmp_path) == expected


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/kaggle/input/comp/train/{}.jpg", "train/{}.jpg"),
        ("C:\\data\\train\\{}.jpg", "train/{}.jpg"),
        ("elsewhere/{}.jpg", "{}.jpg"),
    ],
)
def test_paths_of_another_machine_are_matched_by_their_last_parts_and_said(tmp_path: Path, path: str, found: str) -> None:
    names = [found.format(number) for number in range(3)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        images.write(tmp_path / name, np.full((4, 4, 3), 9, np.uint8))
    rows = "".join(f"{path.format(number)},{number % 2}\n" for number in range(3))
    (tmp_path / "t.csv").write_text(f"path,label\n{rows},1\n")
    read = list(csv.read(tmp_path / "t.csv", csv.CsvParams()))
    samples = [item for item in read if isinstance(item, Sample)]
    assert [sample.id for sample in samples] == names
    assert all(Path(sample.image).is_file() for sample in samples)
    assert [item.id for item in read if isinstance(item, Adjusted)] == names
    assert [item.reason for item in read if isinstance(item, Failure)] == ["t.csv line 5: no image in column 'path'"]


@pytest.mark.parametrize(
    ("encoding", "head", "guessed"),
    [
        ("cp1252", "file;label\n", True),
        ("utf-8", "sep=;\nfile;label\n", False),
        ("utf-8-sig", "sep=;\nfile;label\n", False),
        ("utf-16", "file;label\n", False),
        ("utf-16", "SEP=;\nfile;label\n", False),
    ],
)
def test_tables_of_excel_are_read_and_a_guess_is_said(tmp_path: Path, encoding: str, head: str, guessed: bool) -> None:
    for number in range(3):
        images.write(tmp_path / f"{number}.jpg", np.full((4, 4, 3), 9, np.uint8))
    text = head + "".join(f"{number}.jpg;Bär\n" for number in range(3))
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    assert csv.sniff(tmp_path / "t.csv") == "a table with image names in column 'file'"
    read = list(csv.read(tmp_path / "t.csv", csv.CsvParams()))
    assert [item.label for item in read if isinstance(item, Sample)] == ["Bär"] * 3
    assert [item.how for item in read if isinstance(item, Adjusted)] == [GUESSED] * 3 * guessed


@pytest.mark.parametrize(("text", "swapped"), [("{0}.png,{1}\n", False), ("{1};{0}.png\n", True)])
def test_a_table_of_images_and_classes_needs_no_header(tmp_path: Path, text: str, swapped: bool) -> None:
    for at in range(4):
        picture(tmp_path / f"photos/{at}.png")
    write(tmp_path / "labels.csv", "".join(text.format(at, "cat" if at % 2 else "dog") for at in range(4)))
    column = "in column 'image', without a header"
    assert csv.sniff(tmp_path / "labels.csv") == f"a table with image names {column}"
    rows = list(csv.read(tmp_path / "labels.csv", csv.CsvParams()))
    found = [row for row in rows if isinstance(row, Sample)]
    assert [(row.id, row.label) for row in found] == [(f"{at}.png", "cat" if at % 2 else "dog") for at in range(4)]
    said = "label, image" if swapped else "image, label"
    (how,) = {row.how for row in rows if isinstance(row, Adjusted)}
    assert how == f"read from a table without a header, as the columns {said}"


@pytest.mark.parametrize("text", ["0.png,dog,3\n", "0.png,1.png\n", "gone.png,dog\n", "0.png\n"])
def test_another_table_without_a_header_is_an_error_and_a_parameter_names_it(tmp_path: Path, text: str) -> None:
    for at in range(2):
        picture(tmp_path / f"{at}.png")
    file = write(tmp_path / "labels.csv", text)
    with pytest.raises(UserError, match=r"has no header: its first row names the image .*--format csv:header=image,label"):
        list(csv.read(file, csv.CsvParams()))
    assert not csv.sniff(file)
    header = ",".join(["image", "label", "age"][: text.count(",") + 1])
    rows = list(csv.read(file, csv.CsvParams(header=header, labels="label" in header and "png" not in text[5:])))
    assert [row.image.rpartition("/")[2] for row in rows if isinstance(row, Sample)] == [text.split(",")[0].strip()]
    with pytest.raises(UserError, match=r"columns, and header names 4: a,b,c,d"):
        list(csv.read(file, csv.CsvParams(header="a,b,c,d")))
