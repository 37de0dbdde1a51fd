"""The pipeline file and the README that a new project starts with."""

from __future__ import annotations

import json

PIPELINE = """\
# pipekit run {file}
#
# What can be used in a stage:  pipekit components
# What a stage can be told:     pipekit components stage train
name = {name}
seed = 7

[stages.data]
use = "import.folders"
path = "images"

{split}
[stages.train]
use = "train"
model = {{ template = "simple_cnn", dropout = 0.3 }}
ops = [{{ op = "rotate", limit_deg = 20 }}, {{ op = "hflip" }}]
epochs = 20

[stages.report]
use = "evaluate"
"""

SPLIT_GIVEN = """\
# The folders say which image is for training, for choosing and for the verdict; none is moved. What lies in two of them, or
# nearly, is reported.
[stages.split]
use = "split"
"""

SPLIT_MADE = """\
# Each class is divided by these fractions; copies and near copies stay on one side. What went where is kept in split.csv, so
# that images added later move none. Keep that file with the project.
[stages.split]
use = "split"
fractions = {{ train = {train:g}, val = {val:g}, test = {test:g} }}
"""

README = """\
# {title}

Images of {classes}.

    images/{layout}
    pipeline.toml           what is done with them

    pipekit inspect images            look for copies, damaged files and leaks
    pipekit run pipeline.toml         split, train, and write the report into runs/

{split}
"""

README_GIVEN = """\
`train` is what the model learns from, `{val}` what training is steered by, `test` what the report is about. An image, or
another photograph of the same thing, belongs into one of the three only. For more images, run the same `pipekit scaffold`
command again: what is there stays where it is."""

README_MADE = """\
There is one folder per class. The pipeline divides the images into train, val and test and remembers what went where in
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
