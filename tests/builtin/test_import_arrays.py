"""The importers ``cifar``, ``npz`` and ``hdf5``, on files in the layouts of their authors."""

from __future__ import annotations

import builtins
import pickle
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.importers import cifar, hdf5, npz
from pipekit.builtin.importers.arrays import BORROWED, ArraysParams
from pipekit.builtin.importers.cifar import CifarParams
from pipekit.contract import Adjusted, Sample
from pipekit.errors import UserError
from pipekit.passed_over import passed_over
from tests.builtin.annotated import sort_out

CHANCE = np.random.default_rng(5)


def pixels(count: int, *shape: int) -> np.ndarray:
    return CHANCE.integers(0, 256, (count, *shape), np.uint8)


# --- CIFAR ---------------------------------------------------------------------------------------------------------------


def dump(path: Path, content: Any, protocol: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def test_cifar_10_as_pickles(tmp_path: Path) -> None:
    base = tmp_path / "cifar-10-batches-py"
    data = pixels(3, 3072)
    dump(base / "data_batch_1", {b"data": data, b"labels": [1, 0, 7], b"filenames": [b"a.png", b"b.png", b"c.png"]})
    dump(base / "test_batch", {"data": data[:1], "labels": [0]}, 5 - 1)
    dump(base / "batches.meta", {"label_names": ["cat", "dog"]})
    assert cifar.sniff(tmp_path) == "CIFAR-10, pickled: data_batch_1, test_batch"
    assert passed_over(tmp_path, getattr(cifar, "READS", None)) == {}
    found, failed = sort_out(cifar.read(tmp_path, CifarParams(), tmp_path / "out"))
    assert [(row.id, row.label, row.split, row.extra) for row in found] == [
        ("data_batch_1/00000", "dog", "train", {"file_name": "a.png"}),
        ("data_batch_1/00001", "cat", "train", {"file_name": "b.png"}),
        ("test_batch/00000", "cat", "test", {}),
    ]
    assert failed == {"data_batch_1/00002": "data_batch_1: label 7, but there are 2 class names"}
    image = images.read(found[0].image)
    assert image.shape == (32, 32, 3)
    assert (image[1, 2] == data[0].reshape(3, 32, 32)[:, 1, 2]).all()


@pytest.mark.parametrize(("labels", "expected"), [("fine", ["apple", "boat"]), ("coarse", ["fruit", "vehicle"])])
@pytest.mark.parametrize("binary", [True, False])
def test_cifar_100(tmp_path: Path, binary: bool, labels: Any, expected: list[str]) -> None:
    data = pixels(2, 3072)
    names = {"fine_label_names": ["apple", "boat"], "coarse_label_names": ["fruit", "vehicle"]}
    for name in ("train", "test"):
        if binary:
            (tmp_path / f"{name}.bin").write_bytes(b"".join(bytes([at, at]) + row.tobytes() for at, row in enumerate(data)))
        else:
            dump(tmp_path / name, {b"data": data, b"fine_labels": [0, 1], b"coarse_labels": [0, 1]})
    for kind, words in names.items():
        (tmp_path / f"{kind}.txt").write_text("\n".join(words))
    if not binary:
        dump(tmp_path / "meta", names)
    found, failed = sort_out(cifar.read(tmp_path, CifarParams(labels=labels), tmp_path / "out"))
    assert failed == {}
    assert [(row.split, row.label) for row in found] == [(split, name) for split in ("test", "train") for name in expected]
    assert (images.read(found[1].image).transpose(2, 0, 1).ravel() == data[1]).all()


def test_cifar_10_as_binary_files(tmp_path: Path) -> None:
    data = pixels(2, 3072)
    records = b"".join(bytes([at]) + row.tobytes() for at, row in enumerate(data))
    (tmp_path / "data_batch_1.bin").write_bytes(records)
    (tmp_path / "batches.meta.txt").write_text("cat\ndog\n\n")
    assert cifar.sniff(tmp_path) == "CIFAR-10, binary: data_batch_1.bin"
    found, failed = sort_out(cifar.read(tmp_path, CifarParams(), tmp_path / "out"))
    assert ([row.label for row in found], failed) == (["cat", "dog"], {})
    (tmp_path / "data_batch_0.bin").write_bytes(records)  # an excerpt: the authors' batches count from 1
    assert [row.id for row in sort_out(cifar.read(tmp_path, CifarParams(), tmp_path / "out"))[0]][:2] == [
        "data_batch_0/00000",
        "data_batch_0/00001",
    ]
    (tmp_path / "data_batch_0.bin").unlink()
    (tmp_path / "data_batch_1.bin").write_bytes(records[:-1])
    with pytest.raises(UserError, match=r"data_batch_1\.bin is truncated: its last record has 3072 bytes"):
        list(cifar.read(tmp_path, CifarParams(), tmp_path / "out"))


class Evil:
    def __reduce__(self) -> Any:
        return print, ("it has run",)


class Getter:
    def __reduce__(self) -> Any:
        return getattr, (np.ndarray, "tofile")


@pytest.mark.parametrize("evil", [Evil(), {"data": Evil()}, {"data": np.array([Evil()], dtype=object)}, {"data": Getter()}])
def test_a_pickle_that_names_code_is_refused_and_nothing_runs(tmp_path: Path, evil: Any, capsys: Any) -> None:
    dump(tmp_path / "data_batch_1", evil)
    with pytest.raises(UserError, match=r"data_batch_1: it names .*(print|getattr), which is not loaded"):
        list(cifar.read(tmp_path, CifarParams(), tmp_path / "out"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "holds list, not a dictionary"),
        ({"data": 3, "labels": [0]}, "'data' is int"),
        ({"data": np.zeros((1, 5), np.uint8), "labels": [0]}, r"'data' is uint8 \(1, 5\)"),
        ({"data": np.zeros((1, 3072)), "labels": [0]}, "'data' is float64"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [0, 1]}, "its labels are no list of 1 whole numbers"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": ["x"]}, "its labels are no list of 1 whole numbers"),
    ],
)
def test_what_is_no_batch_of_cifar_is_an_error(tmp_path: Path, content: Any, message: str) -> None:
    dump(tmp_path / "data_batch_1", content)
    with pytest.raises(UserError, match=f"data_batch_1.* {message}"):
        list(cifar.read(tmp_path, CifarParams(), tmp_path / "out"))


