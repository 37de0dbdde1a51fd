"""Make the pictures of report sections, and README's first picture for dark pages.

    python docs/make_section_pictures.py [NAME ...]

``NAME`` is a section, or ``preview``. Three reports on textures of ``sample_data``, some with a wrong label on purpose, hold
every built-in section. Chromium shows each section alone. ``docs/generate.py`` puts the pictures on the page of sections.

The ``.made-from`` files are those of ``make_pictures.py``; each digest covers this whole script.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from make_howto_pictures import cut, make_named, part, textures, timed
from make_pictures import CAT, ROOT, TEXTURES, Shown, files_of, sheet

QUALITY = 76
HIGHEST = 760
"""Most rows of a picture, in pixels: what is below is cut off."""

PIPELINE = """
name = "{name}"
seed = 7

[stages.data]
use = "import.folders"
path = "photos"

[stages.split]
use = "split"
fractions = {{ train = 0.5, val = 0.25, test = 0.25 }}

[stages.embed]
use = "embed"

[stages.train]
use = "train"
dataset = "split"
model = "{model}"
epochs = {epochs}

[stages.report]
use = "evaluate"
model = "train"
dataset = "split"
embeddings = "embed"
sections = ["features"]
{more}
"""

SETTINGS = {
    "network": {"model": "simple_cnn", "epochs": 6, "more": ""},
    "auto": {"model": "auto", "epochs": 6, "more": ""},
}
REPORTS = {
    "network": ("summary", "next_steps", "confusion", "pictures", "explain", "classes", "abstention", "probabilities", "curves",
                "slices", "label_errors", "training", "features", "data", "image_map", "near_copies"),
    "auto": ("candidates", "none_of_these"),
    "folds": ("folds",),
}  # fmt: skip
"""The sections that are taken from each report."""


def report_of(name: str, work: Path) -> Path:
    """A report; made when it is first asked for."""
    folder = work / "surfaces"
    page = folder / "runs" / name / "report.html"
    if page.exists():
        return page
    if not folder.exists():
        photographs = textures(folder, {"brick": 80, "grass": 80, "gravel": 80})
        for number, label in enumerate(("brick", "grass", "gravel") * 3):
            wrong = ("grass", "gravel", "brick")[number % 3]
            file = sorted((photographs / label).iterdir())[7 * number + 3]
            file.rename(photographs / wrong / f"new_{number}.jpg")
    if name == "folds":
        timed(folder, "train", "photos", "--model", "hog_svm", "--folds", "5", "--name", name)
    else:
        (folder / f"{name}.toml").write_text(PIPELINE.format(name=name, **SETTINGS[name]), encoding="utf-8")
        timed(folder, "run", f"{name}.toml")
    return page


def file_of(section: str) -> str:
    return f"section-{section}.jpg"


def picture(section: str, work: Path) -> Path:
    """The section alone, as a file in ``work``."""
    from pipekit import images

    (report,) = (name for name, sections in REPORTS.items() if section in sections)
    made = part(report_of(report, work), section, rows=3200)
    return cut(made, min(HIGHEST, images.read(made).shape[0]))


GROUND, INK = (13, 17, 23), (230, 237, 243)
"""RGB of dark pages and of the words on them."""


def dark_preview(folder: Path) -> Path:
    """The contact sheet of ``augment-preview.jpg`` with light words on a dark ground."""
    import numpy as np

    from pipekit import images

    drawn = images.read(sheet(folder))
    coloured = np.ptp(drawn, axis=2) > 12
    rows = coloured.sum(axis=1) > 50
    columns = coloured[rows].sum(axis=0) > 20
    ink = 1 - drawn.mean(axis=2, keepdims=True) / 255
    words = (np.array(GROUND) + ink * (np.array(INK) - GROUND)).astype(np.uint8)
    images.write(folder / "dark.png", np.where((rows[:, None] & columns)[..., None], drawn, words))
    return folder / "dark.png"


def digest(shown: Shown) -> str:
    """The hash of this script and of the picture's inputs."""
    found = hashlib.sha256(Path(__file__).read_bytes())
    for file in (file for name in shown.inputs for file in files_of(ROOT / name)):
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def _shown(section: str) -> Shown:
    return Shown(file_of(section), lambda work: picture(section, work), (TEXTURES,))


PICTURES = (
    Shown("augment-preview-dark.jpg", dark_preview, (CAT,)),
    *(_shown(section) for sections in REPORTS.values() for section in sections),
)


def name_of(shown: Shown) -> str:
    """A section's name, or ``preview``."""
    return "preview" if shown.make is dark_preview else shown.path.stem.removeprefix("section-")


def save(shown: Shown, work: Path) -> None:
    from pipekit import images

    images.write(shown.path, images.read(shown.make(work)), QUALITY)
    shown.record.write_text(digest(shown) + "\n", encoding="utf-8")
    print(f"{shown.file}: {shown.path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    make_named(sys.argv[1:], PICTURES, name_of, save)
