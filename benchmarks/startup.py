"""Start-up time of pipekit's commands compared with a bare Python. Rerun: python benchmarks/startup.py

Each command is started many times, in turn with the others, so that other load affects all alike; the median is shown.
The commands in TWENTY run a second time with twenty more plugins installed, each a distribution with one op. Texts of help and
lists are kept from the first start; "not kept" is a start that makes them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from _common import keep_compiled

REPEATS = 15
LIMIT = 8
"""Target: `pipekit --help` takes less than this many times a bare `python -c pass`."""

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


TWENTY = ("pipekit --help", "pipekit components", "pipekit plugins")
"""The commands that are also measured with twenty plugins."""

KEPT = ("pipekit run --help", "pipekit components")
"""The commands that are also measured without what was kept of them."""

HOOKS = """
import pipekit

@pipekit.hookimpl
def register_ops(register):
    register("many-{0}", "many_{0}_ops:op", summary="An op")
"""

OPS = """
import numpy
import pipekit

def op(image, params: pipekit.Params, rng):
    return image
"""


@contextmanager
def twenty_plugins() -> Iterator[dict[str, str]]:
    """The environment of a Python with twenty more plugins, as an installer leaves them."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(20):
            name = f"many_{number}"
            info = Path(folder, f"{name}-1.0.dist-info")
            info.mkdir()
            Path(folder, f"{name}.py").write_text(HOOKS.format(number), "utf-8")
            Path(folder, f"{name}_ops.py").write_text(OPS, "utf-8")
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
            (info / "entry_points.txt").write_text(f"[pipekit]\n{name} = {name}\n", "utf-8")
        before = [place for place in [os.environ.get("PYTHONPATH", "")] if place]
        yield {**os.environ, "PYTHONPATH": os.pathsep.join([folder, *before])}


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Seconds that one start takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - started


def main() -> None:
    keep_compiled()
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PIPEKIT_")}
    with twenty_plugins() as crowded, tempfile.TemporaryDirectory() as cache:
        plain["XDG_CACHE_HOME"] = crowded["XDG_CACHE_HOME"] = cache
        starts = {name: (command, plain) for name, command in COMMANDS.items()}
        starts |= {f"{name}, not kept": (COMMANDS[name], {**plain, "PIPEKIT_DEBUG": "0"}) for name in KEPT}
        starts |= {f"{name}, 20 plugins": (COMMANDS[name], crowded) for name in TWENTY}
        for start in starts.values():  # warm-up: compiles bytecode and fills the file cache
            seconds(*start)
        taken: dict[str, list[float]] = {name: [] for name in starts}
        for _ in range(REPEATS):
            for name, start in starts.items():
                taken[name].append(seconds(*start))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    bare = medians["python -c pass"]
    print(f"{'command':<34}{'median':>10}{'fastest':>10}{'times bare':>12}")
    for name, times in taken.items():
        print(f"{name:<34}{1000 * medians[name]:>7.0f} ms{1000 * min(times):>7.0f} ms{medians[name] / bare:>12.1f}")
    print(f"pipekit --help takes {medians['pipekit --help'] / bare:.1f} times a bare Python; the aim is below {LIMIT}.")
    for name in TWENTY:
        ratio = medians[f"{name}, 20 plugins"] / medians[name]
        print(f"{name} takes {ratio:.2f} times as long with twenty plugins as without them.")


if __name__ == "__main__":
    main()
