"""Progress of a run in a Jupyter notebook, where a verb was given no listener. Only this module uses IPython."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipekit.engine.outcome import Listener

EVERY_S = 0.25
"""Progress is shown at most this often; a stage that begins or ends is shown at once."""

MOST_WARNINGS = 3


def listener_or_progress(listener: Listener | None) -> Listener:
    """The given listener; without one, in a Jupyter kernel, a display of the progress; else a listener that ignores all."""
    from pipekit.engine.run import silent

    if listener is not None:
        return listener
    return NotebookProgress() if in_kernel() else silent


def in_kernel() -> bool:
    """Whether this code runs in a Jupyter kernel. IPython is not imported to find out: in a kernel it is loaded."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_ipython() if callable(get_ipython) else None
    return getattr(shell, "kernel", None) is not None  # the shell in a terminal has none


@dataclass
class _Stage:
    """A stage as it is shown."""

    state: str = ""
    label: str = ""
    done: int = 0
    total: int | None = None
    unit: str = ""
    seconds: float = 0.0


class NotebookProgress:
    """A listener that shows a line for each stage below the cell and brings it up to date.

    Args:
        show: displays HTML and returns what replaces it later; default: IPython's ``display``.
        clock: seconds.
    """

    def __init__(
        self, show: Callable[[str], Callable[[str], None]] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._show, self._clock = show or _display, clock
        self._update: Callable[[str], None] | None = None
        self._shown_at = float("-inf")
        self._begun = clock()
        self.name = ""
        self.headline = ""
        self.finished = False
        self.stages: dict[str, _Stage] = {}
        self.warnings: list[str] = []

    def __call__(self, event: str, /, **values: Any) -> None:
        method: Callable[..., None] | None = getattr(self, f"_on_{event}", None)
        if method is not None:
            method(**values)
        elif "stage" in values and isinstance(values.get(event), int) and isinstance(values.get(f"{event}s"), int):
            self._on_progress(values["stage"], event, values[event], values[f"{event}s"])  # epoch=3, epochs=10
        else:
            return
        if (event == "progress" or method is None) and self._clock() - self._shown_at < EVERY_S:
            return
        self._draw()

    def _stage(self, name: str) -> _Stage:
        return self.stages.setdefault(name, _Stage())

    def _on_run_started(self, name: str = "", stages: Sequence[Any] = (), **_: Any) -> None:
        from pipekit.engine.outcome import shown_name

        self.stages = {str(stage): _Stage() for stage in stages}
        self.name, self.finished, self.headline = shown_name(name, self.stages), False, ""
        self._begun = self._clock()

    def _on_stage_started(self, stage: str, **_: Any) -> None:
        self._stage(stage).state = "running"

    def _on_stage_cached(self, stage: str, **_: Any) -> None:
        self._stage(stage).state = "from the cache"

    def _on_stage_finished(self, stage: str, seconds: float = 0.0, **_: Any) -> None:
        found = self._stage(stage)
        found.state, found.seconds = "done", seconds

    def _on_stage_failed(self, stage: str, **_: Any) -> None:
        self._stage(stage).state = "failed"

    def _on_progress(
        self, stage: str = "", label: str = "", done: int = 0, total: int | None = None, unit: str = "", **_: Any
    ) -> None:
        found = self._stage(stage or label)
        found.state = "running"
        found.label, found.done, found.total, found.unit = label, done, total, unit

    def _on_warning(self, stage: str = "", message: str = "", **_: Any) -> None:
        self.warnings.append(f"{stage}: {message}" if stage else message)

    def _on_run_finished(self, headline: str = "", **_: Any) -> None:
        self.finished, self.headline = True, headline

    def html(self) -> str:
        """What is shown now."""
        from pipekit.page import notebook

        seconds = f"{self._clock() - self._begun:.1f} s"
        told = notebook.warnings(self.warnings, MOST_WARNINGS)
        if self.finished:
            cached = sum(stage.state == "from the cache" for stage in self.stages.values())
            count = f"{len(self.stages)} stage{'s' if len(self.stages) != 1 else ''}"
            line = f"{self.name}: {count}{f', {cached} from the cache' if cached else ''}, {seconds}"
            return notebook.whole(notebook.note(line), notebook.sentence(self.headline) if self.headline else "", told)
        rows = [(name, *_cells(stage)) for name, stage in self.stages.items()]
        return notebook.whole(notebook.table(["stage", "", ""], rows), told, title=f"{self.name} ({seconds})")

    def _draw(self) -> None:
        """Show the state; a front end that can't show it ends the display, not the run."""
        self._shown_at = self._clock()
        try:
            if self._update is None:
                self._update = self._show(self.html())
            else:
                self._update(self.html())
        except Exception as error:  # whatever a front end raises
            self._update = _nothing
            print(f"progress can't be shown: {error}", file=sys.stderr)


def _nothing(html: str) -> None:
    """In place of a display that failed."""


def _cells(stage: _Stage) -> tuple[Any, str]:
    """The bar and the words of a stage."""
    from pipekit.page import notebook

    if stage.state != "running":
        seconds = f", {stage.seconds:.1f} s" if stage.state == "done" and stage.seconds >= 0.1 else ""
        return "", f"{stage.state}{seconds}"
    of = f"{stage.done:,} of {stage.total:,}" if stage.total else f"{stage.done:,}" if stage.done else ""
    return notebook.bar(stage.done, stage.total), " ".join(part for part in (stage.label, of, stage.unit) if part)


def _display(html: str) -> Callable[[str], None]:
    shown: Any = import_module("IPython.display")
    handle = shown.display(shown.HTML(html), display_id=True)
    return lambda later: handle.update(shown.HTML(later))
