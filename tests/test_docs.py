"""The documents can't lie: examples are run, links lead somewhere, every hook, command and dependency is there.

A fenced block is checked by its language. What stands in a comment above it says more:

``<!-- files of: a.md -->``     the files of that page are there too
``<!-- file: my_ops.py -->``   the block is that file, for the ``<!-- run -->`` blocks of the same page
``<!-- add to: my_ops.py -->`` the block is added at the end of that file
``<!-- pipeline -->``          a whole pipeline file: it must be right, with the page's files beside it
``<!-- run -->``               a shell block that is run, in a folder with the page's files
``<!-- try: op slide -->``     Python that is run; what it defines is held to the promises of its kind
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pipekit import contract, hookspecs, images
from pipekit.cli import COMMANDS, commands, main
from pipekit.errors import PlanError
from pipekit.learning.evaluation import Evaluation
from pipekit.pipeline.plan import Plan, load_plan
from pipekit.recipe.compiled import KINDS as OP_FORMS
from pipekit.registry.registry import KINDS, load_registry
from pipekit.testing import check_component, check_stage
from pipekit.testing.checks import write_tiny_dataset
from tests.test_imports import LAW, WORDS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is, its language, the comment above it and its text."""

    page: Path
    line: int
    language: str
    note: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def load_script(name: str) -> Any:
    """A script of ``docs/``, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_links = load_script("check_links")
generate = load_script("generate")
make_pictures = load_script("make_pictures")
make_howto_pictures = load_script("make_howto_pictures")
make_section_pictures = load_script("make_section_pictures")
make_gallery_pictures = load_script("make_gallery_pictures")
pages = check_links.pages


FENCE = re.compile(r"(?:<!-- (?P<note>[^>]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(page: Path) -> Iterator[Block]:
    source = page.read_text("utf-8")
    for found in FENCE.finditer(source):
        line = source.count("\n", 0, found.start("text"))
        yield Block(page, line, found["language"], found["note"] or "", found["text"])


BLOCKS = [block for page in pages() for block in blocks_of(page)]


def blocks(language: str, note: str | None = None) -> list[Block]:
    return [block for block in BLOCKS if block.language == language and (note is None or block.note.startswith(note))]


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_is_python(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_is_toml(block: Block) -> None:
    assert tomllib.loads(block.text)


FILES = ("file: ", "add to: ")


def others_of(page: Path) -> list[Path]:
    """The pages whose files this one uses."""
    return [page.parent / name for name in re.findall(r"<!-- files of: (\S+) -->", page.read_text("utf-8"))]


def write_file(block: Block, folder: Path) -> None:
    file = folder / block.note.partition(": ")[2]
    file.parent.mkdir(parents=True, exist_ok=True)
    before = f"{file.read_text(encoding='utf-8')}\n\n" if block.note.startswith("add to: ") else ""
    file.write_text(before + block.text, encoding="utf-8")


def write_files(page: Path, folder: Path) -> None:
    for block in blocks_of(page):
        if block.note.startswith(FILES):
            write_file(block, folder)


def parts_of_pipelines() -> list[Block]:
    """Blocks that show some stages of a pipeline, built-in ones that read this machine's files."""
    found = [block for block in blocks("toml") if block.page.is_relative_to(DOCS) and not block.note.startswith("pipeline")]
    return [block for block in found if "stages" in (table := tomllib.loads(block.text)) and "plugins" not in table]


@pytest.mark.parametrize("block", [block for block in parts_of_pipelines() if "://" not in block.text], ids=str)
def test_a_part_of_a_pipeline_has_parameters_that_there_are(block: Block, tmp_path: Path) -> None:
    """Its inputs come from stages that are not shown, and its files are not there; each value is checked all the same."""
    try:
        load_plan(table=tomllib.loads(block.text), base_dir=tmp_path)
    except PlanError as error:
        not_here = re.compile(r"no such (file|folder|recipe)|no (stage|executor|report section) called")
        absent = {one.path.partition("[")[0] for one in error.problems if not_here.match(one.message)}
        values = [one for one in error.problems if one.path.count(".") > 1]
        assert [one for one in values if one.path.partition("[")[0] not in absent] == []


