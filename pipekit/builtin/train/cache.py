"""Decoded images at one size, kept after the first use: in memory while they fit, else in one memory-mapped file."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

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


@dataclass
class Decoded:
    """The images of a list of files, each ``shape_hwc`` uint8; what can't be read is None and listed in ``failed``.

    Attributes:
        files: where the images are.
        load: ``load(file) -> (H, W, C) uint8``, raises ImageError.
        where: what :func:`choose` said.
        folder: for ``disk``: a private folder that survives a restart.
    """

    files: Sequence[str]
    ids: Sequence[str]
    load: Callable[[str], Image]
    shape_hwc: tuple[int, int, int]
    where: Where = "off"
    folder: Path | None = None
    failed: dict[int, Failure] = field(default_factory=dict)
    _pixels: NDArray[np.uint8] | None = field(default=None, init=False, repr=False)
    _filled: NDArray[np.bool_] = field(init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        shape = (len(self.files), *self.shape_hwc)
        self._filled = np.zeros(len(self.files), bool)
        if self.where == "memory":
            self._pixels = np.empty(shape, np.uint8)
        elif self.where == "disk":
            if self.folder is None:
                raise ValueError("a cache on disk needs a folder")
            self._open(self.folder, shape)

    def _open(self, folder: Path, shape: tuple[int, ...]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        pixels, filled = folder / "pixels.u8", folder / "filled.npy"
        again = pixels.exists() and pixels.stat().st_size == int(np.prod(shape, dtype=np.int64))
        self._pixels = np.memmap(pixels, np.uint8, "r+" if again else "w+", shape=shape)
        if again and filled.exists():
            known = np.load(filled)
            if known.shape == self._filled.shape:
                self._filled = known

    def image(self, position: int) -> Image | None:
        """The image at ``position``, or None when it can't be read. Do not change it. Safe to call from many threads."""
        if position in self.failed:
            return None
        if self._pixels is not None and self._filled[position]:
            found: Image = self._pixels[position]
            return found
        try:
            image = self.load(self.files[position])
        except ImageError as error:
            with self._lock:
                self.failed[position] = Failure(self.ids[position], error.message, self.files[position])
            return None
        if self._pixels is not None:
            self._pixels[position] = image
            self._filled[position] = True
        return image

    def flush(self) -> None:
        """Make what a restart would find on disk true: first the pixels, then the list of which ones are there."""
        if self.where != "disk" or self.folder is None or not isinstance(self._pixels, np.memmap):
            return
        filled = self._filled.copy()
        self._pixels.flush()
        temporary = self.folder / ".filled.npy"
        with temporary.open("wb") as file:
            np.save(file, filled)
        temporary.replace(self.folder / "filled.npy")


def choose(wanted: str, size_bytes: int, folder: Path) -> Where:
    """Where ``size_bytes`` of decoded images go. ``auto``: memory, else disk, else nowhere, by what is free now."""
    if wanted != "auto":
        return wanted  # type: ignore[return-value]
    if size_bytes <= RAM_SHARE * free_memory_bytes():
        return "memory"
    if size_bytes <= DISK_SHARE * shutil.disk_usage(folder).free:
        return "disk"
    return "off"


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
