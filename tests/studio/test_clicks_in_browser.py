"""From findings to a pipeline file by clicks and keys: the small form of `benchmarks/studio_clicks.py`, which trains too."""

from __future__ import annotations

import json
from pathlib import Path

from pipekit.commands.browse import find_source
from pipekit.commands.recipe import Recipe
from pipekit.studio.project import Project
from tests.studio.chromium import Chromium
from tests.studio.clicking import choose, fill_in, press_text
from tests.studio.running import held_to, opened, running

PIPELINE = '[stages.data] # mine\nuse = "import.folders"\npath = "photos"\n'
CONFLICT = {"samples": ["cat/04.png", "dog/09.png"], "values": {"together": True}}
KEEP = "Keep the first, leave out the rest"
OUT_OF_COPIES = (
    "[...document.querySelectorAll('.group')[1].querySelectorAll('.shot.out .file')].map((one) => one.textContent).join(' ')"
)
STATE = "document.querySelector('.state').textContent"


def test_clicks_become_files_that_a_run_reads(browser: Chromium, work: Path) -> None:
    (work / "pipeline.toml").write_text(PIPELINE, "utf-8")
    (work / "photos" / "cat" / "98.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    project = Project(find_source())
    wrong = ["cat/98.png", "dog/01.png", "dog/03.png"]
    copies = {"samples": ["dog/05.png", "dog/07.png"], "values": {"together": True}}
    findings = [
        {"check": "corrupt", "severity": "error", "message": "damaged", "samples": wrong},
        {"check": "near_duplicates", "severity": "warning", "message": "nearly the same image", **copies},
        {"check": "label_conflicts", "severity": "error", "message": "cat and dog", **CONFLICT},
    ]
    remove = [{"id": wrong[0], "sha256": "", "match": "", "check": "corrupt", "reason": "damaged"}]
    remove += [{**remove[0], "id": one, "check": "label_conflicts"} for one in CONFLICT["samples"]]
    project.inspection.parent.mkdir(parents=True)
    project.inspection.write_text(json.dumps({"findings": findings, "remove": remove, "summary": []}), "utf-8")
    with running(project) as server:
        opened(browser, server, "/findings")
        browser.until("document.querySelectorAll('.shot img[src]').length === 6")
        groups = "[...document.querySelectorAll('.group')]"
        offers = f"{groups}.map((one) => [...one.querySelectorAll('.row button')].map(({{textContent}}) => textContent))"
        wanted = [["Leave out the one that inspect suggests"], [KEEP], ["Leave out the 2 that inspect suggests"]]
        assert browser.do(offers) == wanted, "each group has one offer"
        kept = f"{groups}.map((one) => one.innerText.includes('keeps the image that has the focus'))"
        assert browser.do(kept) == [False, True, True], "only copies have one image to keep"
        assert browser.do("document.querySelectorAll('.shot .file')[3].textContent") == "05.png"
        assert browser.do("document.querySelector('.shot .unreadable').textContent"), "a damaged file says so"
        browser.until("[...document.querySelectorAll('.meaning')].every((one) => one.textContent)")  # they move what is below
        press_text(browser, "Leave out the one")
        browser.until("document.querySelectorAll('.shot.out').length === 1")
        browser.do("document.querySelectorAll('.shot')[2].focus()")
        browser.press("x")
        browser.until("document.querySelectorAll('.shot.out').length === 2")
        browser.press("u")
        browser.until("document.querySelectorAll('.shot.out').length === 1")

        for key, out in (("k", ["05"]), ("u", []), ("x", ["07"]), ("k", ["05"])):  # the last one takes it in again, too
            browser.do("document.querySelectorAll('.shot')[4].focus()")
            browser.press(key)
            browser.until(f"{OUT_OF_COPIES} === '{' '.join(f'{one}.png' for one in out)}'", f"{key}: {out}")
        for _ in range(3):
            browser.press("u")
        browser.until("document.querySelectorAll('.shot.out').length === 1")

        press_text(browser, "Recipe", ".menu a")
        browser.until("document.querySelectorAll('.variants img').length === 12")
        for name in ("rotate", "hflip"):
            fill_in(browser, "[list=all-ops]", name)
            browser.press("Enter")
        browser.until("document.querySelectorAll('.ops .op-head').length === 2")
        browser.click("[aria-label='Move up hflip']")
        focused = "document.activeElement.getAttribute('aria-label')"
        assert browser.do(focused) == "Move down hflip", "at the top it can't be moved up again: the focus stays beside"
        fill_in(browser, ".ops input[type=number][step=any]", "12")
        browser.until(
            "[...document.querySelectorAll('.variants figcaption')].some((one) => one.textContent.includes('rotate'))"
        )
        fill_in(browser, "[aria-label='Name of the recipe']", "first")
        press_text(browser, "Save")
        browser.until(f"{STATE}.startsWith('Saved')")
        choose(browser, "[aria-label='Begin with']", "preset:light")
        assert browser.do("document.querySelectorAll('.ops .op-head').length") == 2, "an arrow key replaces nothing"
        press_text(browser, "Begin")
        browser.until("!sessionStorage.getItem('recipe').includes('12')", "the preset is in its place")

        press_text(browser, "Train", ".menu a")
        press_text(browser, "Let it read quarantine.csv")
        browser.until("!document.querySelector('.card .problem')")
        held_to(browser)
    first, rest = PIPELINE.split('"import.folders"\n')
    assert (work / "pipeline.toml").read_text("utf-8") == f'{first}"import.folders"\nexclude = "quarantine.csv"\n{rest}'
    assert [call.name for call in Recipe(str(work / "recipes" / "first.toml")).calls] == ["hflip", "rotate"]
    assert "fill_value = 12" in (work / "recipes" / "first.toml").read_text("utf-8")
    lines = (work / "quarantine.csv").read_text("utf-8").splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("cat/98.png,")
