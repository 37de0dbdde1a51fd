"""What people see: numbers in words, errors, tables, and the displays of a run."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from rich.console import Console

from pipekit import ui
from pipekit.errors import Problem, UserError
from pipekit.ui import progress


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# --- numbers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert ui.duration(seconds) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000_000_000_000, "2000.0 TB")]
)
def test_sizes(num_bytes: int, text: str) -> None:
    assert ui.size(num_bytes) == text


def test_plurals() -> None:
    assert [ui.plural(1, "file"), ui.plural(0, "file"), ui.plural(1200, "file")] == ["1 file", "0 files", "1,200 files"]
    assert [ui.plural(2, name) for name in ("search", "loss", "stage")] == ["2 searches", "2 losses", "2 stages"]


# --- errors and tables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (UserError("no such file: a"), ["error: no such file: a"]),
        (UserError("no such file: a", "Look."), ["error: no such file: a", "  Look."]),
        (UserError("no op called 'x'.", "Did you mean 'y'?"), ["error: no op called 'x'. Did you mean 'y'?"]),
        (
            UserError("no op called 'x'", "Did you mean 'y'? List them: pipekit components op", "in a.toml"),
            ["error: no op called 'x'. Did you mean 'y'?", "  in a.toml.  List them: pipekit components op"],
        ),
    ],
)
def test_errors_say_what_where_and_what_next(capsys: pytest.CaptureFixture[str], error: UserError, lines: list[str]) -> None:
    ui.error(error)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == lines
    assert captured.out == ""


def test_a_long_error_is_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    ui.error(UserError("a path: " + "x" * 500))
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_table_has_no_frame_no_trailing_space_and_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    ui.table(("name", "size"), [("[bold]a[/bold]", "1"), ("b", "20")], right=(1,))
    assert capsys.readouterr().out.splitlines() == ["name            size", "[bold]a[/bold]     1", "b                 20"]


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> io.StringIO:
    """What is printed to a terminal of this width."""
    screen = io.StringIO()
    made = Console(file=screen, width=width, force_terminal=True, color_system=None, markup=False, highlight=False)
    monkeypatch.setattr(ui, "console", lambda stderr=False: made)
    return screen


@pytest.mark.parametrize("width", [60, 61])
def test_a_table_too_narrow_for_its_words_becomes_blocks(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Columns: 13, 16 at least, 28 as it is firm; with the gaps 61."""
    screen = on_terminal(monkeypatch, width)
    ui.table(("name", "what", "id"), [("transcription", "a text of many words", "x" * 28), ("b", "", "1")], firm=(0, 2))
    lines = [line.rstrip() for line in screen.getvalue().splitlines()]
    if width == 61:
        assert lines[0].split() == ["name", "what", "id"]
        return
    assert lines == [
        "name    transcription",
        "  what  a text of many words",
        f"  id    {'x' * 28}",
        "name    b",
        "  id    1",
    ]


def test_a_pipe_breaks_no_words_where_columns_is_small(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("transcription", "a text of many words", "x" * 28)]
    ui.table(("name", "what", "id"), rows, firm=(0, 2))
    assert len(capsys.readouterr().out.splitlines()) == 2, "a line for each row"
    monkeypatch.setenv("COLUMNS", "60")
    ui.table(("name", "what", "id"), rows, firm=(0, 2))
    assert capsys.readouterr().out == f"name    transcription\n  what  a text of many words\n  id    {'x' * 28}\n"


