"""Fuzz the importers: annotation files with a few characters or values changed are read, listed or refused in clear words.

    python tests/faults/annotations.py --count 5000 --seed 1                  # every format, or: --formats coco yolo
    python tests/faults/annotations.py --formats coco --count 300 --messages  # the different messages

A reader may yield samples and failures, or raise ``UserError``. Anything else is a problem; so is a message in the words of
Python ("list index out of range"), a refusal that does not name the file or its folder, and more than ``fuzz.LIMIT_S`` seconds.
The same seed makes the same mutations.
"""

from __future__ import annotations

import argparse
import inspect
import json
import random
import re
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.builtin import tfrecords  # noqa: E402
from tests.faults import fuzz  # noqa: E402
from tests.faults.annotation_examples import EXAMPLES  # noqa: E402

ODD: list[Any] = [
    *(None, True, -1, 0, 7, 1e400, 1.5, "", "x", "\ud800", "../../x", "a\0b", [], [1], [[1, 2]], {}, {"x": 1}),
    *(10**400, "9" * 400),
]

WORDS = (
    "",
    "x",
    "-1",
    "0",
    "7",
    "1.5",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "9" * 400,
    "9" * 5000,
    "1_0",
    "٣",
    "../../x",
    "a\0b",
    "é",
    "null",
    '"',
)

CHARACTERS = b'0123456789,;:"{}[]<>/\\. \n\t\0\xffxnaeE-+'

RAW = re.compile(
    r"^'[^']*'$|(can't read|damaged|can't be read)[^:]*: '[^']*'$|Traceback|Error\(|\bKeyError|out of range|NoneType"
    r"|not subscriptable|has no attribute|unsupported operand"
    r"|invalid literal for|could not convert|not supported between|unhashable|cannot unpack|values to unpack|got an unexpected"
    r"|must be (str|int|real|a string)|expected (str|bytes)\b|object is not|not iterable|codec can't|a bytes-like|assertion"
    r"|cannot convert|Exceeds the limit|missing \d+ required|<(class '|function |generator |built-in )",
    re.IGNORECASE,
)
"""What Python says where nobody thought of the case."""


LINES = (".csv", ".tsv", ".txt", ".jsonl", ".xml")
"""Suffixes of files whose entries are said by their line."""

OF_AN_IMAGE = "its annotations are for"
"""What is said of a whole file about one image, which needs no line."""


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few bytes replaced, removed, repeated, or the end cut off."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) + 1)
        size = chance.choice([0, 1, 1, 2, 10])
        new = bytes(chance.choice(CHARACTERS) for _ in range(chance.randint(0, 3)))
        found[at : at + size] = chance.choice([new, found[at : at + size] * 2])
    return bytes(found[: chance.randrange(len(found) + 1)] if chance.random() < 0.1 else found)


def revalued(value: Any, chance: random.Random) -> Any:
    """A JSON value with one part replaced by an odd one."""
    if isinstance(value, (list, dict)) and value and chance.random() < 0.85:
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        changed = value.copy()
        if isinstance(changed, dict) and chance.random() < 0.15:
            del changed[key]
        else:
            changed[key] = revalued(value[key], chance)
        return changed
    return chance.choice(ODD)


def reworded(data: bytes, chance: random.Random) -> bytes:
    """One word or number of a text replaced, or one line removed or repeated."""
    text = data.decode("utf-8", "surrogateescape")
    words = list(re.finditer(r"[\w.+-]+", text))
    if not words or chance.random() < 0.15:
        lines = text.splitlines(keepends=True)
        at = chance.randrange(len(lines) or 1)
        return "".join([*lines[:at], *lines[at : at + 1] * chance.choice((0, 2)), *lines[at + 1 :]]).encode(
            "utf-8", "surrogateescape"
        )
    word = chance.choice(words)
    return (text[: word.start()] + chance.choice(WORDS) + text[word.end() :]).encode("utf-8", "surrogateescape")


ODD_OF_A_TYPE: dict[type, tuple[Any, ...]] = {
    bool: (True, False, None),
    int: (-1, 0, 7, 2**62, -(2**62), None),
    float: (-1.0, 0.0, 1e300, float("nan"), float("inf"), None),
    str: ("", "x", "../../x", "a\0b", "9" * 400, None),
    bytes: (b"", b"x", b"\x89PNG\r\n\x1a\n", None),
}


