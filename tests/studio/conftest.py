"""A folder of twelve images in two classes, opened in the studio."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit import commands, images, studio
from pipekit.commands.browse import find_source
from pipekit.registry.registry import load_registry
from pipekit.studio.project import Project
from tests.studio.asgi import Page
from tests.studio.chromium import Chromium
from tests.studio.running import left

HOSTILE = '<img src=x onerror=alert(1)> "quoted" & ‮rtl 𝔘.png'


def paint(folder: Path, count: int = 6) -> None:
    """Two classes; the grey value of an image is its number times ten."""
    for number in range(2 * count):
        name = ("cat", "dog")[number % 2]
        (folder / name).mkdir(parents=True, exist_ok=True)
        images.write(folder / name / f"{number:02}.png", np.full((20, 30, 3), 10 * number, np.uint8))


@pytest.fixture(scope="session")
def imported() -> None:
    """Import in one thread what requests import in several. Pytest parses each module of pipekit as it is imported, and CPython
    3.11 can fail to parse in two threads at once: SystemError, "AST constructor recursion depth mismatch"."""
    for room in (commands, studio):
        for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            importlib.import_module(module.name)
    registry = load_registry()
    for kind in ("op", "recipe", "importer", "splitter", "embedder", "projection"):
        for component in registry.components(kind):
            component.load()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory, imported: None) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Chromium]:
    """The session's browser. A page that a failed test leaves open is left before its server ends."""
    chromium.size(1280, 800)
    yield chromium
    left(chromium)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of work with ``photos``; it is the current folder."""
    (tmp_path / ".pipekit").mkdir()
    paint(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def project(work: Path) -> Any:
    made = Project(find_source("photos"))
    yield made
    made.thumbs.close()


@pytest.fixture
def page(project: Project) -> Page:
    return Page(project)
