"""Listeners that show the progress of a run: live, as plain lines, as JSON lines, or only at the end."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipekit.engine.outcome import shown_name
from pipekit.ui import BAD, DIM, GOOD, NAME, WARN, console, duration, make_table, plural, say, show
from pipekit.ui.alone import data_stream, stdout_alone
from pipekit.ui.stage_view import StageView

if TYPE_CHECKING:
    from types import TracebackType


SHOWING_S = 2.0
"""The summary states how long it took to show the results if it took longer."""


class RunDisplay:
    """A listener that prints only at the end: the base class of the others, and what ``--quiet`` uses.

    A listener is called as ``display(event, **values)``; an event that has no method goes to :meth:`on_other`.
    It is a context manager, so that the terminal is restored in every case.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.stages: dict[str, StageView] = {}

    def __enter__(self) -> RunDisplay:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def __call__(self, event: str, /, **values: Any) -> None:
        method: Callable[..., None] | None = getattr(self, f"on_{event}", None)
        if method is not None and event != "other":
            method(**values)
        else:
            self.on_other(event, **values)

    def view(self, stage: str) -> StageView:
        return self.stages.setdefault(stage, StageView(stage))

    def working(self, stage: str, label: str) -> StageView:
        """The view of a stage; a step of the run that belongs to no stage is named by its label."""
        if stage:
            return self.view(stage)
        view = self.view(label)
        if view.is_stage:
            view.is_stage, view.state, view.started = False, "running", self.clock()
        return view

    # bookkeeping; displays that print something extend these

    def on_run_started(self, name: str = "", file: str | Path = "", stages: Sequence[Any] = (), **_: Any) -> None:
        for stage in stages:
            self.view(stage if isinstance(stage, str) else stage["stage"])

    def on_stage_started(self, stage: str, use: str = "", **_: Any) -> None:
        view = self.view(stage)
        view.use, view.state, view.started = use, "running", self.clock()

    def on_stage_cached(self, stage: str, use: str = "", facts: Mapping[str, str] | None = None, **_: Any) -> None:
        view = self.view(stage)
        view.use, view.state, view.facts = use or view.use, "cached", facts or view.facts

    def on_progress(
        self, stage: str, label: str = "", done: int = 0, total: int | None = None, unit: str = "", **_: Any
    ) -> None:
        self.working(stage, label).advance(label, done, total, unit, self.clock())

    def on_epoch_started(
        self, stage: str, epoch: int = 0, epochs: int = 0, steps: int = 0, step: int = 0, at_most: bool = False, **_: Any
    ) -> None:
        self.view(stage).start_epoch(epoch, epochs, steps, step, at_most, self.clock())

    def on_remaining(self, stage: str, seconds: float = 0.0, **_: Any) -> None:
        """The stage begins another training; others will follow it."""
        view = self.view(stage)
        view.later_s, view.epochs = seconds, None

    def on_stage_finished(
        self, stage: str, use: str = "", seconds: float = 0.0, cached: bool = False, facts: Any = None, **_: Any
    ) -> None:
        view = self.view(stage)
        view.state = "cached" if cached else "ran"
        view.use, view.seconds, view.facts = use or view.use, seconds, facts or {}

    def on_warning(self, stage: str = "", message: str = "", **_: Any) -> None:
        if stage:
            self.view(stage).warnings += 1

    def on_note(self, stage: str = "", message: str = "", **_: Any) -> None:
        """A sentence that is good to know; left out with ``--quiet``."""

    def on_loads(self, plugin: str = "", **_: Any) -> None:
        """A plugin of the project is about to be loaded; left out with ``--quiet``."""

    def on_failed_samples(self, stage: str, count: int = 0, **_: Any) -> None:
        self.view(stage).failed = count

    def on_stage_failed(self, stage: str, use: str = "", **_: Any) -> None:
        view = self.view(stage)
        view.use, view.state = use or view.use, "failed"
        view.seconds = self.clock() - view.started if view.started else None

    def on_run_finished(
        self, status: str = "", run_dir: str | Path = "", seconds: float = 0.0, headline: str = "", **_: Any
    ) -> None:
        if headline:
            say(headline, NAME)

    def on_other(self, event: str, /, stage: str = "", **values: Any) -> None:
        """A stage-specific event; one with ``<name>`` and ``<name>s`` (``epoch=3, epochs=10``) counts as progress."""
        if not stage:
            return
        view = self.view(stage)
        done, total = values.pop(event, None), values.pop(f"{event}s", None)
        if isinstance(done, int) and isinstance(total, int):
            view.advance(event, done, total, f"{event}s", self.clock())
        view.note = "  ".join(f"{name} {_number(value)}" for name, value in values.items() if _is_plain(value))


