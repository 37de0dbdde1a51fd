"""URLs where a path is taken: `s3://bucket/photos` is read from its local copy, and shown to people as the URL that it is.

The copy of ``s3://bucket/photos/cat/1.jpg`` is ``<cache>/s3/bucket/photos/cat/1.jpg``, so either name follows from the other.
:mod:`pipekit.files.remote` makes the copies; it is loaded, and fsspec with it, when the first URL is met.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from pipekit import errors
from pipekit.errors import UserError

CACHE = "PIPEKIT_REMOTE_CACHE"
"""The environment variable that names the folder of the copies."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/+)(?=[^/])")
"""A scheme has at least two letters: `C:/photos` is a path of Windows."""

_LOCAL = ("file", "local")

_ANY_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]+:/{1,2}[^\s\"'<>]+")

_SECRET = re.compile(
    r"x-(amz|goog|oss|ms)-.*|signature|sig|awsaccesskeyid|googleaccessid|expires|policy|key-pair-id|s[eprtv]|sk[etsv]|skoid|sktid"
    r"|.*(token|key|secret|passw|auth|credential|session).*",
    re.IGNORECASE,
)
"""Parameters of a query that give access: of presigned URLs (S3, Google, Azure), and what else is called a key or a token."""

on_fetch: Callable[[str], AbstractContextManager[Callable[[int, int], None]]] | None = None
"""Given what is fetched, a context that receives the number of files fetched and of all: the command line shows progress."""


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL, also one that was a ``Path``, which keeps one of two slashes.

    >>> is_url("s3://bucket/photos"), is_url(Path("s3://bucket/photos")), is_url("photos"), is_url("C:/photos")
    (True, True, False, False)
    """
    found = _URL.match(os.fspath(path))
    return found is not None and (len(found[2]) > 1 or not os.path.lexists(f"{found[1]}:"))


def located(path: str | os.PathLike[str]) -> Path:
    """The path on this machine of what a person names: of a URL the local copy, which is first made or brought up to date.

    Raises:
        UserError: the URL can't be read, or what reads it is not installed.
    """
    from pipekit.files import expanded

    if not is_url(path):
        return expanded(path)
    text = _with_two_slashes(os.fspath(path))
    scheme, _, rest = text.partition("://")
    if scheme in _LOCAL:
        return Path(rest if os.name == "nt" else f"/{rest}")
    from pipekit.files import remote

    return remote.fetched(text)


def _with_two_slashes(url: str) -> str:
    scheme, _, rest = url.partition(":/")
    return f"{scheme.lower()}://{rest.lstrip('/')}"


def without_secrets(url: str) -> str:
    """A URL without what gives access: user and password, and the signature in its query.

    >>> without_secrets("https://me:pw@host/a.zip?X-Amz-Signature=12&part=1")
    'https://host/a.zip?part=1'
    """
    scheme, slashes, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    host, slash, path = rest.partition("/")
    kept = [one for one in query.split("&") if one and not _SECRET.fullmatch(one.partition("=")[0])]
    # In hf://datasets/user/name@main the @ stands behind the first slash: only the host has a user.
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}{'?' if kept else ''}{'&'.join(kept)}"


def text_without_secrets(text: str) -> str:
    """A text, such as a pipeline file or a library's message, with :func:`without_secrets` applied to each URL."""
    return _ANY_URL.sub(lambda found: without_secrets(found[0]) if "://" in found[0] else found[0], text)


def cache_root() -> Path:
    """The folder of the local copies: of this user, not of a project."""
    chosen = os.environ.get(CACHE)
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))  # noqa: PTH111
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(cache, "pipekit", "remote")


def is_copy(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a local copy of something remote."""
    return os.fspath(path).startswith(f"{cache_root()}{os.sep}")


def shown(text: str | os.PathLike[str]) -> str:
    """A text for people: paths of local copies in it become URLs again."""
    text = os.fspath(text)
    root = f"{cache_root()}{os.sep}"
    if root not in text:
        return text
    return re.sub(rf"{re.escape(root)}([a-z][a-z0-9+.-]+)[/\\]", r"\1://", text)


def refuse_url(path: str | os.PathLike[str], what: str) -> None:
    """Raise if an output path is a URL."""
    if is_url(path):
        raise UserError(
            f"{what} can't be a URL: {without_secrets(_with_two_slashes(os.fspath(path)))}",
            "Give a folder of this machine, and upload it when it is written.",
        )


def name_urls_in_errors() -> None:
    """From now on, errors name URLs instead of the paths of their local copies."""
    errors.as_shown = shown