def retyped(value: Any, chance: random.Random) -> Any:
    """A value of a table with one part replaced by an odd one of its type."""
    if isinstance(value, (list, dict)) and value and chance.random() < 0.9:
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        changed = value.copy()
        changed[key] = retyped(value[key], chance)
        return changed
    if isinstance(value, list):
        return chance.choice([[], value * 2, None])
    return chance.choice(ODD_OF_A_TYPE.get(type(value), (None,)))


def table_with_odd_values(data: bytes, chance: random.Random) -> bytes:
    """A Parquet file with one value replaced."""
    import io

    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(io.BytesIO(data))
    rows = table.to_pylist()
    row = chance.choice(rows)
    column = chance.choice(list(row))
    row[column] = retyped(row[column], chance)
    out = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema=table.schema), out)
    return out.getvalue()


def mutate(name: str, data: bytes, chance: random.Random) -> bytes:
    if name.endswith(".parquet") and chance.random() < 0.7:
        return table_with_odd_values(data, chance)
    if name.endswith(".tfrecord") and chance.random() < 0.7:
        (length,) = struct.unpack("<Q", data[:8])
        return tfrecords.record(mutated(data[12 : 12 + length], chance)) + data[16 + length :]
    if name.endswith(".json") and chance.random() < 0.7:
        return json.dumps(revalued(json.loads(data), chance)).encode("utf-8", "surrogatepass")
    if name.endswith(".jsonl") and chance.random() < 0.7:
        lines = data.splitlines()
        at = chance.randrange(len(lines))
        lines[at] = json.dumps(revalued(json.loads(lines[at]), chance)).encode("utf-8", "surrogatepass")
        return b"\n".join(lines)
    if name.endswith((".txt", ".csv", ".tsv", ".xml", ".yaml")) and chance.random() < 0.6:
        return reworded(data, chance)
    return mutated(data, chance)


# --- one item ------------------------------------------------------------------------------------------------------------


@cache
def example(name: str) -> tuple[Path, tuple[tuple[str, bytes], ...]]:
    """The path to import, and the files to change: (name below the path's folder, bytes)."""
    _made[name] = Path(tempfile.mkdtemp(prefix="annotations-"))
    path = EXAMPLES[name].make(_made[name] / "data")
    root = root_of(path)
    found = sorted(file for file in root.rglob("*") if file.is_file() and file.suffix in EXAMPLES[name].changed)
    return path, tuple((file.relative_to(root).as_posix(), file.read_bytes()) for file in found)


def names_of(name: str) -> list[str]:
    """The names of the files to change."""
    return [Path(file).name for file, _ in example(name)[1]]


def unchanged(name: str) -> tuple[str, bytes]:
    return example(name)[1][0]


def forget_examples() -> None:
    """Remove the examples made so far."""
    while _made:
        shutil.rmtree(_made.popitem()[1], ignore_errors=True)
    example.cache_clear()


_made: dict[str, Path] = {}
"""The folders to remove."""