@pytest.mark.parametrize("block", blocks("toml", "pipeline"), ids=str)
def test_a_pipeline_is_right(block: Block, tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "images")
    for page in [*others_of(block.page), block.page]:
        write_files(page, tmp_path)
    plan = load_plan(table=tomllib.loads(block.text), base_dir=tmp_path)
    assert [stage.name for stage in plan.stages]


@pytest.mark.parametrize("block", blocks("python", "try"), ids=str)
def test_an_example_keeps_the_promises_of_its_kind(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_evaluation: Evaluation
) -> None:
    name = f"example_of_line_{block.line}"
    (tmp_path / f"{name}.py").write_text(block.text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module(name)
    kind, _, component = block.note.removeprefix("try").lstrip(": ").partition(" ")
    if kind == "stage":
        check_stage(getattr(module, component))
    elif kind:
        check_component(kind, getattr(module, component))
    if kind == "report_section":
        assert getattr(module, component)(None, tiny_evaluation).tables


LEFT_ALONE = {
    ("pipekit-dask", "bash"): "commands for several machines",
    ("pipekit-dask", "python"): "a cluster of dask-jobqueue",
    ("pipekit-efficientnet-lite", "bash"): "an installation from a checkout, which `make test-plugins` makes",
    ("pipekit-dicom", "bash"): "the same",
    ("pipekit-heif", "bash"): "the same",
    ("pipekit-mlflow", "bash"): "the same",
    ("pipekit-mlflow", "python"): "it needs the number of a run; the plugin's own tests do it with one",
    ("pipekit-speckle", "bash"): "an installation from a checkout",
    ("pipekit-webdataset", "bash"): "the same",
}
"""Code on the pages of the examples in ``plugins/`` that is not run here, and why."""


def test_all_code_for_authors_of_plugins_is_run() -> None:
    """In docs/plugins every block is a file, a pipeline, run or tried. READMEs of plugins: see :data:`LEFT_ALONE`."""
    code = [block for block in BLOCKS if block.language in ("python", "bash", "toml")]
    run = (*FILES, "pipeline", "run", "try")
    assert [str(block) for block in code if block.page.parent == DOCS / "plugins" and not block.note.startswith(run)] == []
    of_examples = [block for block in code if block.page.parent.parent == ROOT / "plugins" and not block.note.startswith(run)]
    assert {(block.page.parent.name, block.language) for block in of_examples if block.language != "toml"} == set(LEFT_ALONE)


@pytest.mark.parametrize("file", sorted(ROOT.glob("plugins/*/example/*.toml")), ids=lambda file: file.stem)
def test_the_pipelines_of_the_examples_are_right(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the example's own plugin, taken from its folder, installed or not."""
    table = tomllib.loads(file.read_text("utf-8"))
    for stage in table["stages"].values():
        if "path" in stage:
            stage["path"] = str(write_tiny_dataset(tmp_path / "images"))
    assert example_plan(file.parents[1], table, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "block", [block for block in blocks("toml") if block.page.parent.parent == ROOT / "plugins"], ids=lambda block: str(block)
)
def test_tables_in_the_readmes_of_examples_are_right(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tomllib.loads(block.text)
    data = {"use": "import.folders", "path": str(write_tiny_dataset(tmp_path / "images"))}
    stages = {"before": data, "split": {"use": "split", "dataset": "before"}, **table.get("stages", {})}
    for stage in stages.values():
        if "path" in stage:
            stage["path"] = str(tmp_path / "images")
    assert example_plan(block.page.parent, {**table, "stages": stages}, tmp_path, monkeypatch)


def example_plan(plugin: Path, table: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The checked plan of a pipeline that uses a plugin of ``plugins/``."""
    monkeypatch.syspath_prepend(str(plugin / "src" if (plugin / "src").is_dir() else plugin))
    observer = plugin.name == "pipekit-mlflow"  # no component to be found; `plugins` names it by its entry point
    named = [] if observer else [plugin.name.replace("-", "_")]
    return load_plan(table={**table, "plugins": named}, base_dir=folder)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A virtual environment in which this one's packages are seen, and whose pip needs no network."""
    home = tmp_path / "venv"
    venv.create(home, symlinks=True, with_pip=False)
    (site,) = home.glob("lib/python*/site-packages")
    parents = [path for path in sys.path if path.endswith("site-packages")]
    lines = [str(ROOT), *(f"import site; site.addsitedir({path!r})" for path in parents)]  # with the .pth files that are in it
    (site / "parent.pth").write_text("\n".join(lines), encoding="utf-8")
    for name in ("pip", "pipekit"):
        script = home / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{home}/bin/python" -m {name} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    rest = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PIPEKIT", "PYTHON"))}
    return {**rest, **offline, "PATH": f"{home}/bin:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    "page", sorted({block.page for block in blocks("bash", "run")}), ids=lambda page: page.relative_to(ROOT).as_posix()
)
@pytest.mark.timeout(1800)
def test_commands_run(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """In the order of the page: each file is written, and each command run, where it stands."""
    folder = tmp_path / "work"
    write_tiny_dataset(folder / "images")
    for other in others_of(page):
        write_files(other, folder)
    for block in blocks_of(page):
        if block.note.startswith(FILES):
            write_file(block, folder)
        elif block.language == "bash" and block.note.startswith("run"):
            command = ["bash", "-ec", block.text]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("place", ["howto/groups.md", "stages/split.md"])
def test_group_patterns_match_ids_with_a_class_folder(place: str) -> None:
    """An id begins with the class folder, so a pattern that begins with ``^`` and the name of a file matches none."""
    ids = ("benign/patient_012_3.jpg", "cat/IMG_20260101_120000.jpg", "cat/video3_7.jpg")
    text = (DOCS / place).read_text("utf-8")
    shown = re.findall(r"--group-pattern '([^']+)'", text) + [
        tomllib.loads(line)["group_pattern"] for line in re.findall(r'group_pattern = "[^"]+"', text)
    ]
    assert shown
    for pattern in shown:
        assert any(re.search(pattern, name) for name in ids), pattern


# --- commands ------------------------------------------------------------------------------------------------------------


def command_lines() -> list[tuple[str, str]]:
    """Every line that begins with ``pipekit``, in blocks and in running text."""
    found = []
    for block in blocks("bash"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if line.strip().startswith("pipekit"):
                found.append((str(block), line.strip().partition("  #")[0]))
    for page in pages():
        for line in re.findall(r"`(pipekit [^`\n]+)`", page.read_text("utf-8")):
            found.append((str(page.relative_to(ROOT)), line))
    return found


@cache
def help_of(*words: str) -> str:
    with redirect_stdout(io.StringIO()) as said:
        assert main([*words, "--help"]) == 0
    return said.getvalue()


OF_EXAMPLES = ("acme", "report", "sizes")
"""Commands of the plugins that the pages for authors make or speak of."""


@pytest.mark.parametrize(("where", "line"), sorted(set(command_lines())))
def test_a_command_and_its_options_exist(where: str, line: str) -> None:
    words = shlex.split(re.split(r"\s[|>]", line)[0])[1:]
    if words[0].startswith("-"):
        assert words[0] in help_of()
        return
    if words[0].isupper() or words[0] in OF_EXAMPLES or ":" in words[0]:
        return
    assert words[0] in commands(), f"{where}: there is no command {words[0]!r}"
    shown = help_of(*words[:1]) if words[0] != "stage" or len(words) < 2 or words[1].isupper() else help_of(*words[:2])
    if len(words) > 1 and re.search(rf"^\W*{re.escape(words[1])}\b", shown.partition("Commands")[2], re.MULTILINE):
        shown += help_of(*words[:2])
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert option in shown, f"{where}: {words[0]} has no option {option}"


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert [name for section in COMMANDS.values() for name in section if f"pipekit {name}" not in text] == []


# --- hooks, dependencies, components -------------------------------------------------------------------------------------


def hooks() -> list[str]:
    return [name for name, found in vars(hookspecs).items() if hasattr(found, "pipekit_spec")]


@pytest.mark.parametrize("name", hooks())
def test_every_hook_has_a_heading_with_its_arguments(name: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(hookspecs, name)).parameters)
    assert f"\n### {name}({arguments})\n" in (DOCS / "plugins" / "reference.md").read_text("utf-8")


def test_no_heading_names_a_hook_that_is_gone() -> None:
    headings = re.findall(r"^### (\w+)\(", (DOCS / "plugins" / "reference.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(hooks())


def test_every_dependency_has_a_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    names = {re.match(r"[\w.-]+", line)[0] for line in asked}  # type: ignore[index]
    rows = re.findall(r"^\| (`.+?`) \|", (DOCS / "dependencies.md").read_text("utf-8"), re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`([\w.-]+)`", row)}
    assert names == listed


@pytest.mark.parametrize("stage", [component.name for component in load_registry(installed=False).components("stage")])
def test_every_stage_of_its_own_has_a_page(stage: str) -> None:
    """Formats have theirs in one page: they are documented where people look for formats."""
    if not stage.startswith(("import.", "export.")):
        assert (DOCS / "stages" / f"{stage}.md").exists()


# --- the house -----------------------------------------------------------------------------------------------------------


def backticked(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_law_in_the_design_is_the_law_of_the_tests() -> None:
    part = (DOCS / "design.md").read_text("utf-8").partition("## The law of the house\n")[2].partition("\n## ")[0]
    assert sorted(backticked(part.partition("(")[2].partition(")")[0])) == sorted(WORDS)
    assert sorted(re.findall(r"^\| `(\w+)/` \|", part, re.MULTILINE)) == sorted(LAW)


def test_the_map_has_every_module_as_it_is_now() -> None:
    text = (DOCS / "map.md").read_text("utf-8")
    assert text == generate.with_rooms(text), "docs/map.md is older than a docstring: run python docs/generate.py"
    files = {path.relative_to(generate.PACKAGE).as_posix() for path in generate.PACKAGE.rglob("*.py")}
    rooms = {path.relative_to(generate.PACKAGE).as_posix() for path in generate.PACKAGE.glob("*/__init__.py")}
    templates = {name for name in files if "/templates/" in name}
    assert set(re.findall(r"^\| `([\w/]+\.py)` \|", text, re.MULTILINE)) == files - rooms - templates


def test_every_module_says_what_it_is() -> None:
    text = (DOCS / "map.md").read_text("utf-8")
    assert re.findall(r"^\| `([\w/]+\.py)` \|\s*\|$", text, re.MULTILINE) == []


QUESTIONS = 15


def test_files_that_answer_questions_and_those_of_the_walks_exist() -> None:
    text = (DOCS / "map.md").read_text("utf-8").partition("## The rooms")[0]
    named = [name for name in backticked(text) if name.startswith("pipekit/")]
    assert [name for name in named if not (ROOT / name).is_file()] == []
    answers = re.findall(r"^\| (.+\?) \| (.+) \|$", text, re.MULTILINE)
    assert len(answers) == QUESTIONS
    assert [question for question, answer in answers if "`pipekit/" not in answer] == []


def contributing_rows() -> list[list[str]]:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("<!-- kinds -->\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_contributing_says_for_each_kind_where_its_parts_go() -> None:
    rows = contributing_rows()
    assert sorted(row[0] for row in rows) == sorted(KINDS)
    for _, *cells in rows:
        hook, paths = cells[1], [name for cell in (cells[0], *cells[2:]) for name in backticked(cell) if "/" in name]
        assert backticked(hook)[0] in hooks()
        assert len(paths) >= 3
        for path in paths:
            assert (ROOT / path.replace("NAME", "augment")).exists() or (ROOT / path).parent.is_dir(), path
            assert "NAME" in path or (ROOT / path).exists(), path


@pytest.mark.parametrize("target", ["demo", "test", "test-plugins", "lint", "format", "coverage", "bench", "docs", "dist"])
def test_contributing_names_the_targets_of_make(target: str) -> None:
    assert f"`make {target}`" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


GLOSSARY = [
    "sample",
    "label",
    "split",
    "fold",
    "epoch",
    "batch",
    "near duplicate",
    "fingerprint",
    "homography",
    "contact sheet",
    "keypoint",
    "calibration",
    "confidence interval",
    "McNemar's test",
    "shard",
    "key",
    "digest",
    "artifact",
    "stage",
    "recipe",
    "op",
    "run",
    "pipeline",
    "component",
    "plugin",
    "model",
    "importer",
    "exporter",
    "detector",
    "dataset check",
    "report section",
    "executor",
]


@pytest.mark.parametrize("term", GLOSSARY)
def test_a_term_is_explained(term: str) -> None:
    text = (DOCS / "glossary.md").read_text("utf-8")
    own = {name for line in re.findall(r"^([^\n:#]+)\n: ", text, re.MULTILINE) for name in line.split(", ")}
    assert term in own


# --- pictures ------------------------------------------------------------------------------------------------------------


SCRIPTS = (make_pictures, make_howto_pictures, make_section_pictures, make_gallery_pictures)


@pytest.mark.parametrize(
    ("script", "shown"),
    [pytest.param(script, shown, id=shown.file) for script in SCRIPTS for shown in script.PICTURES],
)
def test_a_picture_is_made_from_what_is_there_now(script: Any, shown: Any) -> None:
    again = f"run python docs/{script.__name__}.py and look at the picture"
    assert shown.record.read_text("utf-8").strip() == script.digest(shown), again
    assert shown.path.stat().st_size < 300_000
    if shown.path.suffix == ".svg":
        text = shown.path.read_text("utf-8")
        assert text.startswith("<svg ")
        assert not re.search(r"(?:src|href)=|url\((?!#)|<script", text), "it loads nothing"
    else:
        assert images.probe(shown.path.read_bytes()).format == "JPEG"


def test_every_report_section_has_a_picture() -> None:
    sections = load_registry(installed=False).components("report_section")
    assert [section.name for section in sections if not generate.section_picture(section)] == []


def test_every_picture_has_a_script() -> None:
    held = {path.name for path in (DOCS / "images").iterdir() if path.suffix != ".made-from"}
    assert held == {shown.file for script in SCRIPTS for shown in script.PICTURES}


UNPICTURED = {
    "index": "a list of pages",
    "cluster": "its result is on machines that the script does not have",
    "gpu": "its result is on hardware that the script does not have",
}
"""How-tos without a picture, each with the reason."""


@pytest.mark.parametrize(
    "page",
    [page for page in sorted((DOCS / "howto").glob("*.md")) if page.stem not in UNPICTURED],
    ids=lambda page: page.stem,
)
def test_every_howto_shows_its_picture_and_says_what_it_took(page: Path) -> None:
    text = page.read_text("utf-8")
    shown = [shown for shown in make_howto_pictures.PICTURES if make_howto_pictures.page_of(shown) == page.stem]
    assert len(shown) == 1
    assert re.search(rf"^!\[[^\]]{{40,}}\]\(\.\./images/{re.escape(shown[0].file)}\)$", text, re.MULTILINE), (
        "with a text for who can't see"
    )
    assert "of processor time" in " ".join(text.split())
    limit = {".svg": 40_000, ".jpg": 120_000}[shown[0].path.suffix]
    assert shown[0].path.stat().st_size <= limit


def test_a_picture_of_a_howto_depends_on_the_functions_that_make_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {make_howto_pictures.page_of(shown): shown for shown in make_howto_pictures.PICTURES}
    before = {name: make_howto_pictures.digest(shown[name]) for name in ("phone", "groups")}
    monkeypatch.setattr(make_howto_pictures, "pets", make_howto_pictures.surfaces)
    assert make_howto_pictures.digest(shown["phone"]) != before["phone"]
    assert make_howto_pictures.digest(shown["groups"]) == before["groups"]


def test_the_readme_shows_the_command_of_its_picture() -> None:
    shown = make_pictures.PICTURES[0]
    (line,) = re.findall(r"`(pipekit augment [^`]* --preview --ops [^`]*)`", (ROOT / "README.md").read_text("utf-8"))
    _, _, *words = shlex.split(line)
    assert words[1:] == [word for word in shown.command[2:] if word != "{out}"]
    assert words[0] == Path(shown.inputs[0]).name


# --- what is stable ------------------------------------------------------------------------------------------------------

IMPORT = re.compile(r"^\s*from (pipekit(?:\.\w+)*) import (\([^)]*\)|.+)$|^\s*import (pipekit(?:\.\w+)+)", re.MULTILINE)


def outside_sources() -> list[tuple[str, str]]:
    """What plugins, templates and documents show of the use of pipekit: (place, Python)."""
    templates = generate.PACKAGE / "commands" / "new_plugin" / "templates"
    files = [*ROOT.glob("plugins/**/*.py"), *templates.rglob("*.py")]
    found = [(file.relative_to(ROOT).as_posix(), file.read_text("utf-8")) for file in files]
    return [*found, *((str(block), block.text) for block in blocks("python"))]


def names_imported(source: str) -> Iterator[tuple[str, str]]:
    """(module, name) of each import from pipekit; the name is empty for ``import pipekit.x``."""
    for module, names, whole in IMPORT.findall(source):
        if whole:
            yield whole, ""
        for name in names.strip("()").partition("#")[0].split(","):
            if name.strip():
                yield module, name.split()[0]


def is_stable(module: str, name: str) -> bool:
    stable = generate.stable_names()
    if f"{module}.{name}" in stable:
        return True
    if module not in stable or not name:
        return module in stable
    return name in (stable[module] or generate.public_names(importlib.import_module(module)))


@pytest.mark.parametrize(("place", "source"), [pytest.param(*found, id=found[0]) for found in outside_sources()])
def test_only_what_is_stable_is_used_outside(place: str, source: str) -> None:
    unstable = [f"{module}: {name}" for module, name in names_imported(source) if not is_stable(module, name)]
    assert unstable == [], "put it on the list in docs/plugins/versioning.md, or import something that is there"


def test_what_is_not_stable_is_found() -> None:
    source = "import pipekit.store\nfrom pipekit.engine.run import (\n    forecast,\n    run_plan,\n)\nfrom pipekit import ui\n"
    found = [pair for pair in names_imported(source) if not is_stable(*pair)]
    assert found == [("pipekit.store", ""), ("pipekit.engine.run", "forecast"), ("pipekit", "ui")]


def test_stable_names_exist() -> None:
    for module, names in generate.stable_names().items():
        for name in names or generate.public_names(importlib.import_module(module)):
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


# --- forms and fields ----------------------------------------------------------------------------------------------------


def test_the_forms_of_an_op_are_documented() -> None:
    recipes = (DOCS / "recipes.md").read_text("utf-8").partition("## Write your own op")[2]
    assert dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", recipes, re.MULTILINE)) == OP_FORMS
    reference = (DOCS / "plugins" / "reference.md").read_text("utf-8")
    shown = re.findall(r"^\*(\w+)\*: `op\((\w+), params, rng\)", reference, re.MULTILINE)
    assert {argument: form.lower() for form, argument in shown} == OP_FORMS


def table_of(name: str) -> set[str]:
    """The fields and methods that the reference has in the table of a class."""
    text = (DOCS / "plugins" / "reference.md").read_text("utf-8")
    table = text.partition(f"\n| `{name}` |")[2].partition("\n\n")[0]
    rows = [re.split(r"(?<!\\)\|", line)[1] for line in table.splitlines()[2:]]
    return {re.sub(r"\(.*", "", word.removeprefix("ctx.")) for row in rows for word in backticked(row)}


def members_of(kind: type) -> set[str]:
    """What a class has itself: fields, properties and methods without an underscore."""
    own = [name for name in vars(kind) if not name.startswith("_")]
    return {*own, *(name for name in inspect.get_annotations(kind) if not name.startswith("_"))}


CONTRACTS = [
    contract.Context,
    contract.SampleContext,
    contract.Sample,
    contract.Targets,
    contract.Box,
    contract.Keypoint,
    contract.Failure,
    contract.Adjusted,
    contract.Categories,
    contract.Category,
    contract.Rejected,
    contract.Artifact,
    contract.Dataset,
    contract.SplitUnit,
    contract.SearchSpace,
    contract.Trial,
    contract.Section,
    contract.Figure,
    contract.Table,
    contract.Picture,
    contract.Finding,
    contract.RunInfo,
    contract.StageInfo,
    contract.StudioContext,
    contract.ShardTask,
    contract.ShardResult,
]


@pytest.mark.parametrize("kind", CONTRACTS, ids=lambda kind: kind.__name__)
def test_every_field_of_a_contract_is_in_the_reference(kind: type) -> None:
    inherited = {"kind", "headline"} if kind is contract.Dataset else set()
    assert members_of(kind) - inherited - table_of(kind.__name__) == set()
    assert table_of(kind.__name__) - members_of(kind) - OF_CTX == set()


OF_CTX = {"yield pipekit.contract.PAUSE", "@pipekit.contract.unseeded", "@pipekit.contract.shared"} | {
    "pipekit.columnar.columns_of",
    "@pipekit.columnar.makes_columns",
}
"""In the table of ``Context`` too: they are of use only with ``ctx``."""


def test_no_contract_is_left_out() -> None:
    classes = {name for name in contract.__all__ if inspect.isclass(getattr(contract, name))}
    elsewhere = {"Call", "ValueRange", "InputPath", "Params", "Uses", "StageContract", "Model", "Embeddings", "Report", "Files"}
    assert classes - elsewhere == {kind.__name__ for kind in CONTRACTS}
    assert not any(members_of(kind) - {"kind", "headline"} for kind in (contract.Model, contract.Report, contract.Files))


# --- links ---------------------------------------------------------------------------------------------------------------

LINK = re.compile(r"\[[^\]\n]*\]\((?!https?:|mailto:)([^)\s]+)\)")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert check_links.problems(page) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a [b](gone.md)", "page.md:1: there is no gone.md"),
        ("a\n\n[b\nc](gone.md 'd')", "page.md:3: there is no gone.md"),
        ("[a]\n\n[a]: gone.md", "page.md:1: there is no gone.md"),
        ("![a](gone.png)", "page.md:1: there is no gone.png"),
        ("| a |\n|---|\n| [b](gone.md) |", "page.md:3: there is no gone.md"),
        ("```{toctree}\n:maxdepth: 1\nother\ngone\n```", "page.md:4: there is no gone.md"),
        ("[a](other.md#c)", "page.md:1: other.md has no heading #c. It has: a-b, a-b-1, named"),
        ("# a\n[a](#c)", "page.md:2: page.md has no heading #c. It has: a"),
        ("[a][c]", "page.md:1: [a][c] is no link: nothing on the page defines it"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# a `b`\n\n## A *b*\n\n(named)=\n\n```\n# c\n```\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    assert check_links.problems(page) == [problem]


def test_links_that_are_right_are_not_reported(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A b\n[a](#a-b) [c](https://d.e) <mailto:f@g.h> `[i](gone.md)` [j](.)\n\n```\n[k](gone.md)\n```\n", encoding="utf-8"
    )
    assert check_links.problems(page) == []


def test_sphinx_makes_anchors_of_the_levels_that_are_checked() -> None:
    assert f"myst_heading_anchors = {check_links.SPHINX_LEVELS}\n" in (DOCS / "conf.py").read_text("utf-8")


@pytest.mark.parametrize("page", [page for page in pages() if DOCS in page.parents], ids=lambda page: page.stem)
def test_every_page_is_reached(page: Path) -> None:
    """From a table of contents, or by a link from another page."""
    name = page.relative_to(DOCS).with_suffix("").as_posix()
    if name == "index":
        return
    for other in pages():
        if other != page:
            text = other.read_text("utf-8")
            reached = {(other.parent / link.partition("#")[0]).resolve() for link in LINK.findall(text)}
            entries = [line.strip() for line in text.splitlines() if line.strip()]
            globs = [path for line in entries if line.endswith("/*") for path in other.parent.glob(f"{line}.md")]
            if page in reached | {path.resolve() for path in [*globs, *(other.parent / f"{line}.md" for line in entries)]}:
                return
    pytest.fail(f"nothing leads to {name}")