def test_a_diagnosis_is_wrapped_between_words_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ui.finding("ok", "memory", "a rather long text that has to be wrapped")
    assert len(capsys.readouterr().out.splitlines()) == 1
    screen = on_terminal(monkeypatch, 40)
    ui.finding("ok", "memory", "a rather long text that has to be wrapped")
    ui.finding("ok", "a long name of it", "a text")
    assert [line.rstrip() for line in screen.getvalue().splitlines()] == [
        "✓ memory       a rather long text that",
        "               has to be wrapped",
        "✓ a long name of it",
        "               a text",
    ]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    ui.write_text(tmp_path / "a.json", "{}\n")
    assert (tmp_path / "a.json").read_text() == "{}\n"
    with pytest.raises(UserError, match="can't write"):
        ui.write_text(tmp_path / "nowhere" / "a.json", "{}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


# --- what is remembered of a run -----------------------------------------------------------------------------------------

EVENTS = [
    ("run_started", {"name": "pets", "file": "", "stages": ["data", "train", "report"]}),
    ("stage_cached", {"stage": "data", "use": "import.folders", "facts": {"images": "399"}}),
    ("stage_started", {"stage": "train", "use": "train"}),
    ("progress", {"stage": "train", "label": "reading", "done": 10, "total": 100, "unit": "images"}),
    ("epoch", {"stage": "train", "epoch": 2, "epochs": 8, "loss": 0.51234567, "nested": {"a": 1}}),
    ("warning", {"stage": "train", "message": "val is small"}),
    ("failed_samples", {"stage": "train", "count": 2, "total": 399, "examples": [("a.jpg", "truncated JPEG")]}),
    ("stage_finished", {"stage": "train", "use": "train", "seconds": 12.3, "cached": False, "facts": {"epochs": "8"}}),
]
END = ("run_finished", {"status": "finished", "run_dir": "", "seconds": 12.5, "headline": "test accuracy 0.958"})


def play(display: progress.RunDisplay, *events: tuple[str, dict[str, object]]) -> None:
    for event, values in events:
        display(event, **values)


def test_a_view_remembers_what_a_stage_did() -> None:
    display = progress.RunDisplay()
    play(display, *EVENTS)
    train = display.stages["train"]
    assert (train.state, train.seconds, train.failed, train.warnings) == ("ran", 12.3, 2, 1)
    assert train.note == "loss 0.5123"
    assert (train.done, train.total, train.unit) == (2, 8, "epochs")
    assert train.result() == "epochs 8, failed 2"
    assert display.stages["report"].state == "waiting"
    assert display.stages["data"].state == "cached"


def test_the_time_that_showing_results_took_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for showing_s, expected in ((9.0, "(12 s, 9.0 s to show them)"), (1.0, "(12 s)")):
        display = progress.PlainDisplay()
        shown = {"stage": "", "label": "showing results", "done": 5, "total": 10, "unit": "images"}
        play(display, *EVENTS, ("progress", shown), (END[0], {**END[1], "run_dir": tmp_path, "showing_s": showing_s}))
        assert (display.stages["showing results"].state, display.stages["showing results"].done) == ("running", 5)
        said = capsys.readouterr().out
        assert expected in said
        assert "showing results" not in said, "it is no row of the table"


def test_a_stage_that_fails_before_it_starts_has_no_time() -> None:
    clock = Clock()
    display = progress.RunDisplay(clock)
    display("stage_failed", stage="data", use="import.folders", message="too many", hint="")
    assert (display.stages["data"].state, display.stages["data"].use, display.stages["data"].seconds) == (
        "failed",
        "import.folders",
        None,
    )
    display("stage_started", stage="train", use="train")
    clock.now += 5
    display("stage_failed", stage="train", use="train", message="no", hint="")
    assert display.stages["train"].seconds == 5


def test_an_event_of_a_plugins_own_can_have_any_name_and_values() -> None:
    display = progress.RunDisplay()
    display("other", stage="train", event="x")
    display("lr_changed", stage="train", rate=0.1, why=None)
    display("nobody_knows")
    assert display.stages["train"].note == "rate 0.1"


def test_the_rate_is_known_after_two_seconds_and_starts_anew_with_a_new_label() -> None:
    view = progress.StageView("a")
    view.advance("reading", 0, 100, "images", now=0.0)
    view.advance("reading", 10, 100, "images", now=1.0)
    assert view.pace(1.0) == ""
    view.advance("reading", 40, 100, "images", now=4.0)
    assert view.pace(4.0) == "10 images/s, 6.0 s left"
    view.advance("writing", 1, None, "", now=5.0)
    assert view.pace(5.0) == ""
    assert view.count() == "1"


def test_the_rate_forgets_what_came_from_the_cache_at_once() -> None:
    view = progress.StageView("a")
    view.advance("", 90, 100, "images", now=0.0)
    view.advance("", 95, 100, "images", now=5.0)
    assert view.rate(5.0) == 1.0


def training(epochs: int = 10, at_most: bool = False, step: int = 0) -> progress.StageView:
    """A training whose first epoch of 100 batches is at batch 40 after four seconds: ten batches a second."""
    view = progress.StageView("train")
    view.start_epoch(1, epochs, 100, step, at_most, now=0.0)
    view.advance(f"epoch 1/{epochs}", 0, 100 - step, "batches", now=0.0)
    view.advance(f"epoch 1/{epochs}", 40, 100 - step, "batches", now=4.0)
    return view


def test_the_time_left_of_a_training_is_that_of_all_epochs() -> None:
    view = training()
    assert view.left(4.0) == 6 + 9 * 10
    assert view.pace(4.0) == "10 batches/s, 1 min 36 s left"
    assert training(epochs=1).left(4.0) == 6
    # a run resumed at batch 20: 80 batches of this epoch, but whole ones after it
    assert training(step=20).left(4.0) == 4 + 9 * 10


def test_early_stopping_makes_it_the_most_that_can_be_left() -> None:
    assert training(at_most=True).pace(4.0) == "10 batches/s, at most 1 min 36 s left"


def test_later_epochs_are_taken_to_last_as_long_as_the_last_ones_with_their_validation() -> None:
    view = training()
    view.start_epoch(2, 10, 100, 0, False, now=12.0)  # ten seconds of batches, two of validation
    view.advance("epoch 2/10", 0, 100, "batches", now=12.0)
    assert view.pace(13.0) == "1 min 47 s left"  # before a rate is known: 11 + 8 x 12
    view.advance("epoch 2/10", 10, 100, "batches", now=16.0)
    assert view.left(16.0) == 36 + 8 * 12  # this epoch is slower than the one before
    for epoch, now in ((3, 16.0), (4, 20.0), (5, 24.0)):
        view.start_epoch(epoch, 10, 100, 0, False, now=now)
    assert view.left(24.0) == 6 * 4  # the last three took four seconds each


def test_an_epoch_that_a_resumed_run_took_up_in_its_middle_measures_no_other() -> None:
    view = training(step=90)
    view.start_epoch(2, 10, 100, 0, False, now=1.0)
    assert view.left(1.5) is None


def test_displays_take_the_epochs_from_the_event() -> None:
    clock = Clock()
    display = progress.RunDisplay(clock)
    display("epoch_started", stage="train", epoch=1, epochs=3, step=0, steps=50, at_most=True)
    display("progress", stage="train", label="epoch 1/3", done=0, total=50, unit="batches")
    clock.now += 5
    display("progress", stage="train", label="epoch 1/3", done=25, total=50, unit="batches")
    assert display.stages["train"].pace(clock.now) == "5.0 batches/s, at most 25 s left"
    assert display.stages["train"].note == ""


# --- the displays --------------------------------------------------------------------------------------------------------


def test_quiet_prints_the_headline_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with ui.run_display(quiet=True) as display:
        play(display, *EVENTS, END)
    assert capsys.readouterr().out == "test accuracy 0.958\n"


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with ui.run_display() as display:
        play(display, *EVENTS, END)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "pets: 3 stages",
        "train: running",
        "warning: train: val is small",
        "warning: train: 2 of 399 could not be used",
        "  a.jpg: truncated JPEG",
    ]
    table = [line.split() for line in lines[6:10]]
    assert table == [
        ["stage", "use", "state", "time", "result"],
        ["✓", "data", "import.folders", "cached", "images", "399"],
        ["✓", "train", "train", "ran", "12", "s", "epochs", "8,", "failed", "2"],
        ["·", "report", "not", "run"],
    ]
    assert lines[-2:] == ["test accuracy 0.958", "Done in 12 s."]


