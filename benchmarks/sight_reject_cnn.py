"""None of these for a network that was trained from nothing: would the distance in its own features tell foreign images?

Rerun: python benchmarks/sight_reject_cnn.py FASHION        # the folder of Fashion-MNIST's four IDX files

`simple_cnn` is trained on the textures of `sample_data`, and on images of Fashion-MNIST, also with a class left out, as the
foreign one. The score is that of `pipekit.learning.unknown` in the features that enter the last layer; its limit, for 5 % of
own images, is set on the distances of the validation images, which the network was not trained on. "Confidence" is the score of
Hendrycks and Gimpel 2017, one minus the largest probability, with its limit set in the same way. AUROC: own test images against
foreign ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from sight_reject import ROOT, auroc, fashion, images_in, package_photographs

from pipekit import images
from pipekit.errors import ImageError
from pipekit.learning import unknown
from pipekit.learning.keras_backend import load_keras

SHARE, CLASSES_LEFT_OUT = 0.05, (0, 5, 8)
"""Of Fashion-MNIST: a T-shirt, a sandal and a bag."""


def pixels_of(files: list[Path], size: int, channels: int) -> Any:
    found = []
    for path in files:
        try:
            pixels = images.read(path, at_least_hw=(size, size), gray=channels == 1)
        except ImageError:
            continue
        found.append(images.resize(pixels, (size, size)).reshape(size, size, channels))
    return np.stack(found)


def resized(pixels: Any, size: int, channels: int) -> Any:
    """Grey images (N, H, W) at a model's input."""
    return np.stack([images.resize(one[..., None], (size, size)).repeat(channels, axis=2) for one in pixels])


def network(shape: tuple[int, ...], classes: int, seed: int, data: Any, val: Any, epochs: int) -> Any:
    from pipekit.builtin.models.simple_cnn import SimpleCnnParams, build

    keras = load_keras()
    keras.utils.set_random_seed(seed)
    model = build(shape, classes, SimpleCnnParams())  # type: ignore[arg-type]
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    best = keras.callbacks.EarlyStopping("val_loss", patience=epochs, restore_best_weights=True, start_from_epoch=0)
    model.fit(*data, validation_data=val, epochs=epochs, batch_size=32, verbose=0, callbacks=[best])
    return model


def report(name: str, train: Any, val: Any, test: Any, foreign: dict[str, Any], epochs: int, seed: int = 0) -> None:
    """Train, set both limits on val, and print a row for each set of foreign images."""
    keras = load_keras()
    model = network(train[0].shape[1:], int(train[1].max()) + 1, seed, train, val, epochs)
    both = keras.Model(model.input, [unknown.features_of(model), model.output])

    def seen(pixels: Any) -> tuple[Any, Any]:
        features, probabilities = both.predict(pixels.astype(np.float32), batch_size=64, verbose=0)
        return features, 1 - probabilities.max(axis=1)

    chosen = unknown.stored(train[1], np.random.default_rng(seed))
    stored = unknown.Unknown(unknown.unit(seen(train[0][chosen])[0]).astype(np.float32), 1.0)

    def scores(pixels: Any) -> tuple[Any, Any]:
        features, unsure = seen(pixels)
        return stored.scores(features), unsure

    own = scores(test[0])
    accuracy = float((model.predict(test[0].astype(np.float32), verbose=0).argmax(axis=1) == test[1]).mean())
    limits = [unknown.quantile(held.astype(np.float64), SHARE) for held in scores(val[0])]
    own_rejected = [float((values > limit).mean()) for values, limit in zip(own, limits, strict=True)]
    for title, pixels in foreign.items():
        theirs = scores(pixels)
        cells = []
        for values, other, limit, rejected in zip(own, theirs, limits, own_rejected, strict=True):
            cells += [f"{auroc(values, other):.3f}", f"{rejected:.3f}", f"{float((other > limit).mean()):.3f}"]
        print(f"| {name}, accuracy {accuracy:.2f} | {title}, {len(pixels)} |", " | ".join(cells), "|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fashion", type=Path)
    parser.add_argument("--images", type=int, default=3000, help="training images of Fashion-MNIST")
    parser.add_argument("--epochs", type=int, default=6, help="epochs on Fashion-MNIST")
    parser.add_argument("--seeds", type=int, default=3, help="trainings on the textures")
    given = parser.parse_args()
    print("| trained on | foreign | distance: AUROC | own rejected | foreign rejected | confidence: AUROC | own | foreign |")
    print("|---|---|---|---|---|---|---|---|")
    photographs, drawings = package_photographs()
    pixels, numbers = fashion(given.fashion)
    if given.seeds:
        on_textures(given.seeds, photographs, drawings, pixels)
    if given.images:
        on_clothes(given.images, given.epochs, photographs, drawings, pixels, numbers)


def on_textures(seeds: int, photographs: list[Path], drawings: list[Path], pixels: Any) -> None:
    folder = ROOT / "textures/images"
    names = sorted(path.name for path in (folder / "train").iterdir())
    parts = {
        split: (
            np.concatenate([pixels_of(images_in(folder / split / name), 64, 3) for name in names]),
            np.repeat(np.arange(len(names)), [len(images_in(folder / split / name)) for name in names]),
        )
        for split in ("train", "val", "test")
    }
    foreign = {
        "photographs": pixels_of(photographs, 64, 3),
        "drawings, texts, charts": pixels_of(drawings, 64, 3),
        "Fashion-MNIST": resized(pixels[-300:], 64, 3),
    }
    for seed in range(seeds):
        report(f"textures, seed {seed}", parts["train"], parts["val"], parts["test"], foreign, 10, seed)


def on_clothes(count: int, epochs: int, photographs: list[Path], drawings: list[Path], pixels: Any, numbers: Any) -> None:
    folder, plain = ROOT / "textures/images", pixels[..., None]
    cuts = (slice(0, count), slice(count, count + 500), slice(count + 500, count + 1500))
    from sklearn.datasets import load_digits

    digits = np.clip(load_digits().images * 16, 0, 255).astype(np.uint8)
    foreign = {
        "photographs": pixels_of(photographs, 28, 1),
        "drawings, texts, charts": pixels_of(drawings, 28, 1),
        "textures": np.concatenate([pixels_of(images_in(folder / split), 28, 1) for split in ("val", "test")]),
        "handwritten digits": resized(digits[:500], 28, 1),
    }
    report("Fashion-MNIST", *((plain[cut], numbers[cut].astype(np.int64)) for cut in cuts), foreign, epochs)
    for out in CLASSES_LEFT_OUT:
        kept = numbers != out
        images_in_order, labels = plain[kept], numbers[kept].astype(np.int64)
        labels = labels - (labels > out)
        rest = [(images_in_order[cut], labels[cut]) for cut in cuts]
        report(f"Fashion-MNIST without class {out}", *rest, {f"class {out}": plain[~kept][:500]}, epochs)


if __name__ == "__main__":
    main()
