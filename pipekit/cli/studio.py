"""``pipekit studio``: browse, correct, make recipes, train and try, on a local page."""

from __future__ import annotations

from typing import Annotated

import typer

from pipekit.cli.loading import Disabled, Format, Plugins, Splits


def studio(
    place: Annotated[
        str | None,
        typer.Argument(help="A folder of images, a pipeline file, or a project's folder; default: the current folder"),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port, or the next free one; 0: any")] = 8470,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address, and open no browser")] = False,
    importer: Format = "",
    splits: Splits = "",
    plugin: Plugins = None,
    disable: Disabled = None,
) -> int:
    """Open a local page to browse a dataset, correct labels, make recipes, train and try models.

    The page is served on 127.0.0.1 alone and loads nothing from elsewhere. Every decision is a file that the other commands
    read: corrections.csv, quarantine.csv, recipes/NAME.toml. Trainings are separate commands, which continue after Ctrl-C.
    """
    import os

    from pipekit import ui
    from pipekit.cli.readings import with_reading
    from pipekit.commands.browse import find_source
    from pipekit.commands.run import forecast
    from pipekit.commands.working import registry_with
    from pipekit.errors import PlanError, UserError
    from pipekit.files.urls import is_url
    from pipekit.studio.jobs import known
    from pipekit.studio.project import Options, Project
    from pipekit.studio.server import serve

    options = Options(tuple(plugin or ()), tuple(disable or ()))

    def open_project(source: str, format: str, splits: str) -> Project:
        if is_url(source):
            registry_with(options.plugins, options.disable)  # they may bring the protocol
        found = find_source(source or None, format, splits)
        try:
            return Project(found, options)
        except PlanError:
            if found.file is not None:  # raises too, with all mistakes of the file and their lines
                forecast(found.file, plugins=options.plugins, disable=options.disable)
            raise

    project = with_reading(open_project, place or "", importer, splits, ask=not no_open)
    if not len(project.catalog):
        raise UserError(f"there is no image in {place or 'this folder'}", "pipekit sniff says what is in a folder.")
    os.chdir(project.source.base)
    server = serve(project, port)
    if port not in (0, server.port):
        ui.note(f"Port {port} is taken.")

    def started() -> None:
        ui.say(f"{len(project.catalog):,} images. Studio: {server.address}")
        if "SSH_CONNECTION" in os.environ:
            ui.say(f"On your own machine, first: ssh -L {server.port}:127.0.0.1:{server.port} HOST")
        if not no_open and _has_display():
            _open(server.address)

    server.run(started)
    running = [job for job in known(project.state / "jobs") if job.running]
    if running:
        ui.note(f"{len(running)} job(s) continue: {', '.join('pipekit ' + ' '.join(job.facts['words']) for job in running)}")
        ui.note("To stop one, open the studio again.")
    return 0


def _has_display() -> bool:
    import os
    import sys

    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(address: str) -> None:
    """Open the browser, in a thread: some wait until it is closed."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
