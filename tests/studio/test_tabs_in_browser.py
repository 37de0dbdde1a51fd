"""Pages with hostile names, and eight tabs of one studio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.commands.browse import find_source
from pipekit.studio.assets import modules
from pipekit.studio.project import Project
from pipekit.studio.server import address
from tests.studio.access import badly_focused, beside, unnamed, violations
from tests.studio.chromium import Chromium
from tests.studio.conftest import HOSTILE
from tests.studio.running import held_to, opened, running
from tests.studio.test_mapping import write_features

LABEL = '<b>bold</b> "quoted" <img src=x onerror=alert(1)>'
INJECTED = "document.querySelectorAll('main b, main [onerror], main img[src=x]').length"

FILLED = {
    "browse": "document.querySelectorAll('.tile img[src]').length >= 16",
    "findings": "document.querySelectorAll('.shot img[src]').length === 3",
    "map": "document.querySelectorAll('.legend li').length === 3",
    "label": "document.querySelector('.label-now img[src]')",
    "recipe": "document.querySelectorAll('.variants img').length === 12 && document.querySelector('optgroup option')",
    "train": "document.querySelector('.runs strong')?.textContent === '<b>run'",
    "compare": "document.querySelector('.steps p') && document.querySelector('.choose-runs').innerText.match('<b>run')",
    "try": "document.querySelector('.card option')?.textContent === '<b>run'",
}
"""Page -> what it shows when it is filled."""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sixteen images whose names and class are HTML, with a finding and a map."""
    (tmp_path / ".pipekit").mkdir()
    (tmp_path / "photos").mkdir()
    lines = ["image,label"]
    for number in range(16):
        name = f"{number:02} {HOSTILE}"
        images.write(tmp_path / "photos" / name, np.full((9, 9, 3), 10 * number, np.uint8))
        quoted, label = (text.replace('"', '""') for text in (name, LABEL if number % 2 else "plain"))
        lines.append(f'"{quoted}","{label if number < 12 else ""}"')
    (tmp_path / "photos" / "list.csv").write_text("\n".join(lines) + "\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    project = Project(find_source("photos/list.csv", "csv"))
    for place in ("recipes", "runs/<b>run"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "recipes" / f"{HOSTILE}.toml").write_text('ops = [{ op = "hflip" }]\n', "utf-8")
    (tmp_path / "runs" / "<b>run" / "run.json").write_text(json.dumps({"stages": [{"headline": LABEL}]}), "utf-8")
    for file in ("report.html", "model.json"):
        (tmp_path / "runs" / "<b>run" / file).write_text("{}", "utf-8")
    ids = list(project.catalog.ids)
    finding = {"check": "dark", "severity": "warning", "message": f"dark: {LABEL}", "samples": ids[:3]}
    project.inspection.parent.mkdir(parents=True)
    project.inspection.write_text(json.dumps({"findings": [finding], "remove": [], "summary": []}), "utf-8")
    folder = write_features(tmp_path / "runs" / "embed", [], [], np.eye(16))
    hashes = [one.tobytes().hex() for one in project.catalog.hashes]
    lines = ["id,label,split,sha256,problem", *(f"{at},,,{one}," for at, one in enumerate(hashes))]
    (folder / "images.csv").write_text("\n".join(lines) + "\n", "utf-8")
    found = project.features(project.catalog)
    assert found is not None
    map_file = project.map_of(found, "tsne")
    map_file.parent.mkdir()
    np.save(map_file, np.linspace(0, 1, 48, dtype=np.float32).reshape(16, 3))
    yield project
    project.thumbs.close()


def test_each_page_shows_names_as_text_and_serves_everybody(browser: Chromium, hostile: Project) -> None:
    with running(hostile) as server:
        opened(browser, server)
        for name, shown in FILLED.items():
            browser.requests.clear()
            browser.open(f"http://127.0.0.1:{server.port}{address(name)}")
            browser.until(shown, name)
            scripts = sorted(one.rpartition("/")[2] for _, one in browser.requests if one.endswith(".js"))
            assert scripts == sorted([f"{name}.js", *modules(name)]), "each script is asked for once, and none later"
            assert browser.do(INJECTED) == 0, name
            assert unnamed(browser) == [], name
            assert badly_focused(browser) == [], name
            assert beside(browser, 390, 844, dark=True) == [], name
            assert beside(browser, 640, 400, scale=2) == [], f"{name} at 200 %"
        assert browser.do("document.title") != "bad"
        browser.do("document.querySelector('main').append(document.createElement('button'))")
        assert len(unnamed(browser)) == 1, "a control without a name is found"
        held_to(browser)


def test_axe_finds_nothing_in_a_page(browser: Chromium, hostile: Project) -> None:
    axe = pytest.importorskip("axe_core_python", reason="pip install axe-core-python")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text("utf-8")
    with running(hostile) as server:
        opened(browser, server)
        for name, shown in FILLED.items():
            browser.open(f"http://127.0.0.1:{server.port}{address(name)}")
            browser.until(shown, name)
            for dark in (False, True):
                browser.size(1280, 800, dark=dark)
                assert violations(browser, script) == [], (name, dark)
        browser.do("document.querySelector('main').append(document.createElement('button'))")
        assert any("button-name" in one for one in violations(browser, script)), "a control without a name is found"
        held_to(browser)


def test_two_studios_keep_their_own_cookies(browser: Chromium, hostile: Project) -> None:
    other = Project(hostile.source)
    with running(hostile) as first, running(other) as second:
        for server in (first, second):
            opened(browser, server)
        for server in (first, second):  # without the token
            browser.open(f"http://127.0.0.1:{server.port}/")
            browser.until("document.querySelectorAll('.tile img[src]').length >= 16")
        held_to(browser)


def test_eight_tabs_are_all_usable(browser: Chromium, hostile: Project) -> None:
    with running(hostile) as server:
        opened(browser, server)
        own, browser._session = browser._session, ""
        tabs = []
        for _ in range(8):
            target = browser.call("Target.createTarget", url=f"http://127.0.0.1:{server.port}/")["targetId"]
            tabs.append((target, browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]))
        for _, session in tabs:
            browser._session = session
            browser.until("document.querySelectorAll('.tile img[src]').length >= 16")
        row = browser.do("Number(document.querySelector('.tile').dataset.row)")
        browser.do("document.querySelector('.grid').focus()")
        browser.press("1")
        for target, session in tabs[-2:]:
            browser.call("Target.activateTarget", targetId=target)  # a page that is hidden asks for nothing
            browser._session = session
            browser.until(f"document.querySelector('.tile[data-row=\"{row}\"].relabelled')", "another tab sees the decision")
        browser._session = ""
        for target, _ in tabs:
            browser.call("Target.closeTarget", targetId=target)
        browser._session = own
        held_to(browser)
