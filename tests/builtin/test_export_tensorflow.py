"""Exports read by TensorFlow and Keras themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipekit.builtin.importers import tf_example, tfrecord
from pipekit.contract import Sample
from tests.builtin.exporting import export, make_samples, read


def test_tfrecord_is_read_by_tf_data(tmp_path: Path) -> None:
    import tensorflow as tf

    samples = make_samples(tmp_path / "photos")
    out = export("tfrecord", samples, tmp_path / "out", shard_size=3)
    files = sorted(map(str, out.glob("train-*.tfrecord")))
    assert Path(files[0]).name == "train-00000-of-00003.tfrecord"
    spec = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/filename": tf.io.FixedLenFeature([], tf.string),
        "image/height": tf.io.FixedLenFeature([], tf.int64),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
        "image/object/bbox/xmax": tf.io.VarLenFeature(tf.float32),
        "image/object/class/text": tf.io.VarLenFeature(tf.string),
        "image/object/class/label": tf.io.VarLenFeature(tf.int64),
    }
    names = tfrecord.label_map(out / "label_map.pbtxt")
    assert names == {1: "cat", 2: "dog", 3: "thing"}
    by_id: dict[str, Sample] = {sample.id: sample for sample in samples if sample.split == "train"}
    count = 0
    for record in tf.data.TFRecordDataset(files):
        example = tf.io.parse_single_example(record, spec)
        sample = by_id[example["image/filename"].numpy().decode()]
        assert example["image/encoded"].numpy() == Path(sample.image).read_bytes()
        picture = tf.io.decode_image(example["image/encoded"])
        assert picture.shape[0] == example["image/height"].numpy()
        assert ["cat", "dog"][example["image/class/label"].numpy()] == sample.label
        assert example["image/object/bbox/xmax"].values.shape[0] == len(sample.targets.boxes)
        texts = [text.decode() for text in example["image/object/class/text"].values.numpy()]
        assert texts == [box.label for box in sample.targets.boxes]
        assert [names[number] for number in example["image/object/class/label"].values.numpy()] == texts
        count += 1
    assert count == len(by_id)
    again = export("tfrecord", reversed(samples), tmp_path / "again", shard_size=3)
    assert all(Path(file).read_bytes() == (again / Path(file).name).read_bytes() for file in files)


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_tensorflow_s_records_are_read_without_it_and_come_back(tmp_path: Path, compression: str) -> None:
    import tensorflow as tf

    samples = make_samples(tmp_path / "photos")
    out = export("tfrecord", samples, tmp_path / "out", shard_size=3)
    for file in out.glob("*.tfrecord") if compression else ():
        records = [record.numpy() for record in tf.data.TFRecordDataset(str(file))]
        with tf.io.TFRecordWriter(str(file), compression) as writer:
            for record in records:
                writer.write(record)
    back = read("tfrecord", out)
    by_id = {sample.id: sample for sample in samples}
    assert sorted(found.id for found in back) == sorted(by_id)
    for found in back:
        sample = by_id[found.id]
        assert (found.label, found.split, found.targets.boxes) == (sample.label, sample.split, sample.targets.boxes)
        assert Path(found.image).read_bytes() == Path(sample.image).read_bytes()
    for file in out.glob("*.tfrecord"):
        ours = [data for _, data in tf_example.records(file)]
        theirs = [record.numpy() for record in tf.data.TFRecordDataset(str(file), compression)]
        assert ours == theirs
        assert all(same_features(tf.train.Example.FromString(data), tf_example.parsed(data)) for data in theirs)


def same_features(theirs: Any, ours: dict[str, Any]) -> bool:
    kinds = {name: getattr(value, value.WhichOneof("kind")).value for name, value in theirs.features.feature.items()}
    return {name: list(values) for name, values in kinds.items()} == ours


def test_folders_are_read_by_keras(tmp_path: Path) -> None:
    import keras

    samples = make_samples(tmp_path / "photos")
    out = export("folders", samples, tmp_path / "out")
    found = keras.utils.image_dataset_from_directory(str(out / "train"), image_size=(32, 32), batch_size=4, verbose=False)
    assert found.class_names == ["cat", "dog"]
    assert sum(int(labels.shape[0]) for _, labels in found) == sum(sample.split == "train" for sample in samples)
