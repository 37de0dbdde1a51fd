"""Times of `pipekit studio` on this machine, beside its targets: a made-up dataset in the system's Chromium.

    python benchmarks/studio.py                 # 60,000 images
    python benchmarks/studio.py --images 5000   # fewer: the images are drawn first

It needs Chromium, as the tests of the studio do, and is no test: run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.studio.chromium import Chromium  # noqa: E402

FULL = (
    "(() => { const shown = [...document.querySelectorAll('.tile:not([hidden])')]; "
    "return shown.length > 0 && shown.every((one) => one.querySelector('img').getAttribute('src')); })()"
)
BODY = f"return {FULL};"
FRAME = "await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));"


def draw_images(folder: Path, count: int) -> None:
    """Write JPEG files of 32 px in ten classes."""
    from pipekit import images

    rng = np.random.default_rng(0)
    for number in range(count):
        place = folder / f"class_{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (4, 4, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        (place / f"{number:06}.jpg").write_bytes(images.encode(pixels, "jpg", 80))


def write_map(base: Path, images: Path) -> None:
    """Features and positions for all images, as `pipekit embed` and the page Map would leave them."""
    import os

    from pipekit.commands.browse import find_source
    from pipekit.studio.project import Project

    os.chdir(base)
    project = Project(find_source(images.name))
    catalog = project.catalog
    folder = base / "runs" / "embed"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    np.save(folder / "embeddings.npy", rng.normal(size=(len(catalog), 4)).astype(np.float16))
    lines = [f"{one},,,{sha.tobytes().hex()}," for one, sha in zip(catalog.ids, catalog.hashes, strict=True)]
    (folder / "images.csv").write_text("\n".join(["id,label,split,sha256,problem", *lines]) + "\n", "utf-8")
    (folder / "embedder.json").write_text("{}", "utf-8")
    found = project.features(catalog)
    assert found is not None
    file = project.map_of(found, "tsne")
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, rng.random((len(catalog), 3)).astype(np.float32))


class Measured:
    """Rows of the table: what, target, seen."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def add(self, what: str, target: str, seen: str) -> None:
        self.rows.append((what, target, seen))
        print(f"{what:52} target {target:12} {seen}", flush=True)


def ms(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms"


def until(browser: Chromium, body: str) -> float:
    """Seconds until a script's value is true, asked for in the page itself, at each frame."""
    found = browser.do(
        "const begun = performance.now(); "
        f"const ready = () => {{ {body} }}; while (!ready() && performance.now() - begun < 60000) {{ {FRAME} }} "
        "return (performance.now() - begun) / 1000;"
    )
    return float(found)


def changed(browser: Chromium, action: str, ready: str) -> float:
    """Seconds from an action to the first frame after which a script's value is true."""
    return float(browser.do(
        f"const begun = performance.now(); {action}; {FRAME} "
        f"const ready = () => {{ {ready} }}; while (!ready() && performance.now() - begun < 60000) {{ {FRAME} }} "
        "return (performance.now() - begun) / 1000;"
    ))  # fmt: skip


def times(browser: Chromium, port: int, seen: Measured, pid: int) -> None:
    """Everything that is measured in the page."""
    browser.open(f"http://127.0.0.1:{port}/")
    until(browser, BODY)
    paint = browser.do(
        "const one = performance.getEntriesByName('first-contentful-paint')[0]; return one ? one.startTime / 1000 : -1;"
    )
    seen.add("first paint", "400 ms", ms(paint))
    seen.add("all images in view, thumbnails kept", "1 s", ms(browser.do("return performance.now() / 1000;")))

    box = "document.querySelector('.filters [type=checkbox]')"
    frame = changed(browser, f"{box}.click()", "return true;")
    seen.add("filter: next frame", "100 ms", ms(frame))
    seen.add("filter: all images", "400 ms", ms(changed(browser, f"{box}.click()", BODY)))
    frames = browser.do(
        "const grid = document.querySelector('.grid'), found = []; let empty = 0, tiles = 0, last = performance.now(); "
        "for (let step = 0; step < 120; step++) { grid.scrollTop += 60; "
        "await new Promise((done) => requestAnimationFrame(done)); const now = performance.now(); found.push(now - last); "
        "last = now; "
        "const view = grid.getBoundingClientRect(); for (const one of document.querySelectorAll('.tile:not([hidden])')) { "
        "const box = one.getBoundingClientRect(); if (box.bottom < view.top || box.top > view.bottom) continue; tiles++; "
        "if (!one.querySelector('img').getAttribute('src')) empty++; } } "
        "found.sort((a, b) => a - b); return [found[Math.floor(found.length * 0.95)], empty / tiles];"
    )
    seen.add("scroll, 3,600 px/s: p95 frame", "33 ms", f"{frames[0]:.0f} ms, {100 * frames[1]:.1f} % of tiles empty")
    digest = browser.do("return (await (await fetch('/api/index')).json()).digest;")
    clicks = []
    for number in range(10):
        body = f"{{what: 'label', rows: [{number}], before: [''], after: 'other'}}"
        clicks.append(
            browser.do(
                f"const begun = performance.now(); await fetch('/api/{digest}/decide', "
                f"{{method: 'POST', headers: {{'x-pipekit': '1'}}, body: JSON.stringify({body})}}); "
                "return (performance.now() - begun) / 1000;"
            )
        )
    seen.add("click on disk: median, slowest of 10", "30 ms", f"{ms(statistics.median(clicks))}, {ms(max(clicks))}")
    moves = slid(browser, port)
    seen.add("slider to 11 variants: median, slowest of 10", "200 ms", f"{ms(statistics.median(moves))}, {ms(max(moves))}")
    with busy():
        beside = [found_thumbs(browser, digest) for _ in range(10)]
        moves = slid(browser, port)
    seen.add("beside a training: thumbnails, slowest of 10", "150 ms", ms(max(beside)))
    seen.add("beside a training: slider to 11 variants, median", "400 ms", ms(statistics.median(moves)))
    map_times(browser, port, seen, "")
    status = Path(f"/proc/{pid}/status")
    if status.is_file():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text("utf-8"))
        seen.add("memory of the server, at most", "250 MB", f"{int(found[1]) / 1024:,.0f} MB" if found else "unknown")


