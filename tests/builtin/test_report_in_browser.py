"""A whole report, opened in a real browser: it asks for nothing, and everything on it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builtin.conftest import COLOURS, paint
from tests.page.test_page import in_browser

SCRIPT = """
const shown = (id) => [...document.querySelectorAll(`#${id} .pictures li`)].filter((e) => !e.hidden);
const captions = (id) => shown(id).map((e) => e.querySelector('figcaption').textContent);
const out = {sections: [...document.querySelectorAll('main > section')].map((e) => e.id)};
out.requests = performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:')).length;
out.wide = document.documentElement.scrollWidth - innerWidth;
out.silent = [...document.images].filter((e) => !e.alt).length;
out.reachable = [...document.querySelectorAll('.scroll')].every((e) => e.tabIndex === 0);
const cell = document.querySelector('.matrix a[aria-label*="green predicted as blue"]');
cell.click(); out.cell = captions('pictures');
await new Promise((done) => setTimeout(done, 20)); out.focus = document.activeElement.id;
const rates = document.querySelector('[data-toggle]'); rates.click();
out.rates = [...document.querySelectorAll('.matrix .rate')].map((e) => e.checkVisibility() && e.textContent);
const menu = document.querySelector('#explain select[name=\"chosen as\"]');
out.explained = shown('explain').length;
menu.value = 'a confident mistake'; menu.dispatchEvent(new Event('change', {bubbles: true}));
out.mistakes = captions('explain');
const heading = document.querySelector('#classes thead button');
heading.focus(); heading.click(); out.sorted = heading.closest('th').getAttribute('aria-sort');
const slider = document.querySelector('[data-threshold] input');
const read = (name) => document.querySelector(`[data-value=${name}]`).textContent;
slider.value = '0'; slider.dispatchEvent(new Event('input')); out.all = [read('tp'), read('fp'), read('fn'), read('tn')];
slider.value = '1000'; slider.dispatchEvent(new Event('input')); out.none = [read('tp'), read('fp'), read('fn'), read('tn')];
out.injected = document.querySelectorAll('main script:not([type]), main [onerror]').length;
out.named = document.body.textContent.includes('<img src=x onerror=alert(1)>');
return out;
"""


@pytest.mark.parametrize("width", [500, 1280])
def test_a_report_in_a_browser(colour_project: Any, tmp_path: Path, width: int) -> None:
    """Two classes; one file has HTML for a name."""
    images = colour_project.path / "images"
    for split in ("train", "val", "test"):
        for file in (images / split / "red").iterdir():
            file.unlink()
        (images / split / "red").rmdir()
    paint(images / "test" / "blue" / "<img src=x onerror=alert(1)>.png", COLOURS["green"], 900)
    colour_project.model(classes=["blue", "green"])
    page = (colour_project.report() / "report.html").read_text("utf-8")
    result = in_browser(page, SCRIPT, tmp_path, width)
    assert result["errors"] == []
    found = result["value"]
    assert {"summary", "confusion", "pictures", "explain", "curves", "data"} <= set(found["sections"])
    assert (found["requests"], found["wide"], found["silent"], found["injected"]) == (0, 0, 0, 0)
    assert found["reachable"]
    assert found["named"]
    assert found["focus"] == "pictures-title"
    assert len(found["cell"]) == 1
    assert found["cell"][0].startswith("✗ green, predicted as blue")
    assert found["rates"] == ["0.89", "0.11", "0.12", "0.88"]
    assert (found["explained"], len(found["mistakes"])) == (12, 2)
    assert all("predicted as" in caption for caption in found["mistakes"])
    assert found["sorted"] in ("ascending", "descending")
    assert found["all"] == ["8", "9", "0", "0"]
    assert found["none"] == ["0", "0", "8", "9"]
