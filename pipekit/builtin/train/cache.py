"""Cache of decoded images: in memory if they fit, else in one memory-mapped file.

Images may differ in size: those smaller than the model's input keep their size, for a recipe to warp.
"""

from __future__ import annotations

import math
import os
import shutil
import threading
import weakref
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipekit.contract import Failure
from pipekit.errors import ImageError
from pipekit.images import Image

Where = Literal["memory", "disk", "off"]

RAM_SHARE = 0.25
"""Share of the free memory that the cache may take; the model, its optimizer and everything else need the rest."""
DISK_SHARE = 0.5
"""Share of the free disk space that the cache may take."""
EXTENT_BYTES = 64 * 1024**2
"""Disk space is reserved in extents of this size."""


class Place(NamedTuple):
    """Where decoded images are cached, and the maximum number of bytes."""

    where: Where
    limit_bytes: float = math.inf


NOWHERE = Place("off")


@dataclass
class Decoded:
    """The decoded images of a list of files; an unreadable one is None and listed in ``failed``.

    Attributes:
        files: the images' paths, by position.
        ids: the images' names in ``failed``, by position.
        load: ``load(file) -> (H, W, C) uint8``, raises ImageError.
        place: the result of :func:`choose`. Images beyond its limit are read again each time.
        largest_bytes: maximum size of a decoded image; required if images are cached in a file.
        folder: for ``disk``: a private folder that survives a restart.
        shared: other processes can read the cached images, through ``pixels``.
        pixels: the file with the cached images; None if they are in this process's memory, or nothing is cached.
    """

    files: Sequence[str] | Mapping[int, str]
    ids: Sequence[str] | Mapping[int, str]
    load: Callable[[str], Image]
    place: Place = NOWHERE
    folder: Path | None = None
    largest_bytes: int = 0
    shared: bool = False
    pixels: PixelFile | None = None
    failed: dict[int, Failure] = field(default_factory=dict)
    _memory: dict[int, Image] = field(default_factory=dict, init=False, repr=False)
    _kept_bytes: int = field(default=0, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        where, limit_bytes = self.place
        if where == "disk" and self.folder is None:
            raise ValueError("a cache on disk needs a folder")
        if where == "disk" or (where == "memory" and self.shared):
            count = int(min(len(self.files), limit_bytes / self.largest_bytes))
            self.pixels = PixelFile(self.folder if where == "disk" else None, count, self.largest_bytes, self.shared)

    def image(self, position: int) -> Image | None:
        """The image at ``position``, or None if it can't be read. Do not modify it. Thread-safe."""
        if position in self.failed:
            return None
        found = self._memory.get(position) if self.pixels is None else self.pixels.get(position)
        if found is not None:
            # A copy reads sequentially, a warp at random: from memory outside the CPU's caches, copying 400 KB first takes
            # 0.06 ms and saves 0.3.
            return found.copy()
        try:
            image = self.load(self.files[position])
        except ImageError as error:
            with self._lock:
                self.failed[position] = Failure(self.ids[position], error.message, self.files[position])
            return None
        if self.pixels is not None:
            self.pixels.put(position, image)
        elif self.place.where == "memory":
            self._keep(position, image)
        return image

    def recall(self, failures: Iterable[Failure]) -> None:
        """Restore the failures of images that could not be read before a restart."""
        place = {id_: position for position, id_ in enumerate(self.ids)}
        self.failed.update({place[one.id]: one for one in failures if one.id in place})

    def _keep(self, position: int, image: Image) -> None:
        with self._lock:
            if position in self._memory or self._kept_bytes + image.nbytes > self.place.limit_bytes:
                return
            self._kept_bytes += image.nbytes
            self._memory[position] = image

    def flush(self) -> None:
        """Write the cached images to disk, so that a restart finds a consistent state."""
        if self.pixels is not None:
            self.pixels.flush()


class PixelFile:
    """Images in a memory-mapped file, each at its own fixed place; safe to use from several threads and processes.

    The file is sparse and as long as all images together; disk space is reserved as images arrive.
    """

    def __init__(self, folder: Path | None, count: int, largest_bytes: int, shared: bool = False) -> None:
        """
        Args:
            folder: where a restart finds the file; None for memory only.
            count: number of images; positions from ``count`` are not cached.
            largest_bytes: maximum size of an image; a larger one is not cached.
            shared: :meth:`address` can be passed to another process.
        """
        self.count, self.largest_bytes = count, largest_bytes
        size = max(1, count * largest_bytes)
        self._files: list[SharedMemory] = []
        self._file: Path | None = None
        self._index_file: Path | None = None
        self._full = False
        self._ready: set[int] = set()
        """Extents of the file with reserved disk space."""
        index = np.zeros((count, 3), np.int32)
        """Height, width and channels of each image; 0 if it is not cached."""
        self._crc32 = np.zeros(count, np.uint32)
        self._summed = np.zeros(count, bool)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file, self._index_file = folder / "pixels.u8", folder / "index.npy"
            known = _load_index(self._index_file) if self._file.exists() and self._file.stat().st_size == size else None
            if known is not None and known.shape == (count + 1, 4) and known[0].tolist() == [count, largest_bytes, 0, 0]:
                index, self._crc32 = known[1:, :3], known[1:, 3].astype(np.uint32)
            else:
                self._index_file.unlink(missing_ok=True)
                self._file.write_bytes(b"")
            with self._file.open("r+b") as handle:
                handle.truncate(size)
        self._pixels = self._shared(size) if self._file is None else mapped(self._file, size)
        self._index = (
            self._shared(max(1, index.nbytes))[: index.nbytes].view(np.int32).reshape(index.shape) if shared else index
        )
        self._index[:] = index
        self._drop_damaged()

    def _drop_damaged(self) -> None:
        """Forget images that an earlier process cached and that are not what it wrote: they are decoded again."""
        for position in np.flatnonzero(self._index[:, 2]).tolist():
            height, width, channels = self._index[position].tolist()
            fits = min(height, width, channels) > 0 and height * width * channels <= self.largest_bytes
            self._summed[position] = fits and self._sum(position) == self._crc32[position]
            if not self._summed[position]:
                self._index[position] = 0

    def _sum(self, position: int) -> int:
        height, width, channels = self._index[position].tolist()
        return zlib.crc32(self._view(position, (height, width, channels)).data)

    def _shared(self, size: int) -> Mapped:
        self._files.append(SharedMemory(size))
        return self._files[-1].array

    def address(self) -> Address:
        """The argument of :meth:`opened` in another process, valid while this one keeps the file."""
        pixels = str(self._file or self._files[0].path)
        return Address(pixels, str(self._files[-1].path), self.count, self.largest_bytes, self._file is not None)

    @classmethod
    def opened(cls, address: Address) -> PixelFile:
        """Open another process's file; both see each other's images."""
        made = cls.__new__(cls)
        made.count, made.largest_bytes = address.count, address.largest_bytes
        made._files, made._index_file, made._full, made._ready = [], None, False, set()
        made._file = Path(address.pixels) if address.on_disk else None
        made._pixels = mapped(address.pixels, max(1, address.count * address.largest_bytes))
        index = mapped(address.index, max(1, address.count * 12))
        made._index = index[: address.count * 12].view(np.int32).reshape(address.count, 3)
        return made

    def get(self, position: int) -> Image | None:
        if position >= self.count:
            return None
        height, width, channels = self._index[position].tolist()
        return self._view(position, (height, width, channels)) if channels else None

    def put(self, position: int, image: Image) -> None:
        """Cache an image if there is room for it."""
        if position >= self.count or image.nbytes > self.largest_bytes or not self._has_room(position):
            return
        height, width, channels = image.shape
        self._view(position, (height, width, channels))[:] = image
        self._index[position, :2] = height, width
        self._index[position, 2] = channels  # written last: once it is set, a reader sees the rest complete

    def _has_room(self, position: int) -> bool:
        """Reserve disk space for an image. A write through a memory map to a full disk would kill the process."""
        if self._file is None or self._full:
            return not self._full
        begin = position * self.largest_bytes
        for extent in range(begin // EXTENT_BYTES, (begin + self.largest_bytes - 1) // EXTENT_BYTES + 1):
            if extent not in self._ready:
                start = extent * EXTENT_BYTES
                try:
                    _allocate(self._file, start, min(EXTENT_BYTES, self._pixels.size - start))
                except OSError:
                    self._full = True
                    return False
                self._ready.add(extent)
        return True

    def _view(self, position: int, shape: tuple[int, int, int]) -> Image:
        begin = position * self.largest_bytes
        return np.asarray(self._pixels[begin : begin + math.prod(shape)]).reshape(shape)

    def flush(self) -> None:
        """Write the pixels first, then the index of the cached images, with checksums."""
        if self._index_file is None:
            return
        index = np.array(self._index)  # other threads and processes continue to add images
        for position in np.flatnonzero((index[:, 2] != 0) & ~self._summed).tolist():
            self._crc32[position], self._summed[position] = self._sum(position), True
        first = np.array([[self.count, self.largest_bytes, 0, 0]], np.int32)
        index = np.concatenate([first, np.column_stack([index, self._crc32.view(np.int32)])])
        self._pixels.flush()
        temporary = self._index_file.with_name(".index.npy")
        with temporary.open("wb") as file:
            np.save(file, index)
        temporary.replace(self._index_file)


@dataclass(frozen=True)
class Address:
    """Where another process finds a :class:`PixelFile`."""

    pixels: str
    index: str
    count: int
    largest_bytes: int
    on_disk: bool


class SharedMemory:
    """Memory that other processes can open by path; it is freed when this process ends, even if killed. Linux only."""

    def __init__(self, size: int) -> None:
        descriptor = os.memfd_create("pipekit")
        self._close = weakref.finalize(self, os.close, descriptor)
        os.ftruncate(descriptor, size)
        self.path = f"/proc/{os.getpid()}/fd/{descriptor}"
        self.array = mapped(self.path, size)


Mapped: TypeAlias = "np.memmap[Any, np.dtype[np.uint8]]"


def mapped(file: Path | str, size: int) -> Mapped:
    """The first ``size`` bytes of a file, as an array."""
    return np.memmap(file, np.uint8, "r+", shape=(size,))


def can_share() -> bool:
    """Whether this system supports :class:`SharedMemory`: some containers forbid it."""
    try:
        SharedMemory(1)
    except (AttributeError, OSError):
        return False
    return True


def _load_index(file: Path) -> NDArray[np.int32] | None:
    try:
        found = np.load(file)
    except Exception:  # NumPy parses the header as Python: damage to it raises anything
        return None
    return found if isinstance(found, np.ndarray) and found.ndim == 2 and found.dtype == np.int32 else None


def _allocate(file: Path, start: int, size: int) -> None:
    """Reserve disk space for a part of a file, if the system supports it."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as handle:
            os.posix_fallocate(handle.fileno(), start, size)


def choose(wanted: str, size_bytes: int, folder: Path) -> Place:
    """Choose where to cache ``size_bytes`` of decoded images. ``auto``: memory, else disk, else nowhere, by free space."""
    if wanted != "auto":
        return Place(wanted)  # type: ignore[arg-type]
    memory, disk = RAM_SHARE * free_memory_bytes(), DISK_SHARE * shutil.disk_usage(folder).free
    if size_bytes <= memory:
        return Place("memory", memory)
    if size_bytes <= disk:
        return Place("disk", disk)
    return NOWHERE


def free_memory_bytes() -> int:
    """Memory available without swapping, within the container's limit if there is one; 2 GB if the system does not say."""
    found = [value for value in (_meminfo(), _cgroup()) if value is not None]
    return min(found) if found else 2 * 1024**3


def _meminfo() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text("ascii")
    except OSError:
        return None
    line = next((line for line in text.splitlines() if line.startswith("MemAvailable:")), "")
    return int(line.split()[1]) * 1024 if line else None


def _cgroup() -> int | None:
    """Memory left within the limit of control group v2; None without a limit."""
    base = Path("/sys/fs/cgroup")
    try:
        limit, used = (base / "memory.max").read_text("ascii").strip(), (base / "memory.current").read_text("ascii")
        return None if limit == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None
