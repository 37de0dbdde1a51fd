"""From an empty project and 400 photographs to a tested model in `pipekit studio`, by clicks and keys alone.

    python benchmarks/studio_clicks.py PHOTOS             # a folder with a folder for each class
    python benchmarks/studio_clicks.py PHOTOS --images 40
    python benchmarks/studio_clicks.py PHOTOS --keys     # without a mouse: Tab, Enter, arrow keys, and letters

A browser opens each page in turn: look at the images, inspect them, leave out what that finds, make a recipe, train with it
(2 epochs at 32 px), let the pipeline file read what was left out, run it, read its report, and try a photograph that the model
has not seen. Two of the photographs are planted copies, so that there is something to find. Then the folder is copied, and
`pipekit run` there must take every stage from the cache and write the same report.

It needs Chromium, as the tests of the studio do, and is no test: run it on a quiet machine. Times are printed as Markdown.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.studio import chromium, clicking  # noqa: E402

PIPEKIT = [sys.executable, "-m", "pipekit"]
LIMIT_S = 180.0
JOB_S = 900.0


def take_photos(source: Path, folder: Path, count: int) -> Path:
    """Copy ``count`` photographs, as many of each class, and two of them twice; returns a further one."""
    classes = sorted(one for one in source.iterdir() if one.is_dir())
    each = count // len(classes)
    for place in classes:
        files = sorted(one for one in place.iterdir() if one.is_file())
        (folder / place.name).mkdir(parents=True, exist_ok=True)
        for file in files[: each - 1]:
            shutil.copyfile(file, folder / place.name / file.name)
        shutil.copyfile(files[0], folder / place.name / f"copy of {files[0].name}")
    return files[each]


class Clicks:
    """A browser at a studio, with the seconds of each step."""

    def __init__(self, browser: chromium.Chromium) -> None:
        self.browser, self.steps = browser, list[tuple[str, float]]()
        self.begun = self.last = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.last - self.begun

    def done(self, step: str) -> None:
        now = time.perf_counter()
        self.steps.append((step, now - self.last))
        print(f"| {step} | {now - self.last:.1f} |", flush=True)
        self.last = now

    def page(self, name: str) -> None:
        clicking.press_text(self.browser, name, ".menu a")
        self.browser.until(f"document.title.startsWith({json.dumps(name)}) && !document.querySelector('.loading')")

    def waits(self, expression: str, what: str) -> Any:
        """Wait for a job: on a busy machine it takes longer than a click may."""
        usual, chromium.ANSWER_S = chromium.ANSWER_S, JOB_S
        try:
            return self.browser.until(expression, what)
        finally:
            chromium.ANSWER_S = usual

    def job_ends(self, kind: str) -> str:
        """Wait for the newest job on the page to end; what it says."""
        place = "document.querySelector('.job')"
        said = f"({place}?.querySelector('h3').textContent === 'pipekit {kind}' && {place}.querySelector('.row button').hidden"
        self.waits(f"Boolean{said})", f"pipekit {kind} ends")
        text: str = self.browser.do(f"{place}.querySelector('p').textContent")
        assert not self.browser.do(f"{place}.classList.contains('failed')"), text
        return text


def clicked(clicks: Clicks, unseen: Path) -> None:
    browser = clicks.browser
    tiles = "[...document.querySelectorAll('.tile:not([hidden])')]"
    browser.until(f"{tiles}.length > 8 && {tiles}.every((one) => one.querySelector('img').getAttribute('src'))")
    clicks.done("Browse: all images in view")
    clicks.page("Findings")
    clicking.press_text(browser, "Inspect the images")
    clicks.waits("document.querySelectorAll('.group').length", "findings")
    clicks.done("Findings: inspected")
    clicking.press_text(browser, "Leave out the")
    out = browser.until("document.querySelectorAll('.shot.out').length", "images are left out")
    clicks.done(f"Findings: {out} left out")
    clicks.page("Recipe")
    clicking.fill_in(browser, "[list=all-ops]", "hflip")
    browser.press("Enter")
    clicking.fill_in(browser, "[list=all-ops]", "rotate")
    browser.press("Enter")
    browser.until("document.querySelectorAll('.ops .op-head').length === 2")
    browser.until("document.querySelectorAll('.variants img').length === 12")
    clicking.fill_in(browser, "[aria-label='Name of the recipe']", "first")
    clicking.press_text(browser, "Save")
    browser.until("document.querySelector('.state').textContent.startsWith('Saved')")
    clicks.done("Recipe: two ops, 11 variants, saved")
    clicks.page("Train")
    clicking.choose(browser, "[name=model]", "simple_cnn")
    clicking.fill_in(browser, "[name=epochs]", "2")
    clicking.fill_in(browser, "[name=input]", "32")
    clicking.choose(browser, "[name=ops]", "first")
    clicking.fill_in(browser, "[name=name]", "small")
    clicking.press_text(browser, "Train", "button.primary")
    clicks.done(f"Train: {clicks.job_ends('train')}")
    clicking.press_text(browser, "Let it read quarantine.csv")
    browser.until("!document.querySelector('.card .problem')", "the pipeline file reads it")
    clicking.press_text(browser, "Run pipeline.toml")
    clicks.done(f"Run pipeline.toml: {clicks.job_ends('run')}")
    report = browser.do("[...document.querySelectorAll('.runs a')].find((one) => one.textContent === 'Report').href")
    assert browser.do(f"return (await (await fetch({json.dumps(report)})).text()).includes('<h1');")
    clicks.done("Report")
    clicks.page("Try")
    clicking.choose_file(browser, "Choose an image", unseen)
    said = browser.until("document.querySelector('.prediction h2')?.textContent")
    clicks.done(f"Try: {unseen.parent.name}/{unseen.name} is {said}")


def replayed(project: Path, place: Path) -> tuple[dict[str, str], bool]:
    """Run the pipeline file of a copy: what each stage did, and whether the report has the same bytes."""
    copy = place / project.name
    shutil.copytree(project, copy, symlinks=True)
    words = [*PIPEKIT, "run", "pipeline.toml", "--json"]
    done = subprocess.run(words, cwd=copy, capture_output=True, text=True, check=True)
    events: list[Any] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    states = {one["stage"]: "cached" for one in events if one["event"] == "stage_cached"}
    states |= {one["stage"]: "ran" for one in events if one["event"] == "stage_finished" and not one["cached"]}
    reports = [(one / "runs" / project.name / "report.html").read_bytes() for one in (project, copy)]
    return states, reports[0] == reports[1]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--keys", action="store_true", help="without a mouse")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        project = base / "pets"
        classes = ",".join(sorted(one.name for one in given.photos.iterdir() if one.is_dir()))
        words = ["scaffold", project.name, "--classes", classes, "--layout", "flat", "--quiet"]
        subprocess.run([*PIPEKIT, *words], cwd=base, check=True, stdin=subprocess.DEVNULL)
        unseen = take_photos(given.photos, project / "images", given.images)
        words = ["studio", "pets", "--no-open", "--port", "0"]
        begun = time.perf_counter()
        server: Any = subprocess.Popen([*PIPEKIT, *words], cwd=base, stdout=subprocess.PIPE, text=True)
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+/\S+", server.stdout.readline())
            assert address, "the studio did not start"
            with (clicking.Keyboard if given.keys else chromium.Chromium)(base) as browser:
                browser.size(1280, 800)
                print(f"{given.images} photographs\n\n| step | s |\n|---|---|")
                clicks = Clicks(browser)
                clicks.begun = clicks.last = begun
                browser.open(address[0])
                clicked(clicks, unseen)
                assert not browser.errors, browser.errors
                away = [one for _, one in browser.requests if one.startswith("http") and "//127.0.0.1:" not in one]
        finally:
            server.send_signal(signal.SIGINT)  # Ctrl-C
            server.wait()
        states, same = replayed(project, base / "copy")
        print(f"\n{clicks.seconds:.0f} s in all (target: {LIMIT_S:.0f} s); requests to other machines: {len(away)}")
        print(f"`pipekit run` in a copy: {states}; the same report: {same}")
        return 0 if same and set(states.values()) == {"cached"} and not away else 1


if __name__ == "__main__":
    sys.exit(main())
