"""Images without a class: the order, the suggestion, the interval, and decisions that a reload and a restart keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit.commands.browse import find_source
from pipekit.commands.labelling import suggest, what_more_brings
from pipekit.rng import rng_for
from pipekit.studio.project import Project
from tests.studio.asgi import Page
from tests.studio.chromium import Chromium
from tests.studio.conftest import paint
from tests.studio.running import held_to, opened, running
from tests.studio.test_mapping import write_features


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipekit.commands.labelling.REPEATS", 2)


def clouds(count: int, spread: float = 0.35) -> tuple[Any, Any]:
    """Features of two classes, and the class of each row."""
    rng = np.random.default_rng(5)
    kind = np.arange(count) % 2
    return np.eye(2)[kind] @ rng.normal(size=(2, 6)) * 2 + rng.normal(size=(count, 6)) * spread, kind


def labels_of(kind: Any, known: int) -> list[str]:
    return [("cat", "dog")[one] if number < known else "" for number, one in enumerate(kind)]


def test_the_suggestion_is_the_probe_s_and_what_is_unsure_comes_first(tmp_path: Path) -> None:
    table, kind = clouds(120)
    table[100] = table[kind == 0].mean(axis=0) / 2 + table[kind == 1].mean(axis=0) / 2  # between both
    folder = write_features(tmp_path / "run", [f"{n}.png" for n in range(120)], [""] * 120, table)
    labels = labels_of(kind, 60)
    labels[70] = "-"
    found = suggest(str(folder), [*range(119), -1], labels, 20)
    assert found["by"] == "unsure"
    rows = [one["row"] for one in found["next"]]
    assert rows[0] == 100
    assert len(set(rows)) == 20
    assert set(rows) <= set(range(60, 119)) - {70}, "neither labelled, nor left out, nor without features"
    right = [one["label"] == ("cat", "dog")[kind[one["row"]]] for one in found["next"] if one["row"] != 100]
    assert np.mean(right) > 0.9
    worst, best = found["probe"]["accuracy"]
    assert 0.8 < worst < best <= 1


def test_before_the_first_labels_typical_images_come_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    table = np.concatenate([np.eye(8)[n] * 5 + rng.normal(size=(12, 8)) * 0.2 for n in range(4)])
    folder = write_features(tmp_path / "run", [f"{n}.png" for n in range(48)], [""] * 48, table)
    labels = [*["cat"] * 3, *[""] * 45]
    found = suggest(str(folder), list(range(48)), labels, 1)
    assert found["by"] == "typical"
    assert found["next"][0]["row"] >= 12, "of a group in which nothing is labelled"
    assert found["next"][0]["label"] == "", "one class is no choice"
    assert "labelled images" in found["probe"]["why"]
    assert suggest(str(folder), list(range(48)), ["cat"] * 48)["next"] == []


def test_what_more_labels_bring_is_an_interval_that_stays_possible() -> None:
    table, kind = clouds(80, spread=0.05)
    easy = what_more_brings(table, kind, rng_for(0))
    assert easy["accuracy"][0] < 1, "no mistake among 80 is not no mistake"
    assert easy["gain"][1] <= 1 - easy["accuracy"][0]
    assert easy["gain"][0] <= 0
    hard = what_more_brings(np.random.default_rng(1).normal(size=(80, 6)), kind, rng_for(0))
    assert hard["gain"][0] < 0 < hard["gain"][1], "features that say nothing promise nothing"
    assert "why" in what_more_brings(table[:20], kind[:20], rng_for(0))


# --- in the studio ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def unlabelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Eight images; four of them have a class."""
    (tmp_path / ".pipekit").mkdir()
    paint(tmp_path / "photos", 4)
    lines = [f"{('cat', 'dog')[n % 2]}/{n:02}.png,{('cat', 'dog')[n % 2] if n < 4 else ''}" for n in range(8)]
    (tmp_path / "photos" / "list.csv").write_text("\n".join(["image,label", *lines]) + "\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    project = Project(find_source("photos/list.csv", "csv"))
    catalog = project.catalog
    table = np.array([[("cat", "dog").index(one.split("/")[0]) * 4.0, 1.0] for one in catalog.ids])
    write_features(tmp_path / "runs" / "embed", list(catalog.ids), [one.tobytes().hex() for one in catalog.hashes], table)
    yield project
    project.thumbs.close()


def test_decisions_leave_the_queue(unlabelled: Project) -> None:
    page = Page(unlabelled)
    digest = page.get("/api/index").json["digest"]

    def queue(at: str) -> Any:
        while (found := page.get(f"/api/{digest}/labelling?at={at}").json)["state"] == "working":
            pass
        return found["next"]

    first = queue("1")
    assert len(first) == 4
    assert all(one["label"] == unlabelled.catalog.ids[one["row"]].split("/")[0] for one in first)
    rows = [first[0]["row"], first[1]["row"]]
    page.post(f"/api/{digest}/decide", {"what": "label", "rows": rows[:1], "before": [""], "after": "dog"})
    page.post(f"/api/{digest}/decide", {"what": "leave out", "rows": rows[1:], "before": [""], "after": "dark"})
    assert queue("1") == first, "a round is computed once"
    assert {one["row"] for one in queue("2")} == {one["row"] for one in first} - set(rows)


def test_labelling_by_key(browser: Chromium, unlabelled: Project, tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    with running(unlabelled) as server:
        opened(browser, server, "/label")
        left = "document.querySelector('.left-over')?.textContent.startsWith('{} ')"
        suggested = "document.querySelector('.suggestion .primary')"
        browser.until(f"{left.format(4)} && document.querySelector('.label-now img').alt && {suggested}")
        shown = "document.querySelector('.label-now img').alt"
        first = browser.do(shown)
        browser.press("Enter")
        browser.until(left.format(3))
        assert f"{first}," in file.read_text("utf-8")
        assert file.read_text("utf-8").endswith(f",,{first.split('/')[0]},,\n"), "the old label is empty"
        browser.until(f"{shown} !== {first!r}")
        second = browser.do(shown)
        browser.press("s")
        browser.until(f"{shown} !== {second!r}")
        assert "skip=" in browser.do("location.search")
        browser.press("u")
        browser.until(f"{left.format(4)} && {shown} === {first!r}", "undo goes back to its image")
        assert first not in file.read_text("utf-8")
        finished = "document.body.innerText.includes('Every image has a class')"
        for number in range(4):
            browser.until(f"{left.format(4 - number)} && {suggested}")
            browser.press("2")
            browser.until(left.format(3 - number) if number < 3 else finished)
        assert file.read_text("utf-8").count(",dog,") == 4
        opened(browser, server, "/label")
        browser.until(finished, "a reload loses nothing")
        held_to(browser)
