"""Power cuts, as the disk sees them: a run's block device is copied while it is written, and the run is repeated on the copy.

    python tests/faults/power_cut.py 20 --seed 1        # add --sync off to see what durability is for

Half of the runs begin with an empty store; the others amend a finished one, after images were changed and added. The project
lies on an ext4 file system in a file, mounted through a loop device. What the device has received at the moment of
the copy is what a power cut would have left: data that the system still held in memory is lost. The copy is checked as at the
start of a machine (``e2fsck -p``), mounted at the same place, and the pipeline is run again with another boot id. Then every
file that the project shows must be that of an undisturbed run, ``pipekit verify`` must find nothing, and one more run must find
all stages done. Some cuts come 0, 1 and 6 seconds after the end of the run.

Needs root, loop devices, ``mkfs.ext4`` and ``unshare``. A copy takes a fraction of a second while the device may be written;
a copy during which it was written is taken again, up to five times, since a real disk stops at one moment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DISK_MB = 600
TOOLS = ("mkfs.ext4", "e2fsck", "mount", "umount", "losetup", "unshare")
BOOT_ID = "/proc/sys/kernel/random/boot_id"
AFTER_END_S = (0.0, 1.0, 6.0)
"""Cuts so many seconds after the end of a run: the system has its last results in memory for up to half a minute."""

LOST_RUN_S = 600
"""A command that takes longer is stopped, and counts as one that failed."""

PIPELINE = """
name = "cut"
seed = 7
workers = 2
executor = "threads"
shard_size = 8

[stages.data]
use = "import.folders"
path = "images"

[stages.split]
use = "split"

[stages.inspect]
use = "inspect"
dataset = "split"

[stages.augment]
use = "augment"
dataset = "split"
ops = "heavy"
copies = {copies}
size_hw = [224, 224]

[stages.out]
use = "export.folders"
dataset = "augment"
"""

EMBEDDING = """
[stages.embed]
use = "embed"
dataset = "split"
"""


@dataclass(frozen=True)
class Size:
    """How much work a run is."""

    images: int = 200
    copies: int = 6
    embedding: bool = False


@dataclass(frozen=True)
class Moment:
    """When the power goes: seconds after the start of a run, or after its end."""

    seconds: float
    after_end: bool = False

    def __str__(self) -> str:
        return f"end + {self.seconds:.0f} s" if self.after_end else f"{self.seconds:.1f} s"


@dataclass(frozen=True)
class Result:
    """What was found after one cut.

    Attributes:
        lost: files of the store and of the results that were empty after the cut, and how many files there were.
        wrong: what was not as it must be; empty where all is well.
    """

    moment: Moment
    lost: tuple[int, int]
    damaged: int
    wrong: tuple[str, ...]


def why_not() -> str:
    """Why power cuts can't be made here; "" where they can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "needs root on Linux, to mount a file system"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"needs {', '.join(missing)}"
    with tempfile.TemporaryDirectory() as folder:
        disk, place = Path(folder) / "disk", Path(folder) / "mounted"
        place.mkdir()
        try:
            _make_disk(disk, 16)
            with _mounted(disk, place):
                return ""
        except subprocess.CalledProcessError as error:
            return f"needs loop devices: {(error.stderr or '').strip().splitlines()[:1]}"


def make_project(folder: Path, size: Size) -> None:
    """Images of two classes, made of noise that is smooth enough to be worth compressing, and a pipeline for them."""
    from pipekit import images

    chance = np.random.default_rng(3)
    for number in range(size.images):
        path = folder / "images" / "ab"[number % 2] / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, images.resize(chance.integers(0, 256, (24, 32, 3), np.uint8), (240, 320)))
    (folder / "pipeline.toml").write_text(PIPELINE.format(copies=size.copies) + EMBEDDING * size.embedding)


def change_project(folder: Path) -> None:
    """Replace every tenth image by its negative, and add as many: the next run amends what the last one imported."""
    from pipekit import images

    for path in sorted((folder / "images").glob("*/*.jpg"))[::10]:
        pixels = 255 - images.read(path)
        images.write(path, pixels)
        images.write(path.with_stem(f"{path.stem}_added"), pixels[::-1])


def moments(count: int, seed: int, run_s: float, num_after: int) -> list[Moment]:
    """So many of the cuts after the end of the run, the others at random moments of it, one in each equal part."""
    chance, during = random.Random(seed), count - num_after
    found = [Moment(run_s * (part + chance.random()) / during) for part in range(during)]
    return found + [Moment(AFTER_END_S[number % len(AFTER_END_S)], after_end=True) for number in range(num_after)]


