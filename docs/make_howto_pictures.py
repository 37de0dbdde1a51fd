"""Make the pictures of the how-tos from ``sample_data`` with pipekit itself: ``python docs/make_howto_pictures.py [NAME ...]``.

Each how-to has one picture of its result: a terminal with what its commands printed, a part of a page, or a contact sheet.
``NAME`` is the name of the page, such as ``phone``. With ``--in FOLDER`` the stores stay there, and a second call computes only
what is missing. The script prints the processor time of the commands of each picture: the pages state it, rounded.

The ``.made-from`` files are those of ``make_pictures.py``. Here each digest covers the functions that make its picture, and not
the whole script, since the pictures have nothing else in common.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import terminal
from make_pictures import CAT, COFFEE, DOCS, GALLERY, ROOT, TEXTURES, Shown, files_of, photographs, pipekit, screenshot

PIPELINE = "sample_data/textures/pipeline.toml"
GPU_FEEDS = "benchmarks/gpu_feed.csv"
LABELS = "docs/images/gallery-labels.jpg"
SCENES = (f"{GALLERY}/make_scenes.py", CAT, COFFEE)
QUALITY = 80
COLUMNS = 84
SHELL = 'stty cols {columns} rows 60; pipekit() {{ "{python}" -m pipekit "$@"; }}; (exit {status}); {line}'


# --- terminals -----------------------------------------------------------------------------------------------------------


def console(folder: Path, *lines: str, columns: int = COLUMNS, title: str = "") -> Path:
    """The last screen of a terminal after these commands, each a line for bash that runs in ``folder``, as an SVG file.

    Without a ``title`` it has the processor time of all of them.
    """
    import pyte

    screen = pyte.Screen(columns, 200)
    stream = pyte.ByteStream(screen)
    began = processor_s()
    status = 0
    for line in lines:
        stream.feed(f"\x1b[32m$\x1b[0m {line}\r\n".encode())
        printed, status = in_terminal(folder, line, columns, status)
        stream.feed(printed)
    rows = [[screen.buffer[row][column] for column in range(columns)] for row in range(screen.cursor.y + 1)]
    while rows and not "".join(cell.data for cell in rows[-1]).strip():
        rows.pop()
    title = title or f"{in_words(processor_s() - began)} of processor time"
    frame = terminal._drawn(rows, "f0", columns, len(rows))
    size = {"width": int(columns * 12.2) + 32, "height": int(len(rows) * 24.4) + 64}
    text = terminal.WHOLE.format(**size, title=title, seconds=1, keyframes="", frames=frame)
    (folder / "terminal.svg").write_text(text, encoding="utf-8")
    print(f"{folder.name}: {title}", flush=True)
    return folder / "terminal.svg"


def in_terminal(folder: Path, line: str, columns: int, before: int) -> tuple[bytes, int]:
    """What a command prints in a separate terminal, which ``script`` of util-linux opens, and its exit code.

    ``before`` is the exit code of the command before.
    """
    words = SHELL.format(columns=columns, python=sys.executable, status=before, line=line)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "SHELL": "/bin/bash",
    }
    environment["PIPEKIT_STORE"] = str(folder / ".store")
    environment.pop("CI", None)
    command = ["script", "--quiet", "--return", "--command", words, "/dev/null"]
    done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    return done.stdout.replace(str(folder).encode(), b"/project"), done.returncode  # pictures name no folder of this machine


def processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def timed(folder: Path, *words: str) -> None:
    """Run a command of pipekit, and print its processor time."""
    os.environ["PIPEKIT_STORE"] = str(folder / ".store")
    began = processor_s()
    pipekit(folder, *words)
    print(f"{folder.name}: {in_words(processor_s() - began)} of processor time: pipekit {' '.join(words)}", flush=True)


# --- pages ---------------------------------------------------------------------------------------------------------------


def part(page: Path, *sections: str, width: int = 800, rows: int = 2400) -> Path:
    """These sections of a page, unfolded, without the empty rows at their end; without ``sections`` the page's top."""
    from pipekit import images

    kept = "".join(f":not(#{name})" for name in sections)
    hidden = f"nav, footer, header, section{kept}" if sections else "nav, footer"
    style = f"{hidden} {{ display: none !important }}"
    opened = page.read_text("utf-8").replace("<details>", "<details open>")
    shown = page.with_name("part.html")
    shown.write_text(opened.replace("</head>", f"<style>{style}</style></head>", 1), encoding="utf-8")
    picture = images.read(screenshot(shown.as_uri(), page.with_name("part.png"), width, rows))
    differs = (picture != picture[-1:, :1]).any(axis=(1, 2)).nonzero()[0]
    return cut(page.with_name("part.png"), int(differs[-1]) + 24)


