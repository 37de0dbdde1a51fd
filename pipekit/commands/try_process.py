"""The process that explains a tried image, and finds known images like it: frames as in :mod:`pipekit.commands.serve_process`.

    {"model": "runs/pets", ...}                                  ->  {"ready": {}}
    {"id": 1, "do": "grad_cam", "about": "cat"} and the image    ->  {"id": 1, "file": "<base64 of a JPEG file>"}
    {"id": 2, "do": "nearest", "folder": ..., "count": 8} and it ->  {"id": 2, "nearest": [[17, 0.93], ...]}

A near image is named by its row of ``embeddings.npy``. What can't be done is ``{"id": 1, "refused": "the reason"}``. Libraries
are loaded by the first request that needs them.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipekit.commands.serve import Wanted
from pipekit.commands.serve_process import frames_of, read_frame, write_frame
from pipekit.errors import PipekitError


def answer(wanted: Wanted, head: Mapping[str, Any], files: Sequence[bytes]) -> dict[str, Any]:
    """What one request is answered with."""
    from pipekit.commands import trying

    try:
        if head["do"] == "grad_cam":
            made = trying.grad_cam(wanted.model, files[0], head.get("about", ""), wanted.plugins, wanted.disable)
            return {"file": base64.b64encode(made).decode()}
        return {"nearest": trying.nearest(Path(head["folder"]), files[0], head["count"], wanted.plugins, wanted.disable)}
    except PipekitError as error:
        return {"refused": str(error)}
    except Exception as error:  # whatever a library does wrong with this model: the next request may succeed
        return {"refused": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answer frames until the input ends, one after another."""
    source, out = frames_of()
    first = read_frame(source)
    if first is None:
        return
    wanted = Wanted.of(first[0])
    os.environ.pop("PIPEKIT_STORE", None)  # an explanation is made in a store that is deleted after it
    write_frame(out, {"ready": {}})
    while (frame := read_frame(source)) is not None:
        write_frame(out, {"id": frame[0]["id"], **answer(wanted, *frame)})
    os._exit(0)  # threads of a runtime may wait for ever


if __name__ == "__main__":
    main()
