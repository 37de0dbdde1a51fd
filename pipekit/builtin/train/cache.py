"""Decoded images, kept after the first use: in memory while they fit, else in one memory-mapped file that grows.

Images may differ in size: those smaller than the model's input stay as they are, for a recipe to warp.
"""

from __future__ import annotations

import math
import os
import shutil
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

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
"""The file grows by at least this much at a time."""


class Place(NamedTuple):
    """Where decoded images go, and how many bytes of them at most."""

    where: Where
    limit_bytes: float = math.inf


NOWHERE = Place("off")


@dataclass
class Decoded:
    """The images of a list of files, as ``load`` gives them; what can't be read is None and listed in ``failed``.

    Attributes:
        files: where the images are.
        load: ``load(file) -> (H, W, C) uint8``, raises ImageError.
        place: what :func:`choose` said. Images beyond its limit are read again each time.
        folder: for ``disk``: a private folder that survives a restart.
    """

    files: Sequence[str]
    ids: Sequence[str]
    load: Callable[[str], Image]
    place: Place = NOWHERE
    folder: Path | None = None
    failed: dict[int, Failure] = field(default_factory=dict)
    _memory: dict[int, Image] = field(default_factory=dict, init=False, repr=False)
    _disk: PixelFile | None = field(default=None, init=False, repr=False)
    _kept_bytes: int = field(default=0, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.place.where == "disk":
            if self.folder is None:
                raise ValueError("a cache on disk needs a folder")
            self._disk = PixelFile(self.folder, len(self.files))
            self._kept_bytes = self._disk.used_bytes

    def image(self, position: int) -> Image | None:
        """The image at ``position``, or None when it can't be read. Do not change it. Safe to call from many threads."""
        if position in self.failed:
            return None
        found = self._memory.get(position) if self._disk is None else self._disk.get(position)
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
        self._keep(position, image)
        return image

    def recall(self, failures: Iterable[Failure]) -> None:
        """Those of these images that are in the list could not be read before a restart."""
        place = {id_: position for position, id_ in enumerate(self.ids)}
        self.failed.update({place[one.id]: one for one in failures if one.id in place})

    def _keep(self, position: int, image: Image) -> None:
        if self.place.where == "off":
            return
        with self._lock:
            if self._kept_bytes + image.nbytes > self.place.limit_bytes:
                return
            self._kept_bytes += image.nbytes
        if self._disk is None:
            self._memory[position] = image
        else:
            self._disk.put(position, image)

    def flush(self) -> None:
        """Make what a restart would find on disk true."""
        if self._disk is not None:
            self._disk.flush()


class PixelFile:
    """Images one after the other in a memory-mapped file, and where each begins; safe to use from many threads.

    The file grows by extents, each mapped when it is added, so that nothing that is in use moves.
    """

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file, self._index_file = folder / "pixels.u8", folder / "index.npy"
        self._index = np.full((count, 4), -1, np.int64)
        """Offset, height, width and channels of each image; -1 where there is none."""
        self._starts: list[int] = []
        self._extents: list[NDArray[np.uint8]] = []
        self._lock = threading.Lock()
        self._full = False
        self._file.touch()
        size = self._file.stat().st_size
        if size and self._index_file.exists():
            known = np.load(self._index_file)
            ends = known[:, 0] + known[:, 1:].prod(axis=1)
            if known.shape == self._index.shape and ends[known[:, 0] >= 0].max(initial=0) <= size:
                self._index = known
        kept = self._index[self._index[:, 0] >= 0]
        self.used_bytes = int((kept[:, 0] + kept[:, 1:].prod(axis=1)).max(initial=0))
        """Where the next image goes; what lies beyond it was never flushed."""
        self._size = size
        if size:
            self._map(0, size)

    def _map(self, start: int, size: int) -> None:
        self._extents.append(np.asarray(np.memmap(self._file, np.uint8, "r+", start, (size,))))
        self._starts.append(start)

    def get(self, position: int) -> Image | None:
        offset, height, width, channels = self._index[position].tolist()
        return None if offset < 0 else self._view(offset, (height, width, channels))

    def put(self, position: int, image: Image) -> None:
        """Keep an image; where the disk is full, don't."""
        with self._lock:
            offset = self._room(image.nbytes)
        if offset is not None:
            height, width, channels = image.shape
            self._view(offset, (height, width, channels))[:] = image
            self._index[position, 1:] = image.shape
            self._index[position, 0] = offset

    def _room(self, size: int) -> int | None:
        """Where ``size`` bytes within one extent are free."""
        if self._full:
            return None
        if self.used_bytes + size > self._size:
            grown = max(size, EXTENT_BYTES)
            try:
                _allocate(self._file, self._size, grown)
                self._map(self._size, grown)
            except OSError:
                self._full = True
                return None
            self.used_bytes, self._size = self._size, self._size + grown
        offset = self.used_bytes
        self.used_bytes += size
        return offset

    def _view(self, offset: int, shape: tuple[int, int, int]) -> Image:
        number = bisect_right(self._starts, offset) - 1
        begin = offset - self._starts[number]
        return self._extents[number][begin : begin + math.prod(shape)].reshape(shape)

    def flush(self) -> None:
        """First the pixels, then the list of which ones are there."""
        index = self._index.copy()
        for extent in self._extents:
            extent.base.flush()  # type: ignore[union-attr]
        temporary = self._index_file.with_name(".index.npy")
        with temporary.open("wb") as file:
            np.save(file, index)
        temporary.replace(self._index_file)


def _allocate(file: Path, start: int, size: int) -> None:
    """Make a file longer, with room on the disk for all of it where the system can promise that.

    A write through a memory map into a file without room would end the process.
    """
    with file.open("r+b") as handle:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle.fileno(), start, size)
        else:
            handle.truncate(start + size)


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
