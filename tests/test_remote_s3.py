"""Photographs in S3, against a real server of its protocol on this machine (moto), by the commands of the how-to."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipekit import errors
from pipekit.cli import main
from pipekit.files import remote, urls

HOWTO = Path(__file__).resolve().parent.parent / "docs" / "howto" / "s3.md"

pytest.importorskip("s3fs", reason="pip install 'pipekit-vision[remote]'")
pytest.importorskip("moto", reason="pip install 'pipekit-vision[test]'")


class Bucket:
    """``s3://my-bucket`` of the server, and the requests that it has answered."""

    def __init__(self, system: Any, requests: Counter[str]) -> None:
        self.system, self._requests = system, requests

    def put(self, name: str, data: bytes) -> None:
        self.system.pipe_file(f"my-bucket/{name}", data)

    def gets(self) -> int:
        """The number of objects read since the last call; the next command lists them anew."""
        remote._fresh.clear()
        count = self._requests["object"]
        self._requests.clear()
        return count


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    import s3fs
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    answer: Callable[..., Any] = DomainDispatcherApplication(create_backend_app)
    requests: Counter[str] = Counter()

    def counted(environ: dict[str, Any], start: Any) -> Any:
        lists = "list-type" in environ["QUERY_STRING"] or environ["PATH_INFO"].count("/") < 2
        if environ["REQUEST_METHOD"] == "GET":
            requests["list" if lists else "object"] += 1
        return answer(environ, start)

    server = make_server("127.0.0.1", 0, counted, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIATRIAL")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrTRIAL")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv(urls.CACHE, str(tmp_path_factory.mktemp("remote")))
        patch.setattr(errors, "as_shown", None)
        patch.chdir(tmp_path_factory.mktemp("work"))
        system = s3fs.S3FileSystem()
        system.mkdir("my-bucket")
        yield Bucket(system, requests)
    server.shutdown()
    thread.join()


@pytest.fixture(scope="module")
def photos(bucket: Bucket) -> Bucket:
    """Twelve photographs in two classes, in the bucket and, as the how-to has them, in ``photos``."""
    rng = np.random.default_rng(24)
    for number in range(12):
        name = f"photos/{('cat', 'dog')[number % 2]}/{number} ä+.jpg"
        data = bytes(cv2.imencode(".jpg", rng.integers(0, 256, (32, 32, 3), np.uint8))[1])
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)
        bucket.put(name, data)
    bucket.put("photos/cat/", b"")  # what consoles write for a folder
    return bucket


def commands() -> list[list[str]]:
    """The commands of the how-to, without the one that installs."""
    text = HOWTO.read_text("utf-8")
    Path("pipeline.toml").write_text(re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0])
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("pipekit ")]


def digests(name: str) -> list[str]:
    return [stage["digest"] for stage in json.loads(Path(f"runs/{name}/run.json").read_text())["stages"]]


def test_the_commands_of_the_how_to_read_each_object_once(photos: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    assert photos.gets() == 0
    for words in commands():
        assert main(words) == 0, words
    assert photos.gets() == 12

    assert main(["run", "--quiet"]) == 0
    assert photos.gets() == 0
    photos.put("photos/cat/0 ä+.jpg", Path("photos/cat/0 ä+.jpg").read_bytes())  # later, with the etag of before
    assert main(["run", "--quiet"]) == 0
    assert photos.gets() == 0

    Path("disk.toml").write_text(Path("pipeline.toml").read_text().replace("s3://my-bucket/", "").replace('"pets"', '"disk"'))
    assert main(["run", "disk.toml", "--quiet"]) == 0
    assert digests("disk") == digests("pets")
    kept = "".join(path.read_text("utf-8") for path in (*Path("runs").rglob("*.json"), *Path("runs").rglob("*.toml")))
    assert "TRIAL" not in kept + str(capsys.readouterr())


def test_doctor_states_the_size_of_the_cache(photos: Bucket) -> None:
    from pipekit.commands.doctor import remote_files

    urls.located("s3://my-bucket/photos")
    (said,) = remote_files()
    assert said.state == "ok"
    assert "1 source" in said.text
    assert "of 50 GB" in said.text


def test_a_bucket_that_is_not_there_is_named(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sniff", "s3://no-such-bucket/photos"]) == 2
    assert "s3://no-such-bucket/photos" in capsys.readouterr().err
