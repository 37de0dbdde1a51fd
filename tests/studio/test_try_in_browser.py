"""The page Try in a real browser: an image that is dropped, and a camera that stops when the page is left."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

from pipekit import images
from pipekit.commands.browse import find_source
from pipekit.studio.project import Project
from tests.studio.chromium import Chromium
from tests.studio.conftest import HOSTILE
from tests.studio.running import held_to, opened, running
from tests.studio.test_trying import write_run

DROP = """
return await (async () => {{
  const bytes = Uint8Array.from(atob('{data}'), (letter) => letter.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], {name}, {{type: 'image/png'}}));
  const dropped = new DragEvent('drop', {{dataTransfer: given, bubbles: true, cancelable: true}});
  document.querySelector('.drop').dispatchEvent(dropped);
  return true;
}})();
"""


def test_an_image_is_tried(work: Path, browser: Chromium) -> None:
    write_run(work)
    write_run(work, "hostile").joinpath("model.json").write_text(
        (work / "runs/colours/model.json").read_text("utf-8").replace("red", "<img onerror=alert(1)>"), "utf-8"
    )
    project = Project(find_source("photos"))
    with running(project) as server:
        opened(browser, server, "/try?run=hostile")
        browser.until("document.querySelector('.drop')")
        data = base64.b64encode(images.encode(np.full((20, 20, 3), (250, 0, 0), np.uint8), "png")).decode()
        browser.do(DROP.format(data=data, name=repr(HOSTILE)))
        assert browser.until("document.querySelector('.prediction h2')?.textContent") == "<img onerror=alert(1)>"
        shares = browser.do("[...document.querySelectorAll('.bars .many')].map((one) => parseFloat(one.textContent))")
        assert len(shares) == 3
        assert abs(sum(shares) - 100) < 0.2
        assert browser.do("document.querySelectorAll('.bars .chosen').length") == 1
        assert "needs a Keras network" in browser.do("document.querySelector('.wide').innerText")
        commands = browser.do("document.querySelector('.command-box code').textContent")
        assert commands.splitlines()[0].startswith("pipekit predict runs/hostile '<img src=x")

        frames = "Number(document.querySelector('[data-frames]')?.dataset.frames || 0)"
        browser.click("button.camera")
        browser.until(f"{frames} > 1")
        track = "window.camera = document.querySelector('video').srcObject.getTracks()[0]"
        assert browser.do(f"({track}).readyState") == "live"
        browser.do("dispatchEvent(new PageTransitionEvent('pagehide'))")
        assert browser.until("window.camera.readyState === 'ended'")
        assert browser.do("document.querySelector('button.camera').textContent") == "Camera"
        browser.do("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")  # as at a plain HTTP address
        browser.click("button.camera")
        browser.until("document.querySelector('.problem')?.textContent.includes('open the page as http://127.0.0.1')")
        held_to(browser)
