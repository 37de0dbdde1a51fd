"""Make the pictures of the documents from ``sample_data`` with pipekit itself: ``python docs/make_pictures.py [NAME ...]``.

Beside each picture stands a ``.made-from`` file with the digest of the scripts and of what the picture was made from. A test
compares it, so a picture can't go stale unseen. Pages are shown by headless Chromium, terminals by ``docs/terminal.py``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
QUALITY = 88

CAT = "sample_data/photos/cat.jpg"
COFFEE = "sample_data/photos/coffee.jpg"
TEXTURES = "sample_data/textures/images"
GALLERY, TASKS = "sample_data/gallery", "sample_data/tasks"
OPS = "rotate(25)|zoom(0.2, keep_aspect=true)|hflip|brightness([0.7, 1.3])|hue_saturation(20)"
PREVIEW = ("augment", CAT, "{out}", "--preview", "--ops", OPS, "--fill", "reflect", "--variants", "5", "--seed", "6")


@dataclass(frozen=True)
class Shown:
    """A picture of the documents: its file, what makes it, and the files and folders that it is made from.

    Attributes:
        make: called with the folder to work in; returns the file that becomes the picture.
        command: the command that the documents show with the picture, if it is one command.
    """

    file: str
    make: Callable[[Path], Path]
    inputs: tuple[str, ...]
    command: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return DOCS / "images" / self.file

    @property
    def record(self) -> Path:
        return self.path.with_name(f"{self.file}.made-from")


def pipekit(folder: Path, *words: str) -> None:
    """Run a command in ``folder``, without its progress."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipekit", *words]
    subprocess.run(command, cwd=folder, check=True, env=environment, stdout=subprocess.DEVNULL)


def sheet(folder: Path) -> Path:
    words = [word.format(out=folder / "out.png") for word in PREVIEW]
    pipekit(ROOT, *words, "--no-show")
    return folder / "out.png"


def steps(folder: Path) -> Path:
    ops = "rotate(25)|zoom(0.3, keep_aspect=true)|hflip(p=1)|brightness([1.2, 1.3])|hue_saturation(30)"
    options = ("--steps", "--ops", ops, "--fill", "reflect", "--seed", "4")
    pipekit(ROOT, "augment", COFFEE, str(folder / "out.png"), "--preview", *options, "--no-show")
    return folder / "out.png"


def corners(folder: Path) -> Path:
    pipekit(ROOT, "features", CAT, "--out", str(folder / "harris"), "--no-show")
    return next((folder / "harris" / "previews").rglob("*.png"))


