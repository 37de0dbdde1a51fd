"""The pipeline file and the README that a new project starts with."""

from __future__ import annotations

import json

PIPELINE = """\
# pipekit run {file}
#
# List stages, ops and models:  pipekit components
# Parameters of a stage:        pipekit components stage train
name = {name}
seed = 7

[stages.data]
use = "import.folders"
path = "images"

{split}
# A vector of features for every image, by the pretrained network in the box. It is computed once for all stages and runs.
[stages.embed]
use = "embed"

# auto tries several templates and keeps the one that val speaks for. More time for them:
#   model = {{ template = "auto", budget = "10m" }}
# A network that starts from nothing, with augmented images, needs hundreds of images of each class:
#   model = {{ template = "simple_cnn", dropout = 0.3 }}
#   ops = [{{ op = "rotate", limit_deg = 20 }}, {{ op = "hflip" }}]
#   epochs = 20
[stages.train]
use = "train"
model = "auto"

[stages.report]
use = "evaluate"
"""

SPLIT_GIVEN = """\
# The folders train, val and test are the split; no image is moved. Duplicates and near duplicates in two of them are
# reported.
[stages.split]
use = "split"
"""

SPLIT_MADE = """\
# Each class is split by these fractions; duplicates and near duplicates stay in one split. split.csv records the split of each
# image, so that images added later move none. Keep that file with the project.
[stages.split]
use = "split"
fractions = {{ train = {train:g}, val = {val:g}, test = {test:g} }}
"""

README = """\
# {title}

Images of {classes}.

    images/{layout}
    pipeline.toml           what is done with them

    pipekit inspect images            find duplicates, damaged files and leaks
    pipekit run pipeline.toml         split, train, and write the report into runs/

{split}
"""

README_GIVEN = """\
The model is trained on `train`, `{val}` is used to choose the epoch and parameters, and the report is about `test`. Put an
image, and other photographs of the same thing, into only one of the three. For more images, run the same `pipekit scaffold`
command again: images that are there stay where they are."""

README_MADE = """\
There is one folder per class. The pipeline splits the images into train, val and test and records the split of each image in
`split.csv`; keep that file with the project."""


def pipeline_text(name: str, fractions: dict[str, float], flat: bool) -> str:
    split = SPLIT_MADE.format(**{key: fractions.get(key, 0) for key in ("train", "val", "test")}) if flat else SPLIT_GIVEN
    return PIPELINE.format(file="pipeline.toml", name=json.dumps(name, ensure_ascii=False), split=split)


def readme_text(title: str, classes: list[str], val: str, flat: bool) -> str:
    words = ", ".join(classes[:-1]) + f" and {classes[-1]}" if len(classes) > 1 else classes[0] if classes else "what you like"
    layout = "<class>/          one folder per class" if flat else f"train|{val}|test/<class>/"
    return README.format(
        title=title, classes=words, layout=layout, split=README_MADE if flat else README_GIVEN.format(val=val)
    ).replace("\n\n\n", "\n\n")