def cut(base: Path, place: Path, moment: Moment, expected: dict[str, bytes], environ: dict[str, str]) -> Result:
    """Cut the power of a run on a copy of the disk ``base``, and look at what the next run makes of it."""
    disk, after = place / "disk", place / "cut"
    mounted = place / "mounted"
    mounted.mkdir(exist_ok=True)
    _copy(base, disk)
    with _mounted(disk, mounted):
        process = _start(mounted / "p", environ)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOST_RUN_S if moment.after_end else moment.seconds)
            if moment.after_end:
                time.sleep(moment.seconds)
            _copy_still(disk, after, mounted)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    disk.unlink()
    if subprocess.run(["e2fsck", "-p", after], capture_output=True, check=False).returncode >= 4:
        subprocess.run(["e2fsck", "-y", after], capture_output=True, check=False)
    with _mounted(after, mounted):
        result = _examine(mounted / "p", moment, expected, environ, place)
    after.unlink()
    return result


def _examine(project: Path, moment: Moment, expected: dict[str, bytes], environ: dict[str, str], place: Path) -> Result:
    files = [path for path in project.rglob("*") if path.is_file() and "images" not in path.relative_to(project).parts[:1]]
    empty = sum(path.stat().st_size == 0 and MAY_BE_EMPTY.isdisjoint(path.relative_to(project).parts) for path in files)
    boot = place / "boot_id"
    boot.write_text(f"{uuid.uuid4()}\n")
    wrong = []
    again = _run(project, environ, boot, "run", "pipeline.toml", "--json")
    if again.returncode:
        wrong.append(f"the run ends with {again.returncode}: {_last(again)}")
    wrong += differences(expected, shown(project))
    verified = _run(project, environ, boot, "verify")
    if verified.returncode:
        wrong.append(f"verify: {_last(verified)}")
    last = _run(project, environ, boot, "run", "pipeline.toml", "--json")
    events = [json.loads(line)["event"] for line in last.stdout.splitlines()]
    if last.returncode or "stage_started" in events or "stage_cached" not in events:
        wrong.append(f"one more run is not cached: {_last(last)}")
    left = [path.name for name in ("tmp", "leases", "unsynced") for path in (project / ".pipekit" / name).glob("*")]
    if left:
        wrong.append(f"left behind: {', '.join(left)}")
    damaged = len(list((project / ".pipekit/damaged").glob("*")))
    return Result(moment, (empty, len(files)), damaged, tuple(wrong))


MAY_BE_EMPTY = {"failed.jsonl", ".pipekit-output", "tree", "leases"}
"""Names of files, or of folders that they are in. What is in ``tree`` holds its own hash."""


def shown(project: Path) -> dict[str, bytes]:
    """Everything that the project shows, by its path; of the record of a run the digests of its stages, of the history of
    a training all but the seconds.

    The records of views name files by their inodes, which are others after every run.
    """
    found = {}
    for path in sorted(project.rglob("*")):
        below = path.relative_to(project)
        if path.is_file() and below.parts[0] not in (".pipekit", "images") and not below.name.startswith(".view."):
            data = _digests(path) if path.name == "run.json" else path.read_bytes()
            found[below.as_posix()] = re.sub(rb",[^,\n]*\n", b"\n", data) if path.name == "history.csv" else data
    return found


def _digests(record: Path) -> bytes:
    stages = json.loads(record.read_text(encoding="utf-8"))["stages"]
    return json.dumps([(stage["name"], stage["digest"]) for stage in stages]).encode()


def differences(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """Sentences about files that are missing, too many, or not the same."""
    kinds = {
        "missing": expected.keys() - found.keys(),
        "too many": found.keys() - expected.keys(),
        "not the same": {name for name in expected.keys() & found.keys() if expected[name] != found[name]},
    }
    return [f"{len(names)} files {kind}: {min(names)}" for kind, names in kinds.items() if names]


# --- commands ------------------------------------------------------------------------------------------------------------


def environment(sync: str, temporary: Path) -> dict[str, str]:
    """The environment of all commands: nothing of the person's settings, temporary files of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIPEKIT_")}
    temporary.mkdir(exist_ok=True)
    return {**kept, "TMPDIR": str(temporary), **({"PIPEKIT_SYNC": "off"} if sync == "off" else {})}


def _start(project: Path, environ: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipekit", "run", "pipeline.toml", "-q"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=project, env=environ, start_new_session=True, stdout=quiet, stderr=quiet, text=True)


def _run(project: Path, environ: dict[str, str], boot: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of pipekit as after another start of the machine: it sees the boot id that is in the file ``boot``."""
    inside = f'mount --bind "$1" {BOOT_ID} && shift && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", inside, "sh", str(boot), sys.executable, "-m", "pipekit", *arguments]
    return subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, timeout=LOST_RUN_S, check=False)


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return " / ".join(lines[-3:])[:400]


