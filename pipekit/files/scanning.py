"""A scan of a large tree by two processes, kept for whoever scans the same tree next in this process.

``pipekit run`` compares the states of all source files before it loads anything else. If one of them differs, the run needs
the same states again a moment later.
"""

from __future__ import annotations

import marshal
import os
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from pipekit.files import trees
from pipekit.files.trees import Listing, TreeState, stats_of

KEPT_FILES = 250_000
"""Maximum number of files of a scan that is kept: 25 MB."""

KEPT_S = 10.0
"""Maximum age of a scan that a run takes over."""

MAX_FOLDERS = 8_000
"""Maximum number of folders that two processes share: their numbers fit into a pipe."""

Scan: TypeAlias = list[tuple[str, Listing]]

_NUMBER = struct.Struct("=i")

_kept: dict[str, tuple[int, Scan]] = {}
"""The root of a tree -> when its scan began, in ns since 1970, and what it has found."""


def kept_tree_state(root: str) -> str:
    """:func:`pipekit.files.tree_state` of a path; what the scan of a folder finds is kept for :func:`kept_scan`."""
    if not os.path.isdir(root):  # noqa: PTH112
        return trees.file_state(root)
    began, found, state = time.time_ns(), _scan(root), TreeState()
    for folder, listing in found:
        state.add(folder[len(root) :], listing, stats_of(listing.names, listing.states) if listing.names else "")
    if sum(len(listing.names) for _, listing in found) <= KEPT_FILES:
        _kept[root] = began, found
    return state.digest


def kept_scan(root: Path) -> Iterator[tuple[str, Listing]]:
    """What :func:`pipekit.files.scan` yields; a scan that was kept serves once."""
    _, found = _kept.pop(str(root), (0, None))
    return trees.scan(root) if found is None else iter(found)


def scanned_since_ns() -> int:
    """When the oldest scan that is kept began, in ns since 1970, and now if there is none; scans that are too old are dropped.

    A run that may take them over has begun at that time.
    """
    now = time.time_ns()
    for root, (began, _) in list(_kept.items()):
        if not 0 <= now - began < KEPT_S * 1e9:
            del _kept[root]
    return min((began for began, _ in _kept.values()), default=now)


def drop_scans() -> None:
    """Keep no scan any longer."""
    _kept.clear()


def _scan(root: str) -> Scan:
    """What :func:`pipekit.files.scan` yields, by two processes where that is possible."""
    seen: set[tuple[int, int]] = set()
    top = next(trees.scan_below(root, [root], seen), None)
    if top is None:
        return []
    below = [os.path.join(root, name) for name in trees.folders_in(Path(root))]  # noqa: PTH118
    rest = _by_two(root, below, seen) if _may_fork() and 2 <= len(below) <= MAX_FOLDERS else None
    return [top, *(trees.scan_below(root, below, seen) if rest is None else rest)]


# --- two processes -------------------------------------------------------------------------------------------------------


def _may_fork() -> bool:
    """Whether a process that only reads folders may be forked: threads of this one could hold locks."""
    threading = sys.modules.get("threading")
    return sys.platform.startswith("linux") and (os.cpu_count() or 1) > 1 and (not threading or threading.active_count() == 1)


Share: TypeAlias = dict[int, tuple[Scan, set[tuple[int, int]]]]
"""What one process has found: by the number of the folder, its scan, and the real folders in it."""


def _by_two(root: str, below: Sequence[str], seen: set[tuple[int, int]]) -> Scan | None:
    """The scan of folders, which this process and a forked one take in turn; None if it must be done by one.

    The forked process only reads folders. If it is killed, this one scans again; if this one is killed, it ends at its pipe.
    """
    numbers, waiting = os.pipe()
    os.write(waiting, b"".join(map(_NUMBER.pack, range(len(below)))))
    os.close(waiting)
    result, out = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(result)
            with os.fdopen(out, "wb") as file:
                file.write(_packed(_share(root, below, seen, numbers)))
            code = 0
        finally:
            os._exit(code)
    os.close(out)
    try:
        with os.fdopen(result, "rb") as file:
            shares = _share(root, below, seen, numbers)
            data = file.read()
    finally:
        os.close(numbers)
        _, status = os.waitpid(child, 0)
    if status:
        return None
    shares |= _unpacked(data)
    real = [folder for _, folders in shares.values() for folder in folders]
    if len(shares) < len(below) or len({*real, *seen}) < len(real) + len(seen):  # a link leads from one share to the other
        return None
    return [found for number in range(len(below)) for found in shares[number][0]]


def _share(root: str, below: Sequence[str], seen: set[tuple[int, int]], numbers: int) -> Share:
    """Scan folders as long as their numbers come out of a pipe; reading one is atomic."""
    found: Share = {}
    while data := os.read(numbers, _NUMBER.size):
        (number,) = _NUMBER.unpack(data)
        inside = set(seen)
        scan = list(trees.scan_below(root, [below[number]], inside))
        found[number] = scan, inside - seen
    return found


def _packed(share: Share) -> bytes:
    """A share as bytes, with what :mod:`pipekit.files.trees` has noted of its folders."""
    plain = {
        number: (
            [(folder, one.names, one.states, one.gone, one.settled_ns, trees.noted(folder)) for folder, one in scan],
            list(folders),
        )
        for number, (scan, folders) in share.items()
    }
    return marshal.dumps(plain)


def _unpacked(data: bytes) -> Share:
    found: Share = {}
    for number, (scan, folders) in marshal.loads(data).items():
        for folder, *_, noted in scan:
            if noted is not None:
                trees.note(folder, *noted)
        found[number] = [(folder, Listing(*values)) for folder, *values, _ in scan], set(folders)
    return found
