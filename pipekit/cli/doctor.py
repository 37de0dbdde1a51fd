"""``pipekit doctor``: problems of this installation, and how to fix them."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON")] = False,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="S", help="Seconds that TensorFlow and OpenCV may take to load")
    ] = 120,
) -> int:
    """Check this installation for problems.

    Checks library versions, processor and memory, the GPU as TensorFlow sees it, disk space, write access, plugins and the
    terminal. Exit code 1 means that something is broken; each such line says how to fix it.
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
