"""Small inputs for testing components."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipekit.learning.evaluation import Evaluation


def pictures() -> dict[str, Any]:
    """Small test images for ops and detectors, by name: RGB uint8, of several sizes and contents."""
    import numpy as np

    from pipekit.rng import rng_for

    rng = rng_for(0, "pictures")
    y, x = np.mgrid[:48, :64]
    scene = np.stack([x * 4, y * 5, 255 - x * 2], axis=2).astype(np.uint8)
    scene[12:30, 20:40] = (230, 40, 60)
    return {
        "a scene of 48 x 64": scene,
        "noise of 31 x 17": rng.integers(0, 256, (31, 17, 3), dtype=np.uint8),
        "black": np.zeros((40, 40, 3), np.uint8),
        "white": np.full((40, 40, 3), 255, np.uint8),
    }


def photograph() -> Any:
    """An image of 300 x 450 pixels with details of every size, as a photograph has them: RGB uint8."""
    import numpy as np

    from pipekit import images
    from pipekit.rng import rng_for

    rng = rng_for(0, "photograph")
    height, width = 300, 450
    image = np.zeros((height, width, 3))
    for cells in (2, 4, 8, 16, 32, 64, 128):
        coarse = rng.integers(0, 256, (cells, cells * 3 // 2, 3), dtype=np.uint8)
        image += images.resize(coarse, (height, width), "cubic") / cells**0.5
    return ((image - image.min()) / (image.max() - image.min()) * 255).astype(np.uint8)


def write_tiny_dataset(folder: Path, per_class: int = 6) -> Path:
    """Draw a dataset of three classes (discs, squares, stripes) as 32 x 32 PNG files, one folder per class."""
    import numpy as np

    from pipekit import images
    from pipekit.rng import rng_for

    y, x = np.mgrid[:32, :32]
    for label in ("discs", "squares", "stripes"):
        for number in range(per_class):
            rng = rng_for(0, "tiny", label, number)
            centre_x, centre_y, size = rng.integers(10, 22), rng.integers(10, 22), rng.integers(5, 10)
            inside = {
                "discs": (x - centre_x) ** 2 + (y - centre_y) ** 2 < size**2,
                "squares": np.maximum(abs(x - centre_x), abs(y - centre_y)) < size,
                "stripes": (x + centre_x) // (size // 2 + 1) % 2 == 0,
            }[label]
            paper, ink = rng.integers(150, 256, 3), rng.integers(0, 110, 3)
            (folder / label).mkdir(parents=True, exist_ok=True)
            images.write(folder / label / f"{label}_{number}.png", np.where(inside[..., None], ink, paper).astype(np.uint8))
    return folder


def make_tiny_evaluation(folder: Path) -> Evaluation:
    """Synthetic predictions on the images of :func:`write_tiny_dataset`, two thirds of them correct.

    ``metrics`` holds only ``accuracy``, and there is no model: a section must work without anything else.
    """
    import numpy as np

    from pipekit.contract import Dataset, Sample
    from pipekit.learning.evaluation import Evaluation
    from pipekit.rng import rng_for

    classes = tuple(sorted(path.name for path in folder.iterdir()))
    files = [(label, path) for label in classes for path in sorted((folder / label).iterdir())]
    samples = tuple(Sample(f"{label}/{path.name}", str(path), label=label, split="test") for label, path in files)
    y_true = np.array([classes.index(label) for label, _ in files])
    rng = rng_for(0, "tiny evaluation")
    scores = (
        rng.dirichlet(np.ones(len(classes)), len(files))
        + 2 * np.eye(len(classes))[y_true] * (np.arange(len(files)) % 3 > 0)[:, None]
    )
    probabilities = np.round(scores / scores.sum(axis=1, keepdims=True), 6)
    counts = {"test": {label: sum(sample.label == label for sample in samples) for label in classes}}
    meta = {"num_samples": len(samples), "num_failed": 0, "classes": list(classes), "counts": counts}
    dataset = Dataset(folder, "", meta, lambda _: iter(samples), lambda _: iter(()))
    accuracy = float((probabilities.argmax(axis=1) == y_true).mean())
    return Evaluation(classes, "test", samples, y_true, probabilities, {"accuracy": accuracy}, dataset)
