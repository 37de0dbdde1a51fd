"""``pipekit sniff``: the importer that reads a folder or file, and why the others do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import pipekit
from pipekit.cli.loading import Disabled, Plugins

if TYPE_CHECKING:
    from pipekit.registry.sniffing import Verdict


def sniff(
    path: Annotated[str, typer.Argument(help="A folder or a file", show_default=False)],
    plugin: Plugins = None,
    disable: Disabled = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON")] = False,
) -> int:
    """Detect the dataset format of a folder or file, with the reason, and why the other formats were rejected.

    'inspect', 'train' and 'scaffold --from' use the same detection. The exit code is 2 if no importer fits, or if several fit
    equally well.
    """
    from pipekit import ui

    found = pipekit.sniff(path, plugins=plugin or (), disable=disable or ())
    if as_json:
        listed = [{name: getattr(verdict, name) for name in ("importer", "fits", "reason")} for verdict in found.verdicts]
        ui.say_json({"path": path, "importer": found.importer, "verdicts": listed})
    else:
        ui.table(("importer", "reads it", "why"), [_row(verdict, found.importer) for verdict in found.verdicts])
    if found.problem is not None:
        ui.error(found.problem)
        return int(found.problem.exit_code)
    return 0


def _row(verdict: Verdict, taken: str) -> tuple[str, str, str]:
    if verdict.importer == taken:
        return verdict.importer, "yes", verdict.reason
    if verdict.fits:
        return verdict.importer, "it could", f"{verdict.reason}; {taken} is more specific" if taken else verdict.reason
    return verdict.importer, "no", verdict.reason
