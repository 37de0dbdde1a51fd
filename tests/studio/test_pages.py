"""Pages of plugins: a form from parameters, a section from a function, and every mistake a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipekit.commands.browse import find_source
from pipekit.studio.project import Options, Project
from tests.studio.asgi import Page
from tests.studio.chromium import Chromium
from tests.studio.running import held_to, opened, reloaded, running

PLUGIN = '''
import pipekit


class Params(pipekit.Params):
    """Parameters."""

    least: int = pipekit.param(3, "Least value", ge=1, le=9)
    how: str = pipekit.param("well", "well, raise, nothing, number or lost")


def trial(studio: pipekit.StudioContext, params: Params) -> pipekit.Section:
    """A page."""
    if params.how == "raise":
        raise ValueError("<b>no</b>")
    if params.how == "lost":
        studio.read(["nowhere.png"])
    if params.how == "nothing":
        return None
    if params.how == "number":
        return 5
    other = studio.read([studio.ids[-1]])[studio.ids[-1]]
    text = f"{params.least} of {len(studio.ids)}, {studio.labels.count(studio.sample.label)} {studio.sample.label}"
    table = pipekit.Table(("image", "last"), ((studio.sample.id, other.id),))
    html = "<p class='own'>own</p><script>document.title = 'bad'</script>"
    return pipekit.Section("<i>Trial</i>", text, tables=(table,), html=html)


@pipekit.hookimpl
def register_pages(register):
    register("trial", trial, summary="A page for a test")
'''


@pytest.fixture
def with_page(work: Path) -> Any:
    (work / "acme.py").write_text(PLUGIN, "utf-8")
    made = Project(find_source("photos"), Options((str(work / "acme.py"),)))
    yield made
    made.thumbs.close()


def shown(page: Page, name: str = "trial", row: int = 0, **params: Any) -> Any:
    digest = page.get("/api/index").json["digest"]
    return page.post(f"/api/{digest}/pages/{name}", {"row": row, "params": params})


def test_a_page_is_called_with_its_form_and_the_chosen_image(with_page: Project, work: Path) -> None:
    page = Page(with_page)
    about = page.get("/api/pages/trial").json
    assert (about["summary"], about["params"]["least"]["maximum"]) == ("A page for a test", 9)
    assert b">Trial</a>" in page.get("/").body
    assert b'data-name="trial"' in page.get("/x/trial").body
    made = shown(page, row=1, least=4).json
    assert made["title"] == "<i>Trial</i>"
    assert "4 of 12, 6 cat" in made["html"]
    assert "dog/11.png" in made["html"]
    digest = page.get("/api/index").json["digest"]
    page.post(f"/api/{digest}/decide", {"what": "label", "rows": [1], "before": [""], "after": "dog"})
    assert "3 of 12, 7 dog" in shown(page, row=1).json["html"], "corrected labels count"
    assert shown(page, how="nothing").json == {"title": "", "html": ""}


def test_every_mistake_of_a_page_is_a_message_that_names_its_plugin(with_page: Project) -> None:
    page = Page(with_page)
    failed = "page 'trial' of plugin 'acme' failed: ValueError: <b>no</b>"
    for how, said in (("raise", failed), ("number", "expected a pipekit.Section")):
        answer = shown(page, how=how)
        assert answer.status == 422
        assert said in answer.json["message"]
    assert "nowhere.png" in shown(page, how="lost").json["message"]
    wrong = shown(page, least=40)
    assert wrong.status == 422
    assert "least" in wrong.json["message"]
    assert shown(page, "other").status == 422
    assert page.get("/api/pages/other").status == 422
    assert page.get("/x/other").status == 404
    assert shown(page, row=99).status == 422


def test_two_pages_of_one_name_have_their_qualified_names(with_page: Project, work: Path) -> None:
    (work / "other.py").write_text(PLUGIN, "utf-8")
    project = Project(find_source("photos"), Options((str(work / "acme.py"), str(work / "other.py"))))
    page = Page(project)
    menu = page.get("/").body.decode()
    assert ">acme:trial</a>" in menu
    assert ">other:trial</a>" in menu
    assert page.get("/x/acme:trial").status == 200
    assert shown(page, "trial").status == 422
    assert shown(page, "other:trial").json["title"]
    project.thumbs.close()


def test_a_page_in_the_browser(browser: Chromium, with_page: Project) -> None:
    with running(with_page) as server:
        opened(browser, server, "/x/trial?row=1")
        browser.until("document.querySelector('.section .own')")
        assert browser.do("document.title") == "Trial · pipekit studio", "no script of a section runs"
        assert browser.do("document.querySelector('.wide h2').textContent") == "<i>Trial</i>"
        slider = "document.querySelector('.form [type=range]')"
        browser.do(f"{slider}.value = 7; {slider}.dispatchEvent(new Event('input'))")
        browser.until("document.querySelector('.section').textContent.includes('7 of 12')")
        reloaded(browser)
        browser.until(
            "document.querySelector('.section')?.textContent.includes('7 of 12, 6 cat')", "the address holds the form"
        )
        browser.errors = [one for one in browser.errors if "Content Security Policy" not in one]  # what stopped the script
        held_to(browser)
