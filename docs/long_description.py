"""README as a package index shows it: a hook of the build, by which no picture or link of a distribution leads nowhere.

An index shows README without the files beside it. The address at which the files of a release can be read is given to the
build: ``make release VERSION=0.2.0 FILES=https://…`` (environment variable ``PIPEKIT_FILES``), and pictures and links lead
there. Without an address pictures become their text, and links to files become plain words.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

VARIABLE = "PIPEKIT_FILES"
_TWO_PICTURES = re.compile(r"<picture>.*?(<img alt=\"([^\"]*)\" src=\"([^\"]*)\">).*?</picture>", re.DOTALL)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|`[^`]*`)*)\]\((?!\w+:|#)([^()\s]+)\)")


def for_index(text: str, files: str) -> str:
    """README for a package index.

    Args:
        files: the address of the folder with the files of the release, or "" if there is none.

    Raises:
        ValueError: the address does not begin with ``https://``.
    """
    if files and not files.startswith("https://"):
        raise ValueError(
            f"{VARIABLE}={files!r}: expected an address that begins with https://, such as https://example.org/v1/"
        )
    base = f"{files.rstrip('/')}/" if files else ""
    text = _TWO_PICTURES.sub(lambda found: f"![{found[2]}]({found[3]})", text)  # an index has no dark pages
    blocks = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(one if one.startswith("```") else _LINK.sub(lambda found: _at(found, base), one) for one in blocks)


def _at(found: re.Match[str], base: str) -> str:
    is_picture, words, place = found.groups()
    if base:
        return f"{is_picture}[{words}]({base}{place})"
    return f"*[Picture: {words}]*" if is_picture else words


class ReadmeHook(MetadataHookInterface):
    """Sets the field ``readme`` of the project."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text("utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_index(text, os.environ.get(VARIABLE, ""))}