def photographs(folder: Path) -> Path:
    """Two classes of textures with what goes wrong in real folders: a copy in another class, a brighter one, a dark one."""
    from pipekit import images

    source = ROOT / TEXTURES
    for name in ("brick", "gravel"):
        (folder / "photos" / name).mkdir(parents=True)
        for path in sorted((source / "train" / name).iterdir())[:24]:
            shutil.copyfile(path, folder / "photos" / name / path.name)
    first, second, third = sorted((folder / "photos" / "brick").iterdir())[:3]
    images.write(folder / "photos" / "gravel" / "new_1.png", images.read(first)[:, ::-1])
    bright = images.read(second).astype("float32") * 1.3
    images.write(folder / "photos" / "brick" / "new_2.png", bright.clip(0, 255).astype("uint8"))
    images.write(folder / "photos" / "brick" / "new_3.png", images.read(third) // 12)
    return folder / "photos"


def inspection(folder: Path) -> Path:
    photographs(folder)
    pipekit(folder, "inspect", "photos", "--features", "--out", "found")
    return screenshot((folder / "found" / "inspect.html").as_uri(), folder / "page.png", 1180, 1240)


def report(folder: Path) -> Path:
    folder = folder / "surfaces"  # the report shows the project's name
    shutil.copytree(ROOT / TEXTURES, folder / "textures", ignore=shutil.ignore_patterns("runs", ".pipekit"))
    pipekit(folder, "train", "textures", "--name", "textures", "--model", "simple_cnn", "--epochs", "2")
    return screenshot((folder / "runs" / "textures" / "report.html").as_uri(), folder / "page.png", 1180, 1240)


def scenes(folder: Path, part: str, ops: str) -> Path:
    """Scenes of the gallery with their boxes or masks, each with a variant."""
    subprocess.run([sys.executable, str(ROOT / GALLERY / "make_scenes.py"), str(folder / "scenes")], check=True)
    options = ("--preview", "--ops", ops, "--variants", "1", "--seed", "3", "--no-show")
    pipekit(folder, "augment", f"scenes/{part}", "out.png", *options)
    return folder / "out.png"


def boxes(folder: Path) -> Path:
    return scenes(folder, "boxes", "rotate(12)|hflip|brightness([0.7, 1.3])")


def masks(folder: Path) -> Path:
    return scenes(folder, "masks", "albu.ElasticTransform(alpha=60, sigma=6, border_mode=4)|rotate(25)|hflip")


def fault(folder: Path, name: str, height: int) -> Path:
    """The page of a pipeline of the gallery that inspects a dataset with a fault."""
    subprocess.run([sys.executable, str(ROOT / GALLERY / "make_faults.py"), str(folder / "faults")], check=True)
    shutil.copyfile(ROOT / GALLERY / f"{name}.toml", folder / f"{name}.toml")
    pipekit(folder, "run", f"{name}.toml")
    return screenshot((folder / "runs" / name / "inspect.html").as_uri(), folder / "page.png", 1180, height)


def leak(folder: Path) -> Path:
    return fault(folder, "leak", 1240)


def shortcut(folder: Path) -> Path:
    return fault(folder, "shortcut", 900)


def task(folder: Path, script: str, name: str, height: int) -> Path:
    """The report of a pipeline of ``sample_data/tasks``."""
    data = {"make_labels.py": "items", "make_angles.py": "turned"}[script]
    subprocess.run([sys.executable, str(ROOT / TASKS / script), str(folder / data)], check=True)
    shutil.copyfile(ROOT / TASKS / f"{name}.toml", folder / f"{name}.toml")
    pipekit(folder, "run", f"{name}.toml")
    (report,) = (folder / "runs").glob("*/report.html")
    return screenshot(report.as_uri(), folder / "page.png", 1180, height)


def several_labels(folder: Path) -> Path:
    return task(folder, "make_labels.py", "several_labels", 1240)


def angle(folder: Path) -> Path:
    return task(folder, "make_angles.py", "angle", 1880)


def studio(folder: Path) -> Path:
    """The first page of the studio, with the textures."""
    words = [sys.executable, "-m", "pipekit", "studio", TEXTURES, "--no-open", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PIPEKIT_STORE": str(folder / "store")}
    with subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://127\S+", line)))
        try:
            return screenshot(address, folder / "page.png", 1280, 860)
        finally:
            server.terminate()


def terminal(folder: Path) -> Path:
    """The recording of one training, as an SVG file that moves."""
    from terminal import record

    shutil.copytree(ROOT / TEXTURES / "train", folder / "photos")
    command = ("pipekit", "train", "photos", "--model", "logistic_regression")
    text = record(command, folder, columns=100, rows=15)
    (folder / "terminal.svg").write_text(text, encoding="utf-8")
    return folder / "terminal.svg"


def screenshot(address: str, file: Path, width: int, height: int) -> Path:
    """The top of a page as Chromium shows it, ``width`` by ``height`` pixels."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("pictures of pages need Chromium (Debian package chromium)")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=5000"]
    words = [browser, *options, f"--window-size={width},{height}", f"--screenshot={file}", address]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return file


SCRIPTS = ("docs/make_pictures.py", "docs/terminal.py")
PICTURES = (
    Shown("augment-preview.jpg", sheet, (CAT,), PREVIEW),
    Shown("augment-steps.jpg", steps, (COFFEE,)),
    Shown("gallery-angle.jpg", angle, (f"{TASKS}/make_angles.py", f"{TASKS}/angle.toml", TEXTURES)),
    Shown("gallery-boxes.jpg", boxes, (f"{GALLERY}/make_scenes.py", CAT, COFFEE)),
    Shown("gallery-labels.jpg", several_labels, (f"{TASKS}/make_labels.py", f"{TASKS}/several_labels.toml")),
    Shown("gallery-leak.jpg", leak, (f"{GALLERY}/make_faults.py", f"{GALLERY}/leak.toml", TEXTURES)),
    Shown("gallery-masks.jpg", masks, (f"{GALLERY}/make_scenes.py", CAT, COFFEE)),
    Shown("gallery-shortcut.jpg", shortcut, (f"{GALLERY}/make_faults.py", f"{GALLERY}/shortcut.toml", TEXTURES)),
    Shown("harris.jpg", corners, (CAT,)),
    Shown("inspect.jpg", inspection, (TEXTURES,)),
    Shown("report.jpg", report, (TEXTURES,)),
    Shown("studio.jpg", studio, (TEXTURES,)),
    Shown("train.svg", terminal, (TEXTURES,)),
)


def files_of(place: Path) -> list[Path]:
    """A file, or the images in a folder."""
    return [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.suffix in (".png", ".jpg"))


def digest(shown: Shown) -> str:
    """The hash of the scripts and of the picture's inputs."""
    found = hashlib.sha256()
    for name in (*SCRIPTS, *shown.inputs):
        for file in files_of(ROOT / name):
            found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def make(shown: Shown) -> None:
    from pipekit import images

    shown.path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PIPEKIT_STORE"] = str(Path(folder) / ".store")  # nothing is there yet
        made = shown.make(Path(folder))
        if shown.path.suffix == ".jpg":
            images.write(shown.path, images.read(made), QUALITY)
        else:
            shutil.copyfile(made, shown.path)
    shown.record.write_text(digest(shown) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for shown in PICTURES:
        if not sys.argv[1:] or shown.file in sys.argv[1:]:
            make(shown)
