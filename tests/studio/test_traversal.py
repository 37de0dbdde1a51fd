"""Four hundred spellings of paths to what lies outside, through all parameters in turn: none is read, written, or run."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from pipekit.studio import jobs
from tests.studio.asgi import Page, asked
from tests.studio.test_experiments import written

CANARY = "canary-of-what-lies-outside"

TARGETS = ("outside", "outside/report.html", "outside.toml", "etc/passwd", "proc/self/environ", "photos/cat/00.png")

SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda form: form,
    lambda form: form.replace("/", "%2f"),
    lambda form: form.replace("/", "%2F").replace("..", "%2E%2E"),
    lambda form: form.replace("/", "%252f"),
    lambda form: form.replace("..", "%252e%252e"),
    lambda form: form.replace("/", "%5c"),
    lambda form: form.replace("/", "\\"),
    lambda form: form.replace("/", "%255c"),
    lambda form: form.replace("../", "....//"),
    lambda form: form.replace("../", "..././"),
    lambda form: form.replace("../", ".././"),
    lambda form: form.replace("..", "%c0%ae%c0%ae"),
    lambda form: form.replace("/", "%c0%af"),
    lambda form: form.replace("/", "%ef%bc%8f").replace("..", "%ef%bc%8e%ef%bc%8e"),
    lambda form: f"{form}%00.png",
    lambda form: f"%00{form}",
    lambda form: f"x/{form}",
    lambda form: f"first/{form}",
    lambda form: f"{form}%0a",
    lambda form: f"{form}/.",
)

ABSOLUTE = (
    "/{}",
    "//{}",
    "%2f{}",
    "///{}",
    "file:///{}",
    "file%3a%2f%2f%2f{}",
    "C:/{}",
    "C%3a%5c{}",
    "%5c%5c127.0.0.1%5cc$%5c{}",
    "//127.0.0.1/c$/{}",
    "%5c%5c%3f%5cC%3a%5c{}",
    "~/{}",
    "~root/{}",
    "$HOME/{}",
    "%24%7bHOME%7d/{}",
    "http://127.0.0.1/{}",
)

READ = (
    "/{}",
    "/static/{}",
    "/api/{}/columns",
    "/api/{}/search",
    "/api/{digest}/order?by={}",
    "/api/{digest}/map?by={}",
    "/api/{digest}/image/{}",
    "/api/{digest}/facts/{}",
    "/api/{}/history/0",
    "/api/{}/nearest/0",
    "/api/op?name={}",
    "/api/recipes/{}",
    "/api/recipes/{}?preset=1",
    "/api/pages/{}",
    "/x/{}",
    "/runs/{}/report",
    "/api/jobs/{}/events",
    "/api/again?run={}",
    "/api/compare?run={}&run=first",
    "/compared?run=first&run={}",
)

WRITE: tuple[tuple[str, Callable[[str], Any]], ...] = (
    ("/api/recipes/{}", lambda form: {"ops": [{"op": "hflip"}], "known": ""}),
    ("/api/recipes/new", lambda form: {"ops": [{"op": form}], "known": ""}),
    ("/api/recipes/new", lambda form: {"ops": form, "known": ""}),
    ("/api/{digest}/pages/{}", lambda form: {"row": 0, "params": {}}),
    ("/api/jobs/{}/stop", lambda form: {}),
    ("/api/jobs", lambda form: {"kind": form}),
    ("/api/jobs", lambda form: {"kind": "train", "model": form}),
    ("/api/jobs", lambda form: {"kind": "train", "model": "mlp", "name": form}),
    ("/api/jobs", lambda form: {"kind": "train", "model": "mlp", "ops": form}),
    ("/api/jobs", lambda form: {"kind": "check", "run": form, "ops": "strong"}),
    ("/api/jobs", lambda form: {"kind": "check", "run": "first", "ops": form}),
    ("/api/jobs", lambda form: {"kind": "again", "run": form}),
    ("/api/jobs", lambda form: {"kind": "remeasure", "run": "first", "on": form}),
    ("/api/try/{}", lambda form: None),
    ("/api/try/{}/grad_cam", lambda form: None),
)


def listed(folder: Path) -> list[str]:
    """Each target in each spelling, from several depths and from the root; in any order, which is always the same."""
    climbing = [spelt("../" * depth + target) for spelt in SPELLINGS for depth in (1, 2, 9) for target in TARGETS]
    rooted = [form.format(target) for form in ABSOLUTE for target in (*TARGETS, f"{str(folder).lstrip('/')}/outside")]
    forms = sorted({*climbing, *rooted})
    return random.Random(0).sample(forms, len(forms))


@pytest.fixture
def outside(work: Path) -> Path:
    """What a path could reach, under the names that the studio reads: a recipe, a run with a report, a job."""
    written(work, "first", report=True)
    (work / "recipes").mkdir()
    place = written(work, "../outside", report=True)
    (work / "outside.toml").write_text(f'ops = [{{ op = "hflip" }}] # {CANARY}\n', "utf-8")
    for name in ("report.html", "events.jsonl", "errors.txt"):
        (place / name).write_text(f"{CANARY}\n", "utf-8")
    (place / "job.json").write_text(json.dumps({"kind": CANARY, "words": [CANARY], "pid": 2**30}), "utf-8")
    return place


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


SHARE = 4
"""Each spelling goes through one of so many parameters, another one than its neighbours: all 17,000 requests take a minute."""


def requests_of(number: int, form: str, digest: str, page: Page) -> Iterator[tuple[str, str, Any, bytes]]:
    address = form.replace("?", "%3f").replace("#", "%23")
    for place in READ[number % SHARE :: SHARE]:
        value = quote(unquote(address), safe="/\\%") if "?" in place.split("{}")[0] else address
        yield "GET", place.replace("{digest}", digest).replace("{}", value), page.own, b""
    for place, body in WRITE[number % SHARE :: SHARE]:
        for value in {form, unquote(form)} if "{}" not in place else {form}:
            sent = body(value)
            data = b"\x89PNG\r\n\x1a\n" if sent is None else json.dumps(sent).encode()
            yield "POST", place.replace("{digest}", digest).replace("{}", address), page.posting, data


@pytest.mark.slow
def test_no_spelling_leads_out_through_any_parameter(
    page: Page, outside: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*given: Any) -> None:
        raise AssertionError(given)

    monkeypatch.setattr(jobs, "start", started)
    digest = page.get("/api/index").json["digest"]
    forms, before, wrong = listed(work), contents(work), []
    assert len(forms) >= 400

    async def every() -> int:
        count = 0
        for number, form in enumerate(forms):
            for method, path, headers, body in requests_of(number, form, digest, page):
                answer = await asked(page.app, path, method, headers, body)
                count += 1
                said = [one for one in (CANARY.encode(), b"root:", b"HOME=", b"\x89PNG") if one in answer.body]
                if answer.status not in (400, 404, 405, 410, 415, 422) or said:
                    wrong.append((method, path, body, answer.status, said))
        return count

    assert asyncio.run(every()) >= len(forms) * (len(READ) // SHARE + len(WRITE) // SHARE)
    assert wrong[:10] == []
    assert contents(work) == before, "nothing was written"