def slid(browser: Chromium, port: int) -> list[float]:
    """Seconds from each of ten moves of a slider to its variants."""
    browser.open(f"http://127.0.0.1:{port}/recipe")
    until(browser, "return Number(document.querySelector('.variants')?.dataset.shown) > 0;")
    browser.do(
        "const add = document.querySelector('[list=all-ops]'); add.value = 'rotate'; "
        "add.form.dispatchEvent(new Event('submit', {cancelable: true})); return 0;"
    )
    until(browser, "return document.querySelectorAll('.ops [type=range]').length > 0;")
    return [
        changed(
            browser,
            "const shown = document.querySelector('.variants').dataset.shown; "
            f"const one = document.querySelector('.ops [type=range]'); one.value = {5 + 3 * number}; "
            "one.dispatchEvent(new Event('input'))",
            "return document.querySelector('.variants').dataset.shown !== shown;",
        )
        for number in range(10)
    ]


def found_thumbs(browser: Chromium, digest: str) -> float:
    """Seconds until 64 thumbnails are there, which the server has to make or to read."""
    rows = "Uint32Array.from({length: 64}, () => Math.floor(Math.random() * window.count))"
    return float(browser.do(
        "window.count = window.count || (await (await fetch('/api/index')).json()).count; const begun = performance.now(); "
        f"const asked = {{method: 'POST', headers: {{'x-pipekit': '1'}}, body: {rows}}}; "
        f"await (await fetch('/api/{digest}/thumbs', asked)).arrayBuffer(); "
        "return (performance.now() - begun) / 1000;"
    ))  # fmt: skip


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Every processor computes, at the priority of a training that the studio started."""
    loop = "import os; os.nice(5)\nwhile True: sum(range(100000))"
    workers = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def map_times(browser: Chromium, port: int, seen: Measured, of: str) -> None:
    browser.open(f"http://127.0.0.1:{port}/map")
    until(browser, "return document.querySelectorAll('.legend li').length > 0;")
    drawn = browser.do(
        "const { Scatter } = await import('/static/scatter.js'); const whole = Scatter.prototype.draw; "
        "const found = []; Scatter.prototype.draw = function () { const begun = performance.now(); whole.call(this); "
        "found.push(performance.now() - begun); }; const points = document.querySelector('.points'); "
        "for (let step = 0; step < 10; step++) { points.dispatchEvent(new KeyboardEvent('keydown', {key: '+'})); "
        "await new Promise((done) => requestAnimationFrame(() => setTimeout(done))); } "
        "found.sort((a, b) => a - b); return found[Math.floor(found.length / 2)] / 1000;"
    )
    seen.add(f"map{of}: draw", "16 ms", ms(drawn))
    select = "document.querySelector('.points').dispatchEvent(new KeyboardEvent('keydown', {key: 'v'}))"
    chosen = "return document.querySelector('.map-side [role=status]').textContent.includes('selected');"
    seen.add(f"map{of}: selection to its number", "100 ms", ms(changed(browser, select, chosen)))


def many_rows(count: int, seen: Measured) -> None:
    """An index alone, without files: filters, the last row, and the map. The server is in this process."""
    from tests.studio.running import opened, running
    from tests.studio.test_map_in_browser import with_map

    of = f", {count:,} rows"
    with tempfile.TemporaryDirectory() as name:
        project, _ = with_map(Path(name), count)
        with running(project) as server, Chromium(Path(name)) as browser:
            browser.size(1280, 800)
            opened(browser, server)
            until(browser, BODY)
            box = "document.querySelector('.filters [type=checkbox]')"
            seen.add(f"filter{of}: next frame", "100 ms", ms(changed(browser, f"{box}.click()", "return true;")))
            seen.add(f"filter{of}: all images", "400 ms", ms(changed(browser, f"{box}.click()", BODY)))
            end = "document.querySelector('.grid').dispatchEvent(new KeyboardEvent('keydown', {key: 'End'}))"
            last = f"return document.querySelector('.tile.at')?.dataset.row === '{count - 1}' && {FULL};"
            seen.add(f"last row{of}", "400 ms", ms(changed(browser, end, last)))
            map_times(browser, server.port, seen, of)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of an index without files; 0: none")
    given = parser.parse_args(argv)
    count = given.images
    seen = Measured()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        (base / ".pipekit").mkdir()
        draw_images(base / "photos", count)
        write_map(base, base / "photos")
        started: Callable[[], float] = time.perf_counter
        begun = started()
        words = [sys.executable, "-m", "pipekit", "studio", "photos", "--no-open", "--port", "0"]
        server: Any = subprocess.Popen(words, cwd=base, stdout=subprocess.PIPE, text=True)
        try:
            line = server.stdout.readline()
            seen.add(f"address printed, {count:,} images", "1 s", ms(started() - begun))
            address = re.search(r"http://127\.0\.0\.1:(\d+)/\S+", line)
            assert address, line
            with Chromium(base) as browser:
                browser.size(1280, 800)
                browser.open(address[0])
                until(browser, BODY)
                times(browser, int(address[1]), seen, server.pid)
        finally:
            server.send_signal(signal.SIGINT)  # Ctrl-C
            server.wait()
    if given.rows:
        many_rows(given.rows, seen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
