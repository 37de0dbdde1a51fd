"""Local copies of what URLs name: listed in each run, fetched where the listing says that an object has changed.

fsspec reads the stores: ``s3://``, ``gs://``, ``https://``, ``hf://`` and every other protocol that it knows. A store's listing
has an etag, or at least a time, for each object. ``index.sqlite`` in the cache's folder holds those of the copies, so that an
object is fetched once, whichever runs and projects read it. Copies are complete files under the names that they have in the
store, so that a dataset has the same digest as on the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pipekit.errors import UserError, did_you_mean
from pipekit.files import urls
from pipekit.files.urls import cache_root, text_without_secrets, without_secrets
from pipekit.owners import new_owner, remove_abandoned

LIMIT = "PIPEKIT_REMOTE_GB"
"""The environment variable that limits the size of the cache."""

LIMIT_GB = 50.0

FETCHERS = 16
"""Objects that are fetched at once: a store answers in tens of milliseconds, whatever an object's size."""

TRIES = 3

FRESH_S = 5.0
"""A listing counts as current for so long within a process, and for as long as it took: a command asks several times."""

PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "hf": "huggingface_hub",
    "az": "adlfs",
    "abfs": "adlfs",
    "sftp": "paramiko",
}
"""What fsspec needs for a protocol, by the name with which it is installed."""

WITH_EXTRA = ("s3", "http", "https")
"""Protocols whose packages the extra ``remote`` installs."""

SAME = {"s3a": "s3", "gcs": "gs", "abfs": "az", "ssh": "sftp"}
"""Other names of a protocol."""

ETAGS = ("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "Digest", "blob_id", "sha256", "checksum", "generation")
TIMES = ("LastModified", "Last-Modified", "last_modified", "updated", "mtime", "modified", "created")


@dataclass(frozen=True, slots=True)
class Remote:
    """An object of a store.

    Attributes:
        name: what the store calls it.
        identity: its etag, or else its time; "" if the store gives neither, so that it is fetched in every run.
        size_bytes: -1 if the store does not say.
    """

    name: str
    identity: str
    size_bytes: int


_fresh: dict[str, tuple[float, Path]] = {}
"""URLs that this process has brought up to date, until when that holds, and their copies."""

_users_file: list[Path] = []
"""The file in which this process lists the sources that it uses; at most one."""


def fetched(url: str) -> Path:
    """The local copy of what a URL names, brought up to date.

    Raises:
        UserError: it can't be read, is not there, or is larger than the cache or the disk; or a package is missing.
    """
    until, known = _fresh.get(url, (0.0, Path()))
    if time.monotonic() < until and known.exists():
        return known
    began = time.monotonic()
    urls.name_urls_in_errors()
    root, name = cache_root(), without_secrets(url)
    place = place_of(url)
    system, address = _opened(url)
    objects = _listed(system, address, url)
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)  # what only this user may read in the store
        for left in ("tmp", "users"):
            remove_abandoned(root / left)
        with _index(root) as index:
            _note_use(root, place)
            stale, gone = index.compared(place, objects, root)
            for path in gone:
                _remove(root, path)
            index.forget(gone)
            if stale:
                _make_room(root, index, place, name, objects, stale)
                index.add((path, "", 0) for path in stale)  # known, should the process die between a copy and its row
                _fetch(system, root, index, name, {path: objects[path] for path in stale})
            index.used(place, name)
    except (OSError, sqlite3.Error) as error:
        raise UserError(
            f"the cache of remote files in {root} can't be used: {error}", f"Choose another: {urls.CACHE}=FOLDER"
        ) from error
    made = root / place
    _fresh[url] = (time.monotonic() + max(FRESH_S, time.monotonic() - began), made)
    return made


def place_of(url: str) -> str:
    """The path of a URL's copy below the cache's folder.

    >>> place_of("s3a://bucket/photos/"), place_of("https://me:pw@host/my%20photos.zip")
    ('s3/bucket/photos', 'https/host/my photos.zip')
    """
    scheme, _, rest = without_secrets(url).partition("://")
    web = scheme in ("http", "https")
    rest, _, query = rest.partition("#")[0].partition("?") if web else (rest, "", "")
    parts = [unquote(part) if web else part for part in rest.rstrip("/").split("/")]
    if "::" in url:
        raise UserError(f"{without_secrets(url)} chains URLs, which is not supported", "Give the URL of the files themselves.")
    if not parts[0]:
        raise UserError(f"{without_secrets(url)} names no bucket or host")
    _check_names("/".join(parts), url)
    if query:  # two queries are two sources; the last name stays, since readers go by it
        parts.insert(len(parts) - 1, f"@{hashlib.sha256(query.encode()).hexdigest()[:12]}")
    return "/".join([SAME.get(scheme, scheme), *parts])


