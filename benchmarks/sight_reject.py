"""None of these: how many foreign images does the limit on the distance to the training images reject, and how many own ones?

Rerun: python benchmarks/sight_reject.py PHOTOS [--side 320] [--fashion FOLDER] [--foreign FOLDER ...]

PHOTOS has a folder of photographs for each class. Foreign to them are the photographs that scikit-image and scikit-learn bring
along (except a cat), `sample_data/photos/coffee.jpg`, `sample_data/textures`, the images of Fashion-MNIST (FOLDER has the
four IDX files) and further folders. In draws of 10 to 700 images a class, 400 others are the test. AUROC: own against foreign
images; "rejected": by the limit at 5 %, which is set on the training images alone. The last rows leave a class out of training,
as the foreign one: its images are of the same kind and differ less than other photographs.

The scores are those of `pipekit.learning.unknown`, on the features of EfficientNet-Lite0 in float16, as in the stage `train`.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipekit import images
from pipekit.errors import ImageError
from pipekit.files import image_suffixes
from pipekit.learning import unknown
from pipekit.learning.efficientnet_lite import LITE0, facts_for
from pipekit.learning.embedders import onnx_embed

ROOT = Path(__file__).parents[1] / "sample_data"
OWN = ("chelsea",)
"""Names of the packages' photographs that show a cat or a dog."""
NO_PHOTOGRAPHS = (
    "binary",
    "chessboard",
    "checker",
    "color",
    "logo",
    "page",
    "phantom",
    "text",
    "multipage",
    "no_time",
    "horse",
)
"""Names of drawings, texts and test charts among them."""
PER_CLASS, DRAWS, TEST = (10, 50, 700), {10: 10, 50: 5, 700: 4}, 400
FASHION_TRAIN, FASHION_TEST = 60, 60

Arrays = dict[str, Any]


class Embedder:
    """Features of EfficientNet-Lite0, as the stage `embed` computes them; those of files are kept, if `cache` is given."""

    def __init__(self, side: int, cache: Path | None = None) -> None:
        self._cache, self._known, self._size = cache, {}, (side, side)
        if cache is not None and cache.exists():
            with np.load(cache) as saved:
                self._known = dict(zip(saved["files"].tolist(), saved["features"], strict=True))
        with tempfile.TemporaryDirectory() as folder:
            network = Path(folder, "network")
            variant = replace(LITE0, input_hw=self._size)
            network.write_bytes(facts_for(variant).convert(variant.weights_file()))  # type: ignore[misc]
            self._embed = onnx_embed(network)

    def of_file(self, path: Path) -> Any:
        return self.of_pixels(images.read(path, at_least_hw=self._size))

    def of_pixels(self, pixels: Any) -> Any:
        return np.asarray(self._embed(images.resize(pixels, self._size)[None])[0], np.float16)

    def of_files(self, files: Iterable[Path]) -> Any:
        found = []
        for path in files:
            name = str(path.absolute())
            try:
                self._known[name] = self._known[name] if name in self._known else self.of_file(path)
                found.append(self._known[name])
            except ImageError:
                print(f"left out: {path.name}")
        if self._cache is not None:
            np.savez(self._cache, files=np.array(list(self._known)), features=np.stack(list(self._known.values())))
        return np.stack(found)


def images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in image_suffixes())


def package_photographs() -> tuple[list[Path], list[Path]]:
    """Photographs that installed packages bring along, and their drawings, texts and charts."""
    found: list[Path] = []
    for package, place in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            found += images_in(Path(folder, place))
    found = [path for path in found if not path.stem.startswith(OWN)]
    others = [path for path in found if path.stem.startswith(NO_PHOTOGRAPHS)]
    return [*(path for path in found if path not in others), ROOT / "photos/coffee.jpg"], others


def fashion(folder: Path) -> tuple[Any, Any]:
    """The images (N, 28, 28) and class numbers of Fashion-MNIST's test set."""

    def read(name: str, skip: int) -> Any:
        file = next(folder.glob(f"{name}*"))
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        return np.frombuffer(data, np.uint8, offset=skip)

    return read("t10k-images", 16).reshape(-1, 28, 28), read("t10k-labels", 8)


def auroc(own: Any, foreign: Any) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(np.repeat([0, 1], [len(own), len(foreign)]), np.concatenate([own, foreign])))


def wilson(hits: int, total: int) -> str:
    share, z2 = hits / total, 1.96**2
    middle, half = share + z2 / (2 * total), 1.96 * (share * (1 - share) / total + z2 / (4 * total**2)) ** 0.5
    return f"{share:.3f} ({(middle - half) / (1 + z2 / total):.3f} to {(middle + half) / (1 + z2 / total):.3f})"


