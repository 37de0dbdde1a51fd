"""All speed benchmarks beside their peers: ratios on the terminal, and all tables in build/bench.md. `make bench` runs this.

Rerun: python benchmarks/everything.py [FOLDER OF PHOTOGRAPHS]

Each peer gets an environment of its own below build/peers, since they do not fit into one; none is a dependency of pipekit, and
none of this runs in the tests. One that can't be installed is named with the reason, and omitted. While something is measured
there is no network, where the system can take it away (`unshare`, on Linux); otherwise that is said.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Peer:
    """What a peer needs, and the option that gives its interpreter to a benchmark.

    Attributes:
        module: what has to be importable.
    """

    requirements: tuple[str, ...]
    module: str
    script: str
    option: str


OLD = ("numpy<2", "opencv-python-headless<4.12")
PEERS = {
    "imgaug": Peer((*OLD, "imgaug"), "imgaug", "augment.py", "--python=imgaug={}"),
    "Augmentor": Peer((*OLD, "Augmentor"), "Augmentor", "augment.py", "--python=augmentor={}"),
    "cleanvision": Peer(("cleanvision",), "cleanvision", "inspection.py", "--peer=cleanvision={}"),
    "imagededup": Peer(("imagededup",), "imagededup", "inspection.py", "--peer=imagededup={}"),
    "fastdup": Peer(("fastdup",), "fastdup", "inspection.py", "--peer=fastdup={}"),
    "PyTorch DataLoader": Peer(
        ("torch", "albumentations==2.0.8", "opencv-python-headless"), "torch", "feed.py", "--python=data_loader={}"
    ),
    "DVC": Peer(("dvc",), "dvc", "one_more.py", "--python=dvc={}"),
    "DataChain": Peer(("datachain",), "datachain", "one_more.py", "--python=datachain={}"),
}

SCRIPTS = {
    "startup.py": False,
    "augment.py": True,
    "inspection.py": True,
    "features.py": True,
    "predict.py": True,
    "embed.py": False,
    "feed.py": True,
    "training.py": True,
    "one_more.py": False,
}
"""The benchmarks, and whether each takes the folder of photographs."""


def environment(name: str, peer: Peer, folder: Path) -> tuple[str, str]:
    """The interpreter of a peer's environment, made on first use, and why there is none."""
    place = folder / name.lower().replace(" ", "-")
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        for words in (
            [sys.executable, "-m", "venv", str(place)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.requirements],
            [str(python), "-c", f"import {peer.module}"],
        ):
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                return "", (done.stderr.strip().splitlines() or [f"{words[0]} ends with {done.returncode}"])[-1]
        (place / "complete").touch()
    return str(python), ""


def offline() -> list[str]:
    """The words before a command that take the network away from it; none where the system can't."""
    words = ["unshare", "--map-root-user", "--net"]
    if shutil.which(words[0]) and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
        return words
    return []


def command(script: str, photos: Path | None, pythons: Mapping[str, str]) -> list[str]:
    """The command line of a benchmark, with the interpreters of its peers."""
    options = [PEERS[name].option.format(python) for name, python in pythons.items() if PEERS[name].script == script]
    given = [str(photos)] if photos is not None and SCRIPTS[script] else []
    return [sys.executable, str(HERE / script), *given, *options]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="?", type=Path, help="class folders of photographs; made from the sample ones if not")
    parser.add_argument("--only", action="append", default=[], choices=SCRIPTS, help="run this benchmark; repeat for more")
    parser.add_argument("--without", action="append", default=[], choices=PEERS, help="omit this peer; repeat for more")
    parser.add_argument("--build", type=Path, default=HERE.parent / "build", help="where environments and the table go")
    given = parser.parse_args()
    scripts = [script for script in SCRIPTS if not given.only or script in given.only]
    pythons, missing = {}, {}
    for name, peer in PEERS.items():
        if peer.script in scripts and name not in given.without:
            python, reason = environment(name, peer, given.build / "peers")
            if python:
                pythons[name] = python
            else:
                missing[name] = reason
                print(f"{name} can't be installed: {reason}", flush=True)
    without_network = offline()
    print("without a network" if without_network else "this system can't take the network away: peers may use it", flush=True)
    text = [f"# Benchmarks of {datetime.now(UTC):%Y-%m-%d}, on {os.cpu_count()} cores", ""]
    text += [f"- {name}: not installed ({reason})" for name, reason in missing.items()]
    failed = []
    for script in scripts:
        words = command(script, given.photos, pythons)
        print(f"== {script}", flush=True)
        done = subprocess.run([*without_network, *words], stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, flush=True)
        text += ["", f"## {script}", "", "```", done.stdout.rstrip("\n"), "```"]
        if done.returncode:
            failed.append(script)
            text.append(f"\nIt failed: exit code {done.returncode}.")
    given.build.mkdir(parents=True, exist_ok=True)
    (given.build / "bench.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print(f"written: {given.build / 'bench.md'}")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