def test_a_damaged_pickle_is_an_error(tmp_path: Path) -> None:
    whole = dump(tmp_path / "data_batch_1", {b"data": pixels(2, 3072), b"labels": [0, 1]}).read_bytes()
    for length in (1, 2, 40, 100, len(whole) - 1):
        (tmp_path / "data_batch_1").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"can't read .*data_batch_1"):
            list(cifar.read(tmp_path, CifarParams(), tmp_path / "out"))
    (tmp_path / "data_batch_1").write_bytes(b"words")
    assert not cifar.sniff(tmp_path)


# --- NumPy and HDF5 ------------------------------------------------------------------------------------------------------


def save(path: Path, arrays: dict[str, Any]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return path
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


def read(path: Path, out: Path, **params: Any) -> tuple[list[Any], dict[str, str]]:
    return sort_out((npz if path.suffix == ".npz" else hdf5).read(path, ArraysParams(**params), out))


ENDS = pytest.mark.parametrize("end", [".npz", ".h5"])


@ENDS
@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("x_train", "y_train", "x_test", "y_test"), ["train", "test"]),
        (("train_images", "train_labels", "val_images", "val_labels"), ["train", "val"]),
        (("train_set_x", "train_set_y", "test_set_x", "test_set_y"), ["train", "test"]),
        (("images", "labels"), [""]),
        (("X", "y"), [""]),
    ],
)
def test_arrays_by_their_names(tmp_path: Path, end: str, names: tuple[str, ...], splits: list[str]) -> None:
    data = pixels(2, 6, 5, 3)
    file = save(tmp_path / f"set{end}", {name: data if at % 2 == 0 else np.array([1, 0]) for at, name in enumerate(names)})
    assert names[0] in (npz if end == ".npz" else hdf5).sniff(tmp_path)
    found, failed = read(file, tmp_path / "out", classes=["cat", "dog"])
    assert failed == {}
    assert [(row.split, row.label) for row in found] == [(split, label) for split in splits for label in ("dog", "cat")]
    assert found[0].id == f"set/{splits[0]}/000000".replace("//", "/")
    assert (images.read(found[1].image) == data[1]).all()