def of_range(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def trained(train: Mapping[Any, Any], seed: int) -> unknown.Unknown:
    """The limit of training images, by class."""
    features = np.concatenate(list(train.values()))
    numbers = np.repeat(np.arange(len(train)), [len(rows) for rows in train.values()])
    found = unknown.fit(features, numbers, np.arange(len(features)), 0.05, np.random.default_rng(seed))
    assert found is not None
    return found[0]


def draws(own: Arrays, foreign: Arrays) -> None:
    """Draws of training images, 400 others as own test images, and the foreign ones."""
    for per_class in PER_CLASS:
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in foreign}
        rejected: list[float] = []
        for seed in range(DRAWS[per_class]):
            rng = np.random.default_rng(seed)
            orders = {name: rng.permutation(len(rows)) for name, rows in own.items()}
            model = trained({name: own[name][order[:per_class]] for name, order in orders.items()}, seed)
            rest = [own[name][order[per_class:]][: TEST // len(own)] for name, order in orders.items()]
            scores = model.scores(np.concatenate(rest))
            rejected.append(float((scores > 1).mean()))
            for name, features in foreign.items():
                theirs = model.scores(features)
                rows[name].append((auroc(scores, theirs), float((theirs > 1).mean())))
        low, high = unknown.expected_share(per_class * len(own), 0.05)
        print(
            f"| {per_class} a class, {len(rejected)} draws | own images, {TEST} | | "
            f"{of_range(rejected)}; expected {low:.3f} to {high:.3f} |"
        )
        for name, found in rows.items():
            areas, shares = [area for area, _ in found], [share for _, share in found]
            interval = wilson(round(float(np.mean(shares)) * len(foreign[name])), len(foreign[name]))
            print(f"| | {name}, {len(foreign[name])} | {of_range(areas)} | {interval} |")


def left_out(title: str, train: Arrays, test: Arrays) -> None:
    """Each class in turn is left out of training and foreign."""
    areas, own_rejected, foreign_rejected = [], [], []
    for name in train:
        model = trained({other: rows for other, rows in train.items() if other != name}, 0)
        own = model.scores(np.concatenate([rows for other, rows in test.items() if other != name]))
        foreign = model.scores(test[name])
        areas.append(auroc(own, foreign))
        own_rejected.append(float((own > 1).mean()))
        foreign_rejected.append(float((foreign > 1).mean()))
    print(f"| {title} | {of_range(areas)} | {of_range(own_rejected)} | {of_range(foreign_rejected)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="class folders of photographs")
    parser.add_argument("--fashion", type=Path, help="the folder of Fashion-MNIST's IDX files")
    parser.add_argument("--foreign", type=Path, nargs="*", default=[], help="further folders of foreign photographs")
    parser.add_argument("--side", type=int, default=LITE0.input_hw[0], help="input size of the network")
    parser.add_argument("--cache", type=Path, metavar="FILE.npz", help="keep the features of files here between runs")
    given = parser.parse_args()
    embedder = Embedder(given.side, given.cache)
    own = {folder.name: embedder.of_files(images_in(folder)) for folder in sorted(given.photos.iterdir()) if folder.is_dir()}
    photographs, drawings = package_photographs()
    foreign = {"photographs": embedder.of_files(photographs), "drawings, texts, charts": embedder.of_files(drawings)}
    textures = {
        split: {
            folder.name: embedder.of_files(images_in(folder)) for folder in sorted((ROOT / "textures/images" / split).iterdir())
        }
        for split in ("train", "val", "test")
    }
    foreign["textures"] = np.concatenate([rows for split in textures.values() for rows in split.values()])
    for folder in given.foreign:
        foreign[folder.name] = embedder.of_files(images_in(folder))
    clothes: Arrays = {}
    if given.fashion:
        pixels, numbers = fashion(given.fashion)
        for number in range(10):
            chosen = pixels[numbers == number][: FASHION_TRAIN + FASHION_TEST]
            clothes[str(number)] = np.stack([embedder.of_pixels(np.repeat(one[:, :, None], 3, axis=2)) for one in chosen])
        foreign["Fashion-MNIST"] = np.concatenate(list(clothes.values()))
    print("| trained on | images | AUROC, mean (range) | rejected |\n|---|---|---|---|")
    draws(own, foreign)
    print("\n| a class left out | AUROC, mean (range) | own rejected | the class's images rejected |\n|---|---|---|---|")
    test = {name: np.concatenate([textures["val"][name], textures["test"][name]]) for name in textures["train"]}
    left_out("textures, 3 classes", textures["train"], test)
    if clothes:
        left_out(
            "Fashion-MNIST, 10 classes of 60 training images",
            {name: rows[:FASHION_TRAIN] for name, rows in clothes.items()},
            {name: rows[FASHION_TRAIN:] for name, rows in clothes.items()},
        )


if __name__ == "__main__":
    main()
