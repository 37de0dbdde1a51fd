"""Write what comes from the code: a page for each kind of component, the commands, the Python reference, the list of rooms."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, get_origin

from pipekit.cli import COMMANDS
from pipekit.commands.docs import Pictures, cell, kind_page
from pipekit.registry.component import Component
from pipekit.registry.registry import KINDS, load_registry

DOCS = Path(__file__).parent
OUT = DOCS / "_generated"
PACKAGE = DOCS.parent / "pipekit"
MAP = DOCS / "map.md"
STABLE = DOCS / "plugins" / "versioning.md"

PHOTO = DOCS.parent / "sample_data" / "photos" / "cat.jpg"
"""The image on the pictures of ops, recipes, detectors and checks."""


def main() -> None:
    OUT.mkdir(exist_ok=True)
    registry = load_registry(installed=False)
    pictures = Pictures(registry, PHOTO)
    from_image = pictures.into(OUT / "pictures", "pictures")

    def draw(component: Component) -> str:
        return section_picture(component) if component.kind == "report_section" else from_image(component)

    for kind in KINDS:
        lines = kind_page(registry, kind, more_about, draw)
        (OUT / f"{kind}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (OUT / "commands.md").write_text("\n".join(commands_page()) + "\n", encoding="utf-8")
    (OUT / "python.md").write_text("\n".join(python_page()) + "\n", encoding="utf-8")
    MAP.write_text(with_rooms(MAP.read_text("utf-8")), encoding="utf-8")


def more_about(component: Component) -> str:
    """A link to the component's own page."""
    page = DOCS / f"{component.kind}s" / f"{component.name}.md"
    return f"[More about it](../{page.relative_to(DOCS).as_posix()})" if page.exists() else ""


DECISION = "howto-calibrate.jpg"
"""The section ``decision`` is the picture of a how-to."""


def section_picture(component: Component) -> str:
    """The picture of a report section, which ``make_section_pictures.py`` made of a real report."""
    file = DECISION if component.name == "decision" else f"section-{component.name}.jpg"
    return f"![The section {component.name} of a report](../images/{file})" if (DOCS / "images" / file).exists() else ""


def commands_page() -> Iterator[str]:
    """What every command says with ``--help``."""
    yield "# Commands\n"
    yield fenced(help_of())
    for section, commands in COMMANDS.items():
        yield f"## {section}\n"
        for command in commands:
            yield f"### pipekit {command}\n"
            yield fenced(help_of(command))


def help_of(*words: str) -> str:
    command = [sys.executable, "-m", "pipekit", *words, "--help"]
    environment = {"NO_COLOR": "1", "COLUMNS": "100", "TERM": "dumb", "PATH": ""}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.rstrip()


def fenced(text: str) -> str:
    return f"```text\n{text}\n```\n"


# --- the Python reference ------------------------------------------------------------------------------------------------


def python_page() -> Iterator[str]:
    """The stable names of each module; Sphinx fills in their signatures and docstrings."""
    import pipekit

    yield "# Python reference\n"
    yield "What a plugin or a script may import; [what is stable](../plugins/versioning.md) says what that promises.\n"
    shown: set[Any] = set()  # what a module hands on has its place where it is first handed on
    for name, names in stable_names().items():
        module = import_module(name)
        yield f"## {name}\n"
        if not names:
            yield eval_rst(f".. automodule:: {name}", ":no-members:")
        for member in names or public_names(module):
            found, text = getattr(module, member), directive(module, member)
            same = id(found) if callable(found) else text
            if same not in shown:
                shown.add(same)
                yield text
    verbs = list(pipekit.VERBS)
    if verbs:
        yield "## Verbs\n\nWhat the commands do, as functions that return what they found and print nothing.\n"
    for verb in verbs:
        yield directive(pipekit, verb)


def stable_names() -> dict[str, tuple[str, ...]]:
    """Module -> its stable names, as the table of :data:`STABLE` has them; none where all are stable."""
    found = {}
    for modules, names in re.findall(r"^\| (`pipekit.*?) \| (.+?) \|$", STABLE.read_text("utf-8"), re.MULTILINE):
        listed = () if names.startswith("all") else tuple(re.findall(r"`(\w+)`", names))
        found |= dict.fromkeys(re.findall(r"`([\w.]+)`", modules), listed)
    return found


def public_names(module: ModuleType) -> list[str]:
    """Its ``__all__``, or what it defines itself; verbs have a part of their own."""
    defined = [name for name, found in vars(module).items() if getattr(found, "__module__", "") == module.__name__]
    listed = getattr(module, "__all__", [*defined, *constants(module)])
    return [name for name in listed if not name.startswith("_") and name not in getattr(module, "VERBS", ())]


def constants(module: ModuleType) -> list[str]:
    """Constants at the top of a module with a string below them that says what they are."""
    body = ast.parse(inspect.getsource(module)).body
    found = []
    for node, text in pairwise(body):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found.append(target.id)
    return found


def directive(module: ModuleType, name: str) -> str:
    """What tells Sphinx to show a name. Only the file that a constant is written in has the words below it."""
    found = getattr(module, name)
    if inspect.isclass(found) and get_origin(found) is None:
        return eval_rst(f".. autoclass:: {module.__name__}.{name}", ":members:")
    if callable(found) and hasattr(found, "__name__") and get_origin(found) is None:
        return eval_rst(f".. autofunction:: {module.__name__}.{name}")
    home = getattr(module, "_HOME", {}).get(name)
    place = f"{module.__name__}.{home}" if home else module.__name__
    return eval_rst(f".. autodata:: {place}.{name}", ":no-value:") if name in constants(import_module(place)) else ""


def eval_rst(*lines: str) -> str:
    return "\n".join(["```{eval-rst}", lines[0], *(f"   {line}" for line in lines[1:]), "```\n"])


# --- the list of rooms ---------------------------------------------------------------------------------------------------

_ROOMS = re.compile(r"(<!-- rooms: [^>]*-->\n).*?(<!-- end of rooms -->)", re.DOTALL)


def with_rooms(text: str) -> str:
    """``docs/map.md`` with the list of rooms as the packages' docstrings have it now."""
    return _ROOMS.sub(lambda found: found[1] + "\n".join(rooms_part()) + "\n" + found[2], text)


def rooms_part() -> Iterator[str]:
    yield "\n### The root\n"
    yield from modules_table(path for path in PACKAGE.glob("*.py"))
    for room in sorted(path.parent for path in PACKAGE.glob("*/__init__.py")):
        yield f"### {room.name}/\n"
        yield f"{first_sentence(room / '__init__.py')}\n"
        yield from modules_table(path for path in room.rglob("*.py") if path.name != "__main__.py")


def modules_table(files: Iterable[Path]) -> Iterator[str]:
    yield "| file | holds |"
    yield "|---|---|"
    for path in sorted(files):
        if "templates" not in path.parts and (path.name != "__init__.py" or path.parent.parent != PACKAGE):
            yield f"| `{path.relative_to(PACKAGE).as_posix()}` | {cell(first_sentence(path))} |"
    yield ""


def first_sentence(file: Path) -> str:
    """The first line of a module's docstring in Markdown; its first paragraph where the line breaks within a sentence."""
    paragraph = (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").partition("\n\n")[0]
    line = paragraph.partition("\n")[0]
    text = line if line.endswith((".", "?", "!", ":")) else " ".join(paragraph.split())
    return re.sub(r"(?::\w+:)?(?:``(.+?)``|(?<=:)`~?(.+?)`)", lambda found: f"`{found[1] or found[2]}`", text)


if __name__ == "__main__":
    main()
