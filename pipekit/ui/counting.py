"""Progress of a long iteration, for commands that run no pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pipekit import ui

T = TypeVar("T")

LIVE_EVERY_S, PLAIN_EVERY_S = 0.2, 10.0


def counted(items: Iterable[T], noun: str, clock: Callable[[], float] = time.monotonic) -> Iterator[T]:
    """Pass items through and report their number and rate on stderr: in one line of a terminal, otherwise a line now and then.

    The total is not needed: for a list on standard input it is unknown.
    """
    out = ui.console(stderr=True)
    started = last = clock()
    live = out.status("") if out.is_terminal else None
    try:
        if live:
            live.start()
        for done, item in enumerate(items, 1):
            yield item
            now = clock()
            if now - last >= (LIVE_EVERY_S if live else PLAIN_EVERY_S):
                last = now
                text = f"{ui.plural(done, noun)}, {done / max(now - started, 1e-9):,.1f} a second"
                if live:
                    live.update(text)
                else:
                    ui.note(text)
    finally:
        if live:
            live.stop()
