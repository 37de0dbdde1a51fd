"""Promises of ops, recipes and detectors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pipekit.errors import ImageError, UserError
from pipekit.testing.checks.core import Skipped, Subject, form_of, promise
from pipekit.testing.checks.examples import pictures


def takes(op: Any) -> str:
    """The form of an op, by the name of its first argument: ``image``, ``size_hw``, ``view`` or ``ops``."""
    return next(iter(inspect.signature(op).parameters), "")


def given_to(subject: Subject, image: Any) -> Any:
    """The first argument of an op for an image."""
    from pipekit.recipe.homography import View

    kind = takes(subject.found)
    if kind == "size_hw":
        return image.shape[:2]
    if kind == "ops":
        return subject.params.ops  # type: ignore[attr-defined]
    return View(image) if kind == "view" else image


@promise("codec")
def _names_suffixes(subject: Subject) -> str:
    """suffixes() gives suffixes in lower case that begin with a dot"""
    suffixes = list(subject.found.suffixes())
    bad = [suffix for suffix in suffixes if not str(suffix).startswith(".") or str(suffix) != str(suffix).lower()]
    return f"not suffixes in lower case: {bad}" if bad else "" if suffixes else "it names no suffix"


@promise("codec")
def _decodes(subject: Subject) -> str:
    """reads() refuses other files, and decode() gives an image of uint8, the same every time"""
    from pipekit.images.codec import decode_with

    codec, data = subject.found, subject.samples.get("data", b"")
    if not hasattr(codec, "decode"):
        return ""
    others = (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"text")
    if any(codec.reads(other) for other in others):
        return "reads() accepts a file of another format"
    if not data:
        raise Skipped("give a file of its format: --path, or check_codec(codec, data=...)")
    if not codec.reads(data):
        return "reads() refuses the file that it was given"
    try:
        one, two = (decode_with(codec, data) for _ in range(2))
    except ImageError as error:
        return str(error)
    return "" if (one == two).all() else "the same file gave two images"


@promise("op")
def _op_keeps_its_form(subject: Subject) -> str:
    """pixel ops keep shape and uint8, geometric ones give an invertible 3 x 3 matrix, choosing ones positions of ops"""
    from pipekit.rng import rng_for

    problem_of = {"size_hw": _matrix_problem, "ops": _choice_problem, "view": _view_problem}.get(
        takes(subject.found), _image_problem
    )
    for name, image in pictures().items():
        for copy in range(5):
            given = given_to(subject, image.copy())
            problem = problem_of(given, subject.found(given, subject.params, rng_for(1, name, copy)))
            if problem:
                return f"{name}: {problem}"
    return ""


def _image_problem(image: Any, made: Any) -> str:
    import numpy as np

    if not isinstance(made, np.ndarray) or made.shape != image.shape or made.dtype != np.uint8:
        return f"expected {image.shape} uint8, got {form_of(made)}"
    return ""


def _matrix_problem(size: Any, made: Any) -> str:
    import numpy as np

    matrix, size_hw = made if isinstance(made, tuple) else (made, size)
    matrix = np.asarray(matrix)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        return f"expected a finite (3, 3) matrix, got {form_of(matrix)} {matrix.tolist()}"
    if abs(np.linalg.det(matrix)) < 1e-9:
        return f"the matrix can't be inverted: {matrix.tolist()}"
    if len(size_hw) != 2 or min(size_hw) < 1 or any(int(side) != side for side in size_hw):
        return f"expected a new size (height_px, width_px) of at least 1, got {size_hw!r}"
    return ""


def _choice_problem(ops: Any, made: Any) -> str:
    chosen = list(made)
    if not all(isinstance(place, int) and 0 <= place < len(ops) for place in chosen):
        return f"expected positions of its {len(ops)} ops, got {chosen}"
    return ""


def _view_problem(view: Any, made: Any) -> str:
    import numpy as np

    image = getattr(made, "image", None)
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
        return f"expected a View with an (H, W, 3) uint8 image, got {form_of(made)}"
    return ""


@promise("op")
def _op_repeats_itself(subject: Subject) -> str:
    """the same seed gives the same result"""
    import numpy as np

    from pipekit.rng import rng_for

    for name, image in pictures().items():
        given = given_to(subject, image)
        first, second = (subject.found(given, subject.params, rng_for(2, name)) for _ in range(2))
        first, second = getattr(first, "image", first), getattr(second, "image", second)
        pairs = zip(first, second, strict=True) if isinstance(first, tuple) else [(first, second)]
        if not all(np.array_equal(one, other) for one, other in pairs):
            return f"{name}: two calls with the same generator differ; draw random numbers only from `rng`"
    return ""


@promise("op", "detector")
def _leaves_its_input_alone(subject: Subject) -> str:
    """the input image is not changed"""
    import numpy as np

    from pipekit.rng import rng_for

    if subject.component.kind == "op" and takes(subject.found) not in ("image", "view"):
        return ""
    for name, image in pictures().items():
        given = image.copy()
        if subject.component.kind == "op":
            subject.found(given_to(subject, given), subject.params, rng_for(3, name))
        else:
            subject.found(given, subject.params)
        if not np.array_equal(given, image):
            return f"{name}: the {subject.component.kind} modifies its input array; work on a copy"
    return ""


@promise("recipe")
def _recipe_is_right(subject: Subject) -> str:
    """it is a list of op tables, every op and parameter in it exists, and it can be applied"""
    from pipekit.recipe import compile_recipe
    from pipekit.recipe.notation import check_ops
    from pipekit.rng import rng_for

    ops = subject.found() if callable(subject.found) else subject.found
    if not isinstance(ops, (list, tuple)) or not ops:
        return f"expected a list of tables, got {form_of(ops)}"
    for place, table in enumerate(ops):
        if not isinstance(table, Mapping) or not {"use", "op"} & table.keys():
            return f"op {place}: expected a table with 'use', got {table!r}"
    checked = check_ops(subject.registry, subject.registry.at_home("op", list(ops), subject.component.plugin))
    recipe = compile_recipe(checked)
    for name, image in pictures().items():
        recipe.apply(image, rng_for(4, name))
    return ""


@promise("detector")
def _detects(subject: Subject) -> str:
    """it gives points inside the image (x_px, y_px, response), a response map, or well-formed Features; twice the same"""
    import numpy as np

    from pipekit.keypoints.detection import features_of

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
