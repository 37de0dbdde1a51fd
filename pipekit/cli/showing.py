"""Shows a verb that runs a pipeline: progress, errors as events, a message after Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pipekit.engine.outcome import Listener

T = TypeVar("T")

RESUME = "Finished shards are kept; run the same command again to continue."


def show_verb(as_json: bool, quiet: bool, call: Callable[[Listener], T]) -> tuple[int, T | None]:
    """Call a verb with a display as its listener.

    Args:
        as_json: print events as JSON lines, errors too, before they are printed on stderr.
        quiet: print only errors and the result.

    Returns:
        The exit code, and what the verb returned; None after Ctrl-C.
    """
    from pipekit import ui
    from pipekit.errors import EXIT_INTERRUPTED
    from pipekit.ui.combinations import CombinationsDisplay

    display = CombinationsDisplay(lambda: ui.run_display(as_json, quiet), as_json)
    try:
        with display, reporting(display, as_json):  # the display ends last: its stream is closed then
            return 0, call(display)
    except KeyboardInterrupt:
        ui.note(f"Stopped. {RESUME}")
        return EXIT_INTERRUPTED, None


def without_end(display: Listener) -> Listener:
    """A listener that shows progress, for a command that prints the result and the warnings itself."""

    def listen(event: str, **values: Any) -> None:
        if event not in ("run_finished", "failed_samples", "warning"):
            display(event, **values)

    return listen


class reporting:  # noqa: N801 (reads as a phrase: with reporting(display))
    """Reports an error to other programs too: with ``--json`` it is an event before it is printed on stderr."""

    def __init__(self, display: Callable[..., None], as_json: bool) -> None:
        self.display, self.as_json = display, as_json

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: Any) -> None:
        from pipekit.errors import PipekitError, PlanError

        if self.as_json and isinstance(failure, PipekitError):
            problems = failure.problems if isinstance(failure, PlanError) else ()
            listed = [{"path": p.path, "message": p.message, "hint": p.hint, "line": p.line} for p in problems]
            self.display("error", message=failure.message, where=failure.where, hint=failure.hint, problems=listed)
