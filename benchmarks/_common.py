"""Shared by the benchmarks: photographs to work on, clocks, and a separate process for each method."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


def keep_compiled() -> None:
    """Let processes that this one starts keep compiled modules, as pip does for users: some environments forbid it, and then
    each start compiles pipekit anew, for 0.4 s of processor time."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


keep_compiled()

PHOTOS = Path(__file__).parents[1] / "sample_data" / "photos"


def make_photos(folder: Path, count: int, size_wh: tuple[int, int] = (470, 400)) -> None:
    """Write class folders of JPEG files: crops of the sample photographs, rotated and scaled."""
    import cv2
    import numpy as np

    from pipekit import images

    sources = [images.read(PHOTOS / name) for name in ("cat.jpg", "coffee.jpg")]
    rng = np.random.default_rng(0)
    for number in range(count):
        source = sources[number % 2]
        height, width = source.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-30, 30), rng.uniform(1.3, 1.8))
        image = cv2.warpAffine(source, turn, size_wh, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        path = folder / ("cat", "coffee")[number % 2] / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, image.astype(np.uint8), quality=92)


def photos_in(folder: Path, count: int | None = None) -> list[str]:
    """The JPEG files below a folder, the same number from each class as far as possible."""
    classes = [sorted(str(path) for path in place.rglob("*.jpg")) for place in sorted(folder.iterdir()) if place.is_dir()]
    files = [files[number] for number in range(max(map(len, classes))) for files in classes if number < len(files)]
    return sorted(files[:count])


def cpu_seconds() -> float:
    """CPU seconds of this process, the children that it has waited for, and (on Linux) its running children: on a machine with
    other work they are more reliable than the clock."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    waited = sum(used.ru_utime + used.ru_stime for used in usage)
    ticks = 0
    for one in tree(os.getpid())[1:]:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text("ascii").rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # of the process and its ended children
    return waited + ticks / os.sysconf("SC_CLK_TCK")


def as_the_command() -> None:
    """Let this process start workers as ``pipekit`` does, forked from it; other programs get them from a fresh interpreter."""
    from pipekit import processes

    processes.is_command = lambda: True


def tree_memory(pid: int) -> int:
    """Memory of a process and its children in bytes; shared pages count proportionally (PSS)."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError, StopIteration):
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
    return total


def tree(pid: int) -> list[int]:
    """A process and all its descendants, as far as /proc lists them."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def run_alone(command: Sequence[str], env: Mapping[str, str]) -> tuple[str, int]:
    """The output of a process, and the peak memory of its tree in bytes."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(env))
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            peak = max(peak, tree_memory(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return output, peak


@dataclass(frozen=True)
class Measured:
    """What a command took with all its processes.

    Attributes:
        cpu_s: processor seconds; those of a process that ends unwatched are sampled ten times a second.
        peak_bytes: peak memory of all its processes together (PSS), sampled too.
        own_peak_bytes: that of its own process alone, as Linux notes it.
    """

    seconds: float
    cpu_s: float
    peak_bytes: int
    own_peak_bytes: int


def measured(command: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end, without its output on stdout."""
    started, ticks, peak, own = time.perf_counter(), dict[int, int](), 0, 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=cwd, env=None if env is None else dict(env))
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        for one in tree(process.pid):
            with contextlib.suppress(OSError, IndexError):
                fields = Path(f"/proc/{one}/stat").read_text("ascii").rpartition(")")[2].split()
                ticks[one] = int(fields[11]) + int(fields[12])
        peak, own = max(peak, tree_memory(process.pid)), max(own, _own_peak(process.pid))
        time.sleep(0.1)
    seconds, (_, status, used) = time.perf_counter() - started, ended
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ends with {process.returncode}")
    sampled = sum(ticks.values()) / os.sysconf("SC_CLK_TCK")
    return Measured(seconds, max(sampled, used.ru_utime + used.ru_stime), peak, own)


def _own_peak(pid: int) -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    return 0


def why_not(python: str, module: str) -> str:
    """Why a module can't be used with an interpreter, or ""."""
    done = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True, check=False)
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return "" if done.returncode == 0 else last or f"{python} ends with {done.returncode}"


HERE = sys.executable
