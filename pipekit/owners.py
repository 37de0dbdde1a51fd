"""Owners of files and folders: names that contain the process and the machine, and whether that process still lives."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
import uuid
from pathlib import Path

TMP_KEPT_S = 7 * 24 * 3600
"""Files of other machines that share the store are not touched for a week: nothing says whether they are in use."""


def new_owner() -> str:
    """A unique name: ``<process>@<machine>-<random>``."""
    return f"{os.getpid()}@{_machine()}-{uuid.uuid4().hex[:12]}"


PROC = Path("/proc")

CAN_ASK = os.name == "posix"
"""Whether a signal 0 asks if a process lives. On Windows it would end the process."""

OWNED = "pipekit."
"""The prefix of pipekit's names in folders that are not its own."""


def owned_prefix() -> str:
    """The prefix of this process's names in a folder for temporary files. The next run removes what a killed process left."""
    return f"{OWNED}{os.getpid()}@{_machine()}-"


def is_abandoned(path: Path, now: float | None = None) -> bool:
    """Whether the process that a file or folder is named after is gone. A live process may train for days without touching it.

    The owner is the whole name, or what follows its last dot: ``.copies.<owner>``.
    """
    pid, _, machine = path.name.rpartition(".")[2].partition("-")[0].partition("@")
    if pid.isdigit() and machine == _machine() and (CAN_ASK or (PROC / "self").exists()):
        return not _is_alive(pid)
    try:
        return (time.time() if now is None else now) - path.stat().st_mtime > TMP_KEPT_S
    except OSError:
        return False


def remove_abandoned(folder: Path, pattern: str = "*") -> None:
    """Remove the files and folders in a folder that killed processes left unfinished."""
    now = time.time()
    for path in list(folder.glob(pattern)):
        if is_abandoned(path, now):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def _machine() -> str:
    return socket.gethostname().replace("-", "_").replace(".", "_").replace(os.sep, "_")


def _is_alive(pid: str) -> bool:
    """Whether a process runs; a zombie, which has ended but whose parent has not waited for it, does not."""
    if not (PROC / "self").exists():
        return _answers(int(pid))
    try:
        return (PROC / pid / "stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return False


def _answers(pid: int) -> bool:
    """Whether a process can be sent a signal (macOS)."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True
