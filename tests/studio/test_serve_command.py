"""``pipekit serve`` as a person starts it: it says where, answers, and ends on Ctrl-C together with its process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np

from pipekit import images
from tests.studio.served import write_model


def test_the_command(tmp_path: Path) -> None:
    write_model(tmp_path / "colours")
    words = [sys.executable, "-m", "pipekit", "serve", "colours", "--port", "0"]
    own = {**os.environ, "PYTHONUNBUFFERED": "1", "PIPEKIT_SERVE_TOKEN": "a-token-of-the-environment"}
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=own)
    assert process.stdout is not None
    line = process.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert address, (line, process.stderr and process.stderr.read())
    assert line.startswith("colours: 3 outputs.")
    red = images.encode(np.full((20, 20, 3), (250, 0, 0), np.uint8), "png")
    headers = {"Authorization": f"Bearer {own['PIPEKIT_SERVE_TOKEN']}"}
    with urllib.request.urlopen(urllib.request.Request(f"{address[0]}/predict", red, headers)) as answer:
        assert json.load(answer)["predicted"] == "red"
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "a-token" not in line + out + said
    assert not said  # no line about a request, and none about its image
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["colours", "model.json", "model.onnx"]
