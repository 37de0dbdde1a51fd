"""Decoded images, kept after the first use: in memory while they fit, else in one memory-mapped file.

Images may differ in size: those smaller than the model's input stay as they are, for a recipe to warp.
"""

from __future__ import annotations

import math
import os
import shutil
import threading
import weakref
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
"""Of the memory that is free now; the model, its optimizer and everything else need the rest."""
DISK_SHARE = 0.5
"""Of the disk that is free now."""
EXTENT_BYTES = 64 * 1024**2
"""So much room is taken at a time."""


class Place(NamedTuple):
    """Where decoded images go, and how many bytes of them at most."""

    where: Where
    limit_bytes: float = math.inf


NOWHERE = Place("off")


@dataclass
class Decoded:
    """The images of a list of files, as ``load`` gives them; what can't be read is None and listed in ``failed``.

    Attributes:
        files: where the images are, by position.
        ids: their names in ``failed``.
        load: ``load(file) -> (H, W, C) uint8``, raises ImageError.
        place: what :func:`choose` said. Images beyond its limit are read again each time.
        largest_bytes: of a decoded image; needed where images are kept in a file.
        folder: for ``disk``: a private folder that survives a restart.
        shared: what is kept can be seen by other processes, through ``pixels``.
        pixels: the file with what is kept; None where that is in this process's memory, or nothing is kept.
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
        """The image at ``position``, or None when it can't be read. Do not change it. Safe to call from many threads."""
        if position in self.failed:
            return None
        found = self._memory.get(position) if self.pixels is None else self.pixels.get(position)
        if found is not None:
            # A copy reads ahead, a warp jumps about: from memory that no cache holds, copying 400 KB first takes 0.06 ms and
            # saves 0.3.
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
        """Those of these images that are in the list could not be read before a restart."""
        place = {id_: position for position, id_ in enumerate(self.ids)}
        self.failed.update({place[one.id]: one for one in failures if one.id in place})

    def _keep(self, position: int, image: Image) -> None:
        with self._lock:
            if self._kept_bytes + image.nbytes > self.place.limit_bytes:
                return
            self._kept_bytes += image.nbytes
        self._memory[position] = image

    def flush(self) -> None:
        """Make what a restart would find on disk true."""
        if self.pixels is not None:
            self.pixels.flush()


class PixelFile:
    """Images in a memory-mapped file, each in a place of its own; safe to use from many threads, and processes.

    The file is as long as all images together and has holes: room for them is taken as they come.
    """

    def __init__(self, folder: Path | None, count: int, largest_bytes: int, shared: bool = False) -> None:
        """
        Args:
            folder: where the file is found again after a restart; None for memory alone.
            count: places, for the positions from 0 on. What lies beyond is not kept.
            largest_bytes: of an image; a larger one is not kept.
            shared: :meth:`address` can be given to another process.
        """
        self.count, self.largest_bytes = count, largest_bytes
        size = max(1, count * largest_bytes)
        self._files: list[SharedMemory] = []
        self._file: Path | None = None
        self._index_file: Path | None = None
        self._full = False
        self._ready: set[int] = set()
        """Extents of the file that room was made for."""
        index = np.zeros((count, 3), np.int32)
        """Height, width and channels of each image; 0 where there is none."""
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file, self._index_file = folder / "pixels.u8", folder / "index.npy"
            known = _load_index(self._index_file) if self._file.exists() and self._file.stat().st_size == size else None
            if known is not None and known[0].tolist() == [count, largest_bytes, 0] and known.shape == (count + 1, 3):
                index = known[1:]
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

    def _shared(self, size: int) -> Mapped:
        self._files.append(SharedMemory(size))
        return self._files[-1].array

    def address(self) -> Address:
        """What :meth:`opened` needs in another process, while this one keeps the file."""
        pixels = str(self._file or self._files[0].path)
        return Address(pixels, str(self._files[-1].path), self.count, self.largest_bytes, self._file is not None)

    @classmethod
    def opened(cls, address: Address) -> PixelFile:
        """The file of another process, which sees what is kept here."""
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
        """Keep an image, where there is room for it."""
        if position >= self.count or image.nbytes > self.largest_bytes or not self._has_room(position):
            return
        height, width, channels = image.shape
        self._view(position, (height, width, channels))[:] = image
        self._index[position, :2] = height, width
        self._index[position, 2] = channels  # the last one: what is seen of the others is true then

    def _has_room(self, position: int) -> bool:
        """Take the room for an image on the disk. A write through a memory map into a file without it would end the process."""
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
        """First the pixels, then the list of which ones are there."""
        if self._index_file is None:
            return
        index = np.concatenate([np.array([[self.count, self.largest_bytes, 0]], np.int32), self._index])
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
    """Memory that other processes can open by its path, gone with this process however it ends. On Linux."""

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
    """Whether this system has such memory: some containers forbid it."""
    try:
        SharedMemory(1)
    except (AttributeError, OSError):
        return False
    return True


def _load_index(file: Path) -> NDArray[np.int32] | None:
    try:
        found = np.load(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, np.ndarray) and found.ndim == 2 and found.dtype == np.int32 else None


def _allocate(file: Path, start: int, size: int) -> None:
    """Take room on the disk for a part of a file, where the system can promise that."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as handle:
            os.posix_fallocate(handle.fileno(), start, size)


def choose(wanted: str, size_bytes: int, folder: Path) -> Place:
    """Where ``size_bytes`` of decoded images go. ``auto``: memory, else disk, else nowhere, by what is free now."""
    if wanted != "auto":
        return Place(wanted)  # type: ignore[arg-type]
    memory, disk = RAM_SHARE * free_memory_bytes(), DISK_SHARE * shutil.disk_usage(folder).free
    if size_bytes <= memory:
        return Place("memory", memory)
    if size_bytes <= disk:
        return Place("disk", disk)
    return NOWHERE


def free_memory_bytes() -> int:
    """Memory that can be had without swapping, within the container's limit where there is one; a cautious 2 GB where
    the system does not say."""
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
    """What is left of the limit of control group v2; None where there is no limit."""
    base = Path("/sys/fs/cgroup")
    try:
        limit, used = (base / "memory.max").read_text("ascii").strip(), (base / "memory.current").read_text("ascii")
        return None if limit == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None
