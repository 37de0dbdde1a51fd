"""Hostile surroundings: each is one sentence and an exit code, or nothing; with the cause gone, the run ends as undisturbed.

    python tests/faults/environments.py                        # all; needs root on Linux for those that mount
    python tests/faults/environments.py --only rename --seed 2

The disk is full at 13 sizes, or has no inodes left; the store is on a read-only file system, or may not be written; files may
not grow (the nearest to a quota that a process can be given); few files can be open; ``/dev/shm`` is tiny; there is no home
folder; the clock was set back, so that all files are from the future; a rename fails once as network drives fail (EXDEV,
ESTALE, EIO), or since a quota is used up (EDQUOT); a source changes or vanishes between the moment it is hashed and the
moment it is read. The disk is full and renames fail also while a run amends what the last one imported.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.power_cut import differences, shown
from tests.faults.project import Done, add_picture, environment, make_project, pipekit

DISK_SIZES = 13
YEAR_S = 365 * 24 * 3600

MEDDLE = '''"""A stage between hashing and reading, and functions of the system that fail once."""

import errno
import os

import pipekit

NAME, _, AT = os.environ.get("FAULT_RENAME", "").partition(":")
if NAME:
    left = [int(AT)]

    def failing(call):
        def instead(source, target, **values):
            left[0] -= 1
            if left[0] == 0 and ".pipekit" in str(source):
                code = getattr(errno, NAME)
                raise OSError(code, os.strerror(code), os.fspath(source))
            return call(source, target, **values)

        return instead

    os.rename, os.replace = failing(os.rename), failing(os.replace)


@pipekit.stage
def meddle(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Dataset:
    told = ctx.project_dir / "meddle"
    if told.exists():
        exec(told.read_text(), {"images": ctx.project_dir / "images"})
    return ctx.dataset(dataset)


@pipekit.hookimpl
def register_stages(register):
    register("meddle", meddle)
'''


@dataclass(frozen=True)
class Result:
    """One try: what the run said, and what was not as it must be."""

    name: str
    said: str
    wrong: tuple[str, ...]


class Surroundings:
    """A project at a place that may be a mounted file system, and what an undisturbed run shows there."""

    def __init__(self, folder: Path, seed: int, num_images: int = 42) -> None:
        self.num_images = num_images
        self.folder, self.place, self.chance = folder, folder / "place", random.Random(seed)
        self.project = self.place / "project"
        self.environ = environment(folder)
        self.place.mkdir()
        self.fresh()
        done = self.run()
        if done.code:
            raise SystemExit(f"the undisturbed run failed: {done.last}")
        self.expected = shown(self.project)
        self.size_bytes = _size(self.place)
        self.base_bytes = _size(self.project / "images")

    def fresh(self) -> None:
        """A project without results."""
        shutil.rmtree(self.project, ignore_errors=True)
        make_project(self.project, self.num_images)
        (self.project / "meddle.py").write_text(MEDDLE)
        text = (self.project / "pipeline.toml").read_text().replace('["weigh.py"]', '["weigh.py", "meddle.py"]')
        text = text.replace("[stages.split]", '[stages.meddle]\nuse = "meddle"\n\n[stages.split]')
        (self.project / "pipeline.toml").write_text(text)

    def run(self, *arguments: str, before: Callable[[], None] | None = None, **environ: str) -> Done:
        return pipekit(self.project, {**self.environ, **environ}, "run", *arguments, before=before)

    def finished(self) -> None:
        """A project with results, and a new image that the next run adds to them."""
        self.fresh()
        done = self.run()
        if done.code:
            raise SystemExit(f"the run before failed: {done.last}")
        add_picture(self.project, 1)

    def compare(self, name: str, done: Done, must_fail: bool = False, expected: dict[str, bytes] | None = None) -> Result:
        """Hold what a disturbed run said to one sentence, and the next run to an undisturbed one.

        Args:
            expected: what that one shows, where it is not the first run of the project.
        """
        expected = self.expected if expected is None else expected
        wrong = [] if done.is_clear else [f"it ends with {done.code}: {done.text.strip()[-600:]}"]
        sentences = [line for line in done.text.splitlines() if line.startswith("error:")]
        if done.code and len(sentences) != 1:
            wrong.append(f"{len(sentences)} errors: {done.last}")
        if must_fail and done.code == 0:
            wrong.append("nothing is said")
        after = self.run()
        if after.code:
            wrong.append(f"afterwards it ends with {after.code}: {after.last}")
        found = shown(self.project)
        for files in (expected, found):
            files.pop("runs/faults/pipeline.toml", None)  # it names the settings of the run that was shown
        wrong += differences(expected, found)
        said = sentences[0] if done.code and sentences else f"exit code {done.code}"
        return Result(name, said.replace(str(self.folder), "…")[:150], tuple(wrong))


def _size(folder: Path) -> int:
    """The room that the files of a folder take; files with several names are counted once."""
    found = {(now.st_dev, now.st_ino): now.st_blocks * 512 for now in (path.lstat() for path in folder.rglob("*"))}
    return sum(found.values())


@contextlib.contextmanager
def mounted(place: Path, size_bytes: int, num_inodes: int = 0) -> Iterator[None]:
    """A small file system in memory."""
    options = f"size={size_bytes}" + f",nr_inodes={num_inodes}" * bool(num_inodes)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True, capture_output=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True, capture_output=True)


def can_mount(folder: Path) -> bool:
    place = folder / "try"
    place.mkdir(exist_ok=True)
    try:
        with mounted(place, 2**20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


# --- surroundings --------------------------------------------------------------------------------------------------------


def full_disk(here: Surroundings) -> Iterator[Result]:
    """The disk is full at so many sizes, from just above the images to just below what a run needs."""
    room = here.size_bytes - here.base_bytes
    for number in range(1, DISK_SIZES + 1):
        size = here.base_bytes + room * number // (DISK_SIZES + 1)
        with mounted(here.place, size):
            here.fresh()
            done = here.run()
            remount(here.place, f"size={2 * here.size_bytes + 2**28}")
            yield here.compare(f"full disk at {size / 2**20:.2f} MB", done)


def no_inodes(here: Surroundings) -> Iterator[Result]:
    """The disk has space, but no room for another file."""
    base, room = (sum(1 for _ in folder.rglob("*")) for folder in (here.project / "images", here.place))
    for number in range(1, 4):
        with mounted(here.place, 2**28, base + 10 + (room - base) * number // 4):
            here.fresh()
            done = here.run()
            remount(here.place, "nr_inodes=100000")
            yield here.compare(f"no inodes left, {number} of 3", done)


def amended(here: Surroundings) -> Iterator[Result]:
    """A run that amends what the last one imported: the disk is full, or a rename fails once."""
    mounts = can_mount(here.folder)
    with mounted(here.place, 2**28) if mounts else contextlib.nullcontext():
        here.finished()
        for name in (".pipekit", "runs"):
            shutil.rmtree(here.project / name)
        here.run()
        expected = shown(here.project)
    for number in range(1, 5) if mounts else ():
        with mounted(here.place, 2**28):
            here.finished()
            room = 60_000 * number**2
            remount(here.place, f"size={_size(here.place) + room}")
            done = here.run()
            remount(here.place, f"size={2**28}")
            yield here.compare(f"amended, {room / 1000:.0f} kB left", done, expected=expected)
    for code in ("ESTALE", "EDQUOT"):
        for at in sorted(here.chance.sample(range(1, 30), 3)):
            here.finished()
            done = here.run(FAULT_RENAME=f"{code}:{at}")
            yield here.compare(f"amended, rename {at} fails with {code}", done, expected=expected)


def read_only(here: Surroundings) -> Iterator[Result]:
    """The project's file system is read-only: before the first run, and after one."""
    with mounted(here.place, 2**28):
        for name in ("read-only, nothing made", "read-only, all made"):
            if name.endswith("nothing made"):
                here.fresh()
            remount(here.place, "ro")
            done = here.run()
            remount(here.place, "rw")
            yield here.compare(name, done, must_fail=name.endswith("nothing made"))


