"""``pipekit studio``: it says where, takes the next free port, and ends on Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from pipekit.commands.browse import state_folder
from pipekit.studio import jobs


def _long_job(work: Path, monkeypatch: pytest.MonkeyPatch) -> jobs.Job:
    """A job that runs until it is stopped."""
    script = work / "python"
    script.write_text("#!/bin/sh\nexec sleep 300\n", "utf-8")
    script.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr("sys.executable", str(script))
        return jobs.start(state_folder(work) / "jobs", "train", ["train", "photos"], work)


def test_the_command(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [sys.executable, "-m", "pipekit", "studio", "photos", "--no-open", "--port"]
    job = _long_job(work, monkeypatch)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        by_ssh = {**os.environ, "SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}
        process = subprocess.Popen(
            [*words, str(port)], cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=by_ssh
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=\S+", line)
        assert address, (line, process.stderr and process.stderr.read())
        assert int(address[1]) > port
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        with browser.open(address[0]) as answer:
            assert answer.url == f"http://127.0.0.1:{address[1]}/"
            assert b"<main" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        out, said = process.stdout.read(), process.stderr.read()  # communicate() would miss what readline() has read ahead
        process.wait(60)
    assert process.returncode == 0
    assert f"Port {port} is taken." in said
    assert f"ssh -L {address[1]}:127.0.0.1:{address[1]} HOST" in out
    assert job.running
    assert "1 job(s) continue: pipekit train photos\nTo stop one, open the studio again." in said
    job.stop()
    jobs._children[-1].wait(60)
    assert not [name for name in ("pipeline.toml", "runs", "corrections.csv") if (work / name).exists()]


def test_a_pipeline_file_whose_import_is_wrong_is_told_with_all_mistakes_and_lines(work: Path) -> None:
    text = '[stages.data]\nuse = "import.folders"\npath = "photos"\nverfy = "no"\n\n[stages.split]\nuse = "split"\nfold = "x"\n'
    (work / "pipeline.toml").write_text(text, "utf-8")
    words = [sys.executable, "-m", "pipekit", "studio", "--no-open", "--port", "0"]
    found = subprocess.run(words, cwd=work, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 2
    assert "stages.data.verfy" in found.stderr
    assert "in pipeline.toml, line 4" in found.stderr
    assert "in pipeline.toml, line 8" in found.stderr
