"""Let a pipeline file read what a person has decided about images: lines are added to its import, and every other one stays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipekit.commands.variants import ChangedError, content_hash
from pipekit.errors import PipekitError, PlanError, UserError
from pipekit.files import write_text

FILES = {"corrections": "corrections.csv", "exclude": "quarantine.csv"}
"""Parameter of an import -> the file of decisions that it reads."""


def import_of(table: Any) -> tuple[str, dict[str, Any]]:
    """The name of the first import of a pipeline, and its table; ("", {}) if there is none."""
    stages = table.get("stages")
    tables = ((name, one) for name, one in stages.items() if isinstance(one, dict)) if isinstance(stages, dict) else ()
    return next(((name, one) for name, one in tables if str(one.get("use", "")).startswith("import.")), ("", {}))


def ignored_decisions(file: Path) -> list[str]:
    """The files of decisions beside a pipeline file that its import does not read: parameters of :data:`FILES`.

    Raises:
        UserError: the pipeline file can't be read.
    """
    name, stage = import_of(_read(file)[1])
    return [param for param, one in FILES.items() if name and param not in stage and (file.parent / one).is_file()]


def read_decisions(file: Path, known: str) -> Sequence[str]:
    """Add the lines that are missing, such as ``corrections = "corrections.csv"``, below the name of the import.

    Args:
        known: the hash of the content that the page knows, of ``content_hash``.

    Returns:
        The added lines.

    Raises:
        ChangedError: the file has another content.
        UserError: the file has a form in which no line can be added.
    """
    text, before = _read(file)
    if content_hash(file) != known:
        raise ChangedError(f"{file.name} was changed meanwhile", "Reload the page.")
    name, stage = import_of(before)
    values = {param: FILES[param] for param in ignored_decisions(file)}
    added = [f'{param} = "{value}"' for param, value in values.items()]
    made = _with_lines(text, name, added)
    if _table(made, file) != {**before, "stages": {**before.get("stages", {}), name: {**stage, **values}}}:
        raise UserError(f"{file.name} is written in a form that is not changed here", f"Add by hand: {', '.join(added)}")
    write_text(file, made)
    return added


def problems_of(file: Path, plugins: Sequence[str] = (), disable: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What is wrong with a pipeline file: ``path`` (the key), ``message``, ``hint``, ``line`` (from 1; None if it is not known)
    and ``text`` of that line. Nothing is run."""
    from pipekit.commands.run import meeting, plan_of

    try:
        plan_of(file, (), None, None, None, plugins, disable, meeting(False, None))
    except PlanError as error:
        found = [(one.path, one.message, one.hint, one.line) for one in error.problems]
    except PipekitError as error:
        found = [("", error.message, error.hint, None)]
    else:
        return []
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []

    def shown(path: str, message: str, hint: str, line: int | None) -> dict[str, Any]:
        text = lines[line - 1] if line and line <= len(lines) else ""
        return {"path": path, "message": message, "hint": hint, "line": line, "text": text}

    return [shown(*one) for one in found]


def _with_lines(text: str, stage: str, added: Sequence[str]) -> str:
    """The text with lines below the header of a stage, and below ``use`` if that comes first; the same if it has no header."""
    lines = text.splitlines(keepends=True)
    header = re.compile(rf"\s*\[\s*stages\s*\.\s*[\"']?{re.escape(stage)}[\"']?\s*\]\s*(#.*)?")
    for place, line in enumerate(lines):
        if header.fullmatch(line.rstrip("\r\n")):
            place += place + 1 < len(lines) and bool(re.match(r"\s*use\s*=", lines[place + 1]))
            end = "\r\n" if line.endswith("\r\n") else "\n"
            lines[place] = lines[place].rstrip("\r\n") + end + "".join(one + end for one in added)
            break
    return "".join(lines)


def _read(file: Path) -> tuple[str, Any]:
    try:
        text = file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file.name} can't be read: {error}", "pipekit run --dry-run lists its mistakes.") from None
    return text, _table(text, file)


def _table(text: str, file: Path) -> Any:
    from pipekit.params import parse_toml

    try:
        return parse_toml(text)
    except ValueError as error:
        raise UserError(f"{file.name} can't be read: {error}", "pipekit run --dry-run lists its mistakes.") from None
