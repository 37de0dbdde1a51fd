"""What every component promises, as checks that can be run on anybody's.

A promise is a small function whose docstring says it in one sentence; it returns "" or what breaks it. They are used by
:mod:`pipekit.testing` (in an author's own tests), by ``pipekit plugins check`` and by pipekit's own tests, so that a built-in
and a stranger's plugin are held to the same.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipekit.component import Component, first_line
from pipekit.contract import Params, Sample, Section, ShardResult, ShardTask
from pipekit.errors import PipekitError, UserError

if TYPE_CHECKING:
    from pipekit.registry import Registry

HEAVY = (
    "tensorflow",
    "keras",
    "torch",
    "jax",
    "albumentations",
    "matplotlib",
    "sklearn",
    "skimage",
    "pandas",
    "polars",
    "pyarrow",
)
"""Libraries that take a second or more to import, or bring one that does."""


@dataclass(frozen=True)
class Subject:
    """What is examined: a component, its checked parameters and what to try it on.

    Attributes:
        samples: things to try it on, by name: ``path`` (an importer's folder), ``input_shape_hwc`` (a model's input).
    """

    registry: Registry
    component: Component
    params: Params
    samples: Mapping[str, Any] = field(default_factory=dict)

    @property
    def found(self) -> Any:
        return self.component.load()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise of one component: kept where ``problem`` is empty."""

    kind: str
    name: str
    promise: str
    problem: str = ""


Check = Callable[[Subject], str]
_PROMISES: list[tuple[tuple[str, ...], str, Check]] = []


def _promise(*kinds: str) -> Callable[[Check], Check]:
    """Add a check to those for ``kinds``, or to those for every kind."""

    def add(check: Check) -> Check:
        _PROMISES.append((kinds, first_line(check), check))
        return check

    return add


def examine(
    registry: Registry, component: Component, values: Mapping[str, Any] | None = None, **samples: Any
) -> Iterator[Verdict]:
    """Try a component against all that its kind promises.

    Args:
        values: its parameters; the defaults where left out.
        samples: what to try it on, see :class:`Subject`.
    """

    def verdict(promise: str, problem: str = "") -> Verdict:
        return Verdict(component.kind, component.name, promise, problem)

    try:
        params = registry.check(component.params_type(), values or {})
    except PipekitError as error:
        yield verdict("it loads, and the parameters are right", str(error))
        return
    except Exception as error:
        yield verdict("it loads, and the parameters are right", _short(error))
        return
    yield verdict("it loads, and the parameters are right")
    subject = Subject(registry, component, params, samples)
    for kinds, promise, check in _PROMISES:
        if not kinds or component.kind in kinds:
            try:
                problem = check(subject)
            except Exception as error:
                problem = _short(error)
            yield verdict(promise, problem)


def required_parameters(component: Component) -> list[str]:
    """The parameters that have no default."""
    return [name for name, info in component.params_type().model_fields.items() if info.is_required()]


# --- every component -----------------------------------------------------------------------------------------------------


@_promise()
def _is_described(subject: Subject) -> str:
    """it has a docstring and a summary of one line"""
    if not inspect.getdoc(subject.found) and not isinstance(subject.found, (list, tuple)):
        return "no docstring"
    summary = subject.component.summary or first_line(subject.found)
    if not summary:
        return "no summary: give register() one, or begin the docstring with one"
    return "" if "\n" not in summary and len(summary) <= 120 else f"the summary is longer than a line: {summary!r}"


@_promise()
def _describes_its_parameters(subject: Subject) -> str:
    """every parameter has a description, and every number bounds"""
    found = []
    for name, info in subject.component.params_type().model_fields.items():
        if not info.description:
            found.append(f"{name!r} has no description")
        bounded = any(hasattr(limit, side) for limit in info.metadata for side in ("gt", "ge", "lt", "le", "multiple_of"))
        if info.annotation in (int, float) and not bounded:
            found.append(f"{name!r} is a number without bounds (ge, gt, le or lt)")
    return "; ".join(found)


@_promise()
def _refuses_what_it_does_not_know(subject: Subject) -> str:
    """an unknown parameter is refused, by name"""
    try:
        subject.registry.check(subject.component.params_type(), {**_plain(subject), "no_such_parameter": 1})
    except UserError as error:
        return "" if "no_such_parameter" in str(error) else f"the error does not name it: {error}"
    return "an unknown parameter was accepted"


@_promise()
def _has_a_schema(subject: Subject) -> str:
    """its parameters have a JSON Schema, for editors"""
    schema = subject.component.params_type().model_json_schema()
    json.dumps(schema)
    return "" if schema.get("additionalProperties") is False else "the schema allows unknown parameters"


@_promise()
def _is_light(subject: Subject) -> str:
    """importing it loads no heavy library"""
    target = subject.component.target
    module = target.partition(":")[0] if isinstance(target, str) else getattr(target, "__module__", "")
    if not module or module.startswith("pipekit_plugin_") or module == "__main__":
        return ""
    heavy = heavy_imports([module]).get(module, [])
    return f"{module} imports {', '.join(heavy)}; import it in the function that uses it" if heavy else ""