def not_permitted(here: Surroundings) -> Iterator[Result]:
    """The store may not be written."""
    here.fresh()
    store = here.project / ".pipekit"
    store.mkdir()
    store.chmod(0o555)
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all"]
    run = [*command, sys.executable, "-m", "pipekit", "run"]
    done = subprocess.run(run, cwd=here.project, env=here.environ, capture_output=True, text=True, check=False)
    store.chmod(0o755)
    yield here.compare("a store that may not be written", Done(done.returncode, done.stdout + done.stderr), must_fail=True)


def file_size(here: Surroundings) -> Iterator[Result]:
    """No file may grow beyond a limit."""
    for limit in (1_000, 8_000, 30_000):
        here.fresh()
        done = here.run(before=lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        yield here.compare(f"files of at most {limit:,} bytes", done)


def few_files(here: Surroundings) -> Iterator[Result]:
    """Few files can be open."""
    for executor in ("threads", "processes"):
        here.fresh()
        done = here.run("--executor", executor, before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        yield here.compare(f"64 open files, {executor}", done)


def tiny_shm(here: Surroundings) -> Iterator[Result]:
    """``/dev/shm`` has one page."""
    here.fresh()
    inside = "mount -t tmpfs -o size=4k tmpfs /dev/shm && exec " + f"{sys.executable} -m pipekit run --executor processes"
    command = ["unshare", "--mount", "sh", "-c", inside]
    done = subprocess.run(command, cwd=here.project, env=here.environ, capture_output=True, text=True, check=False)
    yield here.compare("/dev/shm of 4 KB", Done(done.returncode, done.stdout + done.stderr))


def no_home(here: Surroundings) -> Iterator[Result]:
    """No home folder: none is named, or it can't be made."""
    kept = here.environ
    for name, home in (("no HOME", None), ("HOME that is not there", "/proc/nowhere")):
        here.fresh()
        here.environ = {key: value for key, value in kept.items() if key not in ("HOME", "XDG_CACHE_HOME")}
        here.environ |= {} if home is None else {"HOME": home}
        yield here.compare(name, here.run())
    here.environ = kept


def clock_set_back(here: Surroundings) -> Iterator[Result]:
    """All files are from the future: sources before the first run, and the store between two runs."""
    future = time.time() + YEAR_S
    here.fresh()
    for name in ("sources from the future", "a store from the future"):
        for path in here.project.rglob("*"):
            os.utime(path, (future, future), follow_symlinks=False)
        done = here.run()
        pipekit(here.project, here.environ, "gc", "--yes", "--min-age", "0")
        yield here.compare(name, done)


def rename(here: Surroundings) -> Iterator[Result]:
    """A rename within the store fails once, as on network drives."""
    for code in ("EXDEV", "ESTALE", "EIO", "EDQUOT"):
        for at in sorted(here.chance.sample(range(1, 40), 3)):
            here.fresh()
            done = here.run(FAULT_RENAME=f"{code}:{at}")
            yield here.compare(f"rename {at} fails with {code}", done)


def sources(here: Surroundings) -> Iterator[Result]:
    """A source changes, or vanishes, between the moment it is hashed and the moment it is read."""
    for what in ("other", "gone"):
        here.fresh()
        victim = here.chance.choice(sorted((here.project / "images/grass").glob("*.jpg")))
        other = next(path for path in here.project.glob("images/brick/*.jpg") if "torn" not in path.name).read_bytes()
        before = victim.read_bytes()
        path = f'(images / "grass/{victim.name}")'
        change = f"{path}.unlink()" if what == "gone" else f"{path}.write_bytes({other!r})"
        (here.project / "meddle").write_text(change)
        done = here.run()
        (here.project / "meddle").unlink()
        victim.write_bytes(before)
        yield here.compare(f"a source that is {what} when it is read", done, must_fail=True)


ALL: dict[str, Callable[[Surroundings], Iterator[Result]]] = {
    made.__name__: made
    for made in (
        full_disk,
        no_inodes,
        amended,
        read_only,
        not_permitted,
        file_size,
        few_files,
        tiny_shm,
        no_home,
        clock_set_back,
        rename,
        sources,
    )
}
MOUNT = ("full_disk", "no_inodes", "read_only", "tiny_shm")


def run_all(names: Sequence[str], seed: int, num_images: int = 42, folder: Path | None = None) -> list[Result]:
    """Try these surroundings, and print a line for each."""
    results = []
    with tempfile.TemporaryDirectory(prefix="surroundings-", dir=folder) as made:
        here = Surroundings(Path(made), seed, num_images)
        mounts = can_mount(Path(made))
        print(f"{len(here.expected):,} files shown, {here.size_bytes / 2**20:.1f} MB, seed {seed}", flush=True)
        for name in names:
            if name in MOUNT and not mounts:
                print(f"{name}: left out, nothing can be mounted here", flush=True)
                continue
            for result in ALL[name](here):
                results.append(result)
                print(f"{result.name:<38} {result.said}  {'; '.join(result.wrong)}", flush=True)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=tuple(ALL), action="append", help="several times for several")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", type=int, default=42)
    given = parser.parse_args(arguments)
    results = run_all(given.only or tuple(ALL), given.seed, given.images)
    num_wrong = sum(bool(result.wrong) for result in results)
    print(f"{len(results)} tries, {num_wrong} wrong")
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
