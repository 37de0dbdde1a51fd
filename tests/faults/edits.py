"""Every file of every output folder is edited, and its mode is changed: no source image may change with it, in bytes or mode.

    python tests/faults/edits.py --n 20 --seed 1               # so many commands, in turn; --training adds those with a model

Each command writes into a folder that its defaults make, or that is named. Then each file that is new in the project, outside
of the store, is made writable, written to in place or emptied, and has its mode changed; so have folders. The source images
must have the bytes, the mode and the mtime that they had. The same command is then run again, into another folder.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.project import environment, make_project, pipekit

COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("run",),
    "run, tables only": ("run", "--set", "views=none"),
    "augment": ("augment", "images", "--out", "{out}"),
    "augment, a preview": ("augment", "images", "--preview", "--out", "{out}.png"),
    "augment, format of the source": ("augment", "images", "--out", "{out}", "--as", "csv"),
    "split": ("split", "images", "--out", "{out}"),
    "inspect": ("inspect", "images", "--out", "{out}"),
    "features": ("features", "images", "--out", "{out}"),
    "features, in runs": ("features", "images", "--name", "{out}"),
    "scaffold": ("scaffold", "{out}", "--from", "images"),
    "stage": ("stage", "export.folders", "--dataset", "images", "--out", "{out}"),
}
WITH_MODEL: dict[str, tuple[str, ...]] = {
    "train": ("train", "images", "--model", "simple_cnn", "--epochs", "1", "--name", "{out}"),
    "predict": ("predict", "runs/faults", "images", "--sort", "{out}"),
    "export": ("export", "runs/faults", "--out", "{out}"),
    "explain": ("explain", "runs/faults", "--out", "{out}"),
}


@dataclass(frozen=True)
class Result:
    """A command: how many files it wrote, and what was not as it must be."""

    name: str
    num_files: int
    wrong: tuple[str, ...]


class Editing:
    """A project whose outputs are edited."""

    def __init__(self, folder: Path, seed: int, training: bool = False) -> None:
        self.project, self.chance, self.training = folder / "project", random.Random(seed), training
        self.environ = environment(folder)
        make_project(self.project, training=training)
        for number, path in enumerate(sorted((self.project / "images").rglob("*.jpg"))):
            path.chmod((0o644, 0o444, 0o600)[number % 3])
        self.sources = self.state()
        self.number = 0

    def state(self) -> dict[str, tuple[str, int, int]]:
        """Bytes, mode and mtime of each source image, and nothing else there."""
        found = {}
        for path in sorted((self.project / "images").rglob("*")):
            now = path.lstat()
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[path.relative_to(self.project).as_posix()] = sha256, now.st_mode, now.st_mtime_ns if sha256 else 0
        return found

    def outputs(self) -> list[Path]:
        """Everything in the project, and beside it, that is neither a source, nor in the store, nor written by hand."""
        own = {self.project / name for name in ("images", ".pipekit", "pipeline.toml", "weigh.py")}
        tops = [path for path in self.project.iterdir() if path not in own]
        return sorted(path for top in tops for path in (top, *top.rglob("*")))

    def try_command(self, name: str) -> Result:
        self.number += 1
        words = [word.format(out=f"out{self.number}") for word in (COMMANDS | WITH_MODEL)[name]]
        done = pipekit(self.project, self.environ, *words)
        wrong = [f"ends with {done.code}: {done.last}"] if done.code else []
        outputs = self.outputs()
        files = [path for path in outputs if path.is_file()]
        for path in files:
            self.edit(path)
        for path in reversed(outputs):
            if not path.is_symlink():
                path.chmod(0o700 if path.is_dir() else 0o600)
        after = self.state()
        changed = [source for source in self.sources if after.get(source) != self.sources[source]]
        wrong += [f"{len(changed)} sources changed: {changed[0]}"] if changed else []
        wrong += [f"{len(after) - len(self.sources)} files more among the sources"] if len(after) > len(self.sources) else []
        for path in sorted({self.project / path.relative_to(self.project).parts[0] for path in outputs}):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return Result(name, len(files), tuple(wrong))

    def edit(self, path: Path) -> None:
        """Write to a file as an editor does in place, whatever stands there: a copy, a hard link, a symbolic link."""
        path.chmod(0o666)
        with path.open("r+b") as file:
            file.write(self.chance.randbytes(16))
        if self.chance.random() < 0.5:
            os.truncate(path, self.chance.randrange(16))


def run_commands(count: int, seed: int, training: bool = False) -> list[Result]:
    """Try so many commands, each in turn, and print a line for each."""
    with tempfile.TemporaryDirectory(prefix="edits-") as made:
        editing = Editing(Path(made), seed, training)
        names = [*COMMANDS, *(WITH_MODEL if training else ())]
        results = []
        for number in range(count):
            name = names[number % len(names)]
            if training and name in WITH_MODEL:
                pipekit(editing.project, editing.environ, "run")
            results.append(editing.try_command(name))
            print(f"{name:<32} {results[-1].num_files:>5} files  {'; '.join(results[-1].wrong)}", flush=True)
        return results


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=2 * len(COMMANDS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--training", action="store_true", help="also commands with a model")
    given = parser.parse_args(arguments)
    results = run_commands(given.n, given.seed, given.training)
    num_wrong = sum(bool(result.wrong) for result in results)
    print(f"{len(results)} commands, {sum(result.num_files for result in results):,} files edited, {num_wrong} wrong")
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