def test_a_run_ends_with_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    end = (END[0], {**END[1], "advice": "Start from a pretrained network."})
    with ui.run_display() as display:
        play(display, *EVENTS, end)
    assert capsys.readouterr().out.splitlines()[-1] == "What to do next: Start from a pretrained network."
    with ui.run_display(quiet=True) as display:
        play(display, *EVENTS, end)
    assert capsys.readouterr().out == "test accuracy 0.958\n"


def test_plain_lines_say_where_a_long_stage_is_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    display = progress.PlainDisplay(clock)
    play(display, *EVENTS[:3])
    for done in range(0, 100, 5):
        clock.now += 1
        display("progress", stage="train", label="reading", done=done, total=100, unit="images")
    said = [line for line in capsys.readouterr().out.splitlines() if "reading" in line]
    assert said == [
        "train: reading  45/100 images  5.0 images/s, 11 s left",
        "train: reading  95/100 images  5.0 images/s, 1.0 s left",
    ]


def live(clock: Clock, width: int = 80, encoding: str = "utf-8") -> tuple[progress.LiveDisplay, io.BytesIO]:
    """A live display on a terminal of its own."""
    display = progress.LiveDisplay(clock)
    data = io.BytesIO()
    stream = io.TextIOWrapper(data, encoding=encoding, write_through=True)
    display.console = Console(file=stream, width=width, force_terminal=True, color_system=None, markup=False, highlight=False)
    return display, data