class PlainDisplay(RunDisplay):
    """Plain lines as events arrive, then the table: for logs, pipes and CI. A long step reports progress every ten seconds."""

    every_s = 10.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._said_at = clock()
        self.name = ""

    def on_run_started(self, name: str = "", file: str | Path = "", stages: Sequence[Any] = (), **_: Any) -> None:
        super().on_run_started(name, file, stages)
        self.name = name = shown_name(name, stages)
        self.line(f"{name}: {plural(len(stages), 'stage')}" + (f"  ({shown_path(Path(file))})" if file else ""))

    def on_stage_started(self, stage: str, use: str = "", **_: Any) -> None:
        super().on_stage_started(stage, use)
        self._said_at = self.clock()
        self.line(f"{stage}: running")

    def on_progress(
        self, stage: str, label: str = "", done: int = 0, total: int | None = None, unit: str = "", **_: Any
    ) -> None:
        super().on_progress(stage, label, done, total, unit)
        self._say_where(self.working(stage, label))

    def on_other(self, event: str, /, stage: str = "", **values: Any) -> None:
        super().on_other(event, stage, **values)
        if stage:
            self._say_where(self.view(stage))

    def _say_where(self, view: StageView) -> None:
        if self.clock() - self._said_at >= self.every_s:
            self._said_at = self.clock()
            label = "" if view.label == view.name else view.label
            parts = (label, view.count(), view.pace(self.clock()), view.note)
            self.line(f"{view.name}: " + "  ".join(part for part in parts if part))

    def on_warning(self, stage: str = "", message: str = "", **_: Any) -> None:
        super().on_warning(stage, message)
        self.line(f"{stage}: {message}" if stage else message, "warning: ", WARN)

    def on_note(self, stage: str = "", message: str = "", **_: Any) -> None:
        self.line(f"{stage}: {message}")

    def on_loads(self, plugin: str = "", **_: Any) -> None:
        self.line(f"loads {plugin}")

    def on_failed_samples(self, stage: str, count: int = 0, total: int = 0, examples: Sequence[Any] = (), **_: Any) -> None:
        super().on_failed_samples(stage, count)
        if count:
            self.line(f"{stage}: {count:,} of {total:,} could not be used", "warning: ", WARN)
            for example in list(examples)[:3]:
                self.line(f"  {_example(example)}")

    def on_run_finished(
        self,
        status: str = "",
        run_dir: str | Path = "",
        seconds: float = 0.0,
        headline: str = "",
        advice: str = "",
        showing_s: float = 0.0,
        **_: Any,
    ) -> None:
        say()
        show(stage_table(list(self.stages.values())))
        say()
        if headline:
            say(headline, NAME)
        found = result_path(Path(run_dir)) if run_dir else ""
        took = duration(seconds) + (f", {duration(showing_s)} to show them" if showing_s >= SHOWING_S else "")
        say(f"Results: {found}  ({took})" if found else f"Done in {duration(seconds)}.")
        if advice:
            say(f"What to do next: {advice}")

    def line(self, text: str, lead: str = "", style: str = "") -> None:
        console().print(Text.assemble((lead, style), text), soft_wrap=True)


