"""`pipekit serve` compared with a bare loop on the same runtime, and 10,000 requests, 1 % of them hostile.

Rerun: python benchmarks/serve.py [--count N] [--requests N] [--loaded MODEL]

The model is a linear layer on features of EfficientNet-Lite0 (224 px, ONNX Runtime, no TensorFlow), as `pipekit train --model
auto` makes one. The bare loop has each file's bytes in memory, decodes them at a reduced scale, resizes them, and gives them to
a session of one thread. A client sends the same bytes, one request after another, on one connection; both take turns, image by
image, so that other work on the machine slows both. Memory is that of the server and of the process of its model (PSS), after a
tenth of the requests and at the end. Numbers are printed as Markdown.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from _common import cpu_seconds, make_photos, photos_in, tree_memory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SIZE = 224
LANES = 4


def write_model(folder: Path) -> Path:
    """A run's folder: the head of a model on frozen features."""
    from pipekit.builtin.embed import EmbedStageParams
    from pipekit.learning.linear_head import FILE, _identity
    from pipekit.registry.registry import load_registry

    asked: Any = load_registry(installed=False).check_params(EmbedStageParams, {}, folder)
    call = asked.embedder
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.savez(folder / FILE, kernel=rng.normal(0, 0.05, (1280, 5)).astype(np.float32), bias=np.zeros(5, np.float32))
    params, identity = call.params.model_dump(mode="json"), _identity(call.component, call.params)
    features = {"embedder": call.name, "params": params, "identity": identity, "dataset": ""}
    info = {"classes": list("abcde"), "input_shape_hwc": [SIZE, SIZE, 3], "template": "made", "features": features}
    (folder / "model.json").write_text(json.dumps(info), "utf-8")
    return folder


def bare(folder: Path) -> Callable[[bytes], Any]:
    import cv2
    import onnxruntime
    import simplejpeg

    from pipekit.learning.efficientnet_lite import LITE0, facts_for
    from pipekit.learning.linear_head import FILE

    file = folder / "network"
    file.write_bytes(facts_for(LITE0).convert(LITE0.weights_file()))  # type: ignore[misc]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    kernel = np.load(folder / FILE)["kernel"]

    def one(data: bytes) -> Any:
        image = simplejpeg.decode_jpeg(data, min_height=SIZE, min_width=SIZE, min_factor=2)
        resized = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        scores = session.run(None, {"images": resized[None]})[0] @ kernel
        powers = np.exp(scores - scores.max())
        return (powers / powers.sum())[0]

    return one


class Server:
    """A running `pipekit serve`."""

    def __init__(self, model: Path) -> None:
        started, cpu_s = time.perf_counter(), cpu_seconds()
        command = [sys.executable, "-m", "pipekit", "serve", str(model), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        assert self.process.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", self.process.stdout.readline())
        assert found, "the server did not start"
        self.port, self.up_s, self.up_cpu_s = int(found[1]), time.perf_counter() - started, cpu_seconds() - cpu_s

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()

    def client(self) -> Callable[[bytes], tuple[int, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

        def post(data: bytes) -> tuple[int, Any]:
            connection.request("POST", "/predict", data)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

        return post


def compared(post: Callable[[bytes], Any], one: Callable[[bytes], Any], files: list[bytes]) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {"bare loop": [], "serve": []}
    for data in files:
        for name, ask in (("bare loop", one), ("serve", post)):
            started = time.perf_counter()
            ask(data)
            taken[name].append(1000 * (time.perf_counter() - started))
    return taken


def largest_difference(server: Server, model: Path, paths: list[str]) -> float:
    import pipekit

    predicted, found = list(pipekit.predict(model, paths)), 0.0
    post = server.client()
    for expected in predicted:
        shares = {one["class"]: one["probability"] for one in post(Path(expected.image).read_bytes())[1]["top"]}
        found = max(found, *(abs(shares[name] - share) for name, share in expected.probabilities))
    return found


def under_load(server: Server, files: list[bytes], count: int) -> tuple[dict[int, int], int, list[int], float]:
    """Answers by status, the number of wrong ones, memory after each tenth in bytes, and seconds."""
    from tests.studio.hostile import files as hostile_files

    bad = list(hostile_files().values())
    plan = [
        bad[number // 100 % len(bad)] if number % 100 == 99 else (files[number % len(files)], 200) for number in range(count)
    ]
    memory, started = [], time.perf_counter()
    statuses: dict[int, int] = {}
    wrong = 0

    def lane(part: list[tuple[bytes, int]]) -> list[tuple[int, int]]:
        post = server.client()
        return [(post(data)[0], status) for data, status in part]

    with ThreadPoolExecutor(LANES) as pool:
        for tenth in range(10):
            part = plan[tenth * count // 10 : (tenth + 1) * count // 10]
            for lines in pool.map(lane, [part[at::LANES] for at in range(LANES)]):
                for status, expected in lines:
                    statuses[status] = statuses.get(status, 0) + 1
                    wrong += status != expected
            memory.append(tree_memory(server.process.pid))
    return statuses, wrong, memory, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="number of requests that are compared with the bare loop")
    parser.add_argument("--requests", type=int, default=10_000, help="number of requests under load")
    parser.add_argument("--loaded", type=Path, help="another model, or a run, for the requests under load")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        photos = Path(made, "photos")
        make_photos(photos, 40)
        paths = photos_in(photos)
        files = [Path(path).read_bytes() for path in paths]
        model = write_model(Path(made, "model"))
        one, server = bare(model), Server(model)
        try:
            post = server.client()
            compared(post, one, files[:10])
            taken = compared(post, one, [files[number % len(files)] for number in range(given.count)])
            print(f"up after {server.up_s:.1f} s ({server.up_cpu_s:.1f} s of processor time)\n")
            print(f"| {given.count} photographs, one after another | p50, ms | p95, ms | to the bare loop |\n|---|---|---|---|")
            for name, values in taken.items():
                half, most = np.percentile(values, [50, 95])
                print(f"| {name} | {half:.1f} | {most:.1f} | {half / np.percentile(taken['bare loop'], 50):.2f} |")
            print(f"\nlargest difference to `pipekit predict`: {largest_difference(server, model, paths):.1e}")
            if given.loaded is not None:
                server.end()
                server = Server(given.loaded)
            if given.requests:
                statuses, wrong, memory, seconds = under_load(server, files, given.requests)
                listed = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
                print(
                    f"\n{given.requests} requests on {LANES} connections, 1 % hostile: {given.requests / seconds:.0f} a second"
                )
                print(f"answers: {listed}; {wrong} of another status than expected")
                print(f"memory: {memory[0] / 1e6:.0f} MB after a tenth, {memory[-1] / 1e6:.0f} MB at the end")
        finally:
            server.end()


if __name__ == "__main__":
    main()
