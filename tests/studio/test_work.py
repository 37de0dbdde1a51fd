"""Jobs are processes of their own, and what a request may start is chosen from what the studio offers."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from pipekit.commands.browse import find_source
from pipekit.errors import UserError
from pipekit.studio import jobs
from pipekit.studio.project import Project
from pipekit.studio.words import words_of
from tests.studio.asgi import Page


def ended(job: jobs.Job) -> None:
    while job.running:
        time.sleep(0.02)


def test_a_job_writes_what_it_prints_to_a_file(tmp_path: Path) -> None:
    job = jobs.start(tmp_path / "jobs", "version", ["--version"], tmp_path)
    ended(job)
    lines, offset = job.read(0)
    assert lines[0].startswith("pipekit ")
    assert job.read(offset) == ([], offset)
    assert [one.folder for one in jobs.known(tmp_path / "jobs")] == [job.folder]


def test_a_stopped_job_is_interrupted_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho begun; sleep 60 & wait\n", "utf-8")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    job = jobs.start(tmp_path / "jobs", "train", ["train", "photos"], tmp_path)
    while not job.read(0)[0]:
        time.sleep(0.02)
    assert jobs.Job(job.folder).running, "another server sees it too"
    job.stop()
    jobs._children[-1].send_signal(signal.SIGKILL)  # the shell ignores the signal while it waits, on some systems
    jobs._children[-1].wait()
    assert job.described()["words"] == ["train", "photos"]


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b'{"event": "epoch"}\n{"eve')
    assert jobs.Job(tmp_path).read(0) == (['{"event": "epoch"}'], 19)


def test_the_command_is_what_a_person_would_type(project: Project, work: Path) -> None:
    given = {"kind": "train", "model": "hog_svm", "epochs": "3", "input": "32", "name": "first", "seed": ""}
    words = words_of(project, given)
    assert words == ["train", "photos", "--model", "hog_svm", "--epochs", "3", "--input", "32x32", "--name", "first"]
    (work / "quarantine.csv").write_text("id\n", "utf-8")
    assert words_of(project, given)[-2:] == ["--exclude", "quarantine.csv"]


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "train", "name": "../x"},
        {"kind": "train", "name": "--help"},
        {"kind": "train", "model": "--plugin"},
        {"kind": "train", "model": "nothing"},
        {"kind": "train", "epochs": "0"},
        {"kind": "train", "input": "999999"},
        {"kind": "run"},
        {"kind": "gc"},
        {},
    ],
)
def test_nothing_else_can_be_started(project: Project, given: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        words_of(project, given)


def test_a_value_that_is_no_number_is_said_at_its_field(page: Page) -> None:
    answer = page.post("/api/command", {"kind": "train", "epochs": "many"})
    assert answer.status == 422
    assert [one["path"] for one in answer.json["problems"]] == ["epochs"]


def test_a_report_is_a_page_that_may_ask_for_nothing(page: Page, work: Path) -> None:
    folder = work / "runs" / "first"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"stages": [{"headline": "accuracy 0.9"}]}', "utf-8")
    (folder / "report.html").write_text("<title>Report</title>", "utf-8")
    assert page.get("/api/runs").json == [{"name": "first", "headline": "accuracy 0.9", "model": False, "report": True}]
    answer = page.get("/runs/first/report")
    assert (answer.status, answer.body) == (200, b"<title>Report</title>")
    assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    assert page.get("/runs/second/report").status == 404


def test_a_pipeline_file_is_told_to_read_the_decisions(work: Path) -> None:
    (work / "pipeline.toml").write_text('[stages.data]\nuse = "import.folders"\npath = "photos"\n', "utf-8")
    project = Project(find_source())
    page = Page(project)
    assert page.get("/api/pipeline").json["ignored"] == []
    (work / "quarantine.csv").write_text("id\n", "utf-8")
    found = page.get("/api/pipeline").json
    assert found["ignored"] == ["quarantine.csv"]
    answer = page.post("/api/pipeline/decisions", {"known": found["known"]})
    assert answer.json == {"added": ['exclude = "quarantine.csv"']}
    assert page.post("/api/pipeline/decisions", {"known": found["known"]}).status == 409
    assert page.get("/api/pipeline").json["ignored"] == []
    project.thumbs.close()


def test_ten_edits_change_their_lines_alone(work: Path) -> None:
    """Two of them add a line, the others find it there: comments, the order and the other lines stay."""
    file = work / "pipeline.toml"
    first = '# mine\r\n[stages.train] # before its data\r\nuse = "train"\r\n\r\n'
    first += '[stages.data] # photos\r\nuse = "import.folders"\r\n'
    rest = 'path = "photos" # here\r\n# the end\r\n'
    file.write_bytes((first + rest).encode())
    project = Project(find_source())
    page = Page(project)
    kept = []
    for name in ("corrections", "quarantine") * 5:
        (work / f"{name}.csv").write_text("id\n", "utf-8")
        found = page.get("/api/pipeline").json
        answer = page.post("/api/pipeline/decisions", {"known": found["known"]})
        assert answer.status == 200
        kept += answer.json["added"]
    text = file.read_bytes().decode()
    assert kept == ['corrections = "corrections.csv"', 'exclude = "quarantine.csv"']
    lines = text.split("\r\n")
    assert [line for line in lines if line not in kept] == (first + rest).split("\r\n")
    assert "\n" not in text.replace("\r\n", "")
    project.thumbs.close()