class LiveDisplay(PlainDisplay):
    """One line per stage, updated in place: a spinner, a bar, the count, the speed and the time left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self.console = console()
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            get_renderable=self.picture, console=self.console, refresh_per_second=8, transient=True, redirect_stderr=True
        )

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()
        if failure is not None and self.stages:
            for view in self.stages.values():
                view.state = "stopped" if view.state == "running" else view.state
            self.console.print(stage_table(list(self.stages.values())))

    def on_run_started(self, name: str = "", file: str | Path = "", stages: Sequence[Any] = (), **_: Any) -> None:
        RunDisplay.on_run_started(self, name, file, stages)
        self.name = shown_name(name, stages)

    def on_stage_started(self, stage: str, use: str = "", **_: Any) -> None:
        RunDisplay.on_stage_started(self, stage, use)

    def _say_where(self, view: StageView) -> None:
        """Nothing to print: the live lines show it."""

    def on_run_finished(
        self,
        status: str = "",
        run_dir: str | Path = "",
        seconds: float = 0.0,
        headline: str = "",
        advice: str = "",
        showing_s: float = 0.0,
        **_: Any,
    ) -> None:
        self._live.stop()
        super().on_run_finished(status, run_dir, seconds, headline, advice, showing_s)

    def line(self, text: str, lead: str = "", style: str = "") -> None:
        self.console.print(Text.assemble((lead, style), text), soft_wrap=True)

    def picture(self) -> RenderableType:
        """Render the current lines; the console's height truncates a very long pipeline."""
        now = self.clock()
        grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
        longest = max((len(name) for name in self.stages), default=1)
        grid.add_column(width=1)
        grid.add_column(no_wrap=True, width=min(longest, 24), overflow="ellipsis")
        grid.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
        for view in self.stages.values():
            grid.add_row(*self._row(view, now))
        return grid

    def _row(self, view: StageView, now: float) -> tuple[RenderableType, ...]:
        if view.state != "running":
            took = duration(view.seconds) if view.seconds is not None and view.state != "cached" else view.state
            text = "" if view.state == "waiting" else "  ".join(part for part in (took, view.result()) if part)
            style = DIM if view.state in ("waiting", "cached") else ""
            return state_mark(view.state, self.console), Text(view.name, style), Text(text, style)
        elapsed = now - view.started
        label = "" if view.label in (view.name, view.unit.rstrip("s")) else view.label
        parts = [label, view.count() if view.done else ""]
        parts += [view.pace(now) or (duration(elapsed) if elapsed > 2 else ""), view.note]
        if view.failed:
            parts.append(f"{view.failed:,} could not be used")
        said = Text("  ".join(part for part in parts if part), no_wrap=True, overflow="ellipsis")
        if not view.total or elapsed < 1:
            return self._spinner, Text(view.name, NAME), said
        line = Table.grid(padding=(0, 1, 0, 0), expand=True)
        line.add_column(width=16)
        line.add_column(ratio=1)
        line.add_row(ProgressBar(total=view.total, completed=view.done, width=16), said)
        return self._spinner, Text(view.name, NAME), line


class JsonDisplay(RunDisplay):
    """One JSON object per line for each event, and nothing else on stdout: output of plugins is redirected to stderr."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        super().__init__()
        self._stream = stream
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> JsonDisplay:
        if self._stream is None:
            self._stream = self._stack.enter_context(stdout_alone())
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def __call__(self, event: str, /, **values: Any) -> None:
        stream = self._stream or data_stream()
        stream.write(json.dumps({"event": event, **values}, ensure_ascii=False, default=_jsonable) + "\n")
        stream.flush()


def stage_table(stages: Sequence[StageView]) -> RenderableType:
    """The table at the end of a run: the outcome of each stage."""
    out = console()
    rows = []
    for view in (view for view in stages if view.is_stage):
        took = duration(view.seconds) if view.seconds is not None and view.state in ("ran", "failed") else ""
        mark = Text.assemble(state_mark(view.state, out), " ", view.name)
        rows.append((mark, view.use, view.state if view.state != "waiting" else "not run", took, view.result()))
    return make_table(("stage", "use", "state", "time", "result"), rows, right=(3,))


_MARKS = {
    "ran": ("✓", "+", GOOD),
    "cached": ("✓", "=", DIM),
    "failed": ("✗", "x", BAD),
    "stopped": ("✗", "x", WARN),
    "waiting": ("·", "-", DIM),
}


def state_mark(state: str, out: Console) -> Text:
    """A check mark, a cross or a dot; plain ASCII if the terminal's encoding lacks them."""
    mark, plain, style = _MARKS.get(state, _MARKS["waiting"])
    return Text(mark if out.encoding.lower().startswith("utf") else plain, style)


def result_path(run_dir: Path) -> str:
    """The report if there is one, else the folder; "" if the run has no results to show."""
    report = run_dir / "report.html"
    return shown_path(report if report.is_file() else run_dir) if run_dir.is_dir() else ""


def shown_path(path: Path) -> str:
    """A path as the user would write it from the working folder."""
    below = os.path.relpath(path)
    return str(path) if below.startswith("..") else below


def _example(example: Any) -> str:
    if isinstance(example, Mapping):
        return f"{example.get('id', '')}: {example.get('reason', '')}"
    if isinstance(example, (tuple, list)):
        return ": ".join(str(part) for part in example)
    reason = getattr(example, "reason", None)
    return f"{example.id}: {reason}" if reason else str(example)


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _jsonable(value: Any) -> Any:
    """Convert for JSON: NumPy numbers to numbers, mappings and sequences unchanged, the rest (paths) to text."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else str(value)