def heavy_imports(modules: Iterable[str]) -> dict[str, list[str]]:
    """Which of :data:`HEAVY` each module loads when imported, tried one after the other in a fresh interpreter."""
    script = (
        "import importlib, json, sys\n"
        "names, heavy = json.loads(sys.argv[1]), json.loads(sys.argv[2])\n"
        "seen, found = set(sys.modules), {}\n"
        "for name in names:\n"
        "    importlib.import_module(name)\n"
        "    new = [library for library in heavy if library in sys.modules and library not in seen]\n"
        "    found.update({name: new} if new else {})\n"
        "    seen.update(sys.modules)\n"
        "print(json.dumps(found))\n"
    )
    command = [sys.executable, "-c", script, json.dumps(list(modules)), json.dumps(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ImportError(done.stderr.strip().rpartition("\n")[2])
    return typing.cast("dict[str, list[str]]", json.loads(done.stdout.rpartition("{")[1] + done.stdout.rpartition("{")[2]))


# --- ops, recipes, detectors ---------------------------------------------------------------------------------------------


def pictures() -> dict[str, Any]:
    """Small images that ops and detectors must cope with, by name: RGB uint8, of several sizes and contents."""
    import numpy as np

    from pipekit.rng import rng_for

    rng = rng_for(0, "pictures")
    y, x = np.mgrid[:48, :64]
    scene = np.stack([x * 4, y * 5, 255 - x * 2], axis=2).astype(np.uint8)
    scene[12:30, 20:40] = (230, 40, 60)
    return {
        "a scene of 48 x 64": scene,
        "noise of 31 x 17": rng.integers(0, 256, (31, 17, 3), dtype=np.uint8),
        "black": np.zeros((40, 40, 3), np.uint8),
        "white": np.full((40, 40, 3), 255, np.uint8),
    }


def is_geometric(op: Any) -> bool:
    """Whether an op makes a matrix (its first argument is ``size_hw``) rather than an image."""
    return next(iter(inspect.signature(op).parameters), "") == "size_hw"


@_promise("op")
def _op_keeps_its_form(subject: Subject) -> str:
    """a pixel op keeps shape and uint8; a geometric op gives a finite 3 x 3 matrix that can be inverted"""
    import numpy as np

    from pipekit.rng import rng_for

    for name, image in pictures().items():
        for copy in range(5):
            rng = rng_for(1, name, copy)
            if not is_geometric(subject.found):
                made = subject.found(image.copy(), subject.params, rng)
                if not isinstance(made, np.ndarray) or made.shape != image.shape or made.dtype != np.uint8:
                    return f"{name}: expected {image.shape} uint8, got {_form(made)}"
                continue
            made = subject.found(image.shape[:2], subject.params, rng)
            matrix, size_hw = made if isinstance(made, tuple) else (made, image.shape[:2])
            matrix = np.asarray(matrix)
            if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
                return f"{name}: expected a finite (3, 3) matrix, got {_form(matrix)} {matrix.tolist()}"
            if abs(np.linalg.det(matrix)) < 1e-9:
                return f"{name}: the matrix can't be inverted: {matrix.tolist()}"
            if len(size_hw) != 2 or min(size_hw) < 1 or any(int(side) != side for side in size_hw):
                return f"{name}: expected a new size (height_px, width_px) of at least 1, got {size_hw!r}"
    return ""


@_promise("op")
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


@_promise("op", "detector")
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


@_promise("recipe")
def _recipe_is_right(subject: Subject) -> str:
    """it is a list of op tables, and every op and parameter in it exists"""
    ops = subject.found() if callable(subject.found) else subject.found
    if not isinstance(ops, (list, tuple)) or not ops:
        return f"expected a list of tables, got {_form(ops)}"
    for place, table in enumerate(ops):
        if not isinstance(table, Mapping) or "op" not in table:
            return f"op {place}: expected a table with 'op', got {table!r}"
        own = {name: value for name, value in table.items() if name not in ("op", "p")}
        op = subject.registry.get("op", table["op"])
        subject.registry.check(op.params_type(), own)
    return ""


@_promise("detector")
def _detects(subject: Subject) -> str:
    """it gives (N, 3) float32 x_px, y_px, response inside the image, or an (H, W) float32 response map; twice the same"""
    import numpy as np

    for name, image in pictures().items():
        made, again = (subject.found(image.copy(), subject.params) for _ in range(2))
        height, width = image.shape[:2]
        if not isinstance(made, np.ndarray) or made.dtype != np.float32 or made.ndim != 2:
            return f"{name}: expected a two-dimensional float32 array, got {_form(made)}"
        if not np.isfinite(made).all():
            return f"{name}: not all values are finite"
        if not np.array_equal(made, again):
            return f"{name}: two calls on the same image differ"
        if made.shape == (height, width):
            continue
        if made.shape[1] != 3:
            return f"{name}: expected (N, 3) or {(height, width)}, got {made.shape}"
        x, y = made[:, 0], made[:, 1]
        if made.size and (x.min() < -0.5 or y.min() < -0.5 or x.max() > width - 0.5 or y.max() > height - 0.5):
            return f"{name}: points outside the image of {height} x {width}"
    return ""


# --- models --------------------------------------------------------------------------------------------------------------


@_promise("model")
def _model_predicts(subject: Subject) -> str:
    """it takes images in 0..255 and gives probabilities that sum to 1, and says the same after saving and loading"""
    import tempfile

    import keras
    import numpy as np

    shape = tuple(subject.samples.get("input_shape_hwc", (64, 64, 3)))
    keras.utils.set_random_seed(5)
    model = subject.found(shape, 3, subject.params)
    if not isinstance(model, keras.Model):
        return f"expected a keras.Model, got {_form(model)}"
    batch = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(np.float32)
    said = np.asarray(model.predict(batch, verbose=0))
    if said.shape != (2, 3):
        return f"expected probabilities of shape (2, 3) for two images and three classes, got {said.shape}"
    if not np.isfinite(said).all() or said.min() < 0 or not np.allclose(said.sum(axis=1), 1, atol=1e-4):
        return f"the outputs are no probabilities (softmax): {said.tolist()}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        again = np.asarray(keras.models.load_model(path).predict(batch, verbose=0))
    return "" if np.allclose(said, again, atol=1e-5) else "the loaded model predicts otherwise than the saved one"


# --- importers and exporters ---------------------------------------------------------------------------------------------


@_promise("importer")
def _sniffs(subject: Subject) -> str:
    """sniff() names a reason for its own format, and none for an empty folder"""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        answer = subject.found.sniff(Path(folder))
    if answer != "":
        return f'sniff() of an empty folder must be "", got {answer!r}'
    if "path" not in subject.samples:
        return ""
    answer = subject.found.sniff(Path(subject.samples["path"]))
    return "" if isinstance(answer, str) and answer else f"sniff() of {subject.samples['path']} gave {answer!r}, no reason"


@_promise("importer")
def _reads(subject: Subject) -> str:
    """read() gives samples with unique ids and existing images, twice the same, and changes no file"""
    if "path" not in subject.samples:
        return ""
    path = Path(subject.samples["path"])
    before = _tree(path)
    rows, again = (list(subject.found.read(path, subject.params)) for _ in range(2))
    if not rows or not all(isinstance(row, Sample) for row in rows):
        return f"expected samples, got {rows[:1]!r}"
    ids = [row.id for row in rows]
    if len(set(ids)) != len(ids):
        return f"ids are not unique: {next(one for one in ids if ids.count(one) > 1)!r}"
    missing = [row.image for row in rows if not Path(row.image).is_file()]
    if missing:
        return f"there is no image {missing[0]!r}"
    if any(str(path) in row.id for row in rows):
        return "an id holds the path of the folder; ids must not change when the folder moves"
    if rows != again:
        return "reading twice gives different samples"
    return "" if _tree(path) == before else "reading changed the folder"


def _tree(path: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder."""
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in path.rglob("*") if file.is_file()}


# --- report sections and executors ---------------------------------------------------------------------------------------


@_promise("report_section")
def _makes_a_section(subject: Subject) -> str:
    """it takes (ctx, inputs, params)"""
    names = list(inspect.signature(subject.found).parameters)
    if names[:2] != ["ctx", "inputs"]:
        return f"expected section(ctx, inputs, params), got ({', '.join(names)})"
    made = typing.get_type_hints(subject.found).get("return", Section)
    return "" if made is Section or Section in typing.get_args(made) else f"it must return a pipekit.Section, not {made!r}"


def _count(task: ShardTask) -> ShardResult:
    return ShardResult(task.key, len(task.rows), len(task.rows), 0, 0.0)


@_promise("executor")
def _executes(subject: Subject) -> str:
    """every task is run once, whatever the order; no tasks is no work; stopping early leaves nothing behind"""
    tasks = [
        ShardTask(f"key-{n}", "", "stage", 0, ("", ""), None, tuple({"id": str(i)} for i in range(n)), "", "") for n in range(7)
    ]
    results = list(subject.found(_count, iter(tasks), subject.params))
    if sorted(result.key for result in results) != [task.key for task in tasks]:
        return f"expected one result for each of 7 tasks, got {sorted(result.key for result in results)}"
    if any(result.num_samples != int(result.key[4:]) for result in results):
        return "a result belongs to another task"
    if list(subject.found(_count, iter(()), subject.params)):
        return "results without tasks"
    running = iter(subject.found(_count, iter(tasks), subject.params))
    next(running)
    getattr(running, "close", lambda: None)()
    return ""


# --- words ---------------------------------------------------------------------------------------------------------------


def _plain(subject: Subject) -> dict[str, Any]:
    return {name: getattr(subject.params, name) for name in subject.params.model_fields_set}


def _form(value: Any) -> str:
    """``ndarray (4, 4, 3) float32``, or the type's name."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", "")
    return f"{type(value).__name__} {shape} {dtype}".strip() if shape is not None else type(value).__name__


def _short(error: BaseException) -> str:
    from pipekit.component import describe

    return str(error) if isinstance(error, PipekitError) else describe(error)
