"""Which importer reads a folder or file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipekit.errors import UserError
from pipekit.registry import Registry

GENERAL = ("names", "folders")
"""Importers that fit almost any folder of images: taken, in this order, when nothing more exact fits."""


@dataclass(frozen=True, slots=True)
class Match:
    """An importer that recognised something, and by what."""

    importer: str
    reason: str


def matches(registry: Registry, path: Path) -> list[Match]:
    """Every importer that recognises ``path``, the most exact first. One whose ``sniff`` fails does not recognise it."""
    found = []
    for component in registry.components("importer"):
        try:
            reason = component.load().sniff(path)
        except Exception:  # a plugin's mistake must not hide what the others say
            continue
        if reason:
            found.append(Match(component.name, str(reason)))
    return sorted(found, key=lambda match: GENERAL.index(match.importer) if match.importer in GENERAL else -1)


def recognise(registry: Registry, path: Path) -> Match:
    """The importer for ``path``.

    Raises:
        UserError: there is none, or several that are equally exact.
    """
    if not path.exists():
        raise UserError(f"no such file or folder: {path}")
    found = matches(registry, path)
    exact = [match for match in found if match.importer not in GENERAL]
    if len(exact) > 1:
        said = "; ".join(f"{match.importer} ({match.reason})" for match in exact)
        raise UserError(f"{path} can be read in more than one way: {said}", "Say which: --format NAME")
    if not found:
        tried = ", ".join(component.name for component in registry.components("importer"))
        raise UserError(
            f"no importer recognises {path}", f"Tried: {tried}. `pipekit components importer` says what each reads."
        )
    return found[0]
