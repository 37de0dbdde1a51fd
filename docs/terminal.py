"""Record a command in a terminal, as an SVG file that plays: what was on the screen, with the time that it took.

The command runs in a terminal of its own. What its screen shows is taken a few times a second; equal screens are one. Each
becomes a group of the SVG file, which CSS shows for its share of the time, again and again. A run that took longer than
``LIMIT_S`` is played faster, and the title says so. Viewers that play no CSS, and those who want less motion, see the last
screen.
"""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

LIMIT_S = 20.0
HOLD_S = 4.0
"""How long the last screen stays."""
EVERY_S = 0.3
MOST = 24
"""Screens of a recording, about."""
GROUND = ((20, 24, 31), (222, 228, 236))
COLOURS = [
    *((60, 68, 80), (255, 123, 114), (86, 211, 100), (227, 179, 65)),
    *((121, 192, 255), (210, 168, 255), (86, 212, 221), (200, 208, 218)),
    *((110, 118, 130), (255, 161, 152), (126, 231, 135), (242, 204, 96)),
    *((165, 214, 255), (226, 197, 255), (179, 240, 255), (255, 255, 255)),
]
"""Black to white, and the bright ones."""
ROOT = Path(__file__).resolve().parent.parent

FRAME = """<g class="screen" style="animation-name:s{unique_id}"><style>{styles}</style>
<g clip-path="url(#clip)">{backgrounds}<g class="text">{matrix}</g></g></g>"""

WHOLE = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{title}">
<style>
.text {{ font: 20px/24.4px ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre; }}
.title {{ font: 16px system-ui, sans-serif; fill: #9aa4b2; }}
.screen {{ visibility: hidden; animation: {seconds:.2f}s step-end infinite; }}
.screen:last-of-type {{ visibility: visible; }}
{keyframes}
@media (prefers-reduced-motion: reduce) {{ .screen {{ animation: none; }} }}
</style>
<rect width="{width}" height="{height}" rx="10" fill="#14181f"/>
<text class="title" x="20" y="28">{title}</text>
<clipPath id="clip"><rect x="0" y="0" width="{width}" height="{height}"/></clipPath>
<g transform="translate(16 44)">
{frames}
</g>
</svg>
"""


def screens(command: Sequence[str], folder: Path, columns: int, rows: int) -> Iterator[tuple[float, Any]]:
    """What the terminal shows, with the seconds since the start; a ``pyte`` buffer, copied row by row."""
    import fcntl
    import termios

    import pyte

    screen = pyte.Screen(columns, rows)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment["PIPEKIT_STORE"] = str(folder / ".store")  # nothing is there yet
    environment.pop("CI", None)
    words = [sys.executable, "-m", *command]
    stream.feed(f"\x1b[32m$\x1b[0m {' '.join(command)}\r\n".encode())
    began = last = time.monotonic()
    yield 0.0, _copied(screen)
    process = subprocess.Popen(words, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    while True:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                data = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if not data:
                break
            stream.feed(data)
        now = time.monotonic()
        if now - last >= EVERY_S:
            last = now
            yield now - began, _copied(screen)
    if process.wait():
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    yield time.monotonic() - began, _copied(screen)


def _copied(screen: Any) -> list[list[Any]]:
    return [[screen.buffer[row][column] for column in range(screen.columns)] for row in range(screen.lines)]


def record(command: Sequence[str], folder: Path, *, columns: int, rows: int) -> str:
    """The recording of a command that runs in ``folder``, as the text of an SVG file."""
    seen: list[tuple[float, Any]] = []
    for at, shown in screens(command, folder, columns, rows):
        if not seen or seen[-1][1] != shown:
            seen.append((at, shown))
    took = seen[-1][0]
    seen = _thinned(seen, took / MOST)
    faster = max(1.0, took / LIMIT_S)
    starts = [at / faster for at, _ in seen]
    total = starts[-1] + HOLD_S
    frames, keyframes = [], []
    for number, (_, shown) in enumerate(seen):
        frames.append(_drawn(shown, f"f{number}", columns, rows))
        begin, end = 100 * starts[number] / total, 100 * (starts[number + 1] if number + 1 < len(seen) else total) / total
        hidden = f" {end:.3f}% {{ visibility: hidden }}" if end < 100 else ""
        first = "" if begin == 0 else "0% { visibility: hidden } "
        keyframes.append(f"@keyframes sf{number} {{ {first}{begin:.3f}% {{ visibility: visible }}{hidden} }}")
    title = f"pipekit: {took:.0f} s" + (f", shown {faster:.1f} times as fast" if faster > 1 else "")
    width, height = int(columns * 12.2) + 32, int(rows * 24.4) + 64
    return WHOLE.format(
        width=width, height=height, title=title, seconds=total, keyframes="\n".join(keyframes), frames="\n".join(frames)
    )


def _thinned(seen: Sequence[tuple[float, Any]], apart_s: float) -> list[tuple[float, Any]]:
    """The first and the last screen, and of the others those that lie so far apart."""
    kept = [seen[0]]
    for one in seen[1:-1]:
        if one[0] - kept[-1][0] >= apart_s:
            kept.append(one)
    return [*kept, *seen[1:][-1:]]


def _drawn(shown: Sequence[Sequence[Any]], name: str, columns: int, rows: int) -> str:
    """One screen, by Rich, as a group of the SVG file."""
    import io

    from rich.console import Console
    from rich.terminal_theme import TerminalTheme
    from rich.text import Text

    theme = TerminalTheme(*GROUND, COLOURS[:8], COLOURS[8:])
    console = Console(
        record=True, width=columns, height=rows, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for row in shown:
        text = Text()
        for cell in row:
            text.append(cell.data, _style(cell))
        text.rstrip()
        console.print(text, no_wrap=True, crop=True, overflow="crop")
    text = console.export_svg(theme=theme, code_format=FRAME, unique_id=name)
    return re.sub(r'<text [^>]*>\s*</text>|(?<=") clip-path="url\(#f\d+-line-\d+\)"', "", text).replace("\n\n", "\n")


def _style(cell: Any) -> str:
    words = ["bold"] if cell.bold else []
    if re.fullmatch("[0-9a-f]{6}", cell.fg):
        words.append(f"#{cell.fg}")
    elif cell.fg != "default":
        words.append({"brown": "yellow"}.get(cell.fg, cell.fg))
    return " ".join(words)
