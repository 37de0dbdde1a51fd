"""What a request may send, and what an image may claim: a body is not read beyond its limit, a bomb is not decoded."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from pipekit.studio import answers, dataset, trying
from pipekit.studio.project import Project
from tests.studio.asgi import Page
from tests.studio.hostile import bomb
from tests.studio.test_dataset import thumbs_of
from tests.studio.test_trying import write_run

PART = bytes(65536)


def endless(page: Page, path: str) -> tuple[int, int]:
    """The status of the answer to a body without an end, and the bytes of it that were read."""
    read, said = 0, []

    async def receive() -> Any:
        nonlocal read
        read += len(PART)
        return {"type": "http.request", "body": PART, "more_body": True}

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in page.posting.items()]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers, "root_path": ""}
    asyncio.run(page.app(scope, receive, send))
    return said[0]["status"], read


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/api/try/colours", trying.MAX_BODY_BYTES),
        ("/api/try/colours/grad_cam", trying.MAX_BODY_BYTES),
        ("/api/try/colours/nearest", trying.MAX_BODY_BYTES),
        ("/api/{}/decide", answers.MAX_BODY_BYTES),
        ("/api/{}/preview", answers.MAX_BODY_BYTES),
        ("/api/recipes/first", answers.MAX_BODY_BYTES),
        ("/api/jobs", answers.MAX_BODY_BYTES),
        ("/api/{}/thumbs", 4 * dataset.MAX_THUMBS),
    ],
)
def test_a_body_is_not_read_to_its_end(page: Page, work: Path, path: str, most: int) -> None:
    write_run(work)
    status, read = endless(page, path.format(page.get("/api/index").json["digest"]))
    assert status == 413
    assert read <= most + len(PART)


def test_a_bomb_is_a_row_that_can_not_be_shown(project: Project, page: Page, work: Path) -> None:
    """60,000 x 60,000 pixels would take 10 GB."""
    (work / "photos" / "cat" / "bomb.png").write_bytes(bomb())
    index = page.get("/api/index").json
    row = project.catalog.rows["cat/bomb.png"]
    tracemalloc.start()
    assert thumbs_of(page, [row])[1] == [b""]
    for query in ("", "?drawn=1"):
        answer = page.get(f"/api/{index['digest']}/image/{row}{query}")
        assert (answer.status, answer.headers["content-type"]) == (422, "application/json")
    assert page.get(f"/api/{index['digest']}/facts/{row}").status == 200
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100_000_000
    given = {"row": row, "size": 32, "count": 2, "seed": 0, "ops": [{"op": "hflip"}]}
    answer = page.post(f"/api/{index['digest']}/preview", given)
    assert answer.status == 422
    assert "megapixels" in answer.json["message"]


def test_memory_is_flat_over_many_thumbnails_and_variants(project: Project, page: Page) -> None:
    """After the first ones, nothing that was made stays."""
    digest = page.get("/api/index").json["digest"]

    def work(rounds: int) -> None:
        for number in range(rounds):
            thumbs_of(page, list(range(12)))
            ops = [{"op": "rotate", "limit_deg": 1 + number % 50}]
            given = {"row": number % 12, "size": 32, "count": 2, "seed": number, "ops": ops}
            assert page.post(f"/api/{digest}/preview", given).status == 200

    work(8)
    gc.collect()
    tracemalloc.start()
    work(8)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    work(30)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 100_000, "360 thumbnails and 90 variants would be 300 kB"


@pytest.mark.slow
def test_memory_is_flat_over_twenty_thousand_thumbnails(page: Page) -> None:
    rows = list(range(12)) * 20

    def work(rounds: int) -> int:
        gc.collect()
        for _ in range(rounds):
            assert len(thumbs_of(page, rows)[1]) == len(rows)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    work(4)
    tracemalloc.start()
    before = work(4)
    grown = work(84) - before
    tracemalloc.stop()
    assert grown < 100_000, "20,160 thumbnails would be 6 MB"
