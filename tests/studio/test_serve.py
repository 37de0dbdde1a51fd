"""``pipekit serve``: what it answers, what it refuses, and that its answers are those of ``pipekit predict``."""

from __future__ import annotations

import ast
import asyncio
import base64
import html
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import UserError
from pipekit.commands.predict import predict
from pipekit.commands.serve import Wanted
from pipekit.studio import serving
from pipekit.studio.model_server import ModelServer, is_loopback, listening, serve
from pipekit.studio.serve_guard import ServeGuard
from pipekit.studio.worker import LARGE_GO_BACK, LostError, Worker
from tests.studio.asgi import Answer, ask
from tests.studio.hostile import files as hostile_files
from tests.studio.served import running, write_model

TOKEN = "a token of the tests".replace(" ", "-")
HOSTILE = hostile_files()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """One process for all tests of this module; most ask the application without a socket."""
    with running(write_model(tmp_path_factory.mktemp("served") / "colours")) as made:
        yield made


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of each format: turned by EXIF, grey, with an alpha channel, large enough to be decoded at a reduced scale."""
    from PIL import Image

    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(1)
    for number, (name, mode) in enumerate(
        [("a.jpg", "RGB"), ("b.png", "RGBA"), ("c.webp", "RGB"), ("d.jpg", "L"), ("e.png", "P")]
    ):
        noise = rng.integers(0, 256, (9, 7, 3), np.uint8) // [1, 2, 3]
        picture = Image.fromarray(noise.astype(np.uint8)).resize((300 + 31 * number, 200)).convert(mode)
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "a.jpg" else 1
        picture.save(folder / name, exif=exif)
    return folder


def post(server: ModelServer, body: bytes, path: str = "/predict", **headers: str) -> Answer:
    host = f"127.0.0.1:{server.port}"
    return ask(server.app, path, "POST", {"Host": host, **headers}, body)


def get(server: ModelServer, path: str, **headers: str) -> Answer:
    return ask(server.app, path, headers={"Host": f"127.0.0.1:{server.port}", **headers})


def as_json(*files: bytes, name: str = "") -> bytes:
    listed = [{"b64": base64.b64encode(data).decode()} for data in files]
    return json.dumps({"instances": [{name: one} for one in listed] if name else listed}).encode()


def test_the_answers_are_those_of_predict(server: ModelServer, photos: Path) -> None:
    expected = list(predict(server.worker.wanted["model"], photos))
    assert len(expected) == 5
    several = post(server, as_json(*(Path(one.image).read_bytes() for one in expected))).json["predictions"]
    for one, of_json in zip(expected, several, strict=True):
        found = post(server, Path(one.image).read_bytes()).json
        assert found["predicted"] == of_json["predicted"] == one.predicted
        for given in (found, of_json):
            assert {each["class"] for each in given["top"]} == {"red", "green", "blue"}
            for each in given["top"]:
                assert abs(each["probability"] - dict(one.probabilities)[each["class"]]) < 1e-4


def test_the_forms_of_tensorflow_serving(server: ModelServer, photos: Path) -> None:
    data = (photos / "a.jpg").read_bytes()
    (expected,) = post(server, as_json(data)).json["predictions"]
    for path in ("/predict", "/v1/models/colours:predict"):
        assert post(server, as_json(data, data, name="image_bytes"), path).json == {"predictions": [expected, expected]}
    assert len(post(server, data, "/predict?top_k=1").json["top"]) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_image_is_refused(server: ModelServer, name: str) -> None:
    body, status = HOSTILE[name]
    answer = post(server, body)
    assert (answer.status, name) == (status, name)
    assert answer.json["error"]
    assert "Traceback" not in answer.json["error"]


def test_a_refusal_names_the_instance(server: ModelServer) -> None:
    answer = post(server, HOSTILE["one of two"][0]).json
    assert answer["error"] == "instance 1 can't be used: truncated JPEG"
    assert [one["instance"] for one in answer["problems"]] == [1]


@pytest.mark.parametrize("top_k", ["0", "-1", "x", "1.5", "", "99999999999999999999", "²"])
def test_a_wrong_parameter(server: ModelServer, photos: Path, top_k: str) -> None:
    assert post(server, (photos / "a.jpg").read_bytes(), f"/predict?top_k={top_k}").status == 400


def test_a_large_body_is_not_read_to_its_end(server: ModelServer) -> None:
    read: list[int] = []

    async def receive() -> Any:
        read.append(65536)
        return {"type": "http.request", "body": bytes(65536), "more_body": True}

    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    host = f"127.0.0.1:{server.port}".encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "query_string": b"",
        "headers": [(b"host", host)],
        "root_path": "",
    }
    asyncio.run(server.app(scope, receive, send))
    assert said[0]["status"] == 413
    assert sum(read) <= serving.MAX_BODY_BYTES + 65536
    length = str(serving.MAX_BODY_BYTES + 1)
    assert post(server, b"", **{"Content-Length": length}).status == 413


def test_a_body_that_does_not_arrive(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "READ_S", 0.05)
    said: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        said.append(message)

    host = f"127.0.0.1:{server.port}".encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "query_string": b"",
        "headers": [(b"host", host)],
        "root_path": "",
    }
    asyncio.run(server.app(scope, receive, send))
    assert said[0]["status"] == 408


def test_other_addresses(server: ModelServer) -> None:
    assert get(server, "/healthz").json == {"status": "ok"}
    assert get(server, "/model").json["classes"] == ["red", "green", "blue"]
    assert get(server, "/nowhere").status == 404
    assert get(server, "/predict").status == 405
    assert b"127.0.0.1" in get(server, "/").body
    document = get(server, "/openapi.json").json
    addresses = {route.path for route in serving.application(server.worker).routes}  # type: ignore[attr-defined]
    assert set(document["paths"]) == {
        path for path in addresses if path != "/" and "/static/" not in path and "openapi" not in path
    }
    named = json.dumps(document).split('"#/components/schemas/')[1:]
    assert {text.partition('"')[0] for text in named} == set(document["components"]["schemas"])


def test_every_file_of_the_page_is_there(server: ModelServer) -> None:
    for name in serving.STATIC:
        assert get(server, f"/static/{name}").status == 200
    policy = get(server, "/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_examples_of_the_page_run(
    server: ModelServer, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photo.jpg", "one.jpg", "two.jpg"):
        shutil.copyfile(photos / "a.jpg", tmp_path / name)
    expected = post(server, (photos / "a.jpg").read_bytes()).json
    examples = [html.unescape(text) for text in re.findall(r"<pre[^>]*>(.*?)</pre>", get(server, "/").body.decode(), re.DOTALL)]
    curl, one, several = examples
    exec(one, {})
    assert ast.literal_eval(capsys.readouterr().out) == expected
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        exec(several, {})
    assert not warned, "it closes the files that it reads"
    assert capsys.readouterr().out.splitlines() == [f"one.jpg {expected}", f"two.jpg {expected}"]
    page = (ROOT / "docs/howto/serve.md").read_text("utf-8")
    own = [text.replace(f"127.0.0.1:{server.port}", "127.0.0.1:8480") for text in (one, several)]
    assert re.findall(r"^```python\n(.*?)\n^```$", page, re.DOTALL | re.MULTILINE) == own  # so those of the document run too
    if shutil.which("curl"):
        assert json.loads(subprocess.run([*shlex.split(curl), "-s"], check=True, capture_output=True).stdout) == expected


def test_metrics_count_and_hold_no_name_of_a_request(server: ModelServer, photos: Path) -> None:
    app = server.app
    headers = {"Host": f"127.0.0.1:{server.port}"}
    for path in ("/a-secret-path", "/v1/models/a-secret-name:predict", "/predict"):
        ask(app, path, "POST", headers, (photos / "a.jpg").read_bytes())
    ask(app, "/predict", "POST", headers, b"")
    lines = ask(app, "/metrics", headers=headers).body.decode().splitlines()
    assert {
        'pipekit_requests_total{path="/predict",status="200"} 1',
        'pipekit_requests_total{path="/predict",status="400"} 1',
        'pipekit_requests_total{path="/v1/models",status="200"} 1',
        'pipekit_requests_total{path="other",status="404"} 1',
        'pipekit_images_total{result="predicted"} 2',
        "pipekit_predict_seconds_count 2",
        "pipekit_ready 1",
    } <= set(lines)
    assert "secret" not in "".join(lines)
    assert all(line.startswith("#") or line.rpartition(" ")[2].replace(".", "").replace("e-", "").isdigit() for line in lines)


# --- who may ask -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1", "127.0.0.1:1", ""])
def test_another_name_is_refused(server: ModelServer, host: str) -> None:
    assert get(server, "/healthz", Host=host).status == 403


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://127.0.0.1:1"])
def test_pages_of_other_sites_may_not_ask(server: ModelServer, photos: Path, origin: str) -> None:
    data = (photos / "a.jpg").read_bytes()
    assert post(server, data, Origin=origin).status == 403
    assert post(server, data, Origin=f"http://127.0.0.1:{server.port}").status == 200


def test_a_token_opens_all_but_what_says_nothing_of_the_model(server: ModelServer, photos: Path) -> None:
    app = ServeGuard(serving.application(server.worker, True), (), TOKEN, serving.OPEN)
    data = (photos / "a.jpg").read_bytes()
    for path in ("/", "/healthz", "/openapi.json", "/static/serve.js"):
        answer = ask(app, path, headers={"Host": "any.name"})
        assert answer.status == 200
        assert TOKEN.encode() not in answer.body
    for given in ("", f"Bearer {TOKEN}x", TOKEN, f"Basic {TOKEN}"):
        for path, method in (("/predict", "POST"), ("/model", "GET"), ("/metrics", "GET")):
            answer = ask(app, path, method, {"Host": "any.name", "Authorization": given}, data)
            assert answer.status == 401
            assert b"red" not in answer.body
    with_token = {"Host": "any.name", "Authorization": f"Bearer {TOKEN}", "Origin": "https://a.page"}
    assert ask(app, "/predict", "POST", with_token, data).status == 200


def test_another_address_needs_a_token(server: ModelServer) -> None:
    wanted = Wanted(server.worker.wanted["model"])
    with pytest.raises(UserError, match="at least 16"):
        serve(wanted, "0.0.0.0", 0, "short")
    made = ModelServer(server.worker, server.socket, "0.0.0.0", "x" * 24)
    assert ask(made.app, "/model", headers={"Host": "anything"}).status == 401
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "example.org")] == [True] * 3 + [
        False
    ] * 2


def test_a_port_that_is_taken(server: ModelServer) -> None:
    with pytest.raises(UserError, match=f"port {server.port}"):
        listening("127.0.0.1", server.port)


# --- many requests, and a process that dies ----------------------------------------------------------------------------------


def test_many_requests_of_which_some_are_hostile(server: ModelServer, photos: Path) -> None:
    """Eight clients; each answer belongs to its own image, and the process is the same at the end."""
    good = [(path.read_bytes(), 200) for path in sorted(photos.iterdir())]
    alone = [post(server, data).json for data, _ in good]
    bad, before = list(HOSTILE.values()), (server.worker.pid, server.worker.restarts)
    plan = [bad[number // 10 % len(bad)] if number % 10 == 9 else good[number % len(good)] for number in range(320)]

    def client(lane: int) -> list[bool]:
        connection, right = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60), []
        for number in range(lane, len(plan), 8):
            body, status = plan[number]
            connection.request("POST", "/predict", body)
            answer = connection.getresponse()
            found = json.loads(answer.read())
            right.append(answer.status == status and (status != 200 or _same(found, alone[number % len(good)])))
        connection.close()
        return right

    with ThreadPoolExecutor(8) as pool:
        found = [one for lane in pool.map(client, range(8)) for one in lane]
    assert len(found) == len(plan)
    assert all(found)
    assert (server.worker.pid, server.worker.restarts) == before
    assert server.worker.waiting == 0


def _same(one: Any, other: Any) -> bool:
    shares = [{each["class"]: each["probability"] for each in answer["top"]} for answer in (one, other)]
    return one["predicted"] == other["predicted"] and all(abs(shares[0][name] - shares[1][name]) < 1e-4 for name in shares[0])


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_the_process_of_the_model_gives_large_memory_back(server: ModelServer) -> None:
    """12,000 requests, some of them large images, took it from 151 to 320 MB without, to 151 MB with it."""
    given = Path(f"/proc/{server.worker.pid}/environ").read_bytes().split(b"\0")
    assert {f"{name}={value}".encode() for name, value in LARGE_GO_BACK.items()} <= set(given)


def test_requests_are_predicted_together(server: ModelServer, photos: Path) -> None:
    data = (photos / "b.png").read_bytes()
    frames: list[Future[Any]] = [server.worker.predict([data]) for _ in range(60)]
    sizes = [one.result(60)["answers"][0]["batch"] for one in frames]
    assert max(sizes) > 1
    assert max(sizes) <= 8


def test_too_many_that_wait_are_told_to_come_again(server: ModelServer, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MAX_WAITING", 0)
    answer = post(server, (photos / "a.jpg").read_bytes())
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_a_process_that_dies_is_started_again(server: ModelServer, photos: Path) -> None:
    """Last of the tests that share the process."""
    data, pid, restarts = (photos / "a.jpg").read_bytes(), server.worker.pid, server.worker.restarts
    expected = post(server, data).json
    os.kill(pid, signal.SIGSTOP)
    waiting = server.worker.predict([data])
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(LostError):
        waiting.result(60)
    assert post(server, data).status in (200, 503)
    _until(lambda: server.worker.ready)
    assert post(server, data).json == expected
    assert (server.worker.restarts, server.worker.pid != pid) == (restarts + 1, True)


def _until(holds: Any) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if holds():
            return
        pause.wait(0.02)
    raise AssertionError("it does not come true")


def test_a_process_whose_model_can_not_be_opened_leaves_no_open_pipe(tmp_path: Path) -> None:
    worker = Worker(Wanted(str(tmp_path)).plain())
    with pytest.raises(UserError, match="no trained model"):
        worker.wait()
    pipes = (worker._process.stdin, worker._process.stdout)
    assert [pipe is not None and pipe.closed for pipe in pipes] == [True, True]
