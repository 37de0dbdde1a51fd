"""The JSON Schema of the pipeline file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipekit.commands.working import registry_with
from pipekit.files import write_text


def schema(
    out: str | Path | None = None, *, plugins: Sequence[str] | None = (), disable: Sequence[str] | None = ()
) -> dict[str, Any]:
    """The JSON Schema of the pipeline file, with every stage, op, model and parameter of the plugins that are installed here.

    Args:
        out: write it there, too.
        plugins: plugins to load: files or modules.
        disable: names of plugins to leave out.

    Example:
        >>> import pipekit
        >>> pipekit.schema()["title"]  # doctest: +SKIP
        'A pipekit pipeline'
    """
    from pipekit.pipeline.json_schema import json_schema

    found = json_schema(registry_with(plugins, disable))
    if out is not None:
        write_text(Path(out), json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return found
