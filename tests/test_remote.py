"""URLs where a path is taken: local copies that hold the same bytes, fetched once, under names that people know."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import pipekit
from pipekit import errors
from pipekit.cli import main
from pipekit.errors import UserError
from pipekit.files import remote, urls

URL = "memory://bucket/photos"

PIPELINE = f"""
name = "seen"
[stages.data]
use = "import.folders"
path = "{URL}"
[stages.split]
use = "split"
"""


class Objects:
    """A store in memory: what was fetched of it, and which objects can't be."""

    def __init__(self, system: Any, patch: pytest.MonkeyPatch) -> None:
        self.system, self.fetched, self.broken = system, list[str](), set[str]()
        get = type(system).get_file

        def get_file(own: Any, name: str, place: str, **options: Any) -> None:
            if name in self.broken:
                raise OSError("connection reset by https://me:pw@host/x?sig=abc")
            self.fetched.append(name)
            get(own, name, place, **options)

        patch.setattr(type(system), "get_file", get_file)

    def put(self, name: str, data: bytes) -> None:
        self.system.pipe_file(f"/bucket/{name}", data)

    def count(self) -> int:
        """The number of objects that were fetched since the last call; the next command lists them anew."""
        count = len(self.fetched)
        self.fetched.clear()
        remote._fresh.clear()
        return count


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    fsspec = pytest.importorskip("fsspec", reason="pip install 'pipekit-vision[remote]'")
    system = fsspec.filesystem("memory")
    system.store.clear()
    monkeypatch.setenv(urls.CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(errors, "as_shown", None)
    monkeypatch.chdir(tmp_path)
    remote._fresh.clear()
    yield Objects(system, monkeypatch)
    system.store.clear()


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


@pytest.fixture
def photos(objects: Objects, tmp_path: Path) -> Objects:
    """Six images in two classes, in the store and on the disk."""
    for seed in range(6):
        name = f"photos/{('cat', 'dog')[seed % 2]}/{seed}.png"
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture(seed))
        objects.put(name, picture(seed))
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    return objects


def digests() -> list[str]:
    return [stage["digest"] for stage in json.loads(Path("runs/seen/run.json").read_text())["stages"]]


def test_a_url_gives_the_digests_of_the_disk_and_each_object_is_fetched_once(photos: Objects, tmp_path: Path) -> None:
    Path("disk.toml").write_text(PIPELINE.replace(URL, "photos").replace("seen", "disk"))
    assert main(["run", "disk.toml", "--quiet"]) == main(["run", "--quiet"]) == 0
    assert photos.count() == 6
    disk = [stage["digest"] for stage in json.loads(Path("runs/disk/run.json").read_text())["stages"]]
    assert digests() == disk

    assert main(["run", "--quiet"]) == main(["sniff", URL, "--json"]) == 0
    assert photos.count() == 0

    photos.put("photos/cat/0.png", picture(100))  # a run that is as before until its source is listed
    photos.system.rm("/bucket/photos/dog/5.png")
    assert main(["run", "--quiet"]) == 0
    assert photos.count() == 1
    assert digests() != disk
    assert len(pipekit.dataset("runs/seen:data")) == 5
    assert not (tmp_path / "cache/memory/bucket/photos/dog/5.png").exists()