def _check_names(path: str, url: str) -> None:
    """Raise for a name of an object that can't be a path on a disk, or would lead out of the copy's folder."""
    bad = ("\\", ":") if os.name == "nt" else ()
    parts = path.split("/")
    if (
        any(part in ("", ".", "..") for part in parts)
        or "\0" in path
        or any(sign in part for sign in bad for part in parts[1:])
    ):
        raise UserError(
            f"an object of {without_secrets(url)} can't be a file on this disk by its name: {path!r}",
            "Rename it in the store, or give a folder that does not hold it.",
        )


# --- the store -----------------------------------------------------------------------------------------------------------


def _opened(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and what that calls the URL."""
    scheme = url.partition("://")[0]
    try:
        import fsspec
    except ImportError:
        also = "" if scheme in WITH_EXTRA else f" {PACKAGES.get(scheme, '')}".rstrip()
        raise UserError(
            f"{without_secrets(url)} is a URL, and fsspec, which reads URLs, is not installed",
            f"Install it: pip install 'pipekit-vision[remote]'{also}",
        ) from None
    try:
        system, address = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = PACKAGES.get(scheme, "")
        hint = f"Install it: pip install {package}" if package else str(error)
        hint = "Install it: pip install 'pipekit-vision[remote]'" if scheme in WITH_EXTRA else hint
        raise UserError(f"{without_secrets(url)}: the package for {scheme}:// is not installed", hint) from error
    except ValueError as error:
        near = did_you_mean(scheme, sorted(PACKAGES))
        raise UserError(
            f"{without_secrets(url)}: fsspec knows no protocol {scheme}://",
            near or "Known are, among others, s3://, gs://, https:// and hf://",
        ) from error
    except Exception as error:
        raise _failed(url, error) from error
    return system, str(address)


def _listed(system: Any, address: str, url: str) -> dict[str, Remote]:
    """The objects of a URL by the path of their copies below the cache's folder: of a folder all below it, else one."""
    place, web = place_of(url), url.startswith("http")
    try:
        system.invalidate_cache()
        is_folder = url.endswith("/") if web else None  # of a web server nothing else says it
        if not is_folder:
            about = system.info(address)
            is_folder = about["type"] == "directory"
        if not is_folder:
            return {place: _object(about, address)}
        found, base = {}, address.rstrip("/")
        for name, about in system.find(base + "/" if web else base, detail=True).items():
            below = str(name)[len(base) :].removeprefix("/")
            if about.get("type") == "directory" or not below or below.endswith("/") or (web and "?" in below):
                continue  # a marker of an empty folder; a link that sorts the page
            path = f"{place}/{unquote(below) if web else below}"
            _check_names(path, url)
            found[path] = _object(about, str(name))
        if web and not found:
            system.ls(address)  # fsspec's find says of no failure; this raises what it was: an unknown host, a certificate
        if web:
            found = _asked(system, found)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"no such file or folder: {without_secrets(url)}") from error
    except Exception as error:
        raise _failed(url, error) from error
    if not found:
        raise UserError(f"no such file or folder, or an empty one: {without_secrets(url)}")
    both = next((path for path in found if any(f"{parent}" in found for parent in _above(path, place))), "")
    if both:
        raise UserError(
            f"{without_secrets(url)} has an object and a folder of the same name, above {both.removeprefix(place + '/')!r}",
            "A disk can't have both: rename one of them, or give a folder that does not hold both.",
        )
    return found


def _above(path: str, place: str) -> Iterator[str]:
    """The folders of a path below ``place``."""
    while len(path := path.rpartition("/")[0]) > len(place):
        yield path


def _asked(system: Any, found: Mapping[str, Remote]) -> dict[str, Remote]:
    """The same objects with what a web server says of each: a page that lists files has no etags."""
    with ThreadPoolExecutor(FETCHERS) as pool:
        abouts = list(pool.map(lambda one: system.info(one.name), found.values()))
    return {path: _object(about, one.name) for (path, one), about in zip(found.items(), abouts, strict=True)}


def _object(about: Mapping[str, Any], name: str) -> Remote:
    size = about.get("size")
    tag = next((f"{field} {about[field]}" for field in (*ETAGS, *TIMES) if about.get(field) not in (None, "")), "")
    return Remote(name, tag, -1 if size is None else int(size))


