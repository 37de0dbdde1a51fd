"""Help and lists are printed from what was kept, unless anything that they depend on has changed."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from pipekit.cli import app, kept_texts, main


class Prints:
    """A command line, as its own process would run it: what it prints, and whether the command ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch, self.ran, self.says = monkeypatch, False, ("text \udcff 犬\n", "")
        monkeypatch.setattr(app, "execute", self._execute)
        self.code = 0

    def _execute(self, words: list[str], debug: bool = False) -> int:
        self.ran = True
        print(self.says[0], end="")
        print(self.says[1], end="", file=sys.stderr)
        return self.code

    def __call__(self, *words: str) -> tuple[str, bool]:
        self.monkeypatch.setattr(sys, "argv", ["pipekit", *words])
        self.ran = False
        out = io.TextIOWrapper(io.BytesIO(), "utf-8")
        with redirect_stdout(out), redirect_stderr(io.StringIO()):
            assert main() == self.code
        return out.buffer.getvalue().decode("utf-8"), self.ran  # type: ignore[attr-defined]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder where Python looks for modules."""
    (tmp_path / "modules").mkdir()
    return tmp_path / "modules"


@pytest.fixture
def prints(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> Prints:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("PIPEKIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(kept_texts, "PATH", (str(path),))
    monkeypatch.setattr(kept_texts, "STARTED_NS", 2**62)
    return Prints(monkeypatch)


@pytest.mark.parametrize("words", ["run --help", "stage split -h", "components", "components op --json", "components --help"])
def test_it_is_made_once(prints: Prints, words: str) -> None:
    first = prints(*words.split())
    assert first[1]
    assert prints(*words.split()) == (first[0], False)
    assert prints("plugins", "--help")[1], "another command has another text"


@pytest.mark.parametrize(
    "words",
    ["run --name --help", "run", "components --plugin x.py", "components --plugin=x.py", "stage --disable x --help", "doctor"],
)
def test_what_does_more_than_print_is_not_kept(prints: Prints, words: str) -> None:
    assert prints(*words.split())[1]
    assert prints(*words.split())[1]


def test_an_error_or_a_warning_is_not_kept(prints: Prints) -> None:
    prints.code = 2
    assert prints("run", "--help")[1]
    prints.code, prints.says = 0, ("text", "warning")
    assert prints("run", "--help")[1]
    assert prints("run", "--help")[1]


@pytest.mark.parametrize("change", ["module", "distribution", "environment", "plugins", "damage", "cut"])
def test_a_change_is_noticed(prints: Prints, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    info = path / "acme-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Version: 1")
    prints("components")
    assert prints("components")[1] is False
    (file,) = (tmp_path / "cache" / "pipekit" / "texts").iterdir()
    if change == "module":
        (path / "acme.py").write_text("")
    elif change == "distribution":
        (info / "METADATA").write_text("Version: 1.1")
    elif change == "environment":
        monkeypatch.setenv("NO_COLOR", "1")
    elif change == "plugins":
        monkeypatch.setenv("PIPEKIT_PLUGINS", "acme")
    elif change == "damage":
        file.write_bytes(file.read_bytes().replace(b"text", b"next"))
    else:
        file.write_bytes(file.read_bytes()[:-3])
    assert prints("components") == ("text \\udcff 犬\n", True)


def test_code_that_changed_after_the_start_is_not_trusted(prints: Prints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_texts, "STARTED_NS", Path(kept_texts.__file__).stat().st_mtime_ns)
    assert prints("components")[1]
    assert prints("components")[1]


def test_where_nothing_can_be_written_it_is_made_each_time(
    prints: Prints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert prints("components")[1]
    assert prints("components")[1]


def test_the_oldest_go(prints: Prints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_texts, "MAX_KEPT", 2)
    for number, kind in enumerate(("op", "stage", "model")):
        prints("components", kind)
        for file in (tmp_path / "cache" / "pipekit" / "texts").iterdir():
            os.utime(file, ns=(number, file.stat().st_mtime_ns // 2))
    assert prints("components", "op")[1]
    assert not prints("components", "model")[1]
