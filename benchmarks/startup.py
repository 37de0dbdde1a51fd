"""How long the first words of a conversation take, against a bare Python. Rerun: python benchmarks/startup.py

Each command is started many times, in turn with the others, so that a busy machine disturbs all alike; shown is the median.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

REPEATS = 15
LIMIT = 8
"""`pipekit --help` is to take less than this many times a bare `python -c pass`."""

SCRIPT = Path(sys.executable).with_name("pipekit")
PIPEKIT = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "pipekit"]

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "pipekit --help": [*PIPEKIT, "--help"],
    "pipekit --version": [*PIPEKIT, "--version"],
    "pipekit run --help": [*PIPEKIT, "run", "--help"],
    "pipekit components": [*PIPEKIT, "components"],
    "pipekit components op": [*PIPEKIT, "components", "op"],
    "pipekit plugins": [*PIPEKIT, "plugins"],
}


def seconds(command: list[str]) -> float:
    """How long one start takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for command in COMMANDS.values():  # once unmeasured: bytecode is compiled, files are in the cache
        seconds(command)
    for _ in range(REPEATS):
        for name, command in COMMANDS.items():
            taken[name].append(seconds(command))
    bare = statistics.median(taken["python -c pass"])
    print(f"{'command':<24}{'median':>10}{'fastest':>10}{'times bare':>12}")
    for name, times in taken.items():
        median = statistics.median(times)
        print(f"{name:<24}{1000 * median:>7.0f} ms{1000 * min(times):>7.0f} ms{median / bare:>12.1f}")
    ratio = statistics.median(taken["pipekit --help"]) / bare
    print(f"pipekit --help takes {ratio:.1f} times a bare Python; the aim is below {LIMIT}.")


if __name__ == "__main__":
    main()
