"""Write the pages of the reference that come from the code: one for each kind of component, and one for the commands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pipekit.cli import COMMANDS
from pipekit.contract import Slot
from pipekit.registry.component import Component, first_line
from pipekit.registry.param_rows import ParamRow, param_rows
from pipekit.registry.registry import KINDS, Registry, load_registry

DOCS = Path(__file__).parent
OUT = DOCS / "_generated"

TITLES = {
    "stage": "Stages",
    "op": "Ops",
    "recipe": "Recipes",
    "model": "Models",
    "importer": "Importers",
    "exporter": "Exporters",
    "detector": "Detectors",
    "check": "Dataset checks",
    "report_section": "Report sections",
    "executor": "Executors",
}


def main() -> None:
    OUT.mkdir(exist_ok=True)
    registry = load_registry(installed=False)
    for kind in KINDS:
        (OUT / f"{kind}.md").write_text("\n".join(kind_page(registry, kind)) + "\n", encoding="utf-8")
    (OUT / "commands.md").write_text("\n".join(commands_page()) + "\n", encoding="utf-8")


def kind_page(registry: Registry, kind: str) -> Iterator[str]:
    """All components of a kind, each with its parameters."""
    yield f"# {TITLES[kind]}\n"
    found = registry.components(kind)
    if not found:
        yield "None in the box."
    for component in found:
        yield from component_part(component)


def component_part(component: Component) -> Iterator[str]:
    yield f"## {component.name}\n"
    yield f"{cell(component.summary or first_line(component.load()))}.\n"
    page = DOCS / f"{component.kind}s" / f"{component.name}.md"
    if page.exists():
        yield f"[More about it](../{page.relative_to(DOCS).as_posix()})\n"
    if component.kind == "stage":
        contract = component.contract()
        takes = ", ".join(slot_text(slot) for slot in contract.slots) or "nothing"
        yield f"Takes: {takes}. Makes: `{contract.output.kind}`.\n"
    rows = [] if component.name.endswith(".*") else param_rows(component.params_type())
    yield from params_table(rows)


def params_table(rows: list[ParamRow]) -> Iterator[str]:
    if not rows:
        return
    yield "| parameter | type | default | what it is |"
    yield "|---|---|---|---|"
    for row in rows:
        yield f"| `{row.name}` | {cell(row.details)} | `{cell(row.default)}` | {cell(row.description)} |"
    yield ""


def slot_text(slot: Slot) -> str:
    notes = [*(["several"] if slot.many else []), *([] if slot.required else ["may be left out"])]
    return f"`{slot.name}` ({', '.join([slot.artifact.kind, *notes])})"


def cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


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


if __name__ == "__main__":
    main()