def cut(file: Path, height: int) -> Path:
    """The upper rows of a picture."""
    from pipekit import images

    images.write(file, images.read(file)[:height])
    return file


# --- what the pictures are made from -------------------------------------------------------------------------------------


def textures(folder: Path, counts: dict[str, int], name: str = "photos") -> Path:
    """The first tiles of these classes, as a folder of class folders."""
    for label, count in counts.items():
        (folder / name / label).mkdir(parents=True)
        for path in sorted((ROOT / TEXTURES / "train" / label).iterdir())[:count]:
            shutil.copyfile(path, folder / name / label / path.name)
    return folder / name


def scenes(folder: Path) -> Path:
    subprocess.run([sys.executable, str(ROOT / GALLERY / "make_scenes.py"), str(folder / "scenes")], check=True)
    return folder / "scenes"


def pets(folder: Path) -> Path:
    """The project that several how-tos continue: 72 tiles of three classes, and the run ``pets``."""
    project = folder.parent / "project"
    if not (project / "runs" / "pets").exists():
        shutil.rmtree(project, ignore_errors=True)
        textures(project, {"brick": 24, "grass": 24, "gravel": 24})
        timed(project, "train", "photos", "--name", "pets")
    return project


def surfaces(folder: Path) -> Path:
    """The project of ``sample_data/textures``, with its run ``textures`` and the run ``hog`` on the same split."""
    project = folder.parent / "surfaces"
    if not (project / "runs" / "hog").exists():
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(ROOT / TEXTURES, project / "images")
        shutil.copyfile(ROOT / PIPELINE, project / "pipeline.toml")
        timed(project, "run", "pipeline.toml")
        timed(project, "run", "pipeline.toml", "--set", "stages.train.model=hog_svm", "--name", "hog")
    return project


def toml_of(page: str) -> str:
    """The pipeline file that a how-to shows."""
    return "".join(re.findall(r"^```toml\n(.*?)^```$", (DOCS / "howto" / f"{page}.md").read_text("utf-8"), re.M | re.S))


# --- the how-tos ---------------------------------------------------------------------------------------------------------


def bad_images(folder: Path) -> Path:
    photos = textures(folder, {"brick": 30, "gravel": 30})
    (photos / "brick" / "empty.jpg").write_bytes(b"")
    whole = (photos / "gravel" / "gravel_x000_y000.jpg").read_bytes()
    (photos / "gravel" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "gravel" / "page.jpg").write_text("<!doctype html><title>404 Not Found</title>", encoding="utf-8")
    return console(folder, "pipekit split photos")


def boxes_and_masks(folder: Path) -> Path:
    scenes(folder)
    ops = "rotate(10)|hflip|brightness([0.7, 1.3])"
    timed(folder, "augment", "scenes/boxes", "out.png", "--preview", "--ops", ops, "--no-show")
    return cut(folder / "out.png", 624)


