"""From findings to a training without a mouse: Tab, arrows, Enter and letters alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pipekit.commands.browse import find_source
from pipekit.studio.project import Project
from tests.studio.chromium import Chromium
from tests.studio.clicking import tab_to
from tests.studio.running import held_to, opened, running
from tests.studio.test_experiments_in_browser import TRAINED


def to_page(browser: Chromium, name: str, shown: str) -> None:
    """Choose a page of the menu."""
    browser.do("document.activeElement.blur()")
    tab_to(browser, f".menu [href='/{name}']")
    browser.press("Enter")
    browser.until(f"location.pathname === '/{name}' && {shown}", name)


@pytest.fixture
def inspected(work: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder with a finding, and a command that trains at once."""
    (work / "runs").mkdir()
    (work / "runs" / "first").mkdir()
    (work / "runs/first/run.json").write_text("{}", "utf-8")
    (work / "trained.py").write_text(TRAINED, "utf-8")
    script = work / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {work / "trained.py"} "$@"\n', "utf-8")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    project = Project(find_source("photos"))
    finding = {"check": "dark", "severity": "warning", "message": "dark", "samples": ["cat/00.png", "dog/01.png"]}
    project.inspection.parent.mkdir(parents=True)
    project.inspection.write_text(json.dumps({"findings": [finding], "remove": [], "summary": []}), "utf-8")
    return project


def test_from_findings_to_a_training_without_a_mouse(inspected: Project, work: Path, browser: Chromium) -> None:
    with running(inspected) as server:
        opened(browser, server)
        browser.until("document.querySelectorAll('.tile img[src]').length === 12")
        to_page(browser, "findings", "document.querySelectorAll('.shot img[src]').length === 2")
        tab_to(browser, ".shot")
        browser.press("x")
        browser.until("document.querySelector('.shot.out')")
        assert (work / "quarantine.csv").read_text("utf-8").splitlines()[1].startswith("cat/00.png,")

        to_page(browser, "", "document.querySelectorAll('.tile img[src]').length === 12")
        tab_to(browser, ".grid")
        for key in ("End", "1"):
            browser.press(key)
        browser.until("document.querySelectorAll('.tile.relabelled').length === 1")
        assert (work / "corrections.csv").read_text("utf-8").splitlines()[1].endswith(",dog,cat,,")

        to_page(browser, "recipe", "document.querySelectorAll('.variants img').length === 12")
        tab_to(browser, "[aria-label='Add an op']")
        browser.type("hflip")
        browser.press("Enter")
        browser.until("document.querySelector('.ops strong')?.textContent === 'hflip'")
        tab_to(browser, "[aria-label='Name of the recipe']")
        browser.type("mine")
        browser.press("Enter")
        browser.until("document.querySelector('.state').textContent.startsWith('Saved')")
        assert "hflip" in (work / "recipes/mine.toml").read_text("utf-8")

        to_page(browser, "train", "document.querySelector('.takes')")
        tab_to(browser, "[name=name]")
        browser.type("keys")
        browser.press("Enter")
        browser.until("document.querySelector('.runs strong')?.textContent === 'keys'")
        words = browser.do("document.querySelector('.job code').textContent")
        assert words.endswith("--name keys --corrections corrections.csv --exclude quarantine.csv")
        held_to(browser)
