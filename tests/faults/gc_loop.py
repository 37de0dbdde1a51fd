"""``pipekit gc`` in a loop beside runs: no run fails or is wrong, and what nothing uses goes.

    python tests/faults/gc_loop.py --n 10 --seed 1             # ten runs, two at a time, beside gc

Runs with different seeds use one store and two names, so that each makes what the next ones don't use. Before every two runs
an image is replaced, so that both amend what an earlier run has imported, and read columns and notes that gc may remove. Each
must end with exit code 0 and the digests of a calm run with its seed and image in an empty store. At the end ``pipekit verify``
must find nothing, and the store may have only what the newest runs use: their results, the columns of their parts and shards,
and the notes of their stages.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.project import add_picture, environment, make_project, pipekit

NAMES = ("one", "two")
GC = ("gc", "--yes", "--min-age", "0", "--keep", "1")


@dataclass(frozen=True)
class Looped:
    """What became of runs beside gc."""

    num_runs: int
    num_collections: int
    num_made: int
    num_left: int
    wrong: tuple[str, ...]


def beside_gc(count: int, seed: int, folder: Path, num_images: int = 42, embedding: bool = False) -> Looped:
    """So many runs beside gc in a loop."""
    project, environ = folder / "project", environment(folder)
    make_project(project, num_images, embedding=embedding)
    pairs = [list(range(number, min(number + 2, seed + count))) for number in range(seed, seed + count, 2)]
    expected = {}
    for number in (number for pair in pairs for number in pair):
        _change(project, pairs, number)
        calm = {**environ, "PIPEKIT_STORE": str(folder / f"calm-{number}")}
        expected[number] = _digests(project, _start(project, calm, number, NAMES[0]), NAMES[0])[0]
        shutil.rmtree(folder / f"calm-{number}")
    shutil.rmtree(project / "runs")
    wrong: list[str] = []
    made, num_collections = set[str](), 0
    for pair in pairs:
        _change(project, pairs, pair[0])
        going = {name: (number, _start(project, environ, number, name)) for name, number in zip(NAMES, pair, strict=False)}
        while going:
            collected = pipekit(project, environ, *GC)
            num_collections += 1
            wrong += [f"gc ends with {collected.code}: {collected.last}"] if collected.code else []
            made |= _entries(project)
            for name in [name for name, (_, run) in going.items() if run.poll() is not None]:
                number, run = going.pop(name)
                digests, error = _digests(project, run, name)
                if error or digests != expected[number]:
                    wrong.append(f"seed {number}: {error or 'other digests'}")
    for _ in range(2):  # one for what the last runs have left
        pipekit(project, environ, *GC)
    verified = pipekit(project, environ, "verify")
    wrong += [f"verify: {verified.last}"] if verified.code else []
    left = _entries(project)
    return Looped(count, num_collections, len(made | left), len(left), (*wrong, *_superfluous(project / ".pipekit")))


def _change(project: Path, pairs: Sequence[Sequence[int]], number: int) -> None:
    """Replace the image that the pair of runs with this seed has."""
    add_picture(project, next(place for place, pair in enumerate(pairs) if number in pair))


def _superfluous(store: Path) -> list[str]:
    """What is left in a store that no run uses, and what a run uses and has gone."""
    used = {
        stage["key"] for record in store.parent.glob("runs/*/run.json") for stage in json.loads(record.read_text())["stages"]
    }
    kept = {path.name: path for path in store.glob("artifacts/*/*")}
    wrong = [f"{len(kept.keys() - used)} stored results that nothing uses stay"] if kept.keys() - used else []
    wrong += [f"{len(used - kept.keys())} results that are used have gone"] if used - kept.keys() else []
    there = {path.stem for kind in ("parts", "shards") for path in store.glob(f"{kind}/*/*")}
    orphans = [path.name for path in store.glob("columns/*/*") if path.name.partition(".")[0] not in there]
    wrong += [f"{len(orphans)} columns stay whose part has gone"] if orphans else []
    notes = {note for place in kept.values() for note in json.loads((place / "manifest.json").read_text())["notes"]}
    found = {path.name for path in store.glob("memory/*")}
    wrong += [f"{len(found ^ notes)} notes stay that nothing uses, or have gone"] if found != notes else []
    return wrong


def _start(project: Path, environ: dict[str, str], seed: int, name: str) -> subprocess.Popen[str]:
    changes = ["--set", f"seed={seed}", "--set", "stages.split.remember=false"]
    command = [sys.executable, "-m", "pipekit", "run", "--quiet", "--name", name, *changes]
    return subprocess.Popen(command, cwd=project, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _digests(project: Path, process: subprocess.Popen[str], name: str) -> tuple[list[tuple[str, str]], str]:
    """The digests of the stages of a run; or why it failed."""
    _, errors = process.communicate()
    if process.returncode:
        return [], f"ends with {process.returncode}: {errors.strip()[-400:]}"
    record = json.loads((project / "runs" / name / "run.json").read_text())
    return [(stage["name"], stage["digest"]) for stage in record["stages"]], ""


def _entries(project: Path) -> set[str]:
    return {path.name for kind in ("artifacts", "shards", "columns") for path in project.glob(f".pipekit/{kind}/*/*")}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", type=int, default=42)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="loop-") as made:
        looped = beside_gc(given.n, given.seed, Path(made), given.images, embedding=True)
    print(
        f"{looped.num_runs} runs beside {looped.num_collections} collections; {looped.num_made} folders made, "
        f"{looped.num_left} left; {'; '.join(looped.wrong) or '0 failures'}"
    )
    return 1 if looped.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
