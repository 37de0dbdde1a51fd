"""Who may import whom, and what may be imported at the top of a module.

The law of the house (docs/design.md) is written here as a table, a row for each room.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import pipekit

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pipekit"

WORDS = [
    "errors",
    "params",
    "rng",
    "columnar",
    "artifacts",
    "findings",
    "contract",
    "hookspecs",
    "files",
    "processes",
    "quarantine",
    "corrected",
    "passed_over",
    "owners",
    "tasks",
    "signatures",
    "searching",
]
"""The modules at the root: the vocabulary that all code shares. No new one without a change of the law in docs/design.md."""

TOOLBOX = ["images", "keypoints", "page", "recipe", "learning"]
MACHINERY = ["store", "registry", "pipeline", "engine"]

LAW: dict[str, list[str]] = {
    # The toolbox that components are written with ...
    "images": [],
    "keypoints": ["images"],
    "page": ["images"],
    "recipe": ["images"],
    "learning": ["images"],
    # ... and the machinery that runs them: two towers that do not import each other. The registry may verify a file.
    "store": [],
    "registry": ["store", "images"],
    "pipeline": ["store", "registry"],
    "engine": ["store", "registry", "pipeline"],
    # What ships in the box stands on the toolbox alone, and nobody imports it.
    "builtin": TOOLBOX,
    # What stands on both, and the faces.
    "testing": [*TOOLBOX, *MACHINERY],
    "commands": [*TOOLBOX, *MACHINERY, "testing"],
    "ui": [*TOOLBOX, *MACHINERY, "commands"],
    "studio": ["commands", "page"],
    "cli": [*TOOLBOX, *MACHINERY, "commands", "testing", "ui", "studio"],
}
"""A room -> the rooms that it may import from, besides itself and the words."""

ONLY = {
    "rich": {"ui"},
    "markdown_it": {"page"},
    "typer": {"cli", "registry"},
    "pluggy": {"registry", "hookspecs"},
    "cv2": {*TOOLBOX, "builtin"},
    "simplejpeg": {"images"},
    "albumentations": {"builtin"},
    "fsspec": {"files"},
    "starlette": {"studio"},
    "uvicorn": {"studio"},
    "anyio": {"studio"},
}
"""A library -> the only rooms of pipekit that may import it."""

HEAVY = {
    "albumentations",
    "fsspec",
    "h5py",
    "joblib",
    "keras",
    "markdown_it",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "pandas",
    "polars",
    "pyarrow",
    "scipy",
    "skimage",
    "sklearn",
    "tensorflow",
    "torch",
}
"""Imported inside the functions that use them; never at the top of a module."""

NUMERIC = {"numpy", "cv2", "simplejpeg", "PIL"}
NUMERIC_AT_TOP = {*TOOLBOX, "builtin", "rng"}
"""Tenths of a second each, so they are at the top only of modules that are themselves imported on use."""


@dataclass(frozen=True)
class Import:
    module: str
    line: int
    at_top: bool
    for_types: bool


def imports_of(source: str, package: str = "pipekit") -> Iterator[Import]:
    """Every import in a source text; ``at_top`` means that importing the module runs it."""

    def walk(node: ast.AST, at_top: bool, for_types: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for name in child.names:
                    yield Import(name.name, child.lineno, at_top, for_types)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    parts = package.split(".")
                    base = ".".join([*parts[: len(parts) - child.level + 1], *filter(None, [child.module])])
                # `from pipekit import engine` names a module, `from pipekit.engine import run` a thing in one.
                names = [f"{base}.{name.name}" for name in child.names] if base == "pipekit" else [base]
                for name in names:
                    yield Import(name, child.lineno, at_top, for_types)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                for inner in child.body:
                    yield from walk(ast.Module([inner], []), at_top, True)
                for inner in child.orelse:
                    yield from walk(ast.Module([inner], []), at_top, for_types)
            else:
                inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                yield from walk(child, at_top and not inside, for_types)

    yield from walk(ast.parse(source), True, False)


def unit_of(parts: tuple[str, ...]) -> str:
    """``("cli", "run.py")`` -> ``cli``; ``("errors.py",)`` -> ``errors``."""
    return parts[0].removesuffix(".py")


def problems(parts: tuple[str, ...], source: str) -> list[str]:
    """What is wrong with the imports of the file at ``pipekit/<parts>``."""
    unit = unit_of(parts)
    package = ".".join(["pipekit", *parts[:-1]])
    found = []
    for item in imports_of(source, package):
        head, *rest = item.module.split(".")
        where = f"line {item.line}: imports {item.module}"
        if head == "pipekit":
            found += [f"{where}: {reason}" for reason in _law_problems(unit, parts, rest)]
            continue
        if head in ONLY and unit not in ONLY[head]:
            found.append(f"{where}: only {' and '.join(sorted(ONLY[head]))} may")
        if item.at_top and not item.for_types:
            if head in HEAVY:
                found.append(f"{where} at the top: import it in the function that uses it")
            if head in NUMERIC and unit not in NUMERIC_AT_TOP:
                found.append(f"{where} at the top: this module is reached at start-up")
    return found


def _law_problems(unit: str, parts: tuple[str, ...], rest: list[str]) -> Iterator[str]:
    """``rest`` is what follows ``pipekit.``; a public name stands for the module that it comes from."""
    target = rest[0] if rest else "__init__"
    target = "commands" if target in (*pipekit.VERBS, *pipekit._IN_PYTHON) else pipekit._HOME.get(target, target)
    if target in ("__init__", "__version__", unit) and target != "builtin":
        return
    if target == "builtin":
        own = parts[1].removesuffix(".py") if unit == "builtin" and len(parts) > 1 else ""
        if unit != "builtin" or (len(rest) > 1 and rest[1] != own):
            yield "a built-in is reached through the registry alone"
    elif target not in WORDS and target not in LAW:
        yield f"there is no pipekit.{target} in the law"
    elif target not in WORDS and target not in LAW.get(unit, []) and unit != "__main__":
        yield f"{unit} may not import {target}"


def files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "templates" not in path.parts)


@pytest.mark.parametrize("file", files(), ids=lambda file: file.relative_to(ROOT).as_posix())
def test_imports_keep_the_law(file: Path) -> None:
    parts = file.relative_to(PACKAGE).parts
    assert unit_of(parts) in {*WORDS, *LAW, "__init__", "__main__"}, f"give {file.relative_to(ROOT)} its place in the law"
    assert problems(parts, file.read_text("utf-8")) == []


@pytest.mark.parametrize("file", files(), ids=lambda file: file.relative_to(ROOT).as_posix())
def test_no_file_is_longer_than_500_lines(file: Path) -> None:
    assert len(file.read_text("utf-8").splitlines()) <= 500


@pytest.mark.parametrize(
    ("parts", "source", "expected"),
    [
        (("store", "store.py"), "from pipekit.engine.run import run_plan", "store may not import engine"),
        (("store", "store.py"), "from pipekit import engine", "store may not import engine"),
        (("store", "rows.py"), "from pipekit.images import warp", "store may not import images"),
        (("images", "codec.py"), "from pipekit.recipe import View", "images may not import recipe"),
        (("learning", "predictor.py"), "from pipekit.store.store import Store", "learning may not import store"),
        (("files.py",), "from pipekit.images import read", "files may not import images"),
        (("registry", "registry.py"), "def f():\n    import pipekit.builtin.split", "reached through the registry"),
        (("builtin", "split.py"), "from pipekit.builtin.train import train", "reached through the registry"),
        (("builtin", "split.py"), "from ..registry.registry import load_registry", "builtin may not import registry"),
        (("commands", "run.py"), "from pipekit import ui", "commands may not import ui"),
        (("riddle.py",), "from pipekit.riddle2 import x", "no pipekit.riddle2 in the law"),
        (("engine", "run.py"), "from typer import Typer", "only cli and registry may"),
        (("studio", "server.py"), "from pipekit.engine.run import run_plan", "studio may not import engine"),
        (("commands", "browse.py"), "from starlette.routing import Route", "only studio may"),
        (("engine", "run.py"), "def f():\n    import rich.table", "only ui may"),
        (("builtin", "train.py"), "import tensorflow as tf", "import it in the function"),
        (("pipeline", "plan.py"), "class A:\n    import numpy", "reached at start-up"),
        (("pipeline", "plan.py"), "try:\n    import numpy\nexcept ImportError:\n    pass", "reached at start-up"),
    ],
)
def test_a_forbidden_import_is_found(parts: tuple[str, ...], source: str, expected: str) -> None:
    (problem,) = problems(parts, source)
    assert expected in problem


@pytest.mark.parametrize(
    ("parts", "source"),
    [
        (("builtin", "train.py"), "def f():\n    import tensorflow"),
        (("builtin", "models", "vgg.py"), "from pipekit.builtin.models.blocks import conv"),
        (("pipeline", "plan.py"), "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy"),
        (("cli", "run.py"), "def run():\n    from pipekit.engine.run import run_plan"),
    ],
)
def test_an_allowed_import_is_not_reported(parts: tuple[str, ...], source: str) -> None:
    assert problems(parts, source) == []


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after ``code``."""
    script = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split())