def test_records_and_errors_name_the_url(photos: Objects, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos.put("photos/cat/broken.png", b"no image")
    assert main(["run", "--set", "stages.data.max_failed=1.0"]) == 0
    run = json.loads(Path("runs/seen/run.json").read_text())
    assert run["stages"][0]["params"]["path"] == URL
    assert str(tmp_path / "cache") not in json.dumps(run) + Path("runs/seen/pipeline.toml").read_text()

    photos.put("empty/notes.txt", b"nothing")
    with pytest.raises(UserError) as raised:
        pipekit.inspect("memory://bucket/empty")
    assert "memory://bucket/empty" in str(raised.value)
    assert str(tmp_path / "cache") not in str(raised.value)
    capsys.readouterr()
    assert main(["sniff", "memory://bucket/none"]) == 2
    assert "no such file or folder: memory://bucket/none" in capsys.readouterr().err


def test_predictions_and_names_of_runs_are_those_of_the_url(photos: Objects) -> None:
    from pipekit.commands.browse import find_source
    from pipekit.commands.train import run_name
    from pipekit.learning.predictions import Prediction, find_images, to_plain

    found = list(find_images([URL, f"{URL}/dog/1.png"]))
    assert [to_plain(Prediction(path, error="?"), 1)["image"] for path in (found[0], found[-1])] == [
        f"{URL}/cat/0.png",
        f"{URL}/dog/1.png",
    ]
    assert (len(found), run_name(URL)) == (7, "photos")
    assert find_source(URL).images == URL
    with pytest.raises(UserError, match="no trained model in memory://bucket/photos"):
        pipekit.load(URL)


def test_the_bytes_of_a_copy_are_on_the_disk_before_it_has_its_name(
    photos: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, synced, sync = tmp_path / "cache", set[int](), os.fsync

    def fsync(handle: int) -> None:
        named = {path.stat().st_ino for path in (cache / "memory").rglob("*.png")}
        assert os.fstat(handle).st_ino not in named
        synced.add(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    urls.located(URL)
    copies = {path.stat().st_ino for path in (cache / "memory").rglob("*.png")}
    assert len(copies) == 6
    assert copies <= synced


def test_a_copy_can_not_be_written_to(photos: Objects) -> None:
    copy = urls.located(f"{URL}/cat/0.png")
    assert copy.read_bytes() == picture(0)
    assert copy.stat().st_mode & 0o222 == 0
    assert urls.cache_root().stat().st_mode & 0o077 == 0


def test_a_deleted_cache_is_fetched_again(photos: Objects) -> None:
    import shutil

    urls.located(URL)
    shutil.rmtree(urls.cache_root())
    assert photos.count() == 6
    assert (urls.located(URL) / "cat" / "0.png").read_bytes() == picture(0)
    assert photos.count() == 6


def test_an_interrupted_fetch_goes_on_where_it_ended(photos: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FETCHERS", 1)
    photos.broken.add("/bucket/photos/dog/5.png")
    with pytest.raises(UserError) as raised:
        urls.located(URL)
    assert "memory://bucket/photos/dog/5.png could not be fetched: OSError: connection reset by https://host/x" in str(
        raised.value
    )
    assert "pw" not in str(raised.value)
    assert photos.count() == 5
    photos.broken.clear()
    urls.located(URL)
    assert photos.count() == 1


def test_an_object_that_came_in_part_is_no_copy(photos: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    find = type(photos.system).find
    monkeypatch.setattr(
        type(photos.system),
        "find",
        lambda *given, **options: {
            name: {**about, "size": about["size"] + 1} for name, about in find(*given, **options).items()
        },
    )
    with pytest.raises(UserError, match="bytes came, and the listing has"):
        urls.located(URL)


def test_the_cache_lets_the_source_go_that_was_not_used_for_longest(
    objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(remote.LIMIT, "0.00001")  # 10 kB
    for name in ("a", "b", "c"):
        objects.put(f"{name}/x.bin", bytes(4_000))
    old, used = urls.located("memory://bucket/a"), urls.located("memory://bucket/b")
    # This process is done with the first and goes on with the second.
    remote._users_file[0].write_text("memory/bucket/b\n")
    new = urls.located("memory://bucket/c")
    assert not old.exists()
    assert used.exists()
    assert new.exists()
    assert remote.kept() == (8_000, 2)
    assert list((tmp_path / "cache/tmp").iterdir()) == []

    objects.put("large/x.bin", bytes(12_000))
    with pytest.raises(UserError, match=r"has 0\.00 GB.*PIPEKIT_REMOTE_GB="):
        urls.located("memory://bucket/large")


@pytest.mark.parametrize("name", ["photos/../../out.png", "photos//x.png", "photos/./x.png"])
def test_no_object_is_written_outside_its_folder(
    objects: Objects, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.put("photos/a.png", picture(0))
    monkeypatch.setattr(
        type(objects.system), "find", lambda *given, **options: {f"/bucket/{name}": {"size": 1, "type": "file"}}
    )
    with pytest.raises(UserError, match="can't be a file on this disk"):
        urls.located(URL)
    assert not (tmp_path / "cache").exists()


def test_an_object_and_a_folder_of_one_name_are_named(objects: Objects) -> None:
    objects.put("photos/a/b.png", picture(0))
    objects.system.store["/bucket/photos/a"] = objects.system.store["/bucket/photos/a/b.png"]
    with pytest.raises(UserError, match=r"an object and a folder of the same name, above 'a/b\.png'"):
        urls.located(URL)


def test_credentials_are_in_no_copy_and_no_message() -> None:
    assert urls.without_secrets("https://me:pw@host/a.zip?X-Amz-Signature=1&part=2&sig=3") == "https://host/a.zip?part=2"
    assert urls.without_secrets("s3://KEY:SECRET@bucket/photos") == "s3://bucket/photos"
    assert urls.without_secrets("hf://datasets/me/photos@main/train") == "hf://datasets/me/photos@main/train"
    signed = "https://host/photos.zip?X-Amz-Signature=1"
    assert remote.place_of(signed) == remote.place_of(signed.replace("=1", "=2")) == "https/host/photos.zip"
    assert remote.place_of("https://host/a.zip?id=1") != remote.place_of("https://host/a.zip?id=2")
    text = 'path = "https://me:pw@host/a.zip?token=1"  # see https://docs.org/x#y'
    assert urls.text_without_secrets(text) == 'path = "https://host/a.zip"  # see https://docs.org/x#y'


def test_the_record_of_a_run_has_no_credentials(photos: Objects) -> None:
    Path("pipeline.toml").write_text(PIPELINE + "\n# a mirror: https://me:pw@host/photos?X-Goog-Signature=ab&part=1\n")
    assert main(["run", "--quiet", "--until", "data"]) == 0
    assert "# a mirror: https://host/photos?part=1" in Path("runs/seen/pipeline.toml").read_text()


def test_without_its_packages_a_url_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    monkeypatch.setenv(urls.CACHE, str(tmp_path / "cache"))
    for url, install in (("s3://bucket/photos", "[remote]'"), ("gs://bucket/photos", "[remote]' gcsfs")):
        assert main(["sniff", url]) == 2
        err = capsys.readouterr().err
        assert f"{url} is a URL, and fsspec, which reads URLs, is not installed" in err
        assert f"pip install 'pipekit-vision{install}\n" in err


def test_the_package_of_a_protocol_and_an_unknown_protocol_are_named(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def lacking(url: str) -> Any:
        raise ImportError("Please install gcsfs to access Google Storage")

    with pytest.raises(UserError, match=r"Did you mean 's3'\?"):
        urls.located("s3x://bucket/photos")
    monkeypatch.setattr(fsspec.core, "url_to_fs", lacking)
    with pytest.raises(UserError, match="pip install gcsfs"):
        urls.located("gs://bucket/photos")


def test_an_output_is_no_url(photos: Objects, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["augment", URL, "s3://bucket/out", "--ops", "light"]) == 2
    assert "an output can't be a URL: s3://bucket/out" in capsys.readouterr().err
    assert not Path("s3:").exists()


def test_a_folder_that_is_called_like_a_protocol_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s3:/photos").mkdir(parents=True)
    assert urls.located("s3:/photos") == Path("s3:/photos")
    assert urls.located(f"file://{tmp_path}") == tmp_path


LAB = '''
import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class Lab(MemoryFileSystem):
    """What is in memory, under a protocol of a plugin."""

    protocol = "{protocol}"

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("{protocol}://", "memory://"))


fsspec.register_implementation("{protocol}", Lab)
'''


def test_a_plugin_of_the_command_brings_the_protocol_of_its_url(photos: Objects, tmp_path: Path) -> None:
    from pipekit.commands.name_groups import names_in_folder
    from pipekit.errors import PlanError
    from pipekit.learning import advice

    def lab(protocol: str) -> dict[str, Any]:
        plugin = tmp_path / f"{protocol}.py"
        plugin.write_text(LAB.format(protocol=protocol))
        return {"plugins": [str(plugin)]}

    assert names_in_folder("lab1://bucket/photos") is None  # nothing has brought it yet: the command says what is wrong
    assert pipekit.sniff("lab1://bucket/photos", **lab("lab1")).importer == "folders"
    with pytest.raises(PlanError, match="epochs"):
        pipekit.train("lab2://bucket/photos", epochs=-1, **lab("lab2"))
    with pytest.raises(UserError, match="no_model"):
        pipekit.explain("no_model", "lab3://bucket/photos/cat/0.png", **lab("lab3"))
    assert advice._shown(urls.located("lab1://bucket/photos"), tmp_path) == "lab1://bucket/photos"
