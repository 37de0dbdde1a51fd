"""Make the pictures of the gallery whose data is not in this repository, from figures that real runs recorded.

    python docs/make_gallery_pictures.py [NAME ...]

``NAME`` is ``pets`` or ``fashion``. The photographs of cats and dogs belong to others, so their picture has none of them: it
shows what ``benchmarks/sight_auto.py`` recorded. Fashion-MNIST is under the MIT licence: its picture shows images too, which
are read from the package ``dataset-fashion-mnist``, and the accuracies in ``sample_data/fashion_mnist/README.md``.

The ``.made-from`` files are those of ``make_pictures.py``; each digest covers this whole script.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from make_howto_pictures import make_named
from make_pictures import ROOT, Shown, files_of

QUALITY = 88
DRAWS = "benchmarks/cats_and_dogs.csv"
RESULTS = "sample_data/fashion_mnist/README.md"
IMAGES = Path("/usr/share/datasets/fashion-mnist")
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
OF_EACH = 4
GAP_PX = 74
BLUE, GREY = "#2b6cb0", "#718096"


def pets(folder: Path) -> Path:
    """The confusion matrix of all draws together, and the accuracy of each draw with its exact 95 % interval."""
    import numpy as np

    from pipekit.builtin.evaluate.intervals import share

    with (ROOT / DRAWS).open(encoding="utf-8") as lines:
        rows = [(row["draw"], row["class"], int(row["tested"]), int(row["right"])) for row in csv.DictReader(lines)]
    classes = list(dict.fromkeys(row[1] for row in rows))
    draws = list(dict.fromkeys(row[0] for row in rows))
    plt, figure, (left, right) = subplots((9, 3.4), (1, 1.9))
    counts = np.zeros((2, 2), int)
    for _, label, tested, correct in rows:
        place = classes.index(label)
        counts[place, place] += correct
        counts[place, 1 - place] += tested - correct
    left.imshow(counts / counts.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1.15)
    for (true, predicted), count in np.ndenumerate(counts):
        colour = "white" if true == predicted else "black"
        left.text(predicted, true, f"{count:,}", ha="center", va="center", color=colour, fontsize=13)
    left.set_xticks([0, 1], classes)
    left.set_yticks([0, 1], classes)
    left.set_xlabel("predicted")
    left.set_ylabel("true")
    left.set_title(f"{counts.sum():,} answers of {len(draws)} models", fontsize=11, loc="left")
    found = [share(sum(r[3] for r in rows if r[0] == one), sum(r[2] for r in rows if r[0] == one)) for one in draws]
    points(right, [f"draw {int(one) + 1}" for one in draws], [(one["value"], one["low"], one["high"]) for one in found])
    mean = statistics.mean(one["value"] or 0 for one in found)
    right.axvline(mean, color=GREY, linewidth=1, linestyle="--", zorder=0)
    right.set_title(f"accuracy from ten photographs of each class: mean {mean:.3f}", fontsize=11, loc="left")
    return saved(plt, figure, folder / "pets.png")


def fashion(folder: Path) -> Path:
    """Test images of each class, and the accuracy of each pipeline file with its 95 % interval."""
    import numpy as np

    row = re.compile(r"^\| `(\w+)\.toml` .*\| ([\d.]+) \(([\d.]+) to ([\d.]+)\) \|$", re.MULTILINE)
    found = row.findall((ROOT / RESULTS).read_text("utf-8"))
    plt, figure, (left, right) = subplots((9.6, 3.3), (1.3, 1))
    labels = idx("t10k-labels-idx1-ubyte.gz", 8)
    tiles = idx("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    strip = [np.concatenate(list(255 - tiles[labels == number][:OF_EACH]), axis=1) for number in range(len(CLASSES))]
    half = len(CLASSES) // 2
    gap = np.full((28 * half, GAP_PX), 255, np.uint8)
    left.imshow(np.concatenate([np.concatenate(strip[:half]), gap, np.concatenate(strip[half:])], axis=1), cmap="gray")
    for number, name in enumerate(CLASSES):
        column, row = divmod(number, half)
        left.text(column * (28 * OF_EACH + GAP_PX) - 4, row * 28 + 14, name, ha="right", va="center", fontsize=9)
    left.axis("off")
    left.set_title("four test images of each class", fontsize=11, loc="left", x=-0.14)
    points(right, [name for name, *_ in found], [tuple(map(float, values)) for _, *values in found])
    right.set_title("accuracy on 10,000 test images", fontsize=11, loc="left")
    return saved(plt, figure, folder / "fashion.png")


def subplots(size: tuple[float, float], widths: tuple[float, float]) -> Any:
    """Pyplot, a figure, and two plots side by side."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    return plt, *plt.subplots(1, 2, figsize=size, gridspec_kw={"width_ratios": widths}, layout="constrained")


def points(axes: Any, names: list[str], found: list[tuple[float, ...]]) -> None:
    """A point for each accuracy, in the order of the names from the top, with its interval as a line and in figures."""
    for place, (value, low, high) in enumerate(found):
        axes.plot([low, high], [-place, -place], color=BLUE, linewidth=2, solid_capstyle="round")
        axes.plot(value, -place, "o", color=BLUE, markersize=6)
    least, most = min(low for _, low, _ in found), max(high for *_, high in found)
    axes.set_xlim(least - 0.03 * (most - least), most + 0.22 * (most - least))
    for place, (value, *_) in enumerate(found):
        axes.text(most + 0.21 * (most - least), -place, f"{value:.3f}", ha="right", va="center", fontsize=9)
    axes.set_yticks([-place for place in range(len(names))], names, fontsize=9)
    axes.tick_params(axis="x", labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def idx(name: str, header: int) -> Any:
    """The bytes of an IDX file behind its header."""
    import numpy as np

    file = IMAGES / name
    if not file.exists():
        raise SystemExit(f"there is no {file}: on Debian and Ubuntu, apt install dataset-fashion-mnist")
    return np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=header)


def saved(plt: Any, figure: Any, file: Path) -> Path:
    figure.savefig(file, dpi=110, pad_inches=0.15)
    plt.close(figure)
    return file


def digest(shown: Shown) -> str:
    """The hash of this script and of the picture's inputs."""
    found = hashlib.sha256(Path(__file__).read_bytes())
    for file in (file for name in shown.inputs for file in files_of(ROOT / name)):
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


PICTURES = (
    Shown("gallery-pets.jpg", pets, (DRAWS,)),
    Shown("gallery-fashion.jpg", fashion, (RESULTS,)),
)


def name_of(shown: Shown) -> str:
    """``gallery-pets.jpg`` is ``pets``."""
    return shown.path.stem.removeprefix("gallery-")


def save(shown: Shown, work: Path) -> None:
    from pipekit import images

    images.write(shown.path, images.read(shown.make(work)), QUALITY)
    shown.record.write_text(digest(shown) + "\n", encoding="utf-8")
    print(f"{shown.file}: {shown.path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    make_named(sys.argv[1:], PICTURES, name_of, save)