def root_of(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def item(name: str, seed: int, number: int) -> tuple[str, bytes]:
    """A file's name and its changed bytes."""
    chance = random.Random(f"{seed}:{name}:{number}")
    file, data = chance.choice(example(name)[1])
    return file, mutate(file, data, chance)


@cache
def registry() -> Any:
    from pipekit.registry.registry import load_registry

    return load_registry(installed=False)


def rows_of(name: str, path: Path, out_dir: Path) -> Iterator[Any]:
    importer = registry().get("importer", EXAMPLES[name].importer)
    module, params = importer.load(), importer.params_type()
    more = (out_dir,) if "out_dir" in inspect.signature(module.read).parameters else ()
    module.sniff(path)
    values = {**EXAMPLES[name].params, "path": path}
    yield from module.read(path, params(**{key: value for key, value in values.items() if key in params.model_fields}), *more)


def read(name: str, file: str, data: bytes) -> tuple[str, list[str]]:
    """("read", "listed" or "refused", messages) of a changed file.

    Raises:
        Exception: what no reader may raise.
    """
    from pipekit.contract import Failure, Sample
    from pipekit.errors import UserError
    from pipekit.store.rows import content, to_row

    path, originals = example(name)
    place = root_of(path) / file
    place.write_bytes(data)
    out_dir = _made[name] / "written"
    said: list[str] = []
    try:
        for row in rows_of(name, path, out_dir):
            if isinstance(row, Failure):
                assert row.reason, f"no reason for {row.id!r}"
                assert row.id, f"no id: {row.reason!r}"
                said.append(f"{row.id[:200]}: {row.reason}")
            elif isinstance(row, Sample):
                content(to_row(row))
        return "listed" if said else "read", said
    except UserError as error:
        return "refused", [error.message]
    finally:
        place.write_bytes(dict(originals)[file])
        shutil.rmtree(out_dir, ignore_errors=True)


def unclear(name: str, outcome: str, said: list[str], file: str) -> str:
    """What is wrong with the messages, or ""."""
    path, base = example(name)[0], Path(file).name
    for message in said:
        if found := RAW.search(message):
            return f"in Python's words ({found[0][-60:]}): {message[:300]}"
        if not any(part in message for part in ((base, str(root_of(path))) if outcome == "refused" else names_of(name))):
            return f"names no file: {message[:300]}"
        if (
            file.endswith(LINES)
            and outcome == "listed"
            and not re.search(f" line |lacks|{OF_AN_IMAGE}", message)
            and base in message
        ):
            return f"names no line: {message[:300]}"
        if len(message) > 1500:
            return f"{len(message)} characters: {message[:300]}"
    return ""


# --- many items ----------------------------------------------------------------------------------------------------------


def work(name: str, seed: int, start: int, stop: int) -> None:
    """In a worker: one line before each item, and one with its outcome."""
    import os
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (fuzz.MEMORY_BYTES, fuzz.MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no outcome
    path, _ = example(name)
    for _ in rows_of(name, path, _made[name] / "written"):  # what is loaded once counts for no item
        pass
    try:
        for number in range(start, stop):
            file, data = item(name, seed, number)
            print(json.dumps({"begin": number, "name": file}), file=out, flush=True)
            print(json.dumps({"number": number, "name": file, **one(name, file, data)}), file=out, flush=True)
    finally:
        forget_examples()


def one(name: str, file: str, data: bytes) -> dict[str, Any]:
    import traceback

    signal.setitimer(signal.ITIMER_PROF, fuzz.LIMIT_S)
    before = time.process_time()
    try:
        outcome, said = read(name, file, data)
        found: dict[str, Any] = {"outcome": outcome, "said": [message[:400] for message in said[:20]]}
        if what := unclear(name, outcome, said, file):
            found = {"outcome": "problem", "what": what}
    except BaseException:
        found = {"outcome": "problem", "what": fuzz.shortened(traceback.format_exc())}
    signal.setitimer(signal.ITIMER_PROF, 0)
    return {**found, "cpu_s": round(time.process_time() - before, 3)}


def shape_of(message: str) -> str:
    """A message without its values, to count the different ones."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|[-\d.]+|/\S+", "…", message)[:160]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", nargs="*", default=list(EXAMPLES), choices=list(EXAMPLES), metavar="NAME")
    parser.add_argument("--count", type=int, default=5000, help="mutations of each format")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--messages", action="store_true", help="print an example of each different message")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        name, start, stop = options.work
        work(name, options.seed, int(start), int(stop))
        return 0
    bad = 0
    print("| format | mutations | read | listed | refused | problems | slowest |\n|---|---|---|---|---|---|---|", flush=True)
    for name in options.formats:
        rows = list(fuzz.results(name, options.seed, options.count, script=__file__))
        counts = Counter(row["outcome"] for row in rows)
        slowest = max((row["cpu_s"] for row in rows), default=0)
        figures = " | ".join(f"{counts[outcome]:,}" for outcome in ("read", "listed", "refused", "problem"))
        print(f"| {name} | {len(rows):,} | {figures} | {slowest:.1f} s |", flush=True)
        problems = [row for row in rows if row["outcome"] == "problem"]
        bad += len(problems)
        for what, times in Counter(shape_of(row["what"].strip().splitlines()[-1]) for row in problems).most_common():
            seen = next(row for row in problems if shape_of(row["what"].strip().splitlines()[-1]) == what)
            print(f"  {times} x, for example {seen['number']} ({seen['name']}): {seen['what']}", flush=True)
        if options.messages:
            shown: dict[str, str] = {}
            for row in rows:
                for message in row.get("said", []):
                    shown.setdefault(shape_of(message), f"{row['outcome']}: {message}")
            print("\n".join(f"  {message!a}" for message in shown.values()), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