@ENDS
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((6, 5), "uint8"), ((6, 5, 1), "int64"), ((1, 6, 5), "uint8"), ((3, 6, 5), "uint16"), ((6, 5), "bool")],
)
def test_layouts_and_types_of_pixels(tmp_path: Path, end: str, shape: tuple[int, ...], dtype: str) -> None:
    data = pixels(1, *shape).astype(dtype)
    file = save(tmp_path / f"set{end}", {"images": data, "labels": np.zeros((1, 1))})
    (sample,), failed = read(file, tmp_path / "out")
    assert (failed, sample.label) == ({}, "0")
    image = images.read(sample.image, gray=3 not in shape)
    expected = data[0] * 255 if dtype == "bool" else data[0]
    assert (image == expected.reshape(6, 5, -1) if shape[0] not in (1, 3) else image == expected.transpose(1, 2, 0)).all()


@ENDS
def test_rows_that_can_not_be_used_are_listed_with_file_array_and_value(tmp_path: Path, end: str) -> None:
    data = pixels(4, 6, 5).astype(np.int32)
    data[1, 0, 0] = 300
    labels = np.array([[0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]])
    found, failed = read(save(tmp_path / f"set{end}", {"images": data, "labels": labels}), tmp_path / "out")
    assert [row.label for row in found] == ["1"]
    high = data[1].max()
    assert failed == {
        "set/000001": f"set{end}: images[1]: values from {data[1].min()} to {high}; expected 0 to 255",
        "set/000002": f"set{end}: labels[2]: 2 labels (0, 1); an image has one class here",
        "set/000003": f"set{end}: labels[3]: 0 labels (); an image has one class here",
    }
    values = np.array([0.5, np.nan, 5.0, 1.0])
    file = save(tmp_path / f"other{end}", {"images": pixels(4, 6, 5), "labels": values})
    found, failed = read(file, tmp_path / "out", classes=["cat", "dog"])
    assert [row.label for row in found] == ["dog"]
    assert [reason.partition(": labels")[2] for reason in failed.values()] == [
        "[0]: label 0.5 is no whole number",
        "[1]: label nan is no whole number",
        "[2]: label 5, but there are 2 class names, from 0",
    ]


@ENDS
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((2, 784), np.uint8), "labels": [0, 1]}, r"images has the shape \(2, 784\)"),
        ({"images": np.zeros((2, 6, 5, 4), np.uint8), "labels": [0, 1]}, "has the shape"),
        ({"images": np.zeros((2, 6, 5)), "labels": [0, 1]}, r"images has the type float64.*255 \* x"),
        ({"images": np.zeros((2, 6, 5), np.uint8), "labels": [0]}, r"has 2 images, labels has the shape \(1,\)"),
        ({"images": np.zeros((2, 6, 5), np.uint8), "labels": np.zeros((2, 2, 2))}, r"labels is float64 \(2, 2, 2\)"),
        ({"weights": np.zeros(3)}, "no (.npz|HDF5) file with images"),
    ],
)
def test_arrays_that_are_no_images_are_an_error(tmp_path: Path, end: str, arrays: dict[str, Any], message: str) -> None:
    file = save(tmp_path / f"set{end}", arrays)
    with pytest.raises(UserError, match=message):
        read(file, tmp_path / "out")


