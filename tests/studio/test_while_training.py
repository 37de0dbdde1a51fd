"""Beside a training that uses all processors: thumbnails and variants come, each its own; the server loads no TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipekit.commands.browse import find_source
from pipekit.commands.variants import variants_of
from pipekit.contract import NO_TARGETS
from pipekit.studio import aside, jobs
from pipekit.studio.aside import Aside
from pipekit.studio.project import Project
from tests.studio.chromium import Chromium
from tests.studio.running import held_to, opened, running

BUSY = """
import os
for _ in range(os.cpu_count() - 1):
    if not os.fork():
        break
print('{"event": "stage_started", "stage": "train"}', flush=True)
while os.path.exists("busy"):
    sum(range(100000))
"""
DRAG = """
const slider = document.querySelector('.ops [data-param=limit_deg] input[type=range]');
for (let value = 1; value <= 40; value++) {
  slider.value = String(value);
  slider.dispatchEvent(new Event('input', {bubbles: true}));
  await new Promise((done) => setTimeout(done, 5));
}
return Number(document.querySelector('.ops [data-param=limit_deg] input[type=number]').value);
"""


def test_pages_work_beside_a_training_on_all_processors(work: Path, browser: Chromium, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "busy").touch()
    (work / "busy.py").write_text(BUSY, "utf-8")
    script = work / "python"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {work / 'busy.py'}\n", "utf-8")
    script.chmod(0o755)
    project: Any = Project(find_source("photos"))
    with monkeypatch.context() as patch:
        patch.setattr("sys.executable", str(script))
        job = jobs.start(project.state / "jobs", "train", ["train", "photos"], work)
    try:
        with running(project) as server:
            opened(browser, server)
            browser.until("document.querySelectorAll('.tile img[src]').length === 12")
            assert job.running
            own, its = os.getpriority(os.PRIO_PROCESS, 0), os.getpriority(os.PRIO_PROCESS, job.facts["pid"])
            assert its == min(19, own + 5), "a training gives way to the pages"
            browser.do("sessionStorage.setItem('recipe', JSON.stringify([{op: 'rotate', limit_deg: 3}]))")
            browser.open(f"http://127.0.0.1:{server.port}/recipe")
            browser.until("document.querySelectorAll('.variants figcaption').length === 12")
            last = browser.do(DRAG)
            image = str(work / "photos" / project.catalog.ids[0])
            wanted, _ = variants_of(image, "x", NO_TARGETS, [{"op": "rotate", "limit_deg": last}], 128, 11, 0)
            shown = "[...document.querySelectorAll('.variants figcaption')].map((one) => one.textContent)"
            browser.until(f"{shown}[11] === {json.dumps(wanted[11])}")
            assert browser.do(shown) == wanted, "the last value counts"
            assert job.running
            held_to(browser)
    finally:
        (work / "busy").unlink()
        jobs._children[-1].wait(60)


ASKED = """
import sys
from pipekit.commands.browse import find_source
from pipekit.studio.project import Project
from tests.studio.asgi import Page
from tests.studio.test_dataset import thumbs_of
page = Page(Project(find_source("photos")))
digest = page.get("/api/index").json["digest"]
thumbs_of(page, list(range(12)))
given = {"row": 0, "size": 32, "count": 2, "seed": 0, "ops": [{"op": "hflip"}]}
assert page.post(f"/api/{digest}/preview", given).status == 200
while page.post("/api/cost", {"model": "auto"}).json["state"] == "working":
    pass
for path in ("ops", "templates", "runs", "checks", "try", f"{digest}/history/0", f"{digest}/nearest/0", f"{digest}/map"):
    assert page.get(f"/api/{path}").status == 200, path
print(sorted({"tensorflow", "keras", "torch", "matplotlib"} & set(sys.modules)))
"""


def test_the_server_loads_no_tensorflow(work: Path) -> None:
    """Here nothing runs in another process: not even what the server asks others for loads it."""
    place = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    found = subprocess.run([sys.executable, "-c", ASKED], cwd=work, env=place, capture_output=True, text=True, check=False)
    assert found.stdout.strip() == "[]", found.stderr


def test_results_that_were_asked_for_are_not_kept_for_ever() -> None:
    work = Aside()
    for number in range(3 * aside.KEPT):
        work.ask(str(number), abs, -number).result()
    assert [number for number in range(3 * aside.KEPT) if work.has(str(number))] == list(range(2 * aside.KEPT, 3 * aside.KEPT))