def calibrate(folder: Path) -> Path:
    shutil.copytree(ROOT / TEXTURES / "train", folder / "images" / "train")
    (folder / "inspection.toml").write_text(toml_of("calibrate"), encoding="utf-8")
    timed(folder, "run", "inspection.toml")
    return part(folder / "runs" / "inspection" / "report.html", "decision")


def ci(folder: Path) -> Path:
    photographs(folder)
    return console(folder, "pipekit inspect photos --out found --fail-on leakage,corrupt,label_conflicts", "echo exit code $?")


def clean_labels(folder: Path) -> Path:
    photos = textures(folder, {"brick": 24, "grass": 24, "gravel": 24})
    for name, wrong in (("brick/brick_x032_y064.jpg", "grass"), ("grass/grass_x032_y032.jpg", "gravel")):
        file = photos / name
        file.rename(photos / wrong / f"new_{file.stem.partition('_')[0]}.jpg")
    timed(folder, "corrections", "from", "photos")
    return part(folder / "suspects.html")


def compare(folder: Path) -> Path:
    project = surfaces(folder)
    timed(project, "compare", "hog", "textures")
    return part(project / "compare.html", "verdict", "changed", rows=806)


def cross_validate(folder: Path) -> Path:
    textures(folder, {"grass": 60, "gravel": 60})
    command = "pipekit train photos --model hog_svm"
    return console(folder, f"{command} --name plain | grep '95 %'", f"{command} --folds 5 | grep '95 %'")


def gpu(folder: Path) -> Path:
    """Images per second by feed, from the measured milliseconds of steps of 256 images."""
    import csv

    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    with (ROOT / GPU_FEEDS).open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if (row["model"], row["images"]) == ("alexnet", "20000")]
    bars = [("the card alone, one batch again and again", min(float(row["bare_ms"]) for row in rows), "#9aa5b1")]
    bars += [(row["feed"], float(row["later_ms"]), "#2b6cb0" if row["feed"] == "pipekit" else "#cbd5e0") for row in rows]
    figure, axes = plt.subplots(figsize=(8, 2.6))
    for place, (_, ms, colour) in enumerate(bars):
        axes.barh(-place, 256_000 / ms, 0.66, color=colour)
        axes.text(256_000 / ms + 250, -place, f"{256_000 / ms:,.0f}", va="center", fontsize=10)
    axes.set_yticks([-place for place in range(len(bars))], [name for name, _, _ in bars], fontsize=10)
    axes.set_xlim(0, 34_000)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_title("alexnet, 20,000 photographs, H200 and 16 cores: images a second", fontsize=11, loc="left", x=-0.52)
    figure.savefig(folder / "gpu.png", dpi=110, bbox_inches="tight", pad_inches=0.15)
    plt.close(figure)
    return folder / "gpu.png"


def groups(folder: Path) -> Path:
    photos = sorted(textures(folder, {"brick": 40, "gravel": 40}).rglob("*.jpg"))
    for number, file in enumerate(photos):
        (folder / "scans" / file.parent.name).mkdir(parents=True, exist_ok=True)
        file.rename(folder / "scans" / file.parent.name / f"patient_{number // 5:03}_{number % 5}.jpg")
    shutil.rmtree(folder / "photos")
    return console(folder, r"pipekit split scans --group-pattern '(patient_\d+)_'")


def imbalanced(folder: Path) -> Path:
    textures(folder, {"grass": 90, "gravel": 10})
    timed(folder, "train", "photos", "--model", "hog_svm", "--folds", "5", "--class-weights", "balanced", "--name", "folds")
    return part(folder / "runs" / "folds" / "report.html", "summary")


def keras_script(folder: Path) -> Path:
    return part(surfaces(folder) / "runs" / "textures" / "report.html", "training")


