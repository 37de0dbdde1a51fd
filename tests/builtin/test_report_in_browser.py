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
const panel = () => document.querySelector('#confusion .cell');
const inPanel = () => [...panel().querySelectorAll('li')].map((e) => e.querySelector('figcaption').textContent);
const pressed = (key) => new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true});
const press = (key) => document.activeElement.dispatchEvent(pressed(key));
out.matrices = document.querySelectorAll('#confusion .matrix, #confusion .figures img').length;
out.first = panel().querySelector('h3').textContent;
cell.focus(); cell.click(); out.cell = inPanel(); out.kept = document.activeElement === cell;
press('ArrowRight'); press(' '); out.moved = [panel().querySelector('h3').textContent, inPanel().length];
out.stops = [...document.querySelectorAll('.matrix a')].filter((e) => e.tabIndex === 0).length;
const levels = [...document.querySelectorAll('h1, h2, h3, h4')].map((e) => Number(e.tagName[1]));
out.levels = levels.every((level, i) => level <= (levels[i - 1] ?? 0) + 1);
out.titles = levels.filter((level) => level === 1).length;
out.top = [...document.querySelectorAll('header .pictures figcaption')].map((e) => e.textContent);
const classes = document.querySelector('#classes details'); out.folded = [classes.open];
document.querySelector('nav a[href="#classes"]').click(); out.folded.push(classes.open);
out.menu = document.querySelector('nav details').open;
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


@pytest.mark.parametrize("width", [390, 1280])
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
    assert found["matrices"] == 1
    assert found["first"] in ("green predicted as blue", "blue predicted as green")
    assert found["kept"]
    assert len(found["cell"]) == 1
    assert found["cell"][0].startswith("✗ green, predicted as blue")
    assert found["moved"] == ["green, classified correctly", 7]
    assert found["stops"] == 1
    assert found["levels"], "no level of headings is left out"
    assert found["titles"] == 1
    assert [caption.splitlines()[0] for caption in found["top"]] == ["green, predicted as blue", "blue, predicted as green"]
    assert found["folded"] == [False, True]
    assert found["menu"] == (width == 1280)
    assert found["rates"] == ["0.89", "0.11", "0.12", "0.88"]
    assert (found["explained"], len(found["mistakes"])) == (12, 2)
    assert all("predicted as" in caption for caption in found["mistakes"])
    assert found["sorted"] in ("ascending", "descending")
    assert found["all"] == ["8", "9", "0", "0"]
    assert found["none"] == ["0", "0", "8", "9"]
