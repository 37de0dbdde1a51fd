"""Pages and cards name no folder of this machine and nobody's home folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipekit.contract import Section, Table
from pipekit.page import render
from pipekit.page.paths import without_paths


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The home folder of a user called erika, and the working folder in it."""
    home = tmp_path / "home" / "erika"
    work = home / "projects" / "pets"
    work.mkdir(parents=True)
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.chdir(work)
    return home, work


def test_paths_are_shortened(folders: tuple[Path, Path]) -> None:
    home, work = folders
    for given, shown in [
        (f"{work}/photos/cat.jpg", "photos/cat.jpg"),
        (f"{home}/other/photos", "~/other/photos"),
        (str(home), "~"),
        (f"path = &#34;{home}/x&#34;", "path = &#34;~/x&#34;"),
        (f"{home.parent}/max/secret/dog.jpg", "…/dog.jpg"),
        ("/usr/share/photos, /etc/x/y", "…/photos, …/y"),
        (r"D:\Users\max\photos\dog.jpg", "…/dog.jpg"),
    ]:
        assert without_paths(f"see {given} there") == f"see {shown} there"


@pytest.mark.parametrize(
    "text",
    [
        "https://keras.io/api/usr/lib/x and http://localhost:8501/usr/lib/x",
        "cat/usr/lib/1.jpg and/or 3/4/5",
        "<p>a</p></div><br/>",
        "/v1/models/pets:predict",
        "data:image/png;base64,/usr/lib/AAAA/usr/lib+abc==",
        "~/usr/lib/x",
    ],
)
def test_what_is_no_path_of_this_machine_stays(text: str) -> None:
    assert without_paths(text) == text


def test_a_page_has_none(folders: tuple[Path, Path]) -> None:
    home, work = folders
    table = Table(("image", "reason"), ((f"{work}/photos/a.jpg", f"no such file: {home}/b.jpg"),))
    section = Section("Data", markdown=f"From `{home}/photos`.", tables=(table,), html=f"<pre title='{home}/c'>{home}/d</pre>")
    page = render("Report", [("data", section)], lead=f"{home}/lead")
    assert "erika" not in page
    assert "photos/a.jpg" in page
    assert "~/b.jpg" in page


def test_a_model_card_has_none(folders: tuple[Path, Path]) -> None:
    from pipekit.builtin.exporters.card import card_text

    home, work = folders
    info = {"classes": ["a"], "input_shape_hwc": [8, 8, 3], "params": {"weights": f"{home}/w.keras", "data": f"{work}/x/y"}}
    card = card_text(info, None)
    assert "erika" not in card
    assert "~/w.keras" in card
    assert '"x/y"' in card
