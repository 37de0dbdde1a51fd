"""The map in a real browser: 60,000 points, a lasso whose images are those of Python, and a selection that a reload keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipekit.commands.browse import Source
from pipekit.studio.project import Project
from tests.studio.chromium import Chromium
from tests.studio.running import held_to, left, opened, reloaded, running
from tests.studio.test_browse_in_browser import FULL, READ, Numbered, made_up
from tests.studio.test_mapping import write_features

COUNT = 60_000
STATUS = "document.querySelector('.map-side [role=status]').textContent"


def with_map(folder: Path, count: int) -> tuple[Project, Any]:
    """A dataset without images whose map is made already: points in a square, with an empty frame around the middle."""
    (folder / ".pipekit").mkdir()
    catalog = made_up(count)
    write_features(folder / "runs" / "embed", list(catalog.ids), [""] * count, np.zeros((count, 1)))
    project = Numbered(Source(folder, "nowhere"), catalog=catalog)
    found = project.features(catalog)
    assert found is not None
    rng = np.random.default_rng(3)
    points = rng.random((count, 3)).astype(np.float32)
    middle = np.arange(count) % 100 == 0
    points[middle, :2] = 0.45 + 0.1 * points[middle, :2]
    away = np.abs(points[:, :2] - 0.5).max(axis=1) < 0.2
    points[away & ~middle, :2] = 0.02
    file = project.map_of(found, "tsne")
    file.parent.mkdir(parents=True)
    np.save(file, points)
    return project, middle


def lasso(browser: Chromium, share: float) -> None:
    """Draw a square around the middle of the map."""
    left, top, width, height = browser.do(
        "const b = document.querySelector('.points').getBoundingClientRect(); return [b.x, b.y, b.width, b.height];"
    )
    x, y, reach = left + width / 2, top + height / 2, share * min(width, height)
    corners = ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, 0))
    browser.drag([(x + reach * across, y + reach * down) for across, down in corners])


def test_a_lasso_is_a_selection_that_browse_shows(browser: Chromium, tmp_path: Path) -> None:
    project, middle = with_map(tmp_path, COUNT)
    wanted = np.flatnonzero(middle)
    with running(project) as server:
        opened(browser, server, "/map")
        browser.until("document.querySelectorAll('.legend li').length === 7", "six classes, and rows without one")
        for alone in ("true", "false"):
            browser.focus(".legend li:nth-child(2) button")
            browser.press("Enter")
            pressed = "document.activeElement.closest('.legend') && document.activeElement.getAttribute('aria-pressed')"
            browser.until(f"{pressed} === '{alone}'", "what a key has pressed keeps the focus")
        pixels = (
            "const c = document.querySelector('.points'); const d = new Uint32Array(c.getContext('2d')"
            ".getImageData(0, 0, c.width, c.height).data.buffer); "
        )
        browser.until(f"{pixels} return new Set(d).size === 8;", "seven colours and the ground, at the next frame")
        assert browser.do(f"{pixels} return d.filter((one) => one).length;") > 40_000
        lasso(browser, 0.12)
        browser.until(f"{STATUS}.startsWith('{len(wanted)} of 60,000')")
        browser.until("document.querySelectorAll('.map-side .shot img[src]').length === 24")
        assert "lasso=" in browser.do("location.search")
        reloaded(browser)
        browser.until(f"{STATUS}.startsWith('{len(wanted)} of 60,000')", "a reload keeps it")
        browser.click(".map-side a.primary")
        browser.until(f"document.querySelector('.count')?.textContent === '{len(wanted)} of 60,000 images'")
        browser.until(FULL)
        assert browser.do(READ)["wrong"] == []
        shown = browser.do("[...document.querySelectorAll('.tile:not([hidden])')].map((one) => Number(one.dataset.row))")
        assert shown == wanted[: len(shown)].tolist()
        browser.do("document.querySelector('[data-key=\"f.label.a\"]').click()")
        both = int((middle & (project.catalog.categories["label"].codes == 0)).sum())
        browser.until(f"document.querySelector('.count').textContent === '{both} of 60,000 images'", "filters count too")
        held_to(browser)


def test_the_keyboard_reaches_each_point_and_selects(browser: Chromium, tmp_path: Path) -> None:
    project, _ = with_map(tmp_path, 500)
    with running(project) as server:
        opened(browser, server, "/map?by=height")
        browser.until("document.querySelector('.ramp')")
        browser.do("document.querySelector('.points').focus()")
        for _ in range(3):
            browser.press("ArrowRight")
        card = "document.querySelector('.map-card').dataset"
        browser.until(f"{card}.shown && {card}.shown === {card}.row")
        name = browser.until("document.querySelector('.map-card figcaption').lastChild.textContent.trim()")
        browser.press("+")
        browser.press("v")
        browser.until(f"/^[0-9]+ of 500/.test({STATUS})")
        count = int(browser.do(STATUS).split()[0])
        assert 0 < count < 500
        assert not browser.errors
        browser.press("Enter")
        browser.until(f"new URLSearchParams(location.search).get('row') === '{int(name[:7])}'")
        left(browser)  # Browse has no file of that row
