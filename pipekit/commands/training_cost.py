"""What a training will take before it begins: estimated seconds of a template, or of those that ``auto`` would try."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipekit.artifacts import Sample
from pipekit.commands.browse import Catalog
from pipekit.commands.working import registry_with
from pipekit.errors import UserError


@dataclass(frozen=True)
class Amount:
    """What there is to learn from.

    Attributes:
        images: of the whole dataset.
        train, val: images of these splits; by the default fractions, if the dataset has no splits.
        classes: number of classes.
        fewest: training images of the smallest class.
        is_divided: whether the numbers of the splits are known, and not by fractions.
    """

    images: int
    train: int
    val: int
    classes: int
    fewest: int
    is_divided: bool


def amount_of(labels: Sequence[str], splits: Sequence[str], registry: Any) -> Amount:
    """Count the images with a class.

    Args:
        labels: the class of each image that is not left out; "" for none.
        splits: the split of each; "" for none.

    Raises:
        UserError: no image has a class.
    """
    pairs = [(label, split) for label, split in zip(labels, splits, strict=True) if label]
    if not pairs:
        raise UserError("no image has a class", "Set classes on the page Label, or give a folder with a folder for each class.")
    classes = len({label for label, _ in pairs})
    own = Counter(label for label, split in pairs if split == "train")
    if own:
        val = sum(split == "val" for _, split in pairs)
        return Amount(len(pairs), own.total(), val, classes, min(own.values()), True)
    fractions = registry.get("stage", "split").params_type()().fractions
    share = {name: fractions.get(name, 0.0) / sum(fractions.values()) for name in ("train", "val")}
    fewest = min(Counter(label for label, _ in pairs).values())
    train, val = (round(len(pairs) * share[name]) for name in ("train", "val"))
    return Amount(len(pairs), train, val, classes, max(1, round(fewest * share["train"])), False)


def probes_of(catalog: Catalog) -> tuple[Sample, ...]:
    """The images whose headers :func:`training_cost` reads to choose the input size."""
    from pipekit.learning.input_size import PROBED

    rows = range(0, len(catalog), max(1, len(catalog) // PROBED))[:PROBED]
    return tuple(catalog.read(rows).values())


def training_cost(
    template: str,
    amount: Amount,
    probes: Sequence[Sample],
    side_px: int | None = None,
    epochs: int | None = None,
    by_layers: bool = False,
    plugins: Sequence[str] = (),
    disable: Sequence[str] = (),
) -> dict[str, Any]:
    """Estimate a training on two cores, as the stage ``train`` does: no clock decides it.

    Args:
        template: a model template, or ``auto``.
        side_px: the input size; None: the template's, or chosen from the images.
        epochs: None: the default.
        by_layers: build a network whose template states no cost, and count its multiply-adds, which loads TensorFlow.

    Returns:
        ``seconds`` (None if unknown), ``epochs`` (0 for a template that is not trained in epochs), ``hw``: the input size, and
        ``candidates``: ``template``, ``seconds`` and ``left_out``, the reason, of each that ``auto`` considers.

    Raises:
        UserError: there is no such template, it can't be trained on this, or no image can be read.
    """
    from pipekit.learning import templates
    from pipekit.learning.candidates import within_budget
    from pipekit.learning.input_size import size_for

    registry = registry_with(plugins, disable)
    asked: Any = registry.check_params(registry.get("stage", "train").params_type(), {"model": template})
    build, params = asked.model.load(), asked.model.params
    own = (side_px, side_px) if side_px else None
    passes = epochs or asked.epochs

    def work_of(call: Any) -> templates.Work:
        size = own or size_for(call.load(), call.params, lambda: probes)
        shape = (size[0], size[1], asked.channels)
        return templates.Work(amount.images, amount.train, amount.val, amount.classes, shape, passes)

    calls = templates.candidates_of(build, params)
    work = work_of(asked.model)
    found: dict[str, Any] = {
        "seconds": None,
        "epochs": 0 if hasattr(build, "fit") else passes,
        "hw": list(work.shape_hwc[:2]),
        "candidates": [],
    }
    if calls:
        listed = within_budget(calls, work_of, amount.fewest, build.budget_s(params))
        found["candidates"] = [
            {"template": one.template, "seconds": one.estimate_s, "left_out": one.left_out} for one in listed
        ]
        return {**found, "seconds": sum(one.estimate_s or 0.0 for one in listed if not one.left_out)}
    seconds = templates.cost_s(build, work, params)
    if seconds is None and by_layers:
        options = [word for name in plugins for word in ("--plugin", name)] + [
            word for name in disable for word in ("--disable", name)
        ]
        seconds = templates.gradient_descent_s(
            work, _multiply_adds(summary_words(template, work.shape_hwc[:2], work.classes, options))
        )
    return {**found, "seconds": seconds}


def summary_words(template: str, hw: Sequence[int], classes: int, options: Sequence[str]) -> list[str]:
    """The command that builds a network and counts its operations."""
    return ["models", "show", template, "--input", "x".join(map(str, hw)), "--classes", str(max(2, classes)), *options]


def _multiply_adds(words: Sequence[str]) -> float:
    """What a separate process counts, which takes the memory of TensorFlow with it when it ends.

    Raises:
        UserError: the network can't be built.
    """
    command = [sys.executable, "-m", "pipekit", *words, "--json"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if found.returncode:
        said = [line.strip() for line in found.stderr.splitlines() if line.strip()]
        raise UserError(
            next((line.removeprefix("error: ") for line in said if line.startswith("error: ")), "the network can't be built")
        )
    return float(json.loads(found.stdout)["multiply_adds"])
