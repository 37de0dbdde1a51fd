"""Photographs on a web server, read over HTTPS from a server on this machine that gives an etag for each file."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import json
import os
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from pipekit import errors
from pipekit.cli import main
from pipekit.files import remote, urls

fsspec = pytest.importorskip("fsspec", reason="pip install 'pipekit-vision[remote]'")
pytest.importorskip("aiohttp", reason="pip install 'pipekit-vision[remote]'")
x509 = pytest.importorskip("cryptography.x509", reason="pip install 'pipekit-vision[test]'")

PIPELINE = """
name = "{name}"
[stages.data]
use = "import.folders"
path = "{path}"
[stages.split]
use = "split"
"""


class Handler(SimpleHTTPRequestHandler):
    """Files with an etag of their bytes; counts what is read."""

    requests: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        self.requests["file" if Path(self.translate_path(self.path)).is_file() else "list"] += 1
        super().do_GET()

    def end_headers(self) -> None:
        file = Path(self.translate_path(self.path))
        if file.is_file():
            self.send_header("ETag", f'"{hashlib.md5(file.read_bytes()).hexdigest()}"')
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def gets() -> int:
    """The number of files read since the last call; the next command lists them anew."""
    remote._fresh.clear()
    count = Handler.requests["file"]
    Handler.requests.clear()
    return count


def certificate(folder: Path) -> Path:
    """A key and a certificate of this machine that it has signed itself."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "here")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file = folder / "here.pem"
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of twelve photographs in two classes, which lie in ``photos`` of the working folder, and a table of them."""
    folder = tmp_path_factory.mktemp("site")
    rng = np.random.default_rng(24)
    rows = ["path,label"]
    for number in range(12):
        name = f"photos/{('cat', 'dog')[number % 2]}/{number} ä+.jpg"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes(cv2.imencode(".jpg", rng.integers(0, 256, (32, 32, 3), np.uint8))[1]))
        rows.append(f"{name},{('cat', 'dog')[number % 2]}")
    (folder / "table").mkdir()
    (folder / "table/photos.csv").write_text("\n".join(rows))
    pem = certificate(tmp_path_factory.mktemp("keys"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(urls.CACHE, str(tmp_path_factory.mktemp("remote")))
        patch.setattr(errors, "as_shown", None)
        patch.chdir(folder)
        patch.setitem(fsspec.config.conf, "https", {"ssl": ssl.create_default_context(cafile=str(pem))})
        yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def digests(name: str) -> list[str]:
    return [stage["digest"] for stage in json.loads(Path(f"runs/{name}/run.json").read_text())["stages"]]


def run(name: str, path: str) -> list[str]:
    Path(f"{name}.toml").write_text(PIPELINE.format(name=name, path=path))
    assert main(["run", f"{name}.toml", "--quiet"]) == 0
    return digests(name)


def test_a_folder_has_the_digests_of_the_disk_and_a_second_run_reads_no_file(site: str) -> None:
    gets()
    first = run("web", f"{site}/photos/")
    assert gets() == 12
    assert first == run("disk", "photos")

    os.utime("photos/cat/0 ä+.jpg", (1, 1))  # another time, and the same etag
    assert run("web", f"{site}/photos/") == first
    assert gets() == 0

    changed = Path("photos/cat/2 ä+.jpg")
    changed.write_bytes(Path("photos/cat/4 ä+.jpg").read_bytes())
    assert run("web", f"{site}/photos/") != first
    assert gets() == 1


def test_one_file_is_read_once(site: str) -> None:
    gets()
    for _ in range(2):
        assert urls.located(f"{site}/table/photos.csv").read_text() == Path("table/photos.csv").read_text()
        remote._fresh.clear()
    assert gets() == 1


def test_commands_take_a_folder_by_the_slash_at_its_end(site: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A web server says of no address that it is a folder."""
    assert main(["sniff", f"{site}/photos/", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["importer"] == "folders"
    assert main(["features", f"{site}/photos/", "--quiet", "--no-show"]) == 0
    assert main(["embed", f"{site}/photos/", "--embedder", "no_such"]) == 2
    assert "no embedder called 'no_such'" in capsys.readouterr().err


def test_a_certificate_that_nobody_vouches_for_is_refused(
    site: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(fsspec.config.conf, "https", {"ssl": ssl.create_default_context()})
    remote._fresh.clear()
    assert main(["sniff", f"{site}/photos/"]) == 2
    said = capsys.readouterr().err
    assert f"{site}/photos/" in said
    assert "ertificate" in said
