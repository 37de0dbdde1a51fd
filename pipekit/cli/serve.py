"""``pipekit serve``: a trained model behind a small HTTP API."""

from __future__ import annotations

from typing import Annotated

import typer

from pipekit.cli.loading import Calibrated, Decide, Disabled, Mirrored, Plugins


def serve(
    model: Annotated[str, typer.Argument(help="A run (runs/NAME), the folder of a model or of an export, or its file")],
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all: requests then need a token")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port; 0: any free one")] = 8480,
    token: Annotated[
        str,
        typer.Option(
            envvar="PIPEKIT_SERVE_TOKEN",
            metavar="TEXT",
            help="Token that requests must have; with --host one is made if none is given",
            show_default=False,
        ),
    ] = "",
    calibrated: Calibrated = False,
    decide: Decide = False,
    mirrored: Mirrored = False,
    batch_size: Annotated[
        int, typer.Option(min=1, max=256, metavar="N", help="Maximum number of images that are predicted together")
    ] = 32,
    plugin: Plugins = None,
    disable: Disabled = None,
) -> int:
    """Serve the predictions of a trained model over HTTP.

    POST /predict takes the bytes of a JPEG, PNG or WebP file, or JSON as TensorFlow Serving takes it. The page at / shows how
    to call it, and predicts an image that you drop there; /openapi.json describes the API, /healthz and /metrics are for
    monitoring. It listens on 127.0.0.1 alone unless you give --host. Images of requests are neither logged nor kept.
    """
    from pipekit import ui
    from pipekit.commands.serve import Wanted
    from pipekit.studio.model_server import serve as start

    wanted = Wanted(model, calibrated, decide, mirrored, tuple(plugin or ()), tuple(disable or ()))
    server = start(wanted, host, port, token, batch_size)

    def started() -> None:
        facts = server.worker.facts
        ui.say(f"{facts['name']}: {ui.plural(len(facts['classes']), 'output')}. Serving: {server.address}")
        if server.token and not token:
            ui.say(f"Token: {server.token}")
        if not server.is_local:
            ui.warn(
                "Images and the token travel unencrypted. On a network that you do not trust, put a proxy with TLS before it."
            )

    server.run(started)
    return 0