def test_no_room_has_the_name_of_a_verb() -> None:
    """``pipekit.features`` must be the verb, whatever was imported before."""
    rooms = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    assert not rooms & {*pipekit.VERBS, *pipekit._IN_PYTHON}


def test_no_module_has_the_name_of_what_its_package_hands_on() -> None:
    """A submodule becomes an attribute of its package once it is imported: ``images.warp`` would be a module then."""
    for face in ("images", "recipe", "testing"):
        package = importlib.import_module(f"pipekit.{face}")
        assert not {path.stem for path in (PACKAGE / face).iterdir()} & set(package.__all__)


def test_reading_a_recipe_loads_no_opencv() -> None:
    assert not loaded_after("import pipekit.recipe.notation, pipekit.recipe, pipekit.images") & {"cv2", "numpy", "simplejpeg"}


def test_import_pipekit_loads_nothing_else() -> None:
    assert not loaded_after("import pipekit") & (HEAVY | NUMERIC | {"pydantic", "pluggy", "rich", "typer"})


def test_the_contract_loads_no_numbers_and_no_heavy_library() -> None:
    assert not loaded_after("import pipekit.contract, pipekit.params, pipekit.hookspecs") & (
        HEAVY | NUMERIC | {"rich", "typer"}
    )


def test_start_up_loads_no_numbers_and_no_heavy_library() -> None:
    assert not loaded_after("from pipekit.registry.registry import load_registry; load_registry(installed=False)") & (
        HEAVY | NUMERIC
    )


def test_a_loaded_heavy_library_is_seen() -> None:
    assert "numpy" in loaded_after("import numpy")
