"""Help and lists of components, kept: printed again without loading what makes them.

They depend on the installation alone: pipekit's code, plugins, distributions, Python, and the terminal. A text is kept beside
the state of all code that was loaded for it (:mod:`pipekit.engine.code_state`). Else the command runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from pipekit.cli import commands
from pipekit.cli.command_line import PATH, STARTED_NS, name_of

FOLDER = "texts"
"""The folder in the user's cache folder of pipekit."""

MAX_KEPT = 200
"""Maximum number of texts that are kept."""

HELP = ("-h", "--help")
LISTS = ("components",)
"""Commands whose output depends on the installation alone."""

ALONE = ("--json",)
"""Their options that change nothing else. With others a command may do something, or load other code."""


def is_kept(words: Sequence[str]) -> bool:
    """Whether what a command line prints depends on the installation alone."""
    if any(name.startswith("PIPEKIT_") and value for name, value in os.environ.items()) or words[0] not in commands():
        return False
    before = words[:-1] if words[-1] in HELP else words
    is_list = words[0] in LISTS and all(word in ALONE or not word.startswith("-") for word in before)
    return is_list or (len(before) < len(words) and not any(word.startswith("-") for word in before))


def answer(words: Sequence[str]) -> bool:
    """Print what was kept for a command line, if nothing has changed since; False if it must run."""
    text = read(file_of(words))
    if text is not None:
        sys.stdout.write(text)
    return text is not None


def read(file: str) -> str | None:
    """What was kept in a file, if nothing that it depends on has changed since; else None."""
    from pipekit.engine.code_state import code_state, hashed

    try:
        with open(file, encoding="utf-8", errors="surrogatepass") as stream:
            whole, _, kept = stream.read().partition("\n")
        if hashed([kept]) != whole:
            return None
        code, _, text = kept.partition("\n\n")
        if any(code_state(path) != state for state, _, path in (line.partition(" ") for line in code.split("\n"))):
            return None
    except (OSError, ValueError):  # nothing is kept, or not all of it
        return None
    return text


def keeping(words: Sequence[str], run: Callable[[], int]) -> int:
    """Run a command, and keep what it prints if it ends well and prints nothing to stderr."""
    file = file_of(words)  # now: what the command loads may change the environment
    out, err = sys.stdout, sys.stderr
    said, warned = _Tee(out), _Tee(err)
    sys.stdout, sys.stderr = said, warned
    try:
        code = run()
    finally:
        sys.stdout, sys.stderr = out, err
    if code == 0 and any(said.texts) and not any(warned.texts) and (out.encoding or "").lower().replace("-", "") == "utf8":
        from pipekit.engine.code_state import loaded_code

        keep(file, "".join(said.texts), loaded_code(plugins(), PATH))
    return code


def keep(file: str, text: str, code: Sequence[str]) -> None:
    """Keep a text beside the state of the code that it depends on; where nothing can be written, nothing is kept."""
    import tempfile

    from pipekit.engine.code_state import code_state, hashed, is_young

    try:
        if any("\n" in one or is_young(one, STARTED_NS) for one in code):
            return
        kept = "\n".join(f"{code_state(one)} {one}" for one in code) + f"\n\n{text}"
        os.makedirs(os.path.dirname(file), exist_ok=True)  # noqa: PTH103, PTH120
        with tempfile.TemporaryDirectory(dir=os.path.dirname(file), prefix=".") as scratch:  # noqa: PTH120
            made = os.path.join(scratch, "text")  # noqa: PTH118
            with open(made, "w", encoding="utf-8", errors="surrogatepass") as stream:
                stream.write(f"{hashed([kept])}\n{kept}")
            os.replace(made, file)
        _prune(os.path.dirname(file))  # noqa: PTH120
    except OSError:
        return  # it only saves time


def _prune(folder: str) -> None:
    files = sorted(
        (entry for entry in os.scandir(folder) if entry.is_file()), key=lambda entry: entry.stat().st_mtime_ns, reverse=True
    )
    for entry in files[MAX_KEPT:]:
        os.unlink(entry.path)  # noqa: PTH108


def plugins() -> list[str]:
    """Where the installed plugins that were loaded are."""
    from importlib.metadata import entry_points

    from pipekit.engine.code_state import place_of

    tops = {entry.module.partition(".")[0] for entry in entry_points(group="pipekit")}
    loaded = [module for name in tops if (module := sys.modules.get(name)) is not None and getattr(module, "__file__", None)]
    return [place_of(module) for module in loaded]


def file_of(words: Sequence[str]) -> str:
    """The file in which what a command line prints is kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return os.path.join(cache, "pipekit", FOLDER, name_of(words))  # noqa: PTH118


class _Tee:
    """A stream that passes on what is written, and keeps it."""

    def __init__(self, stream: object) -> None:
        self._stream = stream
        self.texts: list[str] = []

    def write(self, text: str) -> int:
        written: int = self._stream.write(text)  # type: ignore[attr-defined]
        self.texts.append(text)  # only now: bytes are refused, by which a library asks what the stream takes
        return written

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
