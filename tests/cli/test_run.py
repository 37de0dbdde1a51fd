"""``pipekit run`` from the outside, on a few small pictures and a plugin that counts what it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.pictures import class_folders

PIPELINE = """
name = "pets"
seed = 3
plugins = ["./copy_stage.py"]

[stages.data]
use = "import.folders"
path = "images"

[stages.copy]
use = "copy"

[stages.told]
use = "tell"
dataset = "copy"
"""

PLUGIN = '''
import time
from pathlib import Path

import pipekit


class CopyParams(pipekit.Params):
    wait_s: float = pipekit.param(0.0, "For each image", unit="s", ge=0)
    dogs_wait_for: str = pipekit.param("", "Dogs wait until there is a file of this name")
    refuse: str = pipekit.param("", "Fail for ids with this in them")
    chatty: bool = pipekit.param(False, "Print")


@pipekit.sample_stage
def copy(sample: pipekit.Sample, params: CopyParams, ctx: pipekit.SampleContext):
    """Pass on."""
    if params.chatty:
        print("a plugin that prints")
    time.sleep(params.wait_s)
    while params.dogs_wait_for and "dog" in sample.id and not Path(params.dogs_wait_for).exists():
        time.sleep(0.01)
    if params.refuse and params.refuse in sample.id:
        raise pipekit.ImageError("it is refused")
    yield sample


class TellParams(pipekit.Params):
    broken: bool = pipekit.param(False, "Fail")


@pipekit.stage
def tell(ctx: pipekit.Context, dataset: pipekit.Dataset, params: TellParams) -> pipekit.Files:
    """Count."""
    if params.broken:
        raise RuntimeError("it is broken")
    ctx.warn("it is only a test")
    ctx.event("epoch", epoch=1, epochs=2, loss=0.5)
    (ctx.out_dir / "count.txt").write_text(str(len(dataset)))
    return ctx.artifact(pipekit.Files, facts={"count": str(len(dataset))}, headline=f"{len(dataset)} images were counted")


@pipekit.hookimpl
def register_stages(register):
    register("copy", copy)
    register("tell", tell)
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    class_folders(tmp_path / "images", {"cat": 3, "dog": 3})
    (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    (tmp_path / "copy_stage.py").write_text(PLUGIN, encoding="utf-8")
    return tmp_path


def states(out: str) -> dict[str, str]:
    """Stage -> state in the table that a run or a forecast ends with."""
    rows = [line.replace("✓", " ").replace("✗", " ").replace("·", " ").split() for line in out.splitlines()]
    return {row[0]: row[2] for row in rows if len(row) > 2 and row[1] in ("import.folders", "copy", "tell")}


def test_a_run_ends_with_a_table_the_headline_and_the_place(pipekit, project: Path) -> None:
    result = pipekit("run")
    assert result.code == 0
    assert states(result.out) == {"data": "ran", "copy": "ran", "told": "ran"}
    assert "6 images were counted\n" in result.out
    assert "Results: runs/pets" in result.out
    assert (project / "runs" / "pets" / "told" / "count.txt").read_text() == "6"
    assert "\x1b" not in result.out, "no control codes where stdout is no terminal"


def test_the_second_run_runs_nothing(pipekit, project: Path) -> None:
    pipekit("run")
    result = pipekit("run")
    assert states(result.out) == {"data": "cached", "copy": "cached", "told": "cached"}
    assert "warning: told: it is only a test" in result.out, "a cached stage repeats its warnings"


def test_again_and_until_and_set(pipekit, project: Path) -> None:
    pipekit("run")
    assert states(pipekit("run", "--again", "copy").out) == {"data": "cached", "copy": "ran", "told": "cached"}
    assert set(states(pipekit("run", "--until", "copy").out)) == {"data", "copy"}
    changed = pipekit("run", "--set", "stages.copy.wait_s=0.001")
    assert states(changed.out)["copy"] == "ran"
    assert states(changed.out)["told"] == "cached", "equal bytes stop the cascade"


def test_only_needs_what_comes_before(pipekit, project: Path) -> None:
    result = pipekit("run", "--only", "told")
    assert result.code == 2
    assert "--until data" in result.err


def test_a_dry_run_says_what_would_run_and_why_and_writes_nothing(pipekit, project: Path) -> None:
    result = pipekit("run", "--dry-run")
    assert result.code == 0
    assert result.out.startswith("loads ./copy_stage.py\n")
    assert [line.split()[:4] for line in result.out.splitlines()[2:]] == [
        ["data", "import.folders", "will", "run"],
        ["copy", "copy", "may", "run"],
        ["told", "tell", "may", "run"],
    ]
    assert not (project / "runs").exists()
    pipekit("run")
    assert states(pipekit("run", "-n").out) == {"data": "cached", "copy": "cached", "told": "cached"}
    why = [line for line in pipekit("run", "-n", "--set", "stages.copy.wait_s=0.5").out.splitlines() if line.startswith("copy")]
    assert "wait_s: 0.0 -> 0.5" in why[0]


def test_resume_begins_nothing_anew(pipekit, project: Path) -> None:
    result = pipekit("run", "--resume")
    assert result.code == 2
    assert "nothing to resume: stage 'data' was never begun" in result.err
    assert not (project / "runs").exists()

    broken = ("run", "--set", "stages.told.broken=true")
    assert pipekit(*broken).code == 1
    assert "told" in pipekit(*broken, "--dry-run").out
    assert "stopped before its end; it resumes" in pipekit(*broken, "--dry-run").out
    assert pipekit(*broken, "--resume").code == 1, "it went on, and failed again"
    result = pipekit("run", "--resume")
    assert result.code == 2
    assert "stage 'told' was never begun with these inputs and parameters" in result.err

    assert pipekit("run").code == 0
    result = pipekit("run", "--resume")
    assert result.code == 2
    assert "nothing to resume: 'pets' is finished" in result.err


def test_resume_of_a_matrix(pipekit, project: Path) -> None:
    with (project / "pipeline.toml").open("a", encoding="utf-8") as file:
        file.write(
            '[matrix]\nselect = "told.count"\nvalues = { "copy.refuse" = ["cat_0", "cat_1"], "copy.max_failed" = [0.5] }\n'
        )
    assert "no combination of 'pets' was begun" in pipekit("run", "--resume").err
    first = ("--set", "stages.copy.refuse=cat_0", "--set", "stages.copy.max_failed=0.5")
    assert pipekit("run", *first, "--until", "told").code == 0  # as the matrix would, and was then stopped
    assert pipekit("run", "--resume").code == 0
    assert "all combinations of 'pets' are finished" in pipekit("run", "--resume").err


def test_quiet_says_the_headline_alone(pipekit, project: Path) -> None:
    assert pipekit("run", "--quiet").out == "6 images were counted\n"


def test_a_folder_stands_for_its_pipeline_file(pipekit, project: Path, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = pipekit("run", project, "--name", "other")
    assert result.code == 0
    assert (project / "runs" / "other").is_dir()


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_the_executor_and_the_workers_change_nothing(pipekit, project: Path, executor: str) -> None:
    result = pipekit("run", "--executor", executor, "--workers", "2", "--quiet")
    assert result.out == "6 images were counted\n"


def test_json_is_one_event_a_line_and_nothing_else(project: Path) -> None:
    """In a process of its own, since worker processes write to the real stdout."""
    words = [sys.executable, "-m", "pipekit", "run", "--json", "--executor", "processes", "--workers", "2"]
    words += ["--set", "stages.copy.chatty=true"]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    names = [event["event"] for event in events]
    assert names[:2] == ["loads", "run_started"]
    assert names[-1] == "run_finished"
    assert {"stage_started", "progress", "stage_finished", "warning", "epoch"} <= set(names)
    finished = [event for event in events if event["event"] == "stage_finished"]
    assert finished[-1]["facts"] == {"count": "6"}
    assert "a plugin that prints" in done.stderr


def test_json_ends_with_the_error_of_a_stage(project: Path) -> None:
    words = [sys.executable, "-m", "pipekit", "run", "--json", "--set", "stages.copy.refuse=cat"]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    names = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert names[-2:] == ["stage_failed", "error"]
    assert "a bug in pipekit" not in done.stderr


def test_json_tells_of_an_error_too(pipekit, project: Path) -> None:
    result = pipekit("run", "--json", "--set", "stages.copy.wait_s=-1", "--set", "stages.told.use=tall")
    assert result.code == 2
    loads, event = map(json.loads, result.out.splitlines())
    assert (loads["event"], event["event"]) == ("loads", "error")
    assert {problem["path"] for problem in event["problems"]} == {"stages.copy.wait_s", "stages.told.use"}


def test_a_failing_stage_exits_with_1_and_says_what_is_kept(pipekit, project: Path) -> None:
    result = pipekit("run", "--set", "stages.told.broken=true")
    assert result.code == 1
    assert result.err.startswith("error: stage 'told' failed: ")
    assert "it is broken" in result.err
    assert "Finished shards are kept." in result.err
    assert "run the same command again" not in result.err  # it would fail again
    assert "Traceback" not in result.err
    assert "Traceback" in pipekit("--debug", "run", "--set", "stages.told.broken=true").err


def test_samples_that_fail_are_counted_and_named(pipekit, project: Path) -> None:
    result = pipekit("run", "--set", "stages.copy.refuse=cat_1", "--set", "max_failed=0.5")
    assert result.code == 0
    assert "warning: copy: 1 of 6 could not be used" in result.out
    assert "cat_1.png: it is refused" in result.out
    assert pipekit("run", "--set", "stages.copy.refuse=cat").code == 1


def test_mistakes_in_the_file_are_all_told_at_once(pipekit, project: Path) -> None:
    text = PIPELINE.replace('use = "copy"', 'use = "coppy"').replace('dataset = "copy"', 'dataset = "cpoy"\nbrokn = true')
    (project / "pipeline.toml").write_text(text, encoding="utf-8")
    result = pipekit("run")
    assert result.code == 2
    assert "error: stages.copy.use: no stage called 'coppy'. Did you mean 'copy'?\n  in pipeline.toml, line 11." in result.err
    assert "stages.told.dataset: no stage called 'cpoy'. Did you mean 'copy'?\n  in pipeline.toml, line 15" in result.err
    assert "stages.told.brokn" in result.err
    assert "3 problems in pipeline.toml; nothing was run" in result.err
    assert not (project / "runs").exists()


def test_without_a_file_it_says_how_to_get_one(pipekit) -> None:
    result = pipekit("run")
    assert result.code == 2
    assert result.err.startswith("error: no such file: pipeline.toml\n")
    assert "pipekit scaffold" in result.err


def test_ctrl_c_is_130_and_the_next_run_goes_on(project: Path) -> None:
    words = [sys.executable, "-m", "pipekit", "run", "--set", "shard_size=1", "--json"]
    words += ["--set", "stages.copy.dogs_wait_for=go"]
    process = subprocess.Popen(words, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["stage"] == "copy":
            process.send_signal(signal.SIGINT)
            break
    assert process.stderr is not None
    told = ""
    for line in process.stderr:
        told += line
        if "Finished shards are kept" in line:  # it has stopped; what its threads have begun may end
            (project / "go").touch()
    process.communicate()
    assert process.returncode == 130
    assert "Finished shards are kept; run the same command again to continue." in told
    assert "Traceback" not in told
    assert not list((project / "runs").glob("pets/*"))
    done = subprocess.run([*words, "--resume"], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_two_runs_at_once_both_succeed(project: Path) -> None:
    words = [sys.executable, "-m", "pipekit", "run", "--quiet", "--set", "stages.copy.wait_s=0.05"]
    both = [subprocess.Popen(words, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        out, err = process.communicate()
        assert (process.returncode, out, err) == (0, "6 images were counted\n", "")


def test_a_live_display_leaves_the_terminal_clean(project: Path) -> None:
    """On a pseudo-terminal: control codes while it runs, the table at the end."""
    import pty

    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
    words = [sys.executable, "-m", "pipekit", "run", "--set", "stages.copy.wait_s=0.3"]
    process = subprocess.Popen(words, cwd=project, stdout=side, stderr=side, stdin=side, env=environment)
    os.close(side)
    shown = bytearray()
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(main)
    text = shown.decode("utf-8", "replace")
    assert process.wait() == 0
    assert "\x1b[" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor is shown again"
    assert "6 images were counted" in text
