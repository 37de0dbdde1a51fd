"""What the ops, detectors and projections of the box make of one small input, coarse enough for any release of OpenCV.

pipekit's own version is in no key, so a built-in whose output changes must be registered with another version. The file
``tests/frozen/outputs.json`` has what each made when it got its version. After a version was raised, write it anew::

    python -m tests.contract.outputs
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipekit.keypoints.detection import features_of
from pipekit.recipe import compile_recipe
from pipekit.recipe.notation import check_ops
from pipekit.registry.component import Component
from pipekit.registry.registry import Registry, load_registry
from pipekit.rng import rng_for

FILE = Path(__file__).parent.parent / "frozen" / "outputs.json"

TOLERANCE = 2.0
"""Largest difference of two mean values of 0..255 that is rounding, and of two places in pixels."""

SIZE_HW = (180, 230)

NUM_OF_POINTS = 5
"""Of a detector's points these numbers are kept: how many, their mean place, its spread. One in twenty may differ."""

CELLS = 4
"""Each side of an image is cut into so many pieces, whose mean values are kept."""


def image() -> np.ndarray[Any, Any]:
    """Shapes in colours on a ramp, so that every op and detector finds something to do."""
    y, x = np.mgrid[0 : SIZE_HW[0], 0 : SIZE_HW[1]]
    made = np.stack([x, y, 120 + 60 * np.sin(x / 5) * np.cos(y / 7)], -1)
    for number in range(9):
        top, left = 20 + 50 * (number // 3), 20 + 66 * (number % 3)
        made[top : top + 12 + 2 * number, left : left + 30 - 2 * number] = (250, 30 + 20 * number, 60)
        made[(y - top - 25) ** 2 + (x - left - 36) ** 2 < 60 + 9 * number] = (20, 200, 240 - 20 * number)
    return np.clip(made, 0, 255).astype(np.uint8)


def output_of(registry: Registry, component: Component) -> list[float]:
    """A few numbers that change with what the component makes."""
    if component.kind == "op":
        required = [name for name, field in component.params_type().model_fields.items() if field.is_required()]
        values = {name: {"ops": ["hflip", "invert"], "factor": 0.5}.get(name, 40) for name in required}
        ops = check_ops(registry, [{"op": "vflip", "p": 1.0}, {"op": component.name, "p": 1.0, **values}])
        made = compile_recipe(ops).apply(image(), rng_for(7, "output")).image
        cells = [cell.mean(axis=(0, 1)) for row in np.array_split(made, CELLS, 0) for cell in np.array_split(row, CELLS, 1)]
        return [*made.shape[:2], *np.concatenate(cells).astype(float).tolist()]
    if component.kind == "projection":
        rng = np.random.default_rng(5)
        table = np.repeat(rng.normal(size=(3, 8)), 12, axis=0) + rng.normal(0, 0.05, (36, 8))
        table = (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)
        places = np.asarray(component.load()(table, component.params_type()(), rng_for(7, "output")), np.float64)
        away = np.linalg.norm(places[:, None] - places[None], axis=2)
        inside, largest = [away[i : i + 12, i : i + 12].max() for i in (0, 12, 24)], away.max()
        return [float(len(places)), *(float(100 * one / largest) for one in inside), 1.0]  # groups stay together
    own = component.params_type()()
    found = features_of(component.load()(image(), own), SIZE_HW, component.name)
    x, y = np.asarray(found.points, np.float64)[:, :2].T if len(found) else np.zeros((2, 1))
    return [float(len(found)), float(x.mean()), float(y.mean()), float(x.std()), float(y.std())]


def outputs(registry: Registry) -> dict[str, dict[str, Any]]:
    """The version and the output of each built-in op, detector and projection."""
    found = {}
    for kind in ("op", "detector", "projection"):
        for component in registry.components(kind):
            if component.plugin == "builtin" and not component.name.endswith(".*"):
                numbers = [round(number, 1) for number in output_of(registry, component)]
                found[f"{kind} {component.name}"] = {"version": component.version, "output": numbers}
    return found


def problems(kept: Mapping[str, Any], now: Mapping[str, Any], script: str = "tests.contract.outputs") -> Iterator[str]:
    """A sentence for each component whose output and version do not change together; ``script`` writes the file anew."""
    for name in sorted({*kept, *now}):
        if name not in now or name not in kept:
            yield f"{name} is new or gone: python -m {script}"
        elif kept[name]["version"] != now[name]["version"]:
            yield f"{name} has another version: python -m {script}"
        elif differs(kept[name]["output"], now[name]["output"]):
            yield f"{name} makes something else: raise the version that it is registered with"


def differs(kept: Any, now: Any) -> bool:
    """Whether two outputs differ: digests exactly, numbers by more than rounding."""
    if isinstance(kept, str) or isinstance(now, str):
        return bool(kept != now)
    if len(kept) != len(now):
        return True
    limit = np.maximum(TOLERANCE, 0.05 * np.abs(kept) if len(kept) == NUM_OF_POINTS else 0)
    return bool((np.abs(np.subtract(kept, now)) > limit).any())


if __name__ == "__main__":
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in outputs(load_registry(installed=False)).items())
    FILE.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