def drawn(display: progress.LiveDisplay, data: io.BytesIO) -> list[str]:
    """The lines as they are now, without control codes."""
    data.seek(0)
    data.truncate()
    display.console.print(display.picture())
    return [line.rstrip() for line in data.getvalue().decode().replace("\x1b[?25l", "").splitlines()]


def test_the_live_lines_show_each_stage() -> None:
    clock = Clock()
    display, data = live(clock)
    play(display, *EVENTS[:3])
    for done in (0, 20, 40):
        display("progress", stage="train", label="reading", done=done, total=100, unit="images")
        clock.now += 2
    lines = drawn(display, data)
    assert lines[0] == "✓ data   cached  images 399"
    assert lines[1].endswith(" reading  40/100 images  6.7 images/s, 9.0 s left")
    assert "━" in lines[1]
    assert lines[2] == "· report"


def test_the_live_lines_fit_into_a_narrow_terminal() -> None:
    clock = Clock()
    display, data = live(clock, width=40)
    play(display, ("run_started", {"stages": ["a_stage_with_a_very_long_name_indeed", "b"]}))
    display("stage_started", stage="a_stage_with_a_very_long_name_indeed", use="x")
    clock.now += 3
    display("progress", stage="a_stage_with_a_very_long_name_indeed", label="x" * 50, done=1, total=3, unit="images")
    lines = drawn(display, data)
    assert len(lines) == 2
    assert max(map(len, lines)) <= 40


def test_marks_are_plain_where_the_terminal_has_no_unicode() -> None:
    display, data = live(Clock(), encoding="ascii")
    play(display, *EVENTS[:2])
    assert drawn(display, data)[0].startswith("= data")


def test_json_lines_take_any_value() -> None:
    stream = io.StringIO()
    with progress.JsonDisplay(stream) as display:
        display("epoch", stage="train", loss=numpy.float32(0.5), path=Path("a/b"), names={"b", "a"}, text="é")
    assert json.loads(stream.getvalue()) == {
        "event": "epoch",
        "stage": "train",
        "loss": 0.5,
        "path": "a/b",
        "names": ["a", "b"],
        "text": "é",
    }


@pytest.mark.parametrize("at_end", [False, True])
def test_json_keeps_stdout_for_itself(at_end: bool) -> None:
    """On the level of file descriptors, so that worker processes and C code are covered too."""
    script = f"""
import os, sys
from pipekit.ui.progress import stdout_alone
print("before")
with stdout_alone(at_end={at_end}) as stream:
    os.write(1, b"from a worker\\n")
    print("from a plugin", flush=True)
    stream.write("{{}}\\n")
print("after")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "before\n{}\nafter\n"
    assert done.stderr == "from a worker\nfrom a plugin\n"


def test_the_display_for_a_terminal_is_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "console", lambda stderr=False: Console(file=io.StringIO(), force_terminal=True))
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(ui.run_display(), progress.LiveDisplay)
    monkeypatch.setenv("TERM", "dumb")
    assert type(ui.run_display()) is progress.PlainDisplay


def test_no_color_leaves_no_colour_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    ui.error(UserError("x"))
    assert "\x1b[1;31m" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    ui.error(UserError("x"))
    assert "31m" not in capsys.readouterr().err


def test_a_problem_without_a_place(capsys: pytest.CaptureFixture[str]) -> None:
    from pipekit.errors import PlanError

    ui.error(PlanError([Problem("", "nothing to run")]))
    assert capsys.readouterr().err.splitlines() == ["error: nothing to run"]
    ui.error(PlanError([Problem("", "nothing to run")] * 2))
    assert capsys.readouterr().err.splitlines()[-1] == "2 problems in the pipeline; nothing was run"


def test_counting_says_how_many_and_how_fast(capsys: pytest.CaptureFixture[str]) -> None:
    from pipekit.ui.counting import counted

    times = iter(range(0, 1000, 4))
    assert list(counted("abcdef", "image", lambda: float(next(times)))) == list("abcdef")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["3 images, 0.2 a second", "6 images, 0.2 a second"]
