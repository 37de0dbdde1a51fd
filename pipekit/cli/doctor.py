"""``pipekit doctor``: what is wrong with this installation, and what to do."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON")] = False,
    timeout: Annotated[float, typer.Option(min=1, metavar="S", help="How long TensorFlow and OpenCV may take to load")] = 120,
) -> int:
    """Look for what is wrong with this installation.

    Versions of the libraries, processor and memory, the GPU as TensorFlow sees it, disk, write access, plugins, the terminal.
    Ends with exit code 1 where something is broken; each such line says what to do.
    """
    from dataclasses import asdict

    from pipekit import ui
    from pipekit.commands.doctor import doctor as diagnose
    from pipekit.errors import EXIT_FAILED

    display = diagnose(timeout_s=timeout)
    if as_json:
        found = list(display)
        ui.say_json([asdict(finding) for finding in found])
    else:
        found = []
        for finding in display:
            found.append(finding)
            ui.finding(finding.state, finding.what, finding.text, finding.fix)
        bad = sum(finding.state == "broken" for finding in found)
        doubtful = sum(finding.state == "warning" for finding in found)
        ui.say()
        ui.say(
            f"{ui.plural(bad, 'thing')} broken, {ui.plural(doubtful, 'warning')}." if bad or doubtful else "All is well.",
            ui.BAD if bad else ui.NAME,
        )
    return EXIT_FAILED if any(finding.state == "broken" for finding in found) else 0
