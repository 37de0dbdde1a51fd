"""Make the pictures of the documents from ``sample_data`` with pipekit itself: ``python docs/make_pictures.py``.

Beside each picture stands a ``.made-from`` file with the digest of this script and of what the picture was made from. A test
compares it, so a picture can't go stale unseen.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
QUALITY = 88


@dataclass(frozen=True)
class Shown:
    """A picture of the documents: its file, the command that makes it as a PNG file, and the files that the command reads."""

    file: str
    command: tuple[str, ...]
    inputs: tuple[str, ...]

    @property
    def path(self) -> Path:
        return DOCS / "images" / self.file

    @property
    def record(self) -> Path:
        return self.path.with_name(f"{self.file}.made-from")


CAT = "sample_data/photos/cat.jpg"
OPS = "rotate(25)|zoom(0.2, keep_aspect=true)|hflip|brightness([0.7, 1.3])|hue_saturation(20)"
PICTURES = (
    Shown(
        "augment-preview.jpg",
        ("augment", CAT, "{out}", "--preview", "--ops", OPS, "--fill", "reflect", "--variants", "5", "--seed", "6"),
        (CAT,),
    ),
)


def digest(shown: Shown) -> str:
    """The hash of this script and of the picture's inputs."""
    found = hashlib.sha256()
    for file in (Path(__file__), *(ROOT / name for name in shown.inputs)):
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def make(shown: Shown) -> None:
    from pipekit import images

    shown.path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.png"
        words = [word.format(out=out) for word in shown.command]
        subprocess.run([sys.executable, "-m", "pipekit", *words, "--no-show", "--quiet"], cwd=ROOT, check=True)
        images.write(shown.path, images.read(out), QUALITY)
    shown.record.write_text(digest(shown) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for shown in PICTURES:
        make(shown)