def _failed(url: str, error: Exception) -> UserError:
    """The error of a store, without what gives access to it."""
    what = text_without_secrets(f"{type(error).__name__}: {error}".rstrip(": "))
    hint = "Is the machine online, and is the address right?"
    if isinstance(error, PermissionError) or "credential" in what.lower() or "denied" in what.lower():
        hint = (
            "Give access as the store's own tools take it; for S3: AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY. For a public bucket: FSSPEC_S3_ANON=true"
        )
    return UserError(f"{without_secrets(url)} can't be read: {what}", hint)


# --- the copies ----------------------------------------------------------------------------------------------------------


class _Index:
    """What the cache holds: for each copy the identity of the object that it is of, and when a source was last used."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        db.execute("CREATE TABLE IF NOT EXISTS copies (path TEXT PRIMARY KEY, identity TEXT, size_bytes INTEGER) WITHOUT ROWID")
        db.execute("CREATE TABLE IF NOT EXISTS sources (place TEXT PRIMARY KEY, url TEXT, used REAL) WITHOUT ROWID")

    def below(self, place: str) -> Iterator[tuple[str, str, int]]:
        wanted = "SELECT path, identity, size_bytes FROM copies WHERE path = ? OR (path > ? AND path < ?)"
        yield from self.db.execute(wanted, (place, f"{place}/", f"{place}0"))  # "0" follows "/"

    def compared(self, place: str, objects: Mapping[str, Remote], root: Path) -> tuple[list[str], list[str]]:
        """The paths of objects without a current copy, and those of copies whose objects are gone."""
        known = {path: (identity, size) for path, identity, size in self.below(place)}
        stale = [
            path for path, one in objects.items() if not one.identity or not _is_current(root / path, one, known.get(path))
        ]
        return stale, [path for path in known if path not in objects]

    def forget(self, paths: Iterable[str]) -> None:
        with self.db:
            self.db.executemany("DELETE FROM copies WHERE path = ?", ((path,) for path in paths))

    def add(self, made: Iterable[tuple[str, str, int]]) -> None:
        with self.db:
            self.db.executemany("INSERT OR REPLACE INTO copies VALUES (?, ?, ?)", made)

    def used(self, place: str, url: str) -> None:
        with self.db:
            self.db.execute("INSERT OR REPLACE INTO sources VALUES (?, ?, ?)", (place, url, time.time()))

    def size_bytes(self) -> int:
        return int(self.db.execute("SELECT COALESCE(SUM(size_bytes), 0) FROM copies").fetchone()[0])

    def oldest_first(self) -> list[str]:
        return [place for (place,) in self.db.execute("SELECT place FROM sources ORDER BY used")]

    def drop(self, place: str) -> None:
        with self.db:
            self.db.execute("DELETE FROM sources WHERE place = ?", (place,))


@contextlib.contextmanager
def _index(root: Path) -> Iterator[_Index]:
    with contextlib.closing(sqlite3.connect(root / "index.sqlite", timeout=60)) as db:
        yield _Index(db)


def _is_current(path: Path, one: Remote, known: tuple[str, int] | None) -> bool:
    if known is None or known[0] != one.identity:
        return False
    try:
        return path.stat().st_size == known[1]
    except OSError:
        return False


def _fetch(system: Any, root: Path, index: _Index, url: str, wanted: Mapping[str, Remote]) -> None:
    """Fetch objects in parallel; those that are complete stay, whatever comes, so that the next run continues from there."""
    scratch = root / "tmp" / new_owner()
    scratch.mkdir(parents=True)
    total = sum(max(one.size_bytes, 0) for one in wanted.values())
    what = f"{url}: {len(wanted):,} file{'s' * (len(wanted) != 1)}, {total / 1e6:,.1f} MB"
    watched = contextlib.nullcontext(lambda done, of: None) if urls.on_fetch is None else urls.on_fetch(what)
    todo, numbers, done = iter(wanted.items()), itertools.count(), 0
    try:
        with watched as report, ThreadPoolExecutor(FETCHERS) as pool:
            running: set[Any] = set()
            try:
                while True:
                    for path, one in itertools.islice(todo, 2 * FETCHERS - len(running)):
                        running.add(pool.submit(_fetch_one, system, one, root / path, scratch / str(next(numbers)), path))
                    if not running:
                        break
                    finished, running = wait(running, return_when=FIRST_COMPLETED)
                    made = [future.result() for future in finished if future.exception() is None]
                    index.add(made)
                    done += len(made)
                    report(done, len(wanted))
                    for future in finished:
                        future.result()
            finally:
                pool.shutdown(cancel_futures=True)
                index.add(one.result() for one in running if not one.cancelled() and one.exception() is None)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fetch_one(system: Any, one: Remote, target: Path, scratch: Path, path: str) -> tuple[str, str, int]:
    """Fetch one object; its copy appears whole, also after a power cut, and can't be written to."""
    for left in reversed(range(TRIES)):
        try:
            system.get_file(one.name, str(scratch))
            size = scratch.stat().st_size
            if one.size_bytes not in (-1, size):
                raise OSError(f"{size:,} bytes came, and the listing has {one.size_bytes:,}")
            break
        except Exception as error:
            if not left or isinstance(error, PermissionError):
                what = text_without_secrets(f"{type(error).__name__}: {error}".rstrip(": "))
                raise UserError(
                    f"{urls.shown(target)} could not be fetched: {what}",
                    "What has been fetched is kept: run the same command again.",
                ) from error
    with scratch.open("r+b") as copy:  # else a power cut could leave a copy of the right size without its bytes
        os.fsync(copy.fileno())
    if os.name != "nt":
        scratch.chmod(0o444)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch.replace(target)
    return path, one.identity, size


