"""Pages about trainings in a real browser: what one takes, mistakes at their fields, runs compared, a recipe checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipekit.commands.browse import find_source
from pipekit.studio import experiments
from pipekit.studio.edits import LABEL
from pipekit.studio.project import Project
from tests.studio.chromium import Chromium
from tests.studio.clicking import choose, fill_in, press_text
from tests.studio.conftest import HOSTILE
from tests.studio.running import held_to, opened, reloaded, running
from tests.studio.test_about import PIPELINE
from tests.studio.test_experiments import compared, written
from tests.studio.test_mapping import features_of


def text(browser: Chromium, selector: str) -> Any:
    return browser.do(f"document.querySelector({json.dumps(selector)})?.innerText")


def test_a_form_says_what_a_training_takes_and_what_is_wrong_at_its_field(work: Path, browser: Chromium) -> None:
    with running(Project(find_source("photos"))) as server:
        opened(browser, server, "/train")
        browser.until("document.querySelectorAll('.candidates li').length === 3")
        assert text(browser, ".takes").startswith("About ")
        choose(browser, "[name=model]", "simple_cnn")
        fill_in(browser, "[name=epochs]", "0")
        browser.until("document.querySelector('.at-field')?.parentElement.querySelector('[name=epochs]')")
        assert "from 1 to 10,000" in text(browser, ".at-field")
        assert browser.do("document.querySelector('[name=epochs]').getAttribute('aria-invalid')") == "true"
        fill_in(browser, "[name=epochs]", "5")
        browser.until("document.querySelector('.takes')?.textContent.startsWith('At most about ')")
        assert browser.do("document.querySelector('.at-field')") is None
        assert "at most 5 epochs" in text(browser, ".cost")
        assert browser.do("location.search") == "?model=simple_cnn&epochs=5"
        reloaded(browser)
        browser.until("document.querySelector('.takes')")
        assert browser.do("document.querySelector('[name=epochs]').value") == "5", "a reload loses nothing"
        browser.errors = [one for one in browser.errors if "422" not in one]  # the browser tells of refused requests
        held_to(browser)


def test_the_time_left_is_that_of_all_epochs_and_of_the_templates_after_them(work: Path, browser: Chromium) -> None:
    with running(Project(find_source("photos"))) as server:
        opened(browser, server, "/train")
        script = """
        const {{ TimeLeft }} = await import('/static/timeleft.js');
        const left = new TimeLeft(), found = [];
        for (const [event, now] of {events}) {{ left.take(event, now); found.push(left.seconds(now)); }}
        return found;
        """
        started = {"event": "epoch_started", "epoch": 1, "epochs": 5, "step": 0, "steps": 10, "at_most": True}
        half = {"event": "progress", "label": "epoch 2/5", "done": 5, "total": 10}
        events = [
            ({"event": "remaining", "seconds": 100}, 0),
            (started, 0),
            ({"event": "epoch", "epoch": 1, "epochs": 5}, 0),  # a reload reads all events at once
            ({**started, "epoch": 2, "last_epochs_s": [8]}, 0),
            (half, 0),
            ({"event": "epoch", "epoch": 2, "epochs": 5}, 0),
            ({**started, "epoch": 3, "last_epochs_s": [8, 4]}, 0),
            ({"event": "stage_started", "stage": "report"}, 0),
            ({"event": "progress", "label": "predict", "done": 10, "total": 100}, 0),
            ({"event": "progress", "label": "predict", "done": 20, "total": 100}, 4000),
        ]
        found = browser.do(script.format(events=json.dumps(events)))
        assert found == [None, None, None, 132, 128, 124, 118, None, None, 32]
        first = [
            (started, 0),
            ({**half, "label": "epoch 1/5", "done": 1}, 0),
            ({**half, "label": "epoch 1/5", "done": 5}, 4000),
        ]
        assert browser.do(script.format(events=json.dumps(first))) == [None, None, 45], "by the speed of the first epoch"
        held_to(browser)


def test_runs_are_compared_and_the_address_holds_which(work: Path, browser: Chromium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "compared_in", compared)
    for name in ("first", "second", "third"):
        written(work, name, report=True)
    with running(Project(find_source("photos"))) as server:
        opened(browser, server, "/compare")
        browser.until("document.querySelectorAll('.choose-runs input').length === 3")
        browser.do("document.querySelector('.choose-runs [value=second]').focus()")
        browser.press(" ")  # by keyboard
        browser.click(".choose-runs [value=first]")
        browser.until("document.querySelectorAll('.differ img[src]').length === 2")
        assert text(browser, ".verdict") == "first <b>is</b> better", "names of runs are text"
        assert browser.do("[...document.querySelectorAll('.intervals strong')].map((one) => one.textContent)") == [
            "second",
            "first",
        ]
        assert "50.0 % 25.0 % to 75.0 %" in text(browser, ".intervals .figure")
        assert browser.do("location.search") == "?run=second&run=first"
        assert browser.do("document.querySelector('.compared code').textContent") == "pipekit compare runs/second runs/first"
        reloaded(browser)
        browser.until("document.querySelectorAll('.differ img[src]').length === 2")
        href = browser.do("document.querySelector('.compared a.button').href")
        assert browser.do(f"return (await (await fetch({json.dumps(href)})).text())") == "<title>Compared</title>"
        assert "Nothing is corrected yet" in text(browser, ".steps")
        held_to(browser)


TRAINED = """
import json, pathlib, sys
name = sys.argv[sys.argv.index("--name") + 1]
folder = pathlib.Path("runs") / name
folder.mkdir()
run = json.loads(pathlib.Path("runs/first/run.json").read_text())
(folder / "run.json").write_text(json.dumps(run | {"name": name}))
for file in ("model.json", "report.html"):
    (folder / file).write_text("{}")
