"""The verb ``sniff``: detect the importer that reads a folder or file, and why the others do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipekit.commands.working import registry_with
from pipekit.errors import UserError
from pipekit.files.urls import located
from pipekit.registry.sniffing import Verdict, choose, verdicts


@dataclass(frozen=True)
class Sniffed:
    """Which importer reads a path.

    Attributes:
        importer: its name, or "" where none fits, or several fit equally well.
        verdicts: what every importer says, those that read it first.
        problem: why ``importer`` is "", with a hint; else None.
    """

    importer: str
    verdicts: tuple[Verdict, ...]
    problem: UserError | None = None


def sniff(path: str | Path, *, plugins: Sequence[str] = (), disable: Sequence[str] = ()) -> Sniffed:
    """Detect the dataset format of a folder or file, with the reason, and why the other formats were rejected.

    The answer is the one that ``inspect``, ``train`` and ``scaffold`` go by.

    Args:
        path: a folder or a file.
        plugins: plugin files or modules to load in addition.
        disable: plugins to leave out.

    Raises:
        UserError: there is no such path.

    Example:
        >>> import pipekit
        >>> pipekit.sniff("photos").importer  # doctest: +SKIP
        'folders'
    """
    registry = registry_with(plugins, disable)
    place = located(path)  # after the plugins, which may bring the protocol of a URL
    found = verdicts(registry, place)
    try:
        return Sniffed(choose(registry, place, found).importer, tuple(found))
    except UserError as error:
        return Sniffed("", tuple(found), error)
