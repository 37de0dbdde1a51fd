"""The page Train in a real browser: curves while a job runs, after a reload, and after its server was started again; a stop."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipekit.commands.browse import find_source
from pipekit.studio import jobs
from pipekit.studio.project import Project
from tests.studio.chromium import Chromium
from tests.studio.clicking import choose, fill_in, press_text
from tests.studio.running import held_to, opened, reloaded, running

TRAINING = """
import json, pathlib, signal, sys, time
number = 0
def stopped(*_):
    print("Stopped. Finished epochs are kept.", file=sys.stderr, flush=True)
    sys.exit(130)
signal.signal(signal.SIGINT, stopped)
place = pathlib.Path("epochs")
while True:
    while number < int(place.read_text()):
        number += 1
        event = {"event": "epoch", "stage": "train", "epoch": number, "epochs": 9, "best": 1, "loss": 1 / number}
        print(json.dumps(event | {"val_loss": 2 / number, "accuracy": 0.5, "val_accuracy": 0.4}), flush=True)
    if place.read_text() == "77":
        sys.exit("no more memory")
    time.sleep(0.05)
"""
DONE = "document.querySelectorAll('.job .row button:not([hidden])').length === 0"


@pytest.fixture
def trainer(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A command that trains by hand: it writes as many epochs as the file ``epochs`` says. Returns that file."""
    (work / "training.py").write_text(TRAINING, "utf-8")
    script = work / "python"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {work / 'training.py'}\n", "utf-8")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    (work / "recipes").mkdir()
    (work / "recipes" / "first.toml").write_text('ops = [{ op = "hflip" }]\n', "utf-8")
    (work / "epochs").write_text("2", "utf-8")
    yield work / "epochs"
    for child in jobs._children:
        if child.poll() is None:
            child.kill()
            child.wait()


def train_to(file: Path, epochs: int) -> None:
    """At once: the command reads the file all the time."""
    scratch = file.with_suffix(".new")
    scratch.write_text(str(epochs), "utf-8")
    scratch.replace(file)


def curves(count: int) -> str:
    return f"document.querySelector('.curves svg')?.getAttribute('aria-label').startsWith('loss after {count} epochs')"


def test_a_training_outlives_its_page_and_its_server(browser: Chromium, work: Path, trainer: Path) -> None:
    project: Any = Project(find_source("photos"))
    with running(project) as server:
        opened(browser, server, "/train")
        choose(browser, "[name=model]", "hog_svm")
        fill_in(browser, "[name=epochs]", "9")
        choose(browser, "[name=ops]", "first")
        wanted = "pipekit train photos --model hog_svm --epochs 9 --ops recipes/first.toml"
        browser.until(f"document.querySelector('.card code').textContent === {json.dumps(wanted)}")
        press_text(browser, "Train", "button.primary")
        browser.until(curves(2), "curves while it runs")
        assert browser.do("document.querySelector('.job code').textContent") == wanted
        reloaded(browser)
        browser.until(curves(2), "a reload shows them again")
        port, token = server.port, server.token
    (job,) = jobs.known(project.state / "jobs")
    train_to(trainer, 4)
    while len(job.read(0)[0]) < 4 and job.running:
        time.sleep(0.02)
    assert job.running, "it trains without a server"
    with running(Project(find_source("photos")), port, token):
        browser.until(curves(4), "the page continues without a reload")
        press_text(browser, "Stop")
        browser.until(DONE)
        assert browser.do("document.querySelector('.job p').textContent").startswith("Stopped.")
        assert not browser.do("document.querySelector('.job').classList.contains('failed')")
        press_text(browser, "Train", "button.primary")
        browser.until("document.querySelectorAll('.job').length === 2")
        browser.until(curves(4))
        train_to(trainer, 77)
        browser.until(DONE)
        assert browser.do("document.querySelector('.job').classList.contains('failed')")
        assert "no more memory" in browser.do("document.querySelector('.job .wrong').textContent")
        browser.errors = [one for one in browser.errors if "ERR_CONNECTION_REFUSED" not in one]  # between the two servers
        held_to(browser)
