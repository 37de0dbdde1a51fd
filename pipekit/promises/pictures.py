"""What ops, recipes and detectors promise."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pipekit.errors import UserError
from pipekit.promises.core import Subject, form_of, promise
from pipekit.promises.examples import pictures


def is_geometric(op: Any) -> bool:
    """Whether an op makes a matrix (its first argument is ``size_hw``) rather than an image."""
    return next(iter(inspect.signature(op).parameters), "") == "size_hw"


@promise("op")
def _op_keeps_itsform_of(subject: Subject) -> str:
    """a pixel op keeps shape and uint8; a geometric op gives a finite 3 x 3 matrix that can be inverted"""
    import numpy as np

    from pipekit.rng import rng_for

    for name, image in pictures().items():
        for copy in range(5):
            rng = rng_for(1, name, copy)
            if not is_geometric(subject.found):
                made = subject.found(image.copy(), subject.params, rng)
                if not isinstance(made, np.ndarray) or made.shape != image.shape or made.dtype != np.uint8:
                    return f"{name}: expected {image.shape} uint8, got {form_of(made)}"
                continue
            made = subject.found(image.shape[:2], subject.params, rng)
            matrix, size_hw = made if isinstance(made, tuple) else (made, image.shape[:2])
            matrix = np.asarray(matrix)
            if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
                return f"{name}: expected a finite (3, 3) matrix, got {form_of(matrix)} {matrix.tolist()}"
            if abs(np.linalg.det(matrix)) < 1e-9:
                return f"{name}: the matrix can't be inverted: {matrix.tolist()}"
            if len(size_hw) != 2 or min(size_hw) < 1 or any(int(side) != side for side in size_hw):
                return f"{name}: expected a new size (height_px, width_px) of at least 1, got {size_hw!r}"
    return ""


@promise("op")
def _op_repeats_itself(subject: Subject) -> str:
    """the same seed gives the same result"""
    import numpy as np

    from pipekit.rng import rng_for

    for name, image in pictures().items():
        thing = image.shape[:2] if is_geometric(subject.found) else image
        first, second = (subject.found(thing, subject.params, rng_for(2, name)) for _ in range(2))
        pairs = zip(first, second, strict=True) if isinstance(first, tuple) else [(first, second)]
        if not all(np.array_equal(one, other) for one, other in pairs):
            return f"{name}: two calls with the same generator differ; draw random numbers from `rng` alone"
    return ""


@promise("op", "detector")
def _leaves_its_input_alone(subject: Subject) -> str:
    """the input image is not changed"""
    import numpy as np

    from pipekit.rng import rng_for

    if subject.component.kind == "op" and is_geometric(subject.found):
        return ""
    for name, image in pictures().items():
        given = image.copy()
        rest = (rng_for(3, name),) if subject.component.kind == "op" else ()
        subject.found(given, subject.params, *rest)
        if not np.array_equal(given, image):
            return f"{name}: the op writes into the array that it is given; work on a copy"
    return ""


@promise("recipe")
def _recipe_is_right(subject: Subject) -> str:
    """it is a list of op tables, and every op and parameter in it exists"""
    ops = subject.found() if callable(subject.found) else subject.found
    if not isinstance(ops, (list, tuple)) or not ops:
        return f"expected a list of tables, got {form_of(ops)}"
    for place, table in enumerate(ops):
        if not isinstance(table, Mapping) or "op" not in table:
            return f"op {place}: expected a table with 'op', got {table!r}"
        own = {name: value for name, value in table.items() if name not in ("op", "p")}
        op = subject.registry.get("op", table["op"])
        subject.registry.check(op.params_type(), own)
    return ""


@promise("detector")
def _detects(subject: Subject) -> str:
    """it gives points inside the image (x_px, y_px, response), a response map, or well-formed Features; twice the same"""
    import numpy as np

    from pipekit.detector import features_of

    for name, image in pictures().items():
        made, again = (subject.found(image.copy(), subject.params) for _ in range(2))
        if isinstance(made, np.ndarray) and made.dtype != np.float32:
            return f"{name}: expected float32, got {form_of(made)}"
        try:
            found, second = (features_of(output, image.shape[:2]) for output in (made, again))
        except UserError as error:
            return f"{name}: {error.message}"
        if not np.array_equal(found.points, second.points):
            return f"{name}: two calls on the same image differ"
    return ""
