"""Exceptions and exit codes: every error says what happened, where, and what to do next.

Every error that a user can cause or fix is a :class:`PipekitError`. The command line prints it in three short parts without
a traceback and exits with its ``exit_code``. Any other exception is a bug in pipekit or in a plugin.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

EXIT_FAILED = 1
"""A stage failed; finished work is kept."""
EXIT_USAGE = 2
"""The user's input was invalid; nothing ran."""
EXIT_INTERRUPTED = 130
"""Interrupted by Ctrl-C: 128 + SIGINT, as in shells."""


as_shown: Callable[[str], str] | None = None
"""Applied to the texts of errors: where a run reads URLs, it names them instead of the paths of local copies."""


class PipekitError(Exception):
    """Base class of all errors that are shown to users.

    Args:
        message: what is wrong, in one sentence, with the expected and the actual value where both exist.
        hint: what to type or change next; may be empty.
        where: the location: a file with its line, a stage, a sample; empty if ``message`` names it already.

    >>> str(PipekitError("there is no op 'rotat'", "Did you mean 'rotate'?"))
    "there is no op 'rotat'  Did you mean 'rotate'?"
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: str, hint: str = "", where: str = "") -> None:
        if as_shown is not None:
            message, hint, where = as_shown(message), as_shown(hint), as_shown(where)
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        return "  ".join(part for part in (self.message, self.where, self.hint) if part)

    def __reduce__(self) -> tuple[type[PipekitError], tuple[str, str, str]]:
        return type(self), (self.message, self.hint, self.where)


class UserError(PipekitError):
    """Invalid input: a name, a value or a file. Nothing ran and nothing was changed."""

    exit_code = EXIT_USAGE


@dataclass(frozen=True, slots=True)
class Reading:
    """One of several ways to read a folder or file.

    Attributes:
        what: what it reads, in a few words.
        path, format, splits: the values that choose it; "" for those that stay. ``format`` may have the importer's parameters
            behind its name: ``csv:label=kind``.
    """

    what: str
    path: str = ""
    format: str = ""
    splits: str = ""

    @property
    def choice(self) -> str:
        """``--format folders --splits no``, or another path."""
        options = [f"--{name} {shlex.quote(getattr(self, name))}" for name in ("format", "splits") if getattr(self, name)]
        return " ".join([*([f"give {self.path}"] if self.path else []), *options])


ELSEWHERE = (
    "for a command without these options, import first: pipekit stage import.FORMAT --path FOLDER --name NAME, then runs/NAME."
)


class ReadingsError(UserError):
    """A folder or file can be read in several ways, and only the user knows which one is right.

    Args:
        readings: the ways, the likeliest first; the command line asks for one of them in a terminal.
        more: a further sentence of the hint.
    """

    def __init__(self, message: str, readings: Sequence[Reading], more: str = "") -> None:
        listed = "".join(f"\n    {reading.what}: {reading.choice}" for reading in readings)
        where = 'In a pipeline file these are `path`, `use = "import.FORMAT"` and `splits`;'
        super().__init__(message, f"Choose a reading:{listed}\n  {where} {ELSEWHERE} {more}".strip())
        self.readings = tuple(readings)
        self.more = more

    def __reduce__(self) -> tuple[type[ReadingsError], tuple[str, tuple[Reading, ...], str]]:  # type: ignore[override]
        return type(self), (self.message, self.readings, self.more)


class ImageError(UserError):
    """One image can't be used. ``message`` is the short reason that lists and tables show ("truncated JPEG")."""


class StageError(PipekitError):
    """A stage failed while it ran. Finished shards are kept; the same command resumes."""