def test_arrays_of_objects_are_refused_and_nothing_runs(tmp_path: Path, capsys: Any) -> None:
    file = save(tmp_path / "set.npz", {"images": pixels(1, 6, 5), "labels": np.array([Evil()], dtype=object)})
    with pytest.raises(UserError, match=r"labels is made of Python objects"):
        read(file, tmp_path / "out")
    assert capsys.readouterr().out == ""


@ENDS
def test_damaged_files_are_an_error(tmp_path: Path, end: str) -> None:
    whole = save(tmp_path / f"set{end}", {"images": pixels(3, 6, 5), "labels": [0, 1, 2]}).read_bytes()
    for length in (0, 3, 300, len(whole) // 2):
        (tmp_path / f"set{end}").write_bytes(whole[:length])
        assert not (npz if end == ".npz" else hdf5).sniff(tmp_path / f"set{end}")
        with pytest.raises(UserError, match=f"set{end}"):
            read(tmp_path / f"set{end}", tmp_path / "out")


def test_names_of_classes_and_texts_as_labels(tmp_path: Path) -> None:
    text = {"images": pixels(2, 6, 5), "labels": np.array(["dog", "cat"])}
    assert [row.label for row in read(save(tmp_path / "a.npz", text), tmp_path / "out")[0]] == ["dog", "cat"]
    listed = {"train_set_x": pixels(2, 6, 5), "train_set_y": [1, 0], "list_classes": np.array([b"non-cat", b"cat"])}
    assert [row.label for row in read(save(tmp_path / "b.h5", listed), tmp_path / "out")[0]] == ["cat", "non-cat"]


@ENDS
def test_files_of_one_dataset_share_their_class_names(tmp_path: Path, end: str) -> None:
    """The well-known pair of cats: in copies, only the file with the test images names the classes."""
    (tmp_path / "set").mkdir()
    save(
        tmp_path / f"set/test{end}", {"x_test": pixels(1, 6, 5), "y_test": [1], "list_classes": np.array([b"non-cat", b"cat"])}
    )
    save(tmp_path / f"set/train{end}", {"x_train": pixels(2, 6, 5), "y_train": [0, 1]})
    importer = npz if end == ".npz" else hdf5
    rows = list(importer.read(tmp_path / "set", ArraysParams(), tmp_path / "out"))
    assert [row.label for row in rows if isinstance(row, Sample)] == ["cat", "non-cat", "cat"]
    assert [(row.id, row.how) for row in rows if isinstance(row, Adjusted)] == [
        (row.id, BORROWED) for row in rows if isinstance(row, Sample) and row.split == "train"
    ]
    save(tmp_path / f"set/more{end}", {"x": pixels(1, 6, 5), "y": [0], "class_names": np.array([b"dog"])})
    labels = [row.label for row in importer.read(tmp_path / "set", ArraysParams(), tmp_path / "out") if isinstance(row, Sample)]
    assert sorted(map(str, labels)) == ["0", "1", "cat", "dog"], "two lists, and nothing says which one"


def test_without_h5py_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "set.h5", {"images": pixels(1, 6, 5), "labels": [0]})
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"needs h5py.*pipekit-vision\[hdf5\]"):
        list(hdf5.read(tmp_path, ArraysParams(), tmp_path / "out"))
    assert "needs h5py" in hdf5.sniff(tmp_path).reason  # type: ignore[union-attr]


def test_an_archive_that_ends_early_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "data.npz", x_train=np.zeros((2, 8, 8), np.uint8), y_train=np.zeros(2, np.uint8))

    def ends(archive: zipfile.ZipFile, name: str) -> Any:
        raise EOFError

    monkeypatch.setattr(zipfile.ZipFile, "open", ends)
    with pytest.raises(UserError, match=r"can't read .*data\.npz: x_train: it ends early"):
        list(npz.read(tmp_path / "data.npz", ArraysParams(), tmp_path))