def microscopes(folder: Path) -> Path:
    """A photograph of 12 bits in files of 16, as it is read without and with ``value_range``."""
    import numpy as np
    from PIL import Image

    import pipekit as api
    from pipekit import images

    grey = np.asarray(Image.open(ROOT / CAT).convert("L"), dtype=np.uint16)
    for number in range(4):
        for label in ("cells", "empty"):
            (folder / "images" / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(grey * 16).save(folder / "images" / label / f"{number}.png")
    timed(folder, "inspect", "images")
    shown = []
    for params in ({}, {"value_range": [0, 4095]}):
        feed = api.feed(api.dataset(str(folder / "images"), **params), None, 1, size_hw=grey.shape, shuffle=False)
        shown += [feed.batch(0, 0)[0][0], np.full((len(grey), 10, 3), 255, np.uint8)]
    images.write(folder / "both.png", np.concatenate(shown[:-1], axis=1))
    return folder / "both.png"


def phone(folder: Path) -> Path:
    project = pets(folder)
    shutil.rmtree(project / "phone", ignore_errors=True)
    return console(project, "pipekit export runs/pets --to tflite --out phone", "ls phone", "cat phone/labels.txt")


def python(folder: Path) -> Path:
    """What a notebook shows of predictions."""
    project = pets(folder)
    code = """
import pipekit
model = pipekit.load("runs/pets")
found = model.predict([f"photos/{name}/{name}_x000_y000.jpg" for name in model.classes])
page = f"<!doctype html><html><head></head><body style='font: 15px sans-serif'>{found._repr_html_()}</body></html>"
open("notebook.html", "w", encoding="utf-8").write(page)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PIPEKIT_STORE": str(project / ".store")}
    began = processor_s()
    subprocess.run([sys.executable, "-c", code], cwd=project, check=True, env=environment)
    print(f"{folder.name}: {in_words(processor_s() - began)} of processor time", flush=True)
    return part(project / "notebook.html", width=700)


def reproduce(folder: Path) -> Path:
    return console(surfaces(folder), "pipekit runs compare textures hog")


def resume(folder: Path) -> Path:
    project = surfaces(folder)
    return console(project, "pipekit run pipeline.toml", "pipekit run pipeline.toml --set stages.train.epochs=12 --dry-run")


def s3(folder: Path) -> Path:
    """A folder behind a server of this machine, fetched once."""
    textures(folder, {"brick": 20, "gravel": 20})
    os.environ["PIPEKIT_REMOTE_CACHE"] = str(folder / "cache")
    words = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://127[\d.:]+", line)))
        try:
            return console(folder, f"pipekit split {address}/photos/")
        finally:
            server.terminate()


def serve(folder: Path) -> Path:
    project = pets(folder)
    shutil.copyfile(project / "photos" / "brick" / "brick_x000_y000.jpg", project / "photo.jpg")
    words = [sys.executable, "-m", "pipekit", "serve", "runs/pets", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PIPEKIT_STORE": str(project / ".store")}
    with subprocess.Popen(words, cwd=project, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://127[\d.:]+", line)))
        try:
            made = console(project, f"curl --silent --data-binary @photo.jpg {address}/predict", title="a request")
            pids = ["ps", "-o", "pid=", "--pid", str(server.pid), "--ppid", str(server.pid)]  # the server, and the model
            both = subprocess.run(pids, check=True, capture_output=True, text=True).stdout.split()
            ticks = sum(
                int(tick) for pid in both for tick in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            )
            used = in_words(ticks / os.sysconf("SC_CLK_TCK"))
            print(f"{folder.name}: {used} of processor time, from the start to the first answer", flush=True)
            return made
        finally:
            server.terminate()


def tasks(folder: Path) -> Path:
    """The table of labels in the report of ``sample_data/tasks/several_labels.toml``: the gallery shows it too."""
    from pipekit import images

    whole = images.read(ROOT / LABELS)
    images.write(folder / "labels.png", whole[672:, 255:])
    return folder / "labels.png"


PICTURES = (
    Shown("howto-bad-images.svg", bad_images, (TEXTURES,)),
    Shown("howto-boxes-and-masks.jpg", boxes_and_masks, (*SCENES, TEXTURES)),
    Shown("howto-calibrate.jpg", calibrate, (TEXTURES,)),
    Shown("howto-ci.svg", ci, (TEXTURES,)),
    Shown("howto-clean-labels.jpg", clean_labels, (TEXTURES,)),
    Shown("howto-compare.jpg", compare, (TEXTURES, PIPELINE)),
    Shown("howto-cross-validate.svg", cross_validate, (TEXTURES,)),
    Shown("howto-gpu.jpg", gpu, (GPU_FEEDS,)),
    Shown("howto-groups.svg", groups, (TEXTURES,)),
    Shown("howto-imbalanced.jpg", imbalanced, (TEXTURES,)),
    Shown("howto-keras-script.jpg", keras_script, (TEXTURES, PIPELINE)),
    Shown("howto-microscopes.jpg", microscopes, (CAT,)),
    Shown("howto-phone.svg", phone, (TEXTURES,)),
    Shown("howto-python.jpg", python, (TEXTURES,)),
    Shown("howto-reproduce.svg", reproduce, (TEXTURES, PIPELINE)),
    Shown("howto-resume.svg", resume, (TEXTURES, PIPELINE)),
    Shown("howto-s3.svg", s3, (TEXTURES,)),
    Shown("howto-serve.svg", serve, (TEXTURES,)),
    Shown("howto-tasks.jpg", tasks, (LABELS,)),
)


# --- records -------------------------------------------------------------------------------------------------------------


def sources(function: Callable[..., Any], seen: set[str]) -> Iterator[str]:
    """The text of a function, and of the functions of this script and of ``make_pictures.py`` that it uses."""
    yield inspect.getsource(function)
    for name in function.__code__.co_names:
        used = function.__globals__.get(name)
        if inspect.isfunction(used) and Path(used.__code__.co_filename).parent == DOCS and name not in seen:
            seen.add(name)
            yield from sources(used, seen)


def digest(shown: Shown) -> str:
    """The hash of the functions that make the picture, and of its inputs: a change of another picture changes nothing."""
    found = hashlib.sha256()
    for text in sources(shown.make, set()):
        found.update(hashlib.sha256(text.encode()).digest())
    if "toml_of" in shown.make.__code__.co_names:
        found.update(toml_of(page_of(shown)).encode())
    for name in ("docs/terminal.py", *shown.inputs):
        for file in files_of(ROOT / name):
            found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def make(shown: Shown, work: Path) -> None:
    from pipekit import images

    folder = work / page_of(shown)
    folder.mkdir(parents=True, exist_ok=True)
    for place in folder.iterdir():
        if place.name != ".store" or shown.path.suffix == ".svg":  # a terminal shows what is computed and what is cached
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    made = shown.make(folder)
    if shown.path.suffix == ".jpg":
        images.write(shown.path, images.read(made), QUALITY)
    else:
        shutil.copyfile(made, shown.path)
    shown.record.write_text(digest(shown) + "\n", encoding="utf-8")
    print(f"{shown.file}: {shown.path.stat().st_size / 1000:.0f} kB", flush=True)


def page_of(shown: Shown) -> str:
    """``howto-ci.svg`` belongs to ``docs/howto/ci.md``."""
    return Path(shown.file).stem.removeprefix("howto-")


def make_named(
    words: Sequence[str], pictures: Sequence[Shown], name_of: Callable[[Shown], str], make: Callable[[Shown, Path], None]
) -> None:
    """Make the pictures that the words name, or all; ``--in FOLDER`` before them keeps what is computed there."""
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        if words[:1] == ["--in"]:
            work, words = Path(words[1]).resolve(), words[2:]
        for shown in pictures:
            if not words or name_of(shown) in words:
                make(shown, work)


if __name__ == "__main__":
    make_named(sys.argv[1:], PICTURES, page_of, make)