def _remove(root: Path, path: str) -> None:
    """Remove a copy, and the folders that are empty without it."""
    (root / path).unlink(missing_ok=True)
    for parent in (root / path).parents:
        if parent == root:
            break
        try:
            parent.rmdir()
        except OSError:
            break


# --- the size of the cache -----------------------------------------------------------------------------------------------


def limit_bytes() -> int:
    """The largest size of the cache.

    Raises:
        UserError: the environment variable is not a number of gigabytes.
    """
    text = os.environ.get(LIMIT) or str(LIMIT_GB)
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not 0 < limit < float("inf"):
        raise UserError(f"{LIMIT} = {text!r} is not a number of gigabytes above 0")
    return int(limit * 1e9)


def kept() -> tuple[int, int]:
    """The size of the cache in bytes, and its number of sources."""
    root = cache_root()
    if not (root / "index.sqlite").is_file():
        return 0, 0
    with _index(root) as index:
        return index.size_bytes(), len(index.oldest_first())


def _make_room(root: Path, index: _Index, place: str, url: str, objects: Mapping[str, Remote], stale: Iterable[str]) -> None:
    """Remove the copies of the sources that were not used for longest, none that a living process uses.

    Raises:
        UserError: the objects don't fit into the cache, or onto the disk.
    """
    limit, need = limit_bytes(), sum(max(objects[path].size_bytes, 0) for path in stale)
    all_bytes = sum(max(one.size_bytes, 0) for one in objects.values())
    if all_bytes > limit:
        raise UserError(
            f"{url} has {all_bytes / 1e9:,.2f} GB, and the cache of remote files may have {limit / 1e9:,.2f} GB",
            f"Read a part of it, or raise the limit: {LIMIT}={max(1, round(1.2 * all_bytes / 1e9))}",
        )
    in_use = {place, *_used_now(root)}
    for old in index.oldest_first():
        if index.size_bytes() + need <= limit:
            break
        if not any(_overlap(old, one) for one in in_use):
            paths = [path for path, _, _ in index.below(old)]
            for path in paths:
                _remove(root, path)
            index.forget(paths)
            index.drop(old)
    free = shutil.disk_usage(root).free
    if need > free:
        raise UserError(
            f"{url} has {need / 1e9:,.2f} GB to fetch, and {root} has {free / 1e9:,.2f} GB free",
            f"Make room, or choose another disk: {urls.CACHE}=FOLDER",
        )


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _note_use(root: Path, place: str) -> None:
    """List a source in this process's file of those that it uses."""
    (root / "users").mkdir(exist_ok=True)  # a person may have deleted the cache
    if not _users_file or _users_file[0].parent != root / "users":
        _users_file[:] = [root / "users" / new_owner()]
    with open(_users_file[0], "a", encoding="utf-8") as file:
        file.write(f"{place}\n")


def _used_now(root: Path) -> set[str]:
    """The sources that living processes use; :func:`remove_abandoned` has removed the files of the others."""
    found: set[str] = set()
    for file in (root / "users").iterdir():
        with contextlib.suppress(OSError):
            found.update(file.read_text("utf-8").splitlines())
    return found
