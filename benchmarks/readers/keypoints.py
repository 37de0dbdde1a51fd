"""Keypoints of photographs under ``hflip`` and ``rotate``, in COCO's format: the largest error in pixels.

    python benchmarks/readers/keypoints.py FOLDER ...      # folders that `import.coco` reads, such as those of mmpose's tests

Expected are the places by arithmetic (mirrored about the middle column; OpenCV's rotation matrix at the angle that was drawn),
and for ``hflip`` the names by the words left and right.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def swapped(name: str) -> str:
    """The name on the other side: ``Left Knee`` for ``Right Knee``."""
    sides = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
    return re.sub("|".join(sides), lambda word: sides[word[0]], name)


def measure(folder: Path) -> tuple[int, int, float, float, int]:
    """Images, keypoints, the largest errors of ``hflip`` and ``rotate``, and the number of wrong names."""
    import cv2
    import numpy as np

    from pipekit import images
    from pipekit.contract import Sample
    from pipekit.recipe.compiled import compile_recipe
    from pipekit.registry.registry import load_registry
    from pipekit.rng import rng_for

    registry = load_registry(installed=False)
    component = registry.get("importer", "coco")
    with tempfile.TemporaryDirectory() as scratch:
        rows = list(component.load().read(folder, component.params_type()(), Path(scratch)))
    flip, turn = (compile_recipe(text, registry=registry) for text in ("hflip(p=1)", "rotate(40)"))
    count, points, wrong, errors = 0, 0, 0, [0.0, 0.0]
    for number, sample in enumerate(row for row in rows if isinstance(row, Sample) and row.targets.keypoints):
        image, targets = images.read(sample.image), sample.targets
        height, width = image.shape[:2]
        places = np.array([(point.x, point.y) for point in targets.keypoints])
        count, points = count + 1, points + len(places)
        flipped = flip.apply(image, rng_for(number), targets).keypoints
        found = {(point.of, point.label): (point.x, point.y) for point in flipped}
        for point in targets.keypoints:
            place = found.get((point.of, swapped(point.label)))
            wrong += place is None
            if place is not None:
                errors[0] = max(errors[0], abs(place[0] - (width - 1 - point.x)), abs(place[1] - point.y))
        turned = turn.apply(image, rng_for(number), targets)
        angle = float(turned.steps[0].drawn["angle_deg"])
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1)
        got = np.array([(point.x, point.y) for point in turned.keypoints])
        errors[1] = max(errors[1], float(np.abs(got - (places @ matrix[:, :2].T + matrix[:, 2])).max()))
    return count, points, errors[0], errors[1], wrong


def main() -> int:
    print("| folder | images | keypoints | hflip, px | rotate, px | wrong names |\n|---|---|---|---|---|---|")
    bad = False
    for text in sys.argv[1:]:
        count, points, flip_px, turn_px, wrong = measure(Path(text))
        print(f"| {Path(text).name} | {count} | {points} | {flip_px:.6f} | {turn_px:.6f} | {wrong} |")
        bad |= not count or max(flip_px, turn_px) > 0.01 or wrong > 0
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