class DamagedError(PipekitError):
    """A file in the store is not what was put there. The engine moves its folder aside and makes it anew."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path} is damaged: {problem}", "Find all damage: pipekit verify")
        self.path, self.problem = path, problem

    def __reduce__(self) -> tuple[type[DamagedError], tuple[str, str]]:  # type: ignore[override]
        return type(self), (self.path, self.problem)


class PluginError(PipekitError):
    """A plugin is broken: it can't be imported, misspells a hook, or claims a name that is taken."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a pipeline file: what (`message`), where (`path` in the file, `line`), and how to fix it (`hint`)."""

    path: str
    message: str
    hint: str = ""
    line: int | None = None


class PlanError(UserError):
    """An invalid pipeline, with *all* its problems, so that you can fix them in one pass.

    Args:
        ran: the last stage that ran; its data showed the problems. "": none.
    """

    def __init__(self, problems: Sequence[Problem], file: str = "", ran: str = "") -> None:
        if as_shown is not None:
            problems = [replace(one, message=as_shown(one.message), hint=as_shown(one.hint)) for one in problems]
        count = len(problems)
        rest = f"nothing after {ran!r} was run" if ran else "nothing was run"
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in {file or 'the pipeline'}; {rest}")
        self.ran = ran
        self.problems = tuple(problems)
        self.file = file

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {p.path}: {p.message}  {p.hint}".rstrip() for p in self.problems)])

    def __reduce__(self) -> tuple[type[PlanError], tuple[tuple[Problem, ...], str, str]]:  # type: ignore[override]
        return type(self), (self.problems, self.file, self.ran)


MEMORY_HINT = (
    "Close other programs, raise the limit (`ulimit -v`, the memory of the container), or do less at once: fewer workers, a "
    "smaller batch_size."
)

LONGEST_SHOWN = 60
"""Letters at each end of a path that is too long to be shown."""


def of_the_machine(error: BaseException) -> PipekitError | None:
    """What a person should read of an error of the machine: no memory, no permission, an impossible path; None for any other.

    >>> of_the_machine(PermissionError(13, "Permission denied", "photos/cat")).message
    "permission denied: 'photos/cat'"
    """
    chain: BaseException | None = error
    seen: set[int] = set()
    while chain is not None and id(chain) not in seen:  # `raise error from error` makes a circle
        seen.add(id(chain))
        if _is_lack_of_memory(chain):
            return PipekitError("this machine, or the limit that is set for this process, has too little memory", MEMORY_HINT)
        chain = chain.__cause__ or chain.__context__
    if not isinstance(error, OSError) or error.filename is None:
        return None
    path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else str(error.filename)
    if error.errno == errno.ENAMETOOLONG:
        shown = f"{path[:LONGEST_SHOWN]} … {path[-LONGEST_SHOWN:]}" if len(path) > 2 * LONGEST_SHOWN else path
        return PipekitError(
            f"a path of {len(path):,} letters is too long for this disk: {shown}",
            "A name may usually have 255 bytes, a whole path 4,096. Is the argument a path at all?",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return PipekitError(f"permission denied: {path!r}", f"See who may read and write it: ls -ld {path!r}")
    return None


def _is_lack_of_memory(error: BaseException) -> bool:
    """Also where a library could not be loaded, or a thread could not be started."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    words: tuple[str, ...] = ("failed to map segment", "cannot allocate memory") if isinstance(error, ImportError) else ()
    words = ("can't start new thread",) if isinstance(error, RuntimeError) else words
    return any(word in str(error).lower() for word in words)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """``"Did you mean 'x'?"`` for the closest match to ``word`` among ``known``, or ``""`` if none is close.

    >>> did_you_mean("rotat", ["rotate", "shift"])
    "Did you mean 'rotate'?"
    >>> did_you_mean("xyz", ["rotate", "shift"])
    ''
    """
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=1, cutoff=0.6)
    if not near:
        folded = {name.lower(): name for name in known}
        near = [folded[m] for m in get_close_matches(word.lower(), list(folded), n=1, cutoff=0.6)]
    return f"Did you mean {near[0]!r}?" if near else ""


def place_text(place: Sequence[str | int]) -> str:
    """``("augment", 2, "op")`` as ``augment[2].op``."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