print(json.dumps({"event": "run_finished", "headline": sys.argv[3] + " " + name}))
"""


def test_a_click_trains_again_and_compares_before_with_after(
    work: Path, browser: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setattr(experiments, "compared_in", compared)
    written(work, "first", report=True)
    (work / "trained.py").write_text(TRAINED, "utf-8")
    script = work / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {work / "trained.py"} "$@"\n', "utf-8")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    project: Any = Project(find_source("photos"))
    with running(project) as server:
        opened(browser, server, "/compare")
        browser.until("document.querySelector('.steps button[disabled]')")
        project.edits.apply(project.changes(project.catalog, LABEL, [0], [""], "dog"))
        reloaded(browser)
        browser.until("document.querySelector('.steps button:not([disabled])')")
        assert "1 relabelled" in text(browser, ".steps")
        press_text(browser, "Train again and compare")
        browser.until("document.querySelectorAll('.steps li.done').length === 2")
        browser.until("document.querySelector('.verdict')?.textContent === 'first-again <b>is</b> better'")
        assert browser.do("location.search") == "?run=first-corrected&run=first-again"
        words = browser.do("[...document.querySelectorAll('.steps code')].map((one) => one.textContent)")
        assert words[0].endswith("--name first-again --corrections corrections.csv")
        assert words[1] == "pipekit evaluate runs/first runs/first-again:split --name first-corrected"
        held_to(browser)


def test_a_recipe_is_checked_and_its_mistakes_are_at_their_controls(work: Path, browser: Chromium) -> None:
    written(work, "first")
    (work / "recipes").mkdir()
    (work / "recipes/strong.toml").write_text('ops = [{ op = "rotate", limit_deg = 30 }, { op = "hflip" }]\n', "utf-8")
    folder = work / "runs" / "augment-check"
    folder.mkdir()
    (folder / "augment_check.csv").write_text(
        "op,strength,accuracy,drop,verdict\nnone,0,0.9,0,\nrotate,0.5,0.8,0.1,costs <i>\n", "utf-8"
    )
    (folder / "run.json").write_text('{"headline": "accuracy 0.9 as they are"}', "utf-8")
    with running(Project(find_source("photos"))) as server:
        opened(browser, server, "/recipe")
        browser.until("document.querySelector('.figures')")
        assert text(browser, ".checked h3") == "The last check, with a model that was trained again or removed since"
        assert text(browser, ".figures tbody tr").split("\t") == ["as they are", "", "90.0 %", "", ""]
        assert text(browser, ".figures tbody tr:last-child").split("\t") == ["rotate", "50 %", "80.0 %", "10.0 %", "costs <i>"]
        assert browser.do("document.querySelector('.checked button').disabled"), "the ops are not saved yet"
        choose(browser, "[aria-label='Begin with']", "file:strong")
        press_text(browser, "Begin")
        browser.until("!document.querySelector('.checked button').disabled")
        words = "pipekit augment runs/first:split --check runs/first --ops recipes/strong.toml"
        browser.until(f"document.querySelector('.checked code').textContent === {json.dumps(words)}")
        fill_in(browser, ".ops [data-param=limit_deg] input[type=number]", "-4")
        browser.until("document.querySelector('.ops [data-param=limit_deg] .at-field')")
        assert browser.do("document.querySelector('.checked button').disabled"), "they are no longer those of the file"
        fill_in(browser, ".ops [data-param=limit_deg] input[type=number]", "40")
        browser.until("!document.querySelector('.at-field')")
        browser.errors = [one for one in browser.errors if "422" not in one]
        held_to(browser)


def test_mistakes_of_the_pipeline_file_are_shown_with_their_lines(work: Path, browser: Chromium) -> None:
    (work / "pipeline.toml").write_text(PIPELINE, "utf-8")
    with running(Project(find_source())) as server:
        opened(browser, server, "/train")
        browser.until("document.querySelectorAll('.mistakes li').length === 2")
        shown = text(browser, ".mistakes li:last-child")
        assert [line for line in shown.splitlines() if line] == [
            "stages.train.epochs",
            "line 8",
            "epochs = -3",
            "input should be greater than or equal to 1, got -3",
        ]
        first = "document.querySelector('.side').firstElementChild.classList.contains('pipeline')"
        assert browser.do(first), "what hinders a run is in view, and not below the form"
        (work / "pipeline.toml").write_text(PIPELINE.replace("mpl", "mlp").replace("-3", "3"), "utf-8")
        press_text(browser, "Read it again")
        browser.until("!document.querySelector('.mistakes')")
        assert not browser.do(first)
        held_to(browser)


def test_one_image_has_its_neighbours_and_its_history(work: Path, browser: Chromium) -> None:
    project: Any = Project(find_source("photos"))
    features_of(project)
    run = work / "runs" / "first"
    run.mkdir()
    (run / "run.json").write_text("{}", "utf-8")
    head = "id,true,predicted,correct,confidence"
    (run / "predictions.csv").write_text(f'{head}\ncat/00.png,cat,"{HOSTILE.replace(chr(34), chr(34) * 2)}",0,0.75\n', "utf-8")
    with running(project) as server:
        opened(browser, server, "/?row=0")
        browser.until("document.querySelectorAll('.about-nearest img[src]').length === 8")
        browser.until("document.querySelector('.made')")
        assert f"predicted {HOSTILE} (75 %)" in browser.do("document.querySelector('.made').textContent")
        first = browser.do("document.querySelector('.about-nearest .shot').title")
        browser.do("document.querySelector('.about-nearest .shot').focus()")
        browser.press("Enter")
        browser.until(f"document.querySelector('.detail h2').textContent === {json.dumps(first)}")
        held_to(browser)