def _make_disk(disk: Path, size_mb: int) -> None:
    with disk.open("wb") as file:
        file.truncate(size_mb * 2**20)
    _tool("mkfs.ext4", "-q", "-F", disk)


@contextlib.contextmanager
def _mounted(disk: Path, place: Path) -> Iterator[None]:
    _tool("mount", "-o", "loop", disk, place)
    try:
        yield
    finally:
        for attempt in range(20):  # processes that were killed may hold it for a moment
            if subprocess.run(["umount", place], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1 * attempt)
        else:
            _tool("umount", "-l", place)


def _tool(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _copy(source: Path, target: Path) -> None:
    _tool("cp", "--sparse=always", source, target)


def _copy_still(disk: Path, target: Path, mounted: Path) -> None:
    """Copy a device that is being written, if possible in a moment in which it is not."""
    for _ in range(5):
        before = _writes(mounted)
        _copy(disk, target)
        if _writes(mounted) == before:
            return


def _writes(mounted: Path) -> str:
    """How many sectors the device behind a mounted folder has written."""
    device = mounted.stat().st_dev
    return Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()[6]


# --- all cuts ------------------------------------------------------------------------------------------------------------


def run_cuts(
    count: int,
    seed: int,
    sync: str = "on",
    size: Size | None = None,
    folder: Path | None = None,
    after: int | None = None,
    num_amended: int = 0,
) -> list[Result]:
    """Make so many cuts, and print a line for each.

    Args:
        after: so many of those with an empty store after the end of a run; None: a third, as of the others.
        num_amended: so many of the cuts are of runs that amend what a run before them has imported.
        sync: ``off``: with ``PIPEKIT_SYNC=off``.
        folder: for disks and temporary files.
    """
    with tempfile.TemporaryDirectory(prefix="cut-", dir=folder) as made:
        work, results = Path(made), list[Result]()
        environ = environment(sync, work / "tmp")
        _make_disk(work / "base", DISK_MB)
        (work / "mounted").mkdir()
        with _mounted(work / "base", work / "mounted"):
            make_project(work / "mounted/p", size or Size())
        for what, number in (("empty store", count - num_amended), ("amended", num_amended)):
            if not number:
                continue
            if what == "amended":
                with _mounted(work / "base", work / "mounted"):
                    _finish(work / "mounted/p", environ)
                    change_project(work / "mounted/p")
            run_s, expected = _undisturbed(work, environ, what == "amended")
            print(f"{what}: {run_s:.1f} s, {len(expected):,} files shown; {number} cuts, seed {seed}, sync {sync}", flush=True)
            print(f"{'cut':>12}  {'empty files':>15}  {'moved aside':>11}  result", flush=True)
            num_after = after if after is not None and what != "amended" else number // 3
            for moment in moments(number, seed, run_s, num_after):
                results.append(cut(work / "base", work, moment, expected, environ))
                print(_line(results[-1]), flush=True)
        return results


def _undisturbed(work: Path, environ: dict[str, str], amended: bool) -> tuple[float, dict[str, bytes]]:
    """The seconds of a run that nothing disturbs, and what a run shows that finds no store."""
    _copy(work / "base", work / "disk")
    project = work / "mounted/p"
    with _mounted(work / "disk", work / "mounted"):  # at the place of all others, since tables have paths of images
        run_s = _finish(project, environ)
        for kind in ("columns/*/*", "memory/*", "artifacts/*/*/cuts.json"):
            assert list(project.glob(f".pipekit/{kind}")), kind
        if amended:
            for name in (".pipekit", "runs"):
                shutil.rmtree(project / name)
            _finish(project, environ)
        return run_s, shown(project)


def _finish(project: Path, environ: dict[str, str]) -> float:
    started = time.monotonic()
    if _start(project, environ).wait(LOST_RUN_S):
        raise SystemExit("the undisturbed run failed")
    return time.monotonic() - started


def _line(result: Result) -> str:
    lost = f"{result.lost[0]:,} of {result.lost[1]:,}"
    return f"{result.moment!s:>12}  {lost:>15}  {result.damaged:>11}  {'; '.join(result.wrong) or 'as undisturbed'}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cuts", type=int, nargs="?", default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", type=int, default=Size.images)
    parser.add_argument("--sync", choices=("on", "off"), default="on")
    parser.add_argument("--folder", type=Path, help="for the disks, which take 2 GB (default: the one for temporary files)")
    given = parser.parse_args(arguments)
    if reason := why_not():
        print(f"no power cuts here: it {reason}", file=sys.stderr)
        return 2
    size = Size(given.images, embedding=True)
    results = run_cuts(given.cuts, given.seed, given.sync, size, given.folder, num_amended=given.cuts // 2)
    num_wrong = sum(bool(result.wrong) for result in results)
    print(f"{len(results)} cuts, {num_wrong} with a wrong result or a store that stays broken")
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
