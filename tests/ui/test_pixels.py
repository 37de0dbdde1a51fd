"""Pictures in terminals that draw them. chafa, which is optional, is played by a stand-in that knows two terminals."""

from __future__ import annotations

import io
import os
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from pipekit.ui import picture, pixels

KNOWN = {"xterm-kitty": "kitty", "foot": "sixels"}


class Sequences:
    CHAFA_TERM_SEQ_BEGIN_KITTY_IMMEDIATE_IMAGE_V1 = "kitty"
    CHAFA_TERM_SEQ_BEGIN_SIXELS = "sixels"


class Canvas:
    def __init__(self, config: Any) -> None:
        self.config = config

    def draw_all_pixels(self, kind: str, data: bytes, width: int, height: int, stride: int) -> None:
        assert (kind, len(data), stride) == ("rgb8", 3 * width * height, 3 * width)

    def print(self, term_info: Any) -> bytes:
        return f"<{self.config.pixel_mode} {self.config.width} x {self.config.height}>".encode()


@pytest.fixture
def chafa(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)
    found = SimpleNamespace(
        TermDb=lambda: SimpleNamespace(
            detect=lambda: SimpleNamespace(have_seq=lambda sequence: KNOWN.get(os.environ["TERM"]) == sequence)
        ),
        TermSeq=Sequences,
        CanvasConfig=SimpleNamespace,
        Canvas=Canvas,
        CanvasMode=SimpleNamespace(CHAFA_CANVAS_MODE_TRUECOLOR="truecolor"),
        PixelMode=SimpleNamespace(CHAFA_PIXEL_MODE_KITTY="kitty", CHAFA_PIXEL_MODE_SIXELS="sixels"),
        PixelType=SimpleNamespace(CHAFA_PIXEL_RGB8="rgb8"),
    )
    monkeypatch.setitem(sys.modules, "chafa", found)


@pytest.mark.parametrize(("term", "kind"), [("xterm-kitty", "kitty"), ("foot", "sixels"), ("xterm-256color", ""), ("dumb", "")])
@pytest.mark.usefixtures("chafa")
def test_the_environment_says_what_a_terminal_draws(monkeypatch: pytest.MonkeyPatch, term: str, kind: str) -> None:
    monkeypatch.setenv("TERM", term)
    assert pixels.protocol() == kind
    monkeypatch.setenv("TMUX", "/tmp/tmux")
    assert pixels.protocol() == ""
    monkeypatch.delenv("TMUX")
    monkeypatch.setitem(sys.modules, "chafa", None)
    assert pixels.protocol() == ""


@pytest.mark.usefixtures("chafa")
def test_a_picture_keeps_its_shape_and_is_never_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = np.zeros((300, 1200, 3), np.uint8)
    assert pixels.drawn(wide, "kitty", 80) == "<kitty 80 x 10>"
    assert pixels.drawn(wide, "sixels", 200) == "<sixels 120 x 15>"
    assert pixels.drawn(wide, "sixels", 80, (8, 16)) == "<sixels 80 x 10>"
    assert pixels.cell_px(os.open(os.devnull, os.O_RDONLY)) == pixels.CELL_PX


@pytest.mark.parametrize(("term", "shown"), [("foot", "<sixels 20 x 10>\n"), ("xterm-256color", "▀")])
@pytest.mark.usefixtures("chafa")
def test_half_blocks_where_nothing_else_can_be(monkeypatch: pytest.MonkeyPatch, term: str, shown: str) -> None:
    class Screen(io.StringIO):
        def fileno(self) -> int:
            return 1

    monkeypatch.setenv("TERM", term)
    screen = Screen()
    console = Console(file=screen, force_terminal=True, color_system="truecolor", width=80)
    monkeypatch.setattr(picture, "console", lambda: console)
    monkeypatch.setattr(picture, "show", console.print)
    monkeypatch.setattr(pixels, "cell_px", lambda handle: (10, 20))
    picture.show_picture(np.zeros((200, 200, 3), np.uint8))
    assert shown in screen.getvalue()
    assert ("▀" in screen.getvalue()) == (shown == "▀")
