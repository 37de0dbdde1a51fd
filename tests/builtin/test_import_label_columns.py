"""Which column of a table holds the classes, and values that are no classes: several labels, numbers, ``nan``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipekit import Sample
from pipekit.builtin.importers import csv, metadata
from pipekit.builtin.importers.csv import CsvParams
from pipekit.builtin.importers.label_columns import separator_in, several_in
from pipekit.builtin.importers.tables import TableParams
from pipekit.contract import Adjusted, Failure
from pipekit.engine.adhoc import AdhocPipeline
from pipekit.errors import ReadingsError, UserError
from pipekit.registry.format_choice import parse_format
from pipekit.registry.registry import load_registry
from pipekit.registry.sniffing import find_importer
from tests.builtin.annotated import picture


def table(folder: Path, header: str, *rows: str) -> Path:
    """A table with a row for each image ``0.png``, ``1.png`` …; the images are beside it."""
    for number in range(len(rows)):
        picture(folder / f"{number}.png")
    file = folder / "labels.csv"
    file.write_text("\n".join([header, *(f"{number}.png,{row}" for number, row in enumerate(rows))]) + "\n")
    return file


def labels(file: Path, **params: Any) -> list[str | None]:
    found = list(csv.read(file, CsvParams(**params)))
    assert not [item for item in found if isinstance(item, Failure)]
    return [item.label for item in found if isinstance(item, Sample)]


def refused(file: Path, **params: Any) -> ReadingsError:
    with pytest.raises(ReadingsError) as caught:
        list(csv.read(file, CsvParams(**params)))
    return caught.value


def formats(error: ReadingsError) -> list[str]:
    return [reading.format for reading in error.readings]


# --- the column ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Finding Labels", "image_class", "dx", "ClassName", "tumor_category"])
def test_a_column_is_recognised_by_a_word_in_its_name(tmp_path: Path, name: str) -> None:
    assert labels(table(tmp_path, f"Image Index,{name},Patient ID", "mass,1", "effusion,1", "mass,2")) == [
        "mass",
        "effusion",
        "mass",
    ]


def test_a_column_that_may_be_the_classes_is_asked_about(tmp_path: Path) -> None:
    file = table(tmp_path, "image,colour,weather,patient", *["red,rain,1", "blue,sun,2"] * 3)
    error = refused(file)
    assert "has no column that is surely the classes; 'colour', 'weather' may be" in error.message
    assert formats(error) == ["csv:label=colour", "csv:label=weather", "csv:labels=no"]
    assert labels(file, label="weather") == ["rain", "sun"] * 3
    assert labels(file, labels=False) == [None] * 6


def test_numbers_beside_columns_that_may_be_the_classes_are_offered_to_be_predicted(tmp_path: Path) -> None:
    error = refused(table(tmp_path, "image,age,weight,sex,camera", *["20.5,81.5,f,A", "21.25,70,m,B"] * 3))
    assert formats(error) == ["csv:label=sex", "csv:label=age:task=number", "csv:label=weight:task=number", "csv:labels=no"]


def test_of_two_columns_by_name_one_is_chosen(tmp_path: Path) -> None:
    error = refused(table(tmp_path, "image,disease class,breed class", *["a,x", "b,y"] * 3))
    assert formats(error) == ["csv:label=disease class", "csv:label=breed class", "csv:labels=no"]
    assert "--format 'csv:label=disease class'" in error.hint


def test_a_table_that_describes_images_needs_no_classes(tmp_path: Path) -> None:
    assert labels(table(tmp_path, "image,patient,camera,source,width", *["1,A,web,60", "2,B,web,60"] * 3)) == [None] * 6


def test_a_column_of_0_and_1_for_each_class(tmp_path: Path) -> None:
    file = table(tmp_path, "image_id,healthy,rust,scab,age", "1,0,0,5", "0,1,0,7", "0,0,1,5", "1.0,0.0,0,6")
    assert csv.sniff(file)
    found = list(csv.read(file, CsvParams()))
    assert [item.label for item in found if isinstance(item, Sample)] == ["healthy", "rust", "scab", "healthy"]
    assert {item.how for item in found if isinstance(item, Adjusted)} == {
        "read from columns of 0 and 1, as the class whose column is 1: healthy, rust, scab"
    }
    assert next(dict(item.extra) for item in found if isinstance(item, Sample)) == {"age": "5"}


def test_a_later_row_with_several_ones_is_listed(tmp_path: Path) -> None:
    rows = ["1,0"] * 1000 + ["1,1", "0,0"]
    picture(tmp_path / "0.png")
    file = tmp_path / "labels.csv"
    file.write_text("\n".join(["image,cat,dog", *(f"{number}.png,{row}" for number, row in enumerate(rows))]))
    failed = {item.id: item.reason for item in csv.read(file, CsvParams()) if isinstance(item, Failure)}
    assert failed == {
        "1000.png": "labels.csv line 1002: 2 of the columns of its classes are 1: cat, dog; expected one",
        "1001.png": "labels.csv line 1003: 0 of the columns of its classes are 1: none; expected one",
    }


def test_several_columns_that_are_1(tmp_path: Path) -> None:
    error = refused(table(tmp_path, "image,rust,crack,dent", "1,0,0", "1,1,0", "0,0,1"))
    assert "a column of 0 and 1 for each class (rust, crack, dent), and some images have several or none" in error.message
    assert formats(error)[0] == "csv:task=multilabel"
    assert find_importer(load_registry(), tmp_path / "labels.csv").importer == "csv"


# --- the values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["Effusion", "Effusion|Mass", "Mass"], "'Effusion|Mass'"),
        (["rust", '"rust,crack"', "crack"], "'rust,crack'"),
        (["\"['a', 'b']\"", "\"['a']\"", "\"['b']\""], "\"['a', 'b']\""),
        (["scab complex", "scab", "complex"], "'scab complex'"),
        (["a;b", "a", "b"], "'a;b'"),
        (["a; b", "a", "c"], "'a; b'"),
    ],
)
def test_several_labels_in_a_cell_are_no_class(tmp_path: Path, values: list[str], said: str) -> None:
    file = table(tmp_path, "image,label", *values)
    error = refused(file)
    assert f"several labels in a cell of column 'label', such as {said}: by default an image has one class" in error.message
    assert formats(error) == ["csv:label=label:task=multilabel", "csv:label=label:label_values=names", "csv:labels=no"]
    assert len({*labels(file, label_values="names")}) == 3


@pytest.mark.parametrize(
    "values",
    [
        ["tench, Tinca tinca", "goldfish, Carassius auratus", "great white shark, white shark"],
        ["golden retriever", "labrador retriever", "poodle"],
        ["hot dog", "dog", "cat"],
        ["a, b", "c", "c"],
        ["and/or", "x", "y"],
    ],
)
def test_names_with_commas_and_spaces_are_classes(values: list[str]) -> None:
    assert several_in(values) == ""


def test_words_that_recur_are_labels_in_a_column_of_tags() -> None:
    values = [f"{sky} {ground}" for sky in ("clear", "haze", "cloudy") for ground in ("road", "water", "bare")]
    assert several_in(values) == ""
    assert several_in(values, plural=True) == "clear road"
    assert separator_in(values, plural=True) == " "
    assert several_in(["golden retriever", "labrador retriever", "poodle"], plural=True) == ""


def test_two_columns_of_the_name_that_is_used_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 columns called 'label'"):
        labels(table(tmp_path, "image,label,label", "a,b", "b,a"))
    assert labels(table(tmp_path, "image,label,x,x", "a,1,2", "b,1,2")) == ["a", "b"]


def test_an_image_with_a_row_for_each_label(tmp_path: Path) -> None:
    file = table(tmp_path, "image,label", "rust", "crack")
    file.write_text(file.read_text() + "0.png,crack\n")
    with pytest.raises(UserError, match=r"has the image 0\.png in several rows, as 'rust' and as 'crack' in column 'label'"):
        labels(file)


def test_numbers_to_be_predicted(tmp_path: Path) -> None:
    file = table(tmp_path, "image,label", *(f"{20 + number * 0.37}" for number in range(6)))
    error = refused(file)
    assert "has numbers in column 'label' (20.0, 20.37, 20.74 …)" in error.message
    assert "6 classes in 6 rows" in error.message
    assert len({*labels(file, label_values="names")}) == 6


def test_a_whole_number_of_its_own_for_almost_every_row(tmp_path: Path) -> None:
    assert "has numbers in column 'target'" in refused(table(tmp_path, "image,target", *map(str, range(30, 60)))).message
    (tmp_path / "x").mkdir()
    assert labels(table(tmp_path / "x", "image,target", *map(str, range(10)))) == [str(n) for n in range(10)]


def test_the_only_column_has_numbers(tmp_path: Path) -> None:
    assert formats(refused(table(tmp_path, "image,age", "20.5", "21.25", "22.5"))) == [
        "csv:label=age:task=number",
        "csv:label=age:label_values=names",
        "csv:labels=no",
    ]


def test_nan_and_whole_numbers_with_a_point(tmp_path: Path) -> None:
    found = list(csv.read(table(tmp_path, "image,label", "1.0", "nan", "0.0", "", "2"), CsvParams()))
    assert [item.label for item in found if isinstance(item, Sample)] == ["1", None, "0", None, "2"]
    assert [(item.id, item.how) for item in found if isinstance(item, Adjusted)] == [
        ("1.png", "read as images without a class, because the table has nan, null or the like for it")
    ]


# --- other tables --------------------------------------------------------------------------------------------------------


def jsonl(folder: Path, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        picture(folder / row["file_name"])
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_lists_in_json_lines(tmp_path: Path) -> None:
    jsonl(tmp_path, [{"file_name": "a.png", "label": ["cat", "dog"]}, {"file_name": "b.png", "label": ["cat"]}])
    with pytest.raises(ReadingsError, match=r"several labels in a cell of column 'label', such as \"\['cat', 'dog'\]\""):
        list(metadata.read(tmp_path, TableParams()))


def test_nan_in_json_lines_and_folders_as_classes(tmp_path: Path) -> None:
    jsonl(tmp_path / "n", [{"file_name": "a.png", "label": float("nan")}, {"file_name": "b.png", "label": "x"}])
    found = list(metadata.read(tmp_path / "n", TableParams()))
    assert [item.label for item in found if isinstance(item, Sample)] == [None, "x"]
    jsonl(tmp_path / "f", [{"file_name": f"{kind}/a.png", "colour": kind} for kind in ("red", "blue")] * 2)
    assert {item.label for item in metadata.read(tmp_path / "f", TableParams()) if isinstance(item, Sample)} == {"red", "blue"}


# --- the option that chooses ---------------------------------------------------------------------------------------------


def test_the_choice_is_an_option(tmp_path: Path) -> None:
    file = table(tmp_path, "image,colour,weather", *["red,rain", "blue,sun"] * 3)
    pipeline = AdhocPipeline(tmp_path)
    pipeline.dataset(file, format="csv:label=weather")
    made = pipeline.run().artifact("data")
    assert made.classes == ("rain", "sun")
    pipeline = AdhocPipeline(tmp_path)
    pipeline.dataset(file, format="csv:labels=no")
    assert pipeline.run().artifact("data").classes == ()


def test_a_choice_that_is_none() -> None:
    assert parse_format("") == ("", {})
    assert parse_format("folders") == ("folders", {})
    assert parse_format("acme:csv") == ("acme:csv", {}), "the importer of one plugin"
    with pytest.raises(UserError, match="'acme:csv:kind' is no choice of an importer"):
        parse_format("acme:csv:kind")
