"""Near duplicates by features: photographs with planted copies, found by `inspect` and kept together by `split`.

Rerun: python benchmarks/sight_copies.py PHOTOS

PHOTOS has a folder for each class. Its photographs are taken in the order of their names: the first half of each class was used
for choosing limits (`--part tuning`), the second half was not (`--part untouched`, the default). Of ``--photographs`` of them,
each kind of copy is made of ``--each`` other ones, drawn at random. `split` and `inspect` then run as stages after `embed`. A
pair is false if its images come from different photographs; those pairs are printed, since a set of photographs may hold copies
of its own. With ``--hashes`` nothing is embedded.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit import images
from pipekit.engine.adhoc import AdhocPipeline

Image = NDArray[np.uint8]


def crop(image: Image, rng: Any, share: float) -> Image:
    height, width = image.shape[:2]
    high, wide = round(height * share), round(width * share)
    top, left = rng.integers(0, height - high + 1), rng.integers(0, width - wide + 1)
    return image[top : top + high, left : left + wide]


def turned(image: Image, rng: Any) -> Image:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 8, 1)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height)), np.uint8)


def burst(image: Image, rng: Any) -> Image:
    """The next picture of a burst: some pixels to the side, a little nearer, with noise of its own."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-1.5, 1.5), rng.uniform(1.03, 1.09))
    matrix[:, 2] += rng.uniform(-0.03, 0.03, 2) * (width, height)
    moved = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT).astype(np.float32)
    return levels(moved * rng.uniform(0.95, 1.05) + rng.normal(0, 5, image.shape))


def marked(image: Image, rng: Any) -> Image:
    made = image.copy()
    place = (image.shape[1] // 8, int(image.shape[0] * 0.6))
    cv2.putText(made, "(c) photo", place, cv2.FONT_HERSHEY_SIMPLEX, image.shape[1] / 300, (255, 255, 255), 2)
    return made


def bordered(image: Image, rng: Any) -> Image:
    width = max(6, min(image.shape[:2]) // 12)
    return np.pad(image, ((width, width), (width, width), (0, 0)), constant_values=255)


def levels(values: Any) -> Image:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


KINDS: dict[str, Callable[[Image, Any], Image]] = {
    "mirrored": lambda image, rng: image[:, ::-1],
    "cropped": lambda image, rng: crop(image, rng, 0.8),
    "turned": turned,
    "cast": lambda image, rng: levels(image * np.array([1.15, 1.0, 0.8])),
    "brighter": lambda image, rng: levels(image * 1.3),
    "burst": burst,
    "marked": marked,
    "bordered": bordered,
}


def plant(source: Path, folder: Path, part: str, photographs: int, each: int, kinds: list[str], seed: int) -> dict[str, str]:
    """Copy photographs to ``folder``, with copies among them; returns the original of each copy, both as ids."""
    rng = np.random.default_rng(seed)
    chosen: list[tuple[str, Path]] = []
    classes = sorted(path for path in source.iterdir() if path.is_dir())
    for own in classes:
        files = sorted(own.glob("*.jpg"))
        half = files[: len(files) // 2] if part == "tuning" else files[len(files) // 2 :]
        chosen += [(own.name, path) for path in half[: photographs // len(classes)]]
    for name, path in chosen:
        (folder / name).mkdir(parents=True, exist_ok=True)
        images.write_bytes(folder / name / path.name, path.read_bytes())
    drawn = [chosen[number] for number in rng.permutation(len(chosen))]
    origin = {}
    for number, kind in enumerate(kinds):
        for name, path in drawn[number * each : (number + 1) * each]:
            copy = folder / name / f"{kind}-{rng.integers(10**8):08}.jpg"
            images.write(copy, np.ascontiguousarray(KINDS[kind](images.read(path), rng)), quality=90)
            origin[f"{name}/{copy.name}"] = f"{name}/{path.name}"
    return origin


def pairs_of(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The pairs of the finding `near_duplicates`: by features with words, the others of each group with its first."""
    pairs = []
    for finding in found["findings"]:
        if finding["check"] == "near_duplicates":
            first, *others = finding["samples"]
            pairs += finding["values"].get("pairs") or [(first, other, "") for other in others]
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--part", choices=("tuning", "untouched"), default="untouched")
    parser.add_argument("--photographs", type=int, default=1000)
    parser.add_argument("--each", type=int, default=100, help="copies of each kind")
    parser.add_argument("--kinds", default="mirrored,cropped,turned,cast", help=", ".join(KINDS))
    parser.add_argument("--hashes", action="store_true", help="without features")
    parser.add_argument("--words", type=int, default=0, help="print what is said of so many pairs of each kind")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        base, photos = Path(name), Path(name, "photos")
        origin = plant(given.photos, photos, given.part, given.photographs, given.each, given.kinds.split(","), given.seed)
        pipeline = AdhocPipeline(base_dir=base, settings={"name": "sight"})
        data = pipeline.add("data", "import.folders", path=str(photos))
        embeddings = None if given.hashes else pipeline.add("embed", "embed", dataset=data)
        split = pipeline.add("split", "split", dataset=data, embeddings=embeddings)
        pipeline.add("inspect", "inspect", dataset=split, embeddings=embeddings, max_shown=0)
        began, cpu = time.perf_counter(), processor_s()
        outcome = pipeline.run()
        took, cpu = time.perf_counter() - began, processor_s() - cpu
        found = json.loads((outcome.artifact("inspect").path / "inspect.json").read_text("utf-8"))
        report(found, origin, {sample.id: sample.split for sample in outcome.artifact("split")}, given.words)
        print(f"features: {found['features']}")
        stages = ", ".join(f"{stage.name} {stage.seconds:.0f} s" for stage in outcome.stages)
        print(f"{took:.0f} s ({stages}), {cpu:.0f} s of processor time, peak {peak_mb()} MB")


def report(found: dict[str, Any], origin: dict[str, str], splits: dict[str, str], words: int) -> None:
    pairs = pairs_of(found)
    near = {frozenset(pair[:2]) for pair in pairs}
    by_kind, seen, together, shown = Counter(), Counter(), Counter(), Counter()
    groups = [set(finding["samples"]) for finding in found["findings"] if finding["check"] == "near_duplicates"]
    for copy, original in origin.items():
        kind = copy.partition("/")[2].partition("-")[0]
        by_kind[kind] += 1
        seen[kind] += frozenset((copy, original)) in near or any({copy, original} <= group for group in groups)
        together[kind] += splits[copy] == splits[original]
    print("| copies | planted | found | in one split |\n|---|---|---|---|")
    for kind, count in by_kind.items():
        print(f"| {kind} | {count} | {seen[kind]} | {together[kind]} |")
    false = [pair for pair in pairs if origin.get(pair[0], pair[0]) != origin.get(pair[1], pair[1])]
    print(
        f"planted {sum(by_kind.values())}, found {sum(seen.values())}; pairs of different photographs: {len(false)} {false[:5]}"
    )
    for first, second, said in pairs:
        kinds = [name.partition("/")[2].partition("-")[0] for name in (first, second) if name in origin]
        if len(kinds) == 1 and shown[kinds[0]] < words:
            shown[kinds[0]] += 1
            print(f"  {first} and {second}: {said}")


def processor_s() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def peak_mb() -> int:
    """Of this process and its largest worker."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) // 1024


if __name__ == "__main__":
    main()
